//! From the tree of a file to the values of its keys. Every mistake is told, and reading goes on:
//! whoever repairs a file wants all of its errors at once.

use super::diagnostics::{Diagnostic, shown};
use super::keys::{self, Key};
use super::place::{Origin, Place};
use super::spelling;
use super::suggest::nearest;
use super::tree::{Entry, Node, NodeKind};
use super::value::{self, Kind, Value, Wrong};
use super::values::Values;

/// Reads all of `root`.
pub(super) fn read(root: &Node, found: &mut Vec<Diagnostic>) -> Values {
    let mut reader = Reader { values: Values::default(), found };
    match &root.kind {
        NodeKind::Map(entries) => reader.section("", "", entries),
        other => {
            let message = format!("the file is {}, and a mapping belongs here", kind_name(other));
            let help = "begin with a key and a colon, such as `topology: flat_mesh`";
            reader.tell("not_a_mapping", root.place, message, help);
        }
    }
    reader.values
}

struct Reader<'a> {
    values: Values,
    found: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn tell(
        &mut self,
        code: &'static str,
        place: Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.found.push(Diagnostic::new(code, Origin::File(place), message, help));
    }

    /// Reads a section: `row` is its path in the table, `path` in the file (`regions[0]`).
    fn section(&mut self, row: &str, path: &str, entries: &[Entry]) {
        for entry in entries {
            // Room for anchors and notes of other tools.
            if entry.key.starts_with("x-") {
                continue;
            }
            if !keys::children(row).contains(&entry.key.as_str()) {
                self.unknown(row, entry);
                continue;
            }
            let join = |base: &str| match base {
                "" => entry.key.clone(),
                base => format!("{base}.{}", entry.key),
            };
            let (row, path) = (join(row), join(path));
            if let Some(key) = keys::find(&row) {
                self.key(key, &path, entry);
            } else if entry.value.is_null() {
                let names = keys::children(if row == "regions" { "regions[]" } else { &row });
                let name = names.first().copied().unwrap_or_default();
                let name = if row == "regions" { format!("- {name}") } else { name.to_owned() };
                let help = format!("write `{name}: ...` below it, indented, or delete the line");
                self.tell("missing_value", entry.key_place, format!("`{path}` is empty"), help);
                self.values.fail(&path);
            } else if row == "regions" {
                self.regions(&entry.value);
            } else if let NodeKind::Map(entries) = &entry.value.kind {
                self.section(&row, &path, entries);
            } else {
                let what = kind_name(&entry.value.kind);
                let names = keys::children(&row).join(", ");
                let message = format!("`{path}` is {what}, and a section belongs here");
                let help = format!("write its keys on lines of their own, indented: {names}");
                self.tell("wrong_type", entry.value.place, message, help);
            }
        }
    }

    fn unknown(&mut self, section: &str, entry: &Entry) {
        let key = shown(&entry.key);
        let names = keys::children(section);
        let inside = match section {
            "" => "the file".to_owned(),
            section => format!("`{}`", section.trim_end_matches("[]")),
        };
        let elsewhere = keys::KEYS.iter().find(|row| {
            let (_, last) = row.path.rsplit_once('.').unwrap_or(("", row.path));
            last == entry.key && row.path != entry.key
        });
        let path = match section {
            "" => entry.key.clone(),
            section => format!("{section}.{}", entry.key),
        };
        let called = spelling::synonym(&entry.key).filter(|path| {
            let (parent, _) = path.rsplit_once('.').unwrap_or_default();
            section.is_empty() || section == parent
        });
        let help = if entry.key == "<<" {
            "merge keys are not read: write the values out".into()
        } else if let Some((parent, last)) = path.rsplit_once('.')
            && entry.key.contains('.')
            && keys::find(&path).is_some()
        {
            format!("write `{last}:` on a line below `{parent}:`, indented")
        } else if !section.is_empty() && keys::children("").contains(&entry.key.as_str()) {
            format!("`{key}` stands at the left margin, not inside {inside}")
        } else if let Some(name) = nearest(&entry.key, names.iter().copied()) {
            format!("did you mean `{name}`?")
        } else if let Some(path) = called {
            format!("it is called `{path}` here: see docs/CONFIGURATION.md")
        } else if let Some(row) = elsewhere {
            let (section, _) = row.path.rsplit_once('.').unwrap_or((row.path, ""));
            format!("it belongs into the section `{section}`: indent it below `{section}:`")
        } else {
            format!("{inside} knows {}", names.join(", "))
        };
        let message = format!("unknown key `{key}` in {inside}");
        self.tell("unknown_key", entry.key_place, message, help);
    }

    fn regions(&mut self, node: &Node) {
        let NodeKind::List(items) = &node.kind else {
            let message =
                format!("`regions` is {}, and a list belongs here", kind_name(&node.kind));
            self.tell("wrong_type", node.place, message, "begin each region with `- name: ...`");
            self.values.fail("regions");
            return;
        };
        for (i, item) in items.iter().enumerate() {
            let path = format!("regions[{i}]");
            self.values.regions = i + 1;
            let NodeKind::Map(entries) = &item.kind else {
                let help = "write `- name: us-east-1`, and its other keys below the name";
                let message = format!("region {} is no section with a name", i + 1);
                self.tell("wrong_type", item.place, message, help);
                self.values.fail("regions");
                continue;
            };
            self.section("regions[]", &path, entries);
            if !entries.iter().any(|entry| entry.key == "name") {
                let message = format!("region {} has no name", i + 1);
                self.tell("missing_value", item.place, message, "write `- name: us-east-1`");
                self.values.fail("regions");
            }
        }
    }

    fn key(&mut self, key: &'static Key, path: &str, entry: &Entry) {
        let place = entry.value.place;
        if entry.value.is_null() {
            let message = format!("`{path}` has no value");
            let help = format!("write `{}: {}`, or delete the line", entry.key, example(key));
            self.tell("missing_value", place, message, help);
            self.values.fail(path);
            return;
        }
        let read = match (&entry.value.kind, key.kind) {
            (_, Kind::Endpoints) => return self.endpoints(path, &entry.value),
            (NodeKind::List(items), kind) if kind.is_list() => {
                return self.list(path, kind, items, place);
            }
            (NodeKind::Scalar { text, quoted }, Kind::Addresses) => Kind::Address
                .scalar(text, *quoted)
                .map(|value| Value::List(vec![value.to_string()])),
            (NodeKind::Scalar { text, .. }, kind) if kind.is_list() => {
                Err(no_list(kind, text.trim()))
            }
            (NodeKind::Scalar { text, quoted }, _) => value::of_key(key, text, *quoted),
            (other, kind) => Err(Wrong {
                code: "wrong_type",
                what: format!("is {}, and one value belongs here", kind_name(other)),
                help: format!(
                    "write `{}: {}`; allowed is {}",
                    entry.key,
                    example(key),
                    kind.allowed()
                ),
            }),
        };
        match read {
            Ok(value) => self.values.put(path, value, Origin::File(place), Vec::new()),
            Err(wrong) => self.refuse(path, place, &wrong),
        }
    }

    fn list(&mut self, path: &str, kind: Kind, items: &[Node], place: Place) {
        let Some(kind) = kind.item() else { return };
        let (mut texts, mut places): (Vec<String>, Vec<Place>) = (Vec::new(), Vec::new());
        let mut whole = true;
        for (i, item) in items.iter().enumerate() {
            let one = format!("{path}[{i}]");
            let read = match &item.kind {
                _ if item.is_null() => Err(Wrong {
                    code: "missing_value",
                    what: "is empty".into(),
                    help: format!("write {} behind the dash, or delete the line", kind.example()),
                }),
                NodeKind::Scalar { text, quoted } => kind.scalar(text, *quoted),
                other => Err(Wrong {
                    code: "wrong_type",
                    what: format!("is {}, and {} belongs here", kind_name(other), kind.allowed()),
                    help: format!("write `- {}`", one_text(other).unwrap_or(kind.example())),
                }),
            };
            // The names of hosts are the same in capitals.
            let same = |a: &str, b: &str| match kind {
                Kind::Contact => a.eq_ignore_ascii_case(b),
                _ => a == b,
            };
            match read.map(|value| value.to_string()) {
                Ok(text) => {
                    if let Some(first) = texts.iter().position(|other| same(other, &text)) {
                        let line = places.get(first).map_or(0, |place: &Place| place.line);
                        let message = format!("`{path}` names `{}` twice", shown(&text));
                        let help = format!("delete it here; it stands on line {line} already");
                        self.tell("duplicate_value", item.place, message, help);
                    }
                    texts.push(text);
                    places.push(item.place);
                }
                Err(wrong) => {
                    whole = false;
                    self.refuse(&one, item.place, &wrong);
                }
            }
        }
        if whole {
            self.values.put(path, Value::List(texts), Origin::File(place), places);
        } else {
            self.values.fail(path);
        }
    }

    /// `[{us-east-1: host:port}, ...]` as the specification writes it, or one mapping.
    fn endpoints(&mut self, path: &str, node: &Node) {
        let mut pairs: Vec<&Entry> = Vec::new();
        let mut places = Vec::new();
        let items = match &node.kind {
            NodeKind::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        for item in items {
            match &item.kind {
                NodeKind::Map(entries) => pairs.extend(entries),
                other => {
                    let message = format!(
                        "`{path}` is {}, and region: host:port belongs here",
                        kind_name(other)
                    );
                    let help = "write `- us-east-1: otel-us.internal:4317`";
                    self.tell("wrong_type", item.place, message, help);
                    self.values.fail(path);
                }
            }
        }
        let mut read: Vec<(String, String)> = Vec::new();
        for entry in pairs {
            let endpoint = match &entry.value.kind {
                NodeKind::Scalar { text, .. } => value::endpoint(text),
                other => Err(Wrong {
                    code: "wrong_type",
                    what: format!("is {}, and host:port belongs here", kind_name(other)),
                    help: "write host:port".into(),
                }),
            };
            let known = read.iter().any(|(region, _)| *region == entry.key);
            match endpoint {
                Ok(_) if known => {
                    let message =
                        format!("`{path}` names the region `{}` twice", shown(&entry.key));
                    self.tell("duplicate_value", entry.key_place, message, "keep one of them");
                }
                Ok(endpoint) => {
                    read.push((entry.key.clone(), endpoint.to_string()));
                    places.push(entry.key_place);
                }
                Err(wrong) => self.refuse(path, entry.value.place, &wrong),
            }
        }
        self.values.put(path, Value::Endpoints(read), Origin::File(node.place), places);
    }

    fn refuse(&mut self, path: &str, place: Place, wrong: &Wrong) {
        self.tell(wrong.code, place, format!("`{path}` {}", wrong.what), wrong.help.as_str());
        self.values.fail(path);
    }
}

