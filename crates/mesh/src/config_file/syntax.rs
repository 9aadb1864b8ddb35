//! Text that is no YAML: the line to blame. The parser says where it could not go on, which is
//! often lines below the slip; the usual slips are looked for where they are made.

use saphyr_parser::ScanError;

use super::diagnostics::{Diagnostic, shown};
use super::keys;
use super::place::{Origin, Place};
use super::tree::alias;

/// Slips that would be read as something else than was meant.
pub(super) fn check_lines(text: &str) -> Result<(), Diagnostic> {
    for (i, line) in text.lines().enumerate() {
        let line_no = i + 1;
        let body = line.trim_start_matches(' ');
        let indent = line.len() - body.len();
        if body.starts_with('\t') && !body.trim().is_empty() {
            let place = Place::new(line_no, indent + 1, 1);
            return Err(Diagnostic::new(
                "tab",
                Origin::File(place),
                "the line is indented with a tab, which YAML does not allow",
                "indent with two spaces a level",
            ));
        }
        if let Some(odd) = body.chars().next().filter(|c| c.is_whitespace() && !c.is_ascii()) {
            let code = u32::from(odd);
            return Err(Diagnostic::new(
                "syntax",
                Origin::File(Place::new(line_no, indent + 1, 1)),
                format!("the line is indented with U+{code:04X}, which looks like a space only"),
                "indent with two spaces a level",
            ));
        }
        if let Some(one) = foreign(line, line_no) {
            return Err(one);
        }
        if let Some(control) = body.chars().find(|c| c.is_control() && *c != '\t') {
            let column = line.chars().take_while(|c| *c != control).count() + 1;
            return Err(Diagnostic::new(
                "syntax",
                Origin::File(Place::new(line_no, column, 1)),
                format!("the control character {control:?} is not text"),
                match control {
                    '\0' => "delete it; if there are many, save the file as UTF-8, not UTF-16",
                    '\r' => "end lines with a line feed",
                    _ => "delete it",
                },
            ));
        }
        if let Some((key, column)) = glued(line) {
            let value = &body[body.find(':').map_or(0, |at| at + 1)..];
            return Err(Diagnostic::new(
                "syntax",
                Origin::File(Place::new(line_no, column, key.len() + 1)),
                format!("there is no space behind the colon of `{key}`"),
                format!("write `{key}: {}`", shown(without_comment(value).trim())),
            ));
        }
    }
    Ok(())
}

/// What belongs to another format or another alphabet.
fn foreign(line: &str, number: usize) -> Option<Diagnostic> {
    let body = line.trim();
    let told = |column: usize, width: usize, message: String, help: String| {
        let place = Place::new(number, column, width);
        Some(Diagnostic::new("syntax", Origin::File(place), message, help))
    };
    let indent = line.chars().take_while(|c| c.is_whitespace()).count();
    if body.starts_with("//") || body.starts_with("/*") {
        let help = "begin the comment with `#`".to_owned();
        return told(indent + 1, 2, "this is no comment in YAML".into(), help);
    }
    let table = body.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(name) = table.filter(|name| indent == 0 && keys::children("").contains(name)) {
        let message = format!("`{body}` is a table of TOML, and this is YAML");
        let help = format!("write `{name}:`, and its keys as `key: value` two spaces deeper");
        return told(1, body.chars().count(), message, help);
    }
    for (sign, name) in [(":\t", "a tab stands behind the colon"), ("：", "`：` is no colon")] {
        if let Some((key, value)) = body.split_once(sign).filter(|(key, _)| keys::is_a_name(key)) {
            let help = format!("write `{key}: {}`", shown(without_comment(value).trim()));
            return told(indent + 1 + key.chars().count(), 1, name.into(), help);
        }
    }
    None
}

/// `fanout:5`: a known key and its value without a space between; answers key and column.
fn glued(line: &str) -> Option<(&str, usize)> {
    let body = line.trim_start();
    let body = body.strip_prefix("- ").map_or(body, str::trim_start);
    let (word, rest) = body.split_once(':')?;
    let is_glued = !rest.is_empty() && !rest.starts_with([' ', '\t']);
    let column = line.len() - body.len() + 1;
    (is_glued && keys::is_a_name(word)).then_some((word, column))
}

/// The parser's error as one that says what to do.
pub(super) fn explain(text: &str, error: &ScanError) -> Diagnostic {
    let marker = error.marker();
    let last = text.lines().count().max(1);
    let (line, column) = match marker.line() {
        line if line > last => (last, 1),
        line => (line, marker.col() + 1),
    };
    if error.info().contains("unknown anchor") {
        return alias(Place::new(line, column, 1));
    }
    if let Some(slip) = slip_before(text, line) {
        return slip;
    }
    let here = text.lines().nth(line - 1).unwrap_or_default();
    let (message, help) = parser_words(error.info(), text, line);
    let column = column.min(here.chars().count() + 1);
    Diagnostic::new("syntax", Origin::File(Place::new(line, column, 1)), message, help)
}

