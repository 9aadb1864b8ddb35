//! How a command fails: a code for programs, a sentence for people, and what helps.

use std::fmt::Display;
use std::io::Write;

/// A command's end without success.
#[derive(Debug)]
pub(crate) struct Failure {
    /// 1 failed or not converged, 130 interrupted. (2, usage, is clap's.)
    pub(crate) exit_code: u8,
    code: &'static str,
    message: String,
    help: String,
}

impl Failure {
    pub(crate) fn new(code: &'static str, message: &dyn Display, help: &str) -> Self {
        Failure { exit_code: 1, code, message: message.to_string(), help: help.into() }
    }

    /// Stopped by Ctrl-C: nothing is wrong, so nothing is printed.
    pub(crate) fn interrupted() -> Self {
        Failure { exit_code: 130, code: "interrupted", message: String::new(), help: String::new() }
    }

    pub(crate) fn print(&self, json: bool) {
        let mut out = std::io::stderr().lock();
        // A closed standard error leaves nobody to tell.
        let _ = if json {
            let error = serde_json::json!({
                "code": self.code, "message": self.message, "help": self.help,
            });
            writeln!(out, "{}", serde_json::json!({ "error": error }))
        } else if self.message.is_empty() {
            Ok(())
        } else {
            writeln!(out, "error: {}\n  help: {}", self.message, self.help)
        };
    }
}
