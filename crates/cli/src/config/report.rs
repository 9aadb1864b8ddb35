//! How configurations and their errors are printed.

use std::path::Path;

use knhk_mesh::config_file::{Diagnostic, Diagnostics, Effective, Note, Origin, Row, Value};
use serde_json::json;

use crate::exit;
use crate::failure::Failure;
use crate::stdout::print;

/// The result of `config check`.
pub(super) fn checked(file: &Path, effective: &Effective, json: bool) -> Result<(), Failure> {
    let waits_for = effective.check_runnable().err();
    let name = file.display().to_string();
    if json {
        let notes: Vec<_> = effective.notes().iter().map(note_json).collect();
        let object = json!({
            "file": name,
            "topology": effective.topology.name(),
            "runnable": waits_for.is_none(),
            "not_runnable_because": waits_for.map(|why| why.to_string()),
            "worst_case_bytes": effective.worst_case_bytes(),
            "notes": notes,
        });
        return print(&format!("{object}\n"));
    }
    let mut out = format!("{name}: ok, topology {}\n", effective.topology);
    for Note { path, origin, message } in effective.notes() {
        let place = match (&origin, &path) {
            (Origin::File(place), Some(path)) => format!("line {}, {path}: ", place.line),
            (_, Some(path)) => format!("{path} ({origin}): "),
            _ => String::new(),
        };
        out.push_str(&format!("  note: {place}{message}\n"));
    }
    print(&out)
}

fn note_json(note: &Note) -> serde_json::Value {
    let (line, column) = place(&note.origin);
    json!({
        "key": note.path, "origin": note.origin.layer(), "line": line, "column": column,
        "message": note.message,
    })
}

fn place(origin: &Origin) -> (Option<usize>, Option<usize>) {
    match origin {
        Origin::File(place) => (Some(place.line), Some(place.column)),
        _ => (None, None),
    }
}

/// The result of `config show`.
pub(super) fn shown(effective: &Effective, origin: bool, json: bool) -> Result<(), Failure> {
    if !json {
        return print(&effective.to_yaml(origin));
    }
    let row = |row: &Row<'_>| {
        let (line, column) = place(&row.setting.origin);
        let from = match &row.setting.origin {
            Origin::Environment(name) | Origin::Flag(name) => Some(name.clone()),
            Origin::File(_) => effective.file.clone(),
            Origin::Default => None,
        };
        json!({
            "key": row.path, "value": value_json(&row.setting.value),
            "origin": row.setting.origin.layer(), "from": from, "line": line, "column": column,
            "waits_for": row.key.waits_for,
        })
    };
    let settings: Vec<_> = effective.rows().iter().map(row).collect();
    print(&format!("{}\n", json!({ "file": effective.file, "settings": settings })))
}

fn value_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Flag(flag) => json!(flag),
        Value::Number(number) => json!(number),
        Value::Share(share) => json!(share),
        Value::Range(range) => json!({ "min": range.min, "max": range.max }),
        Value::Text(text) => json!(text),
        Value::List(list) => json!(list),
        Value::Endpoints(endpoints) => {
            let object = endpoints.iter().map(|(region, at)| (region.clone(), json!(at)));
            serde_json::Value::Object(object.collect())
        }
    }
}

impl From<Diagnostics> for Failure {
    fn from(refused: Diagnostics) -> Self {
        let each = refused.list.iter().map(|one| diagnostic_json(&refused.file, one)).collect();
        let help = match refused.list.as_slice() {
            [one] => one.help.clone(),
            _ => "repair each; `knhk-mesh config check FILE` shows their lines".into(),
        };
        let message = match refused.list.as_slice() {
            [one] => format!("{}: {}", position(&refused.file, one), one.message),
            _ => refused.summary(),
        };
        let mut text = refused.to_string();
        if refused.list.len() > 1 {
            text.push_str(&format!("\n{}\n", refused.summary()));
        }
        Failure::new("bad_configuration", &message, &help)
            .ending_with(exit::BAD_CONFIGURATION)
            .told_as(text)
            .with_diagnostics(each)
    }
}

fn position(file: &str, one: &Diagnostic) -> String {
    match &one.origin {
        Origin::Default => file.to_owned(),
        Origin::File(place) => format!("{file}:{}:{}", place.line, place.column),
        other => other.to_string(),
    }
}

fn diagnostic_json(file: &str, one: &Diagnostic) -> serde_json::Value {
    let (line, column) = place(&one.origin);
    json!({
        "code": one.code, "file": file, "line": line, "column": column,
        "origin": one.origin.to_string(), "message": one.message, "help": one.help,
    })
}