/// A text where a list belongs.
fn no_list(kind: Kind, text: &str) -> Wrong {
    let help = match text.strip_prefix('-') {
        Some(item) => format!("there is no space behind the dash: write `- {}`", shown(item)),
        None if kind == Kind::Texts(64) => format!("write [{}]", shown(text)),
        None => format!("write [{}]", shown(&spelling::list(text))),
    };
    Wrong {
        code: "wrong_type",
        what: format!("is `{}`, and {} belongs here", shown(text), kind.allowed()),
        help: format!("{help}, or one `- ` line for each"),
    }
}

/// The `host:port` that somebody wrote as a section: `a: 9000`, or `host: a` and `port: 9000`.
fn one_text(kind: &NodeKind) -> Option<String> {
    let NodeKind::Map(entries) = kind else { return None };
    let scalar = |entry: &Entry| match &entry.value.kind {
        NodeKind::Scalar { text, .. } => Some(text.clone()),
        _ => None,
    };
    match &entries[..] {
        [one] => Some(shown(&format!("{}:{}", one.key, scalar(one)?))),
        [host, port] if port.key == "port" => {
            Some(shown(&format!("{}:{}", scalar(host)?, scalar(port)?)))
        }
        _ => None,
    }
}

fn example(key: &Key) -> String {
    key.default.map_or_else(|| key.kind.example(), str::to_owned)
}

fn kind_name(kind: &NodeKind) -> String {
    match kind {
        NodeKind::Scalar { text, .. } => format!("`{}`", shown(text)),
        NodeKind::List(_) => "a list".into(),
        NodeKind::Map(_) => "a section".into(),
    }
}
