//! What needs no understanding of code: lengths, words, names.

use crate::source::Source;
use crate::tree::Tree;
use crate::{Violation, found, holds};

const MOST_LINES: usize = 600;
const MOST_COLUMNS: usize = 100;
/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["manager", "helper", "helpers", "util", "utils", "misc"];
/// Marks of work not done; cut in two so that this file does not hold them.
const MARKS: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX"), concat!("HA", "CK")];

fn files_are_short(tree: &Tree) -> Vec<Violation> {
    let too_long = |file: &&Source| file.text.lines().count() > MOST_LINES;
    let say = format!("more than {MOST_LINES} lines; make it a folder of rooms");
    let inside = tree.files.iter().filter(|file| file.path.starts_with("crates/"));
    inside.filter(too_long).map(|f| Violation::new(&f.path, MOST_LINES + 1, &*say)).collect()
}

fn lines_are_narrow(tree: &Tree) -> Vec<Violation> {
    let mut out = Vec::new();
    for file in tree.files.iter().filter(|file| file.is_rust()) {
        for (line, _) in file.lines().filter(|(_, text)| text.chars().count() > MOST_COLUMNS) {
            let say = format!("wider than {MOST_COLUMNS} columns; wrap it");
            out.push(Violation::new(&file.path, line, say));
        }
    }
    out
}

fn nothing_is_marked_as_undone(tree: &Tree) -> Vec<Violation> {
    let mut out = Vec::new();
    for file in &tree.files {
        for (line, text) in file.lines() {
            let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
            for mark in words.filter(|word| MARKS.contains(word)) {
                let say = format!("{mark}: do it, or write down in CHANGELOG.md what is missing");
                out.push(Violation::new(&file.path, line, say));
            }
        }
    }
    out
}

fn names_say_what_is_inside(tree: &Tree) -> Vec<Violation> {
    let mut out = Vec::new();
    for file in tree.files.iter().filter(|file| !file.path.starts_with('.')) {
        let mut parts = file.path.split(['/', '_', '-', '.']);
        if let Some(part) = parts.find(|part| EMPTY_NAMES.contains(part)) {
            let say = format!("`{part}` in a file name; name what it does");
            out.push(Violation::new(&file.path, 1, say));
        }
        for pair in file.tokens.windows(2) {
            let declares = ["struct", "enum", "trait", "mod"].contains(&pair[0].text.as_str());
            let name = pair[1].text.to_ascii_lowercase();
            if declares && EMPTY_NAMES.iter().any(|empty| name.ends_with(empty)) {
                let say = format!("`{}` says nothing; name what it does", pair[1].text);
                out.push(Violation::new(&file.path, pair[1].line, say));
            }
        }
    }
    out
}

#[test]
fn no_file_is_too_long() {
    holds(files_are_short);
    let lines = |n: usize| "x\n".repeat(n);
    let files = [("crates/a.md", &*lines(600)), ("crates/b.rs", &*lines(601)), ("c", &*lines(999))];
    assert_eq!(found(files_are_short, &files), ["crates/b.rs:601"]);
}

#[test]
fn no_line_is_too_wide() {
    holds(lines_are_narrow);
    let wide = format!("//{}\n//{}\n", "é".repeat(98), "e".repeat(99));
    assert_eq!(found(lines_are_narrow, &[("a.rs", &wide), ("a.md", &wide)]), ["a.rs:2"]);
}

#[test]
fn no_mark_of_undone_work() {
    holds(nothing_is_marked_as_undone);
    for mark in MARKS {
        let text = format!("fine\n# {mark}: later\n{mark}ED\n");
        assert_eq!(found(nothing_is_marked_as_undone, &[("a.yaml", &text)]), ["a.yaml:2"]);
    }
}

#[test]
fn no_name_is_empty() {
    holds(names_say_what_is_inside);
    let files = [
        ("crates/a/src/peer_manager.rs", ""),
        ("crates/a/src/misc/mod.rs", ""),
        ("crates/a/src/utilisation.rs", "enum A {}\nstruct LinkHelper;\n"),
    ];
    assert_eq!(
        found(names_say_what_is_inside, &files),
        [
            "crates/a/src/misc/mod.rs:1",
            "crates/a/src/peer_manager.rs:1",
            "crates/a/src/utilisation.rs:2"
        ]
    );
}
