//! Every test that docs/GUARANTEES.md and docs/SECURITY.md name is there: a promise whose test was
//! renamed or dropped is noticed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Names in backquotes that read like sentences.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|name| {
        let word = |c: char| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit();
        name.matches('_').count() > 3 && name.chars().all(word)
    })
}

#[test]
fn the_tests_that_documents_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    rust_files(&root.join("crates"), &mut files);
    let code: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    for document in ["docs/GUARANTEES.md", "docs/SECURITY.md"] {
        let text = fs::read_to_string(root.join(document)).unwrap();
        let missing: Vec<&str> =
            named(&text).filter(|name| !code.contains(&format!("fn {name}("))).collect();
        assert!(missing.is_empty(), "{document} names tests that are not there: {missing:?}");
        assert!(named(&text).count() > 5, "{document} names tests in backquotes");
    }
}
