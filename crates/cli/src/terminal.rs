//! Standard output.

use std::io::{self, Write};

/// A line on standard output; a closed one is no failure, as `| head` expects.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}