/// What the parser says, and what is usually behind it.
fn parser_words(info: &str, text: &str, line: usize) -> (String, String) {
    let no_yaml = format!("this is no YAML: {}", shown(info));
    if info.contains("block mapping") || info.contains("block collection") {
        let above = text.lines().take(line - 1).filter(|line| !line.trim().is_empty()).last();
        let spaces = above.map_or(0, |above| above.len() - above.trim_start().len());
        let message = "the indentation of this line fits none of the lines above it".into();
        let help = format!(
            "indent the keys of one section alike, with spaces only: the line above has {spaces}"
        );
        return (message, help);
    }
    if info.contains("expected ','") {
        return (no_yaml, "write a comma between the entries, or close the bracket".into());
    }
    if info.contains("trailing content") {
        let help =
            "a quote inside quotes is written twice: 'it''s'; or use the other ones: \"it's\"";
        return ("the text in quotes ends before its line does".into(), help.into());
    }
    let help = "write one `key: value` a line, two spaces deeper than its section; quote text with \
                `: `, `#`, `*`, `&`, `%` or `@` in it";
    (no_yaml, help.into())
}

/// The line up to its comment. A `#` in quotes is taken for one, which shortens a hint only.
fn without_comment(line: &str) -> &str {
    line.find(" #").map_or(line, |at| &line[..at])
}

/// A list item without a space behind its dash, or a key below a value.
fn layout_slip(above: &str, line: &str, number: usize) -> Option<Diagnostic> {
    let body = without_comment(line).trim();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let origin = || Origin::File(Place::new(number, indent(line) + 1, body.chars().count()));
    if body.strip_prefix('-').is_some_and(|rest| rest.starts_with(char::is_alphabetic)) {
        let message = format!("there is no space behind the dash of `{}`", shown(body));
        let help = format!("write `- {}`", shown(&body[1..]));
        return Some(Diagnostic::new("syntax", origin(), message, help));
    }
    let above_is_whole = above.trim().split_once(": ").is_some_and(|(_, value)| {
        !value.trim().is_empty() && !value.trim().starts_with(['|', '>', '[', '{', '"', '\''])
    });
    let is_key = body.ends_with(':') || body.contains(": ");
    let item = usize::from(above.trim_start().starts_with("- ")) * 2;
    if above_is_whole && is_key && indent(line) > indent(above) + item {
        let message = format!("`{}` is indented below a key that has its value", shown(body));
        let help = "indent it as its section's other keys are: two spaces a level";
        return Some(Diagnostic::new("syntax", origin(), message, help));
    }
    None
}

/// The first line up to `last` that shows a usual slip.
fn slip_before(text: &str, last: usize) -> Option<Diagnostic> {
    let mut above = "";
    for (i, line) in text.lines().take(last).enumerate() {
        let body = without_comment(line).trim();
        if body.is_empty() || body.starts_with('#') || body == "---" {
            continue;
        }
        if let Some(slip) = layout_slip(without_comment(above), line, i + 1) {
            return Some(slip);
        }
        above = line;
        let value = body.strip_prefix("- ").unwrap_or(body);
        let (key, value) = match value.split_once(": ") {
            Some((key, value)) => (key, value.trim()),
            None => ("", value),
        };
        let at = |part: &str| {
            let column = line.find(part).map_or(0, |at| line[..at].chars().count()) + 1;
            Origin::File(Place::new(i + 1, column, part.chars().count()))
        };
        for (open, close) in [('"', '"'), ('\'', '\''), ('[', ']'), ('{', '}')] {
            if value.starts_with(open) && value[1..].find(close).is_none() {
                let message = format!("`{open}` is opened here and not closed on this line");
                let help = format!("close it with `{close}`");
                return Some(Diagnostic::new("syntax", at(value), message, help));
            }
        }
        for sign in ['@', '`', '%'] {
            if value.starts_with(sign) {
                let message = format!("a value cannot begin with `{sign}`");
                let help = format!("put it in quotes: \"{}\"", shown(value));
                return Some(Diagnostic::new("syntax", at(value), message, help));
            }
        }
        if !key.is_empty() && value.contains(": ") && !value.starts_with(['"', '\'', '{']) {
            let message = format!("`{}` has two values on one line", shown(key));
            let help = "write one `key: value` a line, or put the text in quotes";
            return Some(Diagnostic::new("syntax", at(value), message, help));
        }
        let has_key = !key.is_empty() || body.ends_with(':') || body.contains(": ");
        if !has_key && !body.starts_with(['-', ']', '}', '[', '{', '"', '\'']) {
            let word = body.split([' ', '=']).next().unwrap_or(body);
            let rest = body[word.len()..].trim_start_matches([' ', '=']);
            let message = format!("the line has no colon: `{}`", shown(body));
            let help = if word.contains(':') {
                format!("an item of a list begins with a dash: write `- {}`", shown(body))
            } else {
                format!("write `{}: {}`", shown(word), shown(rest))
            };
            return Some(Diagnostic::new("syntax", at(body), message, help));
        }
    }
    None
}
