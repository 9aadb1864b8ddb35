//! What is wrong with a configuration: all independent errors of it, in the order of the file, each
//! with its line, a caret under the value, why it cannot be, and what to write instead.

use std::fmt;

use super::place::{Origin, Place};

/// Errors that are told of one configuration; a file with more has another kind of problem.
const MOST: usize = 64;
/// Characters of a line that are shown.
const SHOWN_COLUMNS: usize = 120;

/// One error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// A word for programs that stays the same: `unknown_key`, `wrong_type`, `out_of_range` ...
    pub code: &'static str,
    /// Where the wrong value was written. `Default` if the file as a whole is meant.
    pub origin: Origin,
    /// What is wrong, and why.
    pub message: String,
    /// What to write instead.
    pub help: String,
    /// The line of the file, if it stands in the file.
    pub source: Option<String>,
}

impl Diagnostic {
    pub(super) fn new(
        code: &'static str,
        origin: Origin,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let (message, help) = (message.into(), help.into());
        Diagnostic { code, origin, message, help, source: None }
    }

    /// The place in the file, if there is one.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        match self.origin {
            Origin::File(place) => Some(place),
            _ => None,
        }
    }
}

/// Why a configuration is refused; never empty. Nothing was started or changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostics {
    /// The file's name as it was given; `-` without a file.
    pub file: String,
    /// Sorted: the file by line, then environment, then flags.
    pub list: Vec<Diagnostic>,
}

impl Diagnostics {
    pub(super) fn new(file: &str, text: &str, mut list: Vec<Diagnostic>) -> Self {
        list.sort_by_key(|one| (rank(&one.origin), one.place()));
        list.dedup();
        list.truncate(MOST);
        let lines: Vec<&str> = text.lines().collect();
        for one in &mut list {
            let line = one.place().and_then(|place| lines.get(place.line - 1));
            one.source = line.map(|line| (*line).to_owned());
            if one.code == "missing_value" && line.is_some_and(|line| line.contains(": #")) {
                one.help.push_str("; what stands behind `#` is a comment, except in quotes");
            }
        }
        Diagnostics { file: file.into(), list }
    }

    /// How many errors, in words.
    #[must_use]
    pub fn summary(&self) -> String {
        let errors = if self.list.len() == 1 { "error" } else { "errors" };
        format!("{} {errors} in the configuration {}", self.list.len(), self.file)
    }
}

/// Errors of the file as a whole come first.
fn rank(origin: &Origin) -> u8 {
    match origin {
        Origin::Default => 0,
        Origin::File(_) => 1,
        Origin::Environment(_) => 2,
        Origin::Flag(_) => 3,
    }
}

impl std::error::Error for Diagnostics {}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, one) in self.list.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write_one(f, &self.file, one)?;
        }
        Ok(())
    }
}

fn write_one(f: &mut fmt::Formatter<'_>, file: &str, one: &Diagnostic) -> fmt::Result {
    writeln!(f, "error: {}", one.message)?;
    match &one.origin {
        Origin::Default => writeln!(f, " --> {file}")?,
        Origin::File(place) => {
            let Place { line, column, .. } = *place;
            writeln!(f, " --> {file}:{line}:{column}")?;
            if let Some(source) = &one.source {
                let (shown, caret) = excerpt(source, *place);
                let margin = line.to_string().len();
                writeln!(f, " {:margin$} |", "")?;
                writeln!(f, " {line} | {shown}")?;
                writeln!(f, " {:margin$} | {caret}", "")?;
            }
        }
        origin => writeln!(f, " --> {origin}")?,
    }
    writeln!(f, "  help: {}", one.help)
}

/// The part of a line around a place, and the carets below it. What a terminal would obey is blank.
fn excerpt(source: &str, place: Place) -> (String, String) {
    let first = place.column.saturating_sub(SHOWN_COLUMNS / 2);
    let first = if place.column <= SHOWN_COLUMNS { 0 } else { first };
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let shown: String = source.chars().skip(first).take(SHOWN_COLUMNS).map(plain).collect();
    let indent = place.column - 1 - first;
    let room = shown.chars().count().saturating_sub(indent).max(1);
    let caret = format!("{}{}", " ".repeat(indent), "^".repeat(place.width.min(room)));
    (shown.trim_end().to_owned(), caret)
}

/// Text of the file inside a message: short, and harmless on a terminal.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let mut out: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().count() > MOST {
        out.push_str("...");
    }
    out.replace("\\\"", "\"").replace("\\'", "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_value_also_in_a_long_line() {
        let (shown, caret) = excerpt("  fanout: 0", Place::new(1, 11, 1));
        assert_eq!((shown.as_str(), caret.as_str()), ("  fanout: 0", "          ^"));
        let long = format!("{}bad", " ".repeat(500));
        let (shown, caret) = excerpt(&long, Place::new(1, 501, 3));
        assert_eq!(shown.find("bad"), caret.find('^'));
        assert!(shown.len() <= SHOWN_COLUMNS && caret.ends_with("^^^"));
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_printed() {
        assert!(!shown("a\u{1b}[31mb").contains('\u{1b}'));
        let (line, _) = excerpt("a\u{1b}[31mb", Place::new(1, 1, 1));
        assert!(!line.contains('\u{1b}'));
    }
}
