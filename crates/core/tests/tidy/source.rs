//! One file as the rules see it. Comments, strings and characters are blanked before the code is
//! cut into tokens, so a brace in a string closes nothing and a path in a comment imports nothing.

pub(crate) struct Source {
    /// From the root of the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Identifiers, numbers, `::` and single punctuation marks; empty if this is no Rust.
    pub(crate) tokens: Vec<Token>,
    /// Line ranges that only a test build compiles, both ends included.
    test: Vec<(usize, usize)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// A path of the code, as written or with its `use` group resolved: `["crate", "codec", "Reader"]`.
pub(crate) struct CodePath {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let is_rust = path.ends_with(".rs");
        let tokens = if is_rust { tokens(&blank(text)) } else { Vec::new() };
        let test = test_ranges(&tokens);
        Source { path: path.into(), text: text.into(), tokens, test }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    pub(crate) fn is_test_line(&self, line: usize) -> bool {
        self.test.iter().any(|&(first, last)| (first..=last).contains(&line))
    }

    /// Every path outside `#[cfg(test)]`, imports and uses alike.
    pub(crate) fn paths(&self) -> Vec<CodePath> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let is_use = self.tokens[at].text == "use";
            let start = if is_use { at + 1 } else { at };
            at = if is_use || self.tokens[at].is_word() {
                tree_at(&self.tokens, start, &[], is_use, &mut found).max(at + 1)
            } else {
                at + 1
            };
        }
        found.retain(|path| !self.is_test_line(path.line));
        found
    }
}

impl Token {
    pub(crate) fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// Reads one path (with `groups`: one `use` tree) at `at`; the answer is where it ends.
fn tree_at(
    tokens: &[Token],
    mut at: usize,
    prefix: &[String],
    groups: bool,
    found: &mut Vec<CodePath>,
) -> usize {
    let mut segments = prefix.to_vec();
    let line = tokens.get(at).map_or(0, |token| token.line);
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "::" => {}
            "{" if groups => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    at = tree_at(tokens, at, &segments, true, found).max(at + 1);
                    at += usize::from(tokens.get(at).is_some_and(|token| token.text == ","));
                }
                return at + 1;
            }
            "as" if groups => {
                at += 2;
                break;
            }
            "*" if groups => segments.push("*".into()),
            _ if token.is_word() => segments.push(token.text.clone()),
            _ => break,
        }
        at += 1;
        // A path goes on only behind `::`.
        let joined = tokens[at - 1].text == "::";
        let goes_on = tokens.get(at).is_some_and(|next| {
            joined || next.text == "::" || (groups && ["as", "{"].contains(&next.text.as_str()))
        });
        if !goes_on {
            break;
        }
    }
    found.push(CodePath { segments, line });
    at
}

/// The index behind the item that starts at `at`: its closing brace or its semicolon.
pub(crate) fn item_end(tokens: &[Token], at: usize) -> Option<usize> {
    let mut nested = 0usize;
    for (i, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "(" | "[" => nested += 1,
            ")" | "]" => nested = nested.saturating_sub(1),
            ";" if nested == 0 => return Some(i),
            "{" if nested == 0 => return closing(tokens, i),
            _ => {}
        }
    }
    None
}

/// The index of the brace that closes the one at `open`.
fn closing(tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return Some(i);
        }
    }
    None
}

/// The lines of items under `#[cfg(test)]` or `#[cfg(all(test, ..))]`.
fn test_ranges(tokens: &[Token]) -> Vec<(usize, usize)> {
    let is = |at: usize, words: &[&str]| {
        words.iter().enumerate().all(|(i, w)| tokens.get(at + i).is_some_and(|t| t.text == *w))
    };
    let only_tests = |at| {
        is(at, &["#", "[", "cfg", "(", "test", ")", "]"])
            || is(at, &["#", "[", "cfg", "(", "all", "(", "test"])
    };
    let range = |at: usize| {
        let end = item_end(tokens, at).unwrap_or(tokens.len() - 1);
        (tokens[at].line, tokens[end].line)
    };
    (0..tokens.len()).filter(|&at| only_tests(at)).map(range).collect()
}

