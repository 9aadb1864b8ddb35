//! Which files the compiler reads: from each crate root along its `mod` lines. A file off that way
//! is dead and looks alive.

use std::collections::BTreeMap;

use crate::source::Source;
use crate::tree::Tree;
use crate::{Violation, found, holds};

/// Each reached file; true if every way to it is under test.
pub(crate) fn walk(files: &[Source]) -> BTreeMap<String, bool> {
    let mut reached = BTreeMap::new();
    for root in files.iter().filter(|file| is_root(&file.path)) {
        let test = !root.path.contains("/src/") && !root.path.ends_with("build.rs");
        follow(files, root, test, &mut reached);
    }
    reached
}

fn is_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').skip(2).collect();
    path.starts_with("crates/")
        && match parts.as_slice() {
            ["src", "lib.rs" | "main.rs"] | ["build.rs"] => true,
            ["src", "bin", file] => file.ends_with(".rs"),
            ["tests" | "benches" | "examples", file] => file.ends_with(".rs"),
            ["tests" | "benches" | "examples", _, "main.rs"] => true,
            _ => false,
        }
}

fn follow(files: &[Source], file: &Source, test: bool, reached: &mut BTreeMap<String, bool>) {
    if reached.get(&file.path).is_some_and(|known| *known <= test) {
        return;
    }
    reached.insert(file.path.clone(), test);
    for window in file.tokens.windows(3) {
        let [keyword, name, end] = window else { continue };
        if keyword.text != "mod" || end.text != ";" {
            continue;
        }
        let test = test || file.is_test_line(name.line);
        for path in candidates(file, &name.text, keyword.line) {
            if let Some(next) = files.iter().find(|file| file.path == path) {
                follow(files, next, test, reached);
            }
        }
    }
}

/// Where `mod name;` on `line` of `file` may lie.
fn candidates(file: &Source, name: &str, line: usize) -> Vec<String> {
    let (folder, last) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
    let above = file.text.lines().take(line).skip(line.saturating_sub(2));
    let named = above.filter_map(|text| text.trim().strip_prefix("#[path = \"")?.split('"').next());
    let mut out: Vec<String> = named.map(|path| format!("{folder}/{path}")).collect();
    let stem = last.strip_suffix(".rs").unwrap_or(last);
    let below = if is_root(&file.path) || stem == "mod" {
        folder.to_owned()
    } else {
        format!("{folder}/{stem}")
    };
    out.extend([format!("{below}/{name}.rs"), format!("{below}/{name}/mod.rs")]);
    out
}

fn no_file_is_dead(tree: &Tree) -> Vec<Violation> {
    let dead = tree.rust().filter(|file| !tree.reached.contains_key(&file.path));
    let say = "no `mod` line leads here; add one or delete the file";
    dead.map(|file| Violation::new(&file.path, 1, say)).collect()
}

fn every_module_tells_its_story(tree: &Tree) -> Vec<Violation> {
    let silent = tree.rust().filter(|file| {
        let shipped = tree.reached.get(&file.path) == Some(&false);
        shipped && !file.text.lines().next().is_some_and(|line| line.starts_with("//! "))
    });
    let say = "no story; begin with `//!`: what the room does, for whom, how data flows through it";
    silent.map(|file| Violation::new(&file.path, 1, say)).collect()
}

#[test]
fn every_file_is_compiled() {
    holds(no_file_is_dead);
    let files = [
        ("crates/a/src/lib.rs", "pub mod b;\n// mod dead;\n#[path = \"odd/name.rs\"]\nmod c;\n"),
        ("crates/a/src/b.rs", "mod inner;\n#[cfg(test)]\nmod tests;\n"),
        ("crates/a/src/b/inner.rs", ""),
        ("crates/a/src/b/tests.rs", ""),
        ("crates/a/src/odd/name.rs", ""),
        ("crates/a/src/dead.rs", ""),
        ("crates/a/src/inner.rs", ""),
        ("crates/a/tests/all.rs", "mod common;"),
        ("crates/a/tests/common/mod.rs", ""),
        ("crates/a/tests/unused/mod.rs", ""),
    ];
    assert_eq!(
        found(no_file_is_dead, &files),
        ["crates/a/src/dead.rs:1", "crates/a/src/inner.rs:1", "crates/a/tests/unused/mod.rs:1"]
    );
    let reached = Tree::of(&files).reached;
    assert_eq!(reached.get("crates/a/src/b/tests.rs"), Some(&true));
    assert_eq!(reached.get("crates/a/src/b/inner.rs"), Some(&false));
}

#[test]
fn every_module_has_a_story() {
    holds(every_module_tells_its_story);
    let files = [
        ("crates/a/src/lib.rs", "//! A story.\nmod b;\n#[cfg(test)]\nmod t;\n"),
        ("crates/a/src/b.rs", "// no story\n"),
        ("crates/a/src/t.rs", ""),
        ("crates/a/tests/c.rs", ""),
    ];
    assert_eq!(found(every_module_tells_its_story, &files), ["crates/a/src/b.rs:1"]);
}
