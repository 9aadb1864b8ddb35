//! The JSON schema of the file, made from the same table that reads it.

use knhk_mesh::config_file::keys::{KEYS, Key};
use knhk_mesh::config_file::{Kind, Scope};
use serde_json::{Map, Value, json};

/// The schema of a whole file.
pub(super) fn schema() -> Value {
    let mut root = section("A mesh: one file, every key optional");
    for key in KEYS {
        let mut names = key.path.split('.').peekable();
        let mut at = &mut root;
        while let Some(name) = names.next() {
            let list = name.ends_with("[]");
            let properties = &mut at["properties"][name.trim_end_matches("[]")];
            if names.peek().is_none() {
                *properties = property(key);
                break;
            }
            if properties.is_null() {
                *properties = if list { list_of_sections() } else { section("") };
            }
            at = if list { &mut properties["items"] } else { properties };
        }
    }
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("knhk-mesh configuration");
    root
}

fn section(description: &str) -> Value {
    let mut out = json!({
        "type": "object", "additionalProperties": false, "properties": {},
        "patternProperties": { "^x-": {} },
    });
    if !description.is_empty() {
        out["description"] = json!(description);
    }
    out
}

fn list_of_sections() -> Value {
    let mut items = section("");
    items["required"] = json!(["name"]);
    json!({ "type": "array", "items": items })
}

fn property(key: &Key) -> Value {
    let mut out = kind(key.kind);
    let mut meaning = key.meaning.to_owned();
    if key.scope != Scope::All {
        meaning.push_str("; in topologies with several regions or levels");
    }
    if let Some(capability) = key.waits_for {
        meaning.push_str("; accepted, not used yet: waits for ");
        meaning.push_str(capability);
    }
    out.insert("description".into(), json!(meaning));
    if let Some(text) = key.default {
        // A text that is no JSON is the text itself.
        let default = match key.kind {
            Kind::Word(_) | Kind::Text(_) => json!(text),
            _ => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        };
        out.insert("default".into(), default);
    }
    Value::Object(out)
}

fn kind(kind: Kind) -> Map<String, Value> {
    let list = |item: Value| json!({ "type": "array", "items": item });
    let contact = json!({ "type": "string", "pattern": "^[^ /]+:[0-9]+$" });
    let node = json!({ "type": "string", "pattern": "^[a-z2-7]{52}$" });
    let text = |most: usize| json!({ "type": "string", "minLength": 1, "maxLength": most });
    let value = match kind {
        // Words are read in upper and lower case; editors offer the usual one.
        Kind::Word(words) => json!({ "enum": words }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Number(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::OneOf(numbers) => json!({ "enum": numbers }),
        Kind::Share => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        Kind::Range(min, max) => json!({ "oneOf": [
            { "type": "integer", "minimum": min, "maximum": max },
            { "type": "string", "pattern": "^[0-9]+( *- *[0-9]+)?$" },
        ] }),
        Kind::Text(most) => text(most),
        Kind::Texts(most) => list(text(most)),
        Kind::Contact | Kind::Address => contact,
        Kind::Endpoint => json!({ "type": "string" }),
        Kind::Contacts => list(contact),
        Kind::Addresses => json!({ "oneOf": [contact, list(contact)] }),
        Kind::NodeId => node,
        Kind::NodeIds => list(node),
        Kind::Endpoints => list(json!({
            "type": "object", "additionalProperties": { "type": "string" },
        })),
    };
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
