//! The configuration in force as a file that says the same, with the origin of each value.

use super::effective::{Effective, Row};
use super::value::Value;

/// Column at which origins stand, where the line leaves room.
const ORIGIN_COLUMN: usize = 48;

impl Effective {
    /// The configuration as YAML: read again, it is the same configuration. With `origin`, a
    /// comment behind each value says which layer it comes from.
    #[must_use]
    pub fn to_yaml(&self, origin: bool) -> String {
        let mut out = String::new();
        let mut open: Vec<&str> = Vec::new();
        for Row { path, setting, .. } in self.rows() {
            let mut names: Vec<&str> = path.split('.').collect();
            let Some(last) = names.pop() else { continue };
            let same = open.iter().zip(&names).take_while(|(a, b)| a == b).count();
            let mut dash = false;
            for (depth, name) in names.iter().enumerate().skip(same) {
                let (name, item) = name.split_once('[').unwrap_or((name, ""));
                if item.is_empty() || item == "0]" {
                    out.push_str(&format!("{}{name}:\n", "  ".repeat(depth)));
                }
                dash = !item.is_empty();
            }
            let in_list = names.first().is_some_and(|name| name.contains('['));
            let indent = "  ".repeat(names.len() + usize::from(in_list));
            let indent = if dash { format!("{}- ", &indent[2..]) } else { indent };
            let mut line = format!("{indent}{last}: {}", yaml(&setting.value));
            if origin {
                let room = ORIGIN_COLUMN.saturating_sub(line.chars().count()).max(1);
                line.push_str(&format!("{}# {}", " ".repeat(room), setting.origin));
            }
            out.push_str(&line);
            out.push('\n');
            open = names;
        }
        out
    }
}

fn yaml(value: &Value) -> String {
    let list = |items: Vec<String>| format!("[{}]", items.join(", "));
    match value {
        Value::Text(text) => scalar(text),
        Value::List(items) => list(items.iter().map(|item| scalar(item)).collect()),
        Value::Endpoints(items) => {
            let pair = |(region, at): &(String, String)| {
                format!("{{ {}: {} }}", scalar(region), scalar(at))
            };
            list(items.iter().map(pair).collect())
        }
        plain => plain.to_string(),
    }
}

/// Text as it is where that is safe, else in quotes.
fn scalar(text: &str) -> String {
    let harmless = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | ' ');
    let plain = text.starts_with(|c: char| c.is_alphanumeric() || c == '/' || c == '.')
        && text.chars().all(harmless)
        && !text.contains(": ")
        && !text.ends_with([':', ' '])
        && !text.eq_ignore_ascii_case("null");
    if plain {
        return text.to_owned();
    }
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
