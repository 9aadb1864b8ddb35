//! The files of the repository, and which of them the compiler reaches.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::reach;
use crate::source::Source;

/// Folders that hold no source: what was built, and what fuzzers found.
const SKIPPED: [&str; 6] = [".git", "target", "corpus", "artifacts", "mutants.out", "node_modules"];

pub(crate) struct Tree {
    /// Every text file, by path.
    pub(crate) files: Vec<Source>,
    /// Each Rust file that some crate root reaches; true where only tests do.
    pub(crate) reached: BTreeMap<String, bool>,
}

impl Tree {
    pub(crate) fn of_repository() -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut files = Vec::new();
        read_folder(&root, "", &mut files);
        Tree::new(files)
    }

    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Tree::new(files.iter().map(|(path, text)| Source::new(path, text)).collect())
    }

    fn new(mut files: Vec<Source>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let reached = reach::walk(&files);
        Tree { files, reached }
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Source> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The Rust files of the crates.
    pub(crate) fn rust(&self) -> impl Iterator<Item = &Source> {
        self.files.iter().filter(|file| file.is_rust() && file.path.starts_with("crates/"))
    }

    /// The Rust files below `folder` that are part of what ships.
    pub(crate) fn shipped<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a Source> {
        self.rust().filter(move |file| {
            file.path.starts_with(folder) && self.reached.get(&file.path) != Some(&true)
        })
    }
}

fn read_folder(root: &Path, below: &str, files: &mut Vec<Source>) {
    let entries = fs::read_dir(root.join(below)).expect("a folder of the repository");
    for entry in entries {
        let entry = entry.expect("an entry of a folder");
        let name = entry.file_name().to_string_lossy().into_owned();
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        let kind = entry.file_type().expect("a kind of file");
        if kind.is_dir() {
            read_folder(root, &path, files);
        } else if kind.is_file()
            && let Ok(text) = String::from_utf8(fs::read(entry.path()).expect("a readable file"))
        {
            files.push(Source::new(&path, &text));
        }
    }
}
