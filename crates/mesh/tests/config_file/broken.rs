//! Every file of `broken/` is refused with exactly the text beside it. Where a file can hold
//! comments, the lines that end in `# wrong` are the lines that are told, no more and no fewer.
//! `UPDATE_EXPECTED=1 cargo test -p knhk-mesh --test config_file` writes the texts; read the
//! difference before it is committed.

use std::path::PathBuf;

use knhk_mesh::config_file;
use proptest::prelude::*;

use super::{specification, wrong};

fn files() -> Vec<PathBuf> {
    let folder = format!("{}/tests/config_file/broken", env!("CARGO_MANIFEST_DIR"));
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths.filter(|p| p.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    files
}

#[test]
fn each_broken_file_is_refused_with_its_line_and_a_hint() {
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let mut failures = Vec::new();
    for path in files() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Err(mut refused) = config_file::load(Some(&path), &[], []) else {
            failures.push(format!("{name}: accepted"));
            continue;
        };
        refused.file = name.clone();
        let text = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&text);
        let marked = (1..).zip(text.lines()).filter(|(_, line)| line.ends_with("# wrong"));
        let marked: Vec<usize> = marked.map(|(number, _)| number).collect();
        let told: Vec<usize> =
            refused.list.iter().filter_map(|one| one.place()).map(|place| place.line).collect();
        if !marked.is_empty() && told != marked {
            failures.push(format!("{name}: tells lines {told:?}, not {marked:?}:\n{refused}"));
        }
        if refused.list.iter().any(|one| one.help.is_empty() || one.message.is_empty()) {
            failures.push(format!("{name}: no hint:\n{refused}"));
        }
        let beside = path.with_extension("txt");
        if update {
            std::fs::write(&beside, refused.to_string()).unwrap();
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        if refused.to_string() != expected {
            failures.push(format!("{name}: told otherwise than agreed:\n{refused}"));
        }
    }
    assert!(files().len() > 100);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_file_of_more_than_a_mebibyte_is_refused_before_it_is_read() {
    let large = format!("topology: flat_mesh\n# {}\n", "x".repeat(1 << 20));
    let told = wrong(&large).to_string();
    assert!(told.contains("1 MiB") && told.contains("help:"), "{told}");
    let many = format!("x-list: [{}]\n", "1, ".repeat(30_000));
    assert!(wrong(&many).to_string().contains("20000 values"));
    let deep = format!("x-deep: {}{}\n", "[".repeat(100), "]".repeat(100));
    assert!(wrong(&deep).to_string().contains("nested too deeply"));
    let deeper = format!("x-deep: {}\n", "[".repeat(100_000));
    assert_eq!(wrong(&deeper).list.len(), 1);
}

#[test]
fn a_file_that_is_not_there_is_told_with_its_name() {
    let refused = config_file::load(Some("no/such.yaml".as_ref()), &[], []).unwrap_err();
    assert!(refused.to_string().contains("no/such.yaml") && refused.list[0].code == "unreadable");
    let folder = config_file::load(Some("/".as_ref()), &[], []).unwrap_err();
    assert_eq!(folder.list.len(), 1);
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(
        text in "[a-z_:\\- \\n\\[\\]{}\"'#*&!|>%@0-9,.\\t]{0,200}",
    ) {
        let _ = config_file::parse("any", &text, &[], []);
    }

    /// A file with one line changed is right, or wrong with a place inside the file.
    #[test]
    fn a_slip_in_a_right_file_is_told_inside_the_file(
        file in 0usize..4, line in any::<prop::sample::Index>(),
        slip in "[ -~\\t]{0,12}", at in any::<prop::sample::Index>(), replaces: bool,
    ) {
        let names = config_file::Topology::NAMES;
        let text = specification(names[file]);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let line = line.index(lines.len());
        if replaces {
            lines[line] = slip;
        } else {
            let at = at.index(lines[line].len() + 1);
            if lines[line].is_char_boundary(at) {
                lines[line].insert_str(at, &slip);
            }
        }
        let text = lines.join("\n");
        if let Err(refused) = config_file::parse("slip", &text, &[], []) {
            prop_assert!(!refused.list.is_empty());
            for one in &refused.list {
                let lines = text.lines().count();
                prop_assert!(one.place().is_none_or(|place| (1..=lines).contains(&place.line)));
                prop_assert!(!one.help.is_empty());
            }
        }
    }
}
