//! What a node tells while it runs: one event a line on standard error, for people or for programs.
//! Nothing secret is ever passed here: ids, addresses and names only.

use std::fmt::Display;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use serde_json::Value as Json;

use crate::exit;
use crate::failure::Failure;

/// The form, when no flag says it.
const VARIABLE: &str = "KNHK_MESH_LOG";

/// How events are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Form {
    /// A line of text
    Text,
    /// A JSON object
    Json,
}

/// A field of an event; in JSON it has its own type, and lists are lists.
pub(crate) type Field<'a> = (&'a str, Json);

/// Whatever has a text.
pub(crate) fn text(value: &impl Display) -> Json {
    Json::from(value.to_string())
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Log(Form);

impl Log {
    /// `flag`, `KNHK_MESH_LOG`, else text.
    pub(crate) fn new(flag: Option<Form>) -> Result<Log, Failure> {
        if let Some(form) = flag {
            return Ok(Log(form));
        }
        match std::env::var_os(VARIABLE).as_deref().and_then(|value| value.to_str()) {
            None | Some("") => Ok(Log(Form::Text)),
            Some(value) => Form::from_str(value, true).map(Log).map_err(|_| {
                let message = format!("{VARIABLE} is {value:?}");
                Failure::new("bad_configuration", &message, "write text or json")
                    .ending_with(exit::BAD_CONFIGURATION)
            }),
        }
    }

    pub(crate) fn is_json(self) -> bool {
        self.0 == Form::Json
    }

    pub(crate) fn info(self, event: &str, fields: &[Field<'_>]) {
        self.write("info", event, fields);
    }

    pub(crate) fn warn(self, event: &str, fields: &[Field<'_>]) {
        self.write("warn", event, fields);
    }

    fn write(self, level: &str, event: &str, fields: &[Field<'_>]) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = line(self.0, since.as_millis() as u64, level, event, fields);
        // A closed standard error leaves nobody to tell.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

fn line(form: Form, ms: u64, level: &str, event: &str, fields: &[Field<'_>]) -> String {
    let time = timestamp(ms);
    if form == Form::Text {
        let mut line = format!("{time} {level:<4} {event}");
        for (name, value) in fields {
            let text = plain_text(value);
            let plain = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '"');
            let text = if plain { text } else { format!("{text:?}") };
            line.push_str(&format!(" {name}={text}"));
        }
        line.push('\n');
        return line;
    }
    let mut object = serde_json::Map::new();
    object.insert("time".into(), Json::from(time));
    object.insert("level".into(), Json::from(level));
    object.insert("event".into(), Json::from(event));
    for (name, value) in fields {
        object.insert((*name).into(), value.clone());
    }
    format!("{}\n", Json::Object(object))
}

fn plain_text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Array(many) if many.is_empty() => "-".into(),
        Json::Array(many) => many.iter().map(plain_text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// RFC 3339 in UTC. The days are counted in eras of 400 years that begin in March, so that the leap
/// day is the last of its year.
fn timestamp(ms: u64) -> String {
    let (days, of_day) = (ms / 86_400_000, ms % 86_400_000);
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (s, ms) = (of_day / 1_000, of_day % 1_000);
    let (h, m, s) = (s / 3_600, s / 60 % 60, s % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_calendar_times() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_827_696_789, "2000-02-29T12:34:56.789Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_767_225_599_999, "2025-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(timestamp(ms), text);
        }
    }

    #[test]
    fn fields_that_are_not_one_word_are_quoted_and_json_is_one_object() {
        let fields: [Field<'_>; 4] = [
            ("node", "abc".into()),
            ("why", "a \"b\"\nc".into()),
            ("links", 3.into()),
            ("keys", vec!["a", "b"].into()),
        ];
        let text = line(Form::Text, 0, "warn", "lost", &fields);
        assert_eq!(
            text,
            "1970-01-01T00:00:00.000Z warn lost node=abc why=\"a \\\"b\\\"\\nc\" links=3 keys=a,b\n"
        );
        let object: Json =
            serde_json::from_str(&line(Form::Json, 0, "info", "x", &fields)).unwrap();
        assert_eq!((&object["event"], &object["why"]), (&"x".into(), &"a \"b\"\nc".into()));
        assert_eq!((&object["links"], &object["keys"][1]), (&3.into(), &"b".into()));
    }
}
