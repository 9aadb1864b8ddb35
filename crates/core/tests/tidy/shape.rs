//! The shape of functions and tests.

use crate::source::{Source, item_end};
use crate::tree::Tree;
use crate::{Violation, found, holds};

const MOST_LINES: usize = 70;

fn functions_are_short(tree: &Tree) -> Vec<Violation> {
    let mut out = Vec::new();
    for file in tree.rust() {
        for (at, pair) in file.tokens.windows(2).enumerate() {
            // `fn(u8)` is a type, `fn name` a function.
            if pair[0].text != "fn" || !pair[1].is_word() {
                continue;
            }
            let first = pair[0].line;
            let lines =
                item_end(&file.tokens, at).map_or(0, |end| file.tokens[end].line - first + 1);
            if lines > MOST_LINES {
                let say = format!(
                    "fn {} has {lines} lines, at most {MOST_LINES}; split it at a step with a name",
                    pair[1].text
                );
                out.push(Violation::new(&file.path, first, say));
            }
        }
    }
    out
}

fn every_test_runs(tree: &Tree) -> Vec<Violation> {
    let mut out = Vec::new();
    for file in tree.rust() {
        for at in sequence(file, &["#", "[", "ignore"]) {
            let say = "an ignored test proves nothing; make it fast or delete it";
            out.push(Violation::new(&file.path, at, say));
        }
    }
    out
}

fn core_never_sleeps(tree: &Tree) -> Vec<Violation> {
    let mut out = Vec::new();
    for file in tree.rust().filter(|file| file.path.starts_with("crates/core/")) {
        for at in sequence(file, &["sleep", "("]) {
            let say = "core and its tests never sleep; move the virtual clock instead";
            out.push(Violation::new(&file.path, at, say));
        }
    }
    out
}

/// The lines where these tokens follow each other.
fn sequence<'a>(file: &'a Source, words: &'a [&str]) -> impl Iterator<Item = usize> + 'a {
    let same = move |window: &[crate::source::Token]| {
        window.iter().zip(words).all(|(token, word)| token.text == *word)
    };
    file.tokens.windows(words.len()).filter(move |w| same(w)).map(|window| window[0].line)
}

#[test]
fn no_function_is_too_long() {
    holds(functions_are_short);
    let body = |n: usize| "    let _brace = \"{\"; // }\n".repeat(n);
    let code = format!(
        "type F = fn(u8);\ntrait T {{ fn t(x: [u8; 2]); }}\nfn fits(x: [u8; 2]) {{\n{}}}\n\
         fn long()\nwhere\n    u8: Copy,\n{{\n{}}}\n",
        body(68),
        body(67)
    );
    assert_eq!(
        found(functions_are_short, &[("crates/a/src/b.rs", &code)]),
        ["crates/a/src/b.rs:73"]
    );
}

#[test]
fn no_test_is_ignored() {
    holds(every_test_runs);
    let code = "#[test]\n#[ignore]\nfn a() {}\n#[ignore = \"slow\"]\nfn b() {}\n// #[ignore]\n";
    let files = [("crates/a/tests/b.rs", code)];
    assert_eq!(found(every_test_runs, &files), ["crates/a/tests/b.rs:2", "crates/a/tests/b.rs:4"]);
}

#[test]
fn no_test_of_core_sleeps() {
    holds(core_never_sleeps);
    let code = "#[test]\nfn a() {\n    std::thread::sleep(d);\n    asleep(sleep);\n}\n";
    let files = [("crates/core/tests/a.rs", code), ("crates/mesh/tests/a.rs", code)];
    assert_eq!(found(core_never_sleeps, &files), ["crates/core/tests/a.rs:3"]);
}
