//! Where a value was written, so that every error and every `config show --origin` can point at it.

use std::fmt;

/// A stretch of one line of the file. Lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column of the first character.
    pub column: usize,
    /// Characters; at least 1.
    pub width: usize,
}

impl Place {
    pub(super) fn new(line: usize, column: usize, width: usize) -> Self {
        Place { line: line.max(1), column: column.max(1), width: width.max(1) }
    }
}

/// Which layer a value comes from; a later one wins over an earlier one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The file, there.
    File(Place),
    /// The environment variable of this name.
    Environment(String),
    /// The flag of this name, with its dashes.
    Flag(String),
}

impl Origin {
    /// One word: `default`, `file`, `environment` or `flag`.
    #[must_use]
    pub fn layer(&self) -> &'static str {
        match self {
            Origin::Default => "default",
            Origin::File(_) => "file",
            Origin::Environment(_) => "environment",
            Origin::Flag(_) => "flag",
        }
    }

    /// Whether somebody set it.
    #[must_use]
    pub fn is_given(&self) -> bool {
        *self != Origin::Default
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(place) => write!(f, "file:{}:{}", place.line, place.column),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(name) => write!(f, "flag {name}"),
        }
    }
}
