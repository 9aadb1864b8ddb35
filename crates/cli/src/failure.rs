//! How a command fails: a code for programs, a sentence for people, and what helps.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::Write;

use crate::exit;

/// A command's end without success.
#[derive(Debug)]
pub(crate) struct Failure {
    /// One of [`exit`].
    pub(crate) exit_code: u8,
    code: Cow<'static, str>,
    message: String,
    help: String,
    /// For people, instead of message and help.
    text: Option<Box<str>>,
    /// Further fields of the error, for programs.
    details: serde_json::Map<String, serde_json::Value>,
}

impl Failure {
    pub(crate) fn new(
        code: impl Into<Cow<'static, str>>,
        message: &dyn Display,
        help: &str,
    ) -> Self {
        Failure {
            exit_code: exit::FAILED,
            code: code.into(),
            message: message.to_string(),
            help: help.into(),
            text: None,
            details: serde_json::Map::new(),
        }
    }

    pub(crate) fn ending_with(self, exit_code: u8) -> Self {
        Failure { exit_code, ..self }
    }

    pub(crate) fn told_as(self, text: String) -> Self {
        Failure { text: Some(text.into()), ..self }
    }

    pub(crate) fn with_diagnostics(mut self, diagnostics: Vec<serde_json::Value>) -> Self {
        self.details.insert("diagnostics".into(), diagnostics.into());
        self
    }

    pub(crate) fn with_details(self, details: serde_json::Map<String, serde_json::Value>) -> Self {
        Failure { details, ..self }
    }

    /// Stopped by Ctrl-C: nothing is wrong, so nothing is printed.
    pub(crate) fn interrupted() -> Self {
        Failure::new("interrupted", &"", "").ending_with(exit::INTERRUPTED)
    }

    pub(crate) fn print(&self, json: bool) {
        let mut out = std::io::stderr().lock();
        // A closed standard error leaves nobody to tell.
        let _ = if json {
            let mut error = serde_json::json!({
                "code": self.code, "message": self.message, "help": self.help,
            });
            for (name, value) in &self.details {
                error[name] = value.clone();
            }
            writeln!(out, "{}", serde_json::json!({ "error": error }))
        } else if let Some(text) = &self.text {
            out.write_all(text.as_bytes())
        } else if self.message.is_empty() {
            Ok(())
        } else {
            writeln!(out, "error: {}\n  help: {}", self.message, self.help)
        };
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}