fn tokens(code: &str) -> Vec<Token> {
    let mut out: Vec<Token> = Vec::new();
    for (line, text) in (1..).zip(code.lines()) {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let len = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let (token, tail) = rest.split_at(len);
            out.push(Token { text: token.into(), line });
            rest = tail.trim_start();
        }
    }
    out
}

/// The same lines with comments, strings and characters replaced by spaces.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let hidden = hidden_len(&chars, at);
        if hidden == 0 {
            out.push(chars[at]);
        }
        for &c in &chars[at..at + hidden] {
            out.push(if c == '\n' { '\n' } else { ' ' });
        }
        at += hidden.max(1);
    }
    out
}

/// How many characters from `at` are comment or literal; 0 if it is code.
fn hidden_len(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    let len = match rest {
        ['/', '/', ..] => rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment_len(rest),
        ['"', ..] => quoted_len(rest),
        ['\'', '\\', _, tail @ ..] => 3 + tail.iter().position(|&c| c == '\'').unwrap_or(0) + 1,
        ['\'', _, '\'', ..] => 3,
        ['r', ..] if starts_word(chars, at) => raw_string_len(rest),
        _ => 0,
    };
    len.min(rest.len())
}

/// Nothing but a `b` or `c` of a literal stands before `at`.
fn starts_word(chars: &[char], at: usize) -> bool {
    let word = |i: usize| chars[i].is_alphanumeric() || chars[i] == '_';
    let prefixed = at > 0 && matches!(chars[at - 1], 'b' | 'c');
    let start = if prefixed { at - 1 } else { at };
    start == 0 || !word(start - 1)
}

fn block_comment_len(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted_len(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn raw_string_len(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let is_end = |at: usize| {
        rest[at] == '"' && rest[at + 1..].iter().take_while(|&&c| c == '#').count() >= hashes
    };
    let body = 2 + hashes;
    (body..rest.len()).find(|&at| is_end(at)).map_or(rest.len(), |at| at + 1 + hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(code: &str) -> Vec<String> {
        let words = Source::new("x.rs", code).tokens;
        words.into_iter().filter(Token::is_word).map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_literals_hold_no_code() {
        let code = r####"a /* { /* n */ } */ b // c "
            "{ \" x" d '"' e '\'' f '{' g r#"h " i"# j br"k\" l b'\x7b' m &'q str"####;
        // A `b` stays of each byte literal.
        let expected = ["a", "b", "d", "e", "f", "g", "j", "b", "l", "b", "m", "q", "str"];
        assert_eq!(words(code), expected);
    }

    #[test]
    fn a_use_group_is_all_of_its_paths() {
        let code = "use crate::{a::{B, c as d}, e};\nfn f() -> g::H { crate::i::j(k) }\n";
        let source = Source::new("x.rs", code);
        let found: Vec<(usize, String)> =
            source.paths().iter().map(|p| (p.line, p.segments.join("::"))).collect();
        for (line, path) in [
            (1, "crate::a::B"),
            (1, "crate::a::c"),
            (1, "crate::e"),
            (2, "g::H"),
            (2, "crate::i::j"),
            (2, "k"),
        ] {
            assert!(found.contains(&(line, path.into())), "{path} is missing in {found:?}");
        }
        assert!(!found.iter().any(|(_, path)| path.contains('d')), "an alias is no path");
    }

    #[test]
    fn test_items_are_known_by_their_lines() {
        let code = "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() {}\n}\nfn c() {}\n\
                    #[cfg(not(test))]\nfn d() {}\n#[cfg(test)]\nmod e;\nfn f() {}\n";
        let source = Source::new("x.rs", code);
        let test: Vec<usize> = (1..=11).filter(|&line| source.is_test_line(line)).collect();
        assert_eq!(test, [2, 3, 4, 5, 9, 10]);
    }
}
