//! The rules of the house, as tests. Each rule reads the source tree and reports every violation
//! as `file:line: what is wrong; what to do`, and each rule is shown a small bad input below it, so
//! that a rule that can no longer fail is found out.
//!
//! ```text
//! disk -> Tree -> Source: text, tokens without comments and strings, test lines
//!          |
//!          +-> text    sizes, words, names        purity  what core may not call
//!          +-> shape   functions and tests        floors  which room uses which
//!          +-> reach   which files are compiled   crates  which crate depends on which
//! ```
#![allow(clippy::expect_used, reason = "a tree that cannot be read is a failed test")]

mod crates;
mod floors;
mod purity;
mod reach;
mod shape;
mod source;
mod text;
mod tree;

use std::fmt;

use tree::Tree;

/// One breach of one rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    file: String,
    line: usize,
    say: String,
}

impl Violation {
    fn new(file: &str, line: usize, say: impl Into<String>) -> Self {
        Violation { file: file.into(), line, say: say.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.say)
    }
}

/// Fails with every violation that `rule` finds in the repository.
#[track_caller]
fn holds(rule: impl Fn(&Tree) -> Vec<Violation>) {
    let mut found = rule(&Tree::of_repository());
    found.sort();
    let list: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "{} violation(s):\n{}", list.len(), list.join("\n"));
}

/// The violations of `rule` in a tree of `(path, text)`, as `file:line`.
#[track_caller]
fn found(rule: impl Fn(&Tree) -> Vec<Violation>, files: &[(&str, &str)]) -> Vec<String> {
    let mut found = rule(&Tree::of(files));
    found.sort();
    found.iter().map(|v| format!("{}:{}", v.file, v.line)).collect()
}

#[test]
fn the_tree_that_is_read_is_this_one() {
    let tree = Tree::of_repository();
    for path in ["Cargo.toml", "crates/core/src/lib.rs", "crates/cli/Cargo.toml"] {
        assert!(tree.get(path).is_some(), "{path} was not read: is the root right?");
    }
    assert!(tree.files.iter().all(|file| !file.path.contains("/target/")));
}
