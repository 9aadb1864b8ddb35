//! YAML as a tree that knows where everything stands. Only plain data: mappings with text keys,
//! lists and scalars; aliases, tags and second documents are refused, so a file of 1 MiB is a tree
//! of at most 20,000 nodes and nothing in it can grow.
//!
//! ```text
//!   text ─ encoding, tabs, "key:value" ─> events of the YAML parser ─> Node (place, kind)
//! ```

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::diagnostics::{Diagnostic, shown};
use super::place::{Origin, Place};
use super::syntax;

/// Values of one file.
const MOST_NODES: usize = 20_000;
/// Sections inside sections; the format needs four.
const MOST_DEPTH: usize = 32;

/// A value and where it stands.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) kind: NodeKind,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum NodeKind {
    Scalar { text: String, quoted: bool },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) value: Node,
}

impl Node {
    /// Nothing was written, or YAML's word for nothing.
    pub(super) fn is_null(&self) -> bool {
        match &self.kind {
            NodeKind::Scalar { text, quoted: false } => {
                matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }
}

/// Reads `text`. Duplicate keys are told in `found` and the first one is kept.
///
/// # Errors
/// What makes the whole text unreadable.
pub(super) fn read(text: &str, found: &mut Vec<Diagnostic>) -> Result<Node, Diagnostic> {
    syntax::check_lines(text)?;
    let mut open: Vec<Open> = Vec::new();
    let mut nodes = 0;
    let mut root = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| syntax::explain(text, &error))?;
        let place = place_of(span);
        let node = match event {
            Event::Alias(_) => return Err(alias(place)),
            Event::DocumentStart(_) if root.is_some() => return Err(second_document(place)),
            Event::Scalar(_, _, _, Some(tag))
            | Event::SequenceStart(_, Some(tag))
            | Event::MappingStart(_, Some(tag)) => {
                return Err(tagged(place, &format!("{}{}", tag.handle, tag.suffix)));
            }
            Event::Scalar(text, style, ..) => {
                let quoted = style != ScalarStyle::Plain;
                Some(NodeKind::Scalar { text: text.into_owned(), quoted })
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                if open.len() == MOST_DEPTH {
                    return Err(too_much(place, "is nested too deeply", "write it flat"));
                }
                let list = matches!(event, Event::SequenceStart(..));
                open.push(Open { list, key: None, items: Vec::new(), entries: Vec::new() });
                None
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().map(|done| done.close(found)),
            _ => None,
        };
        let Some(kind) = node else { continue };
        nodes += 1;
        if nodes > MOST_NODES {
            return Err(too_much(place, "holds more than 20000 values", "shorten its lists"));
        }
        let started = open.pop();
        match started {
            None => root = Some(Node { place: closing_place(&kind, place), kind }),
            Some(mut outer) => {
                outer.take(Node { place: closing_place(&kind, place), kind })?;
                open.push(outer);
            }
        }
    }
    root.ok_or_else(empty)
}

/// A list or mapping under construction.
struct Open {
    list: bool,
    key: Option<(String, Place)>,
    items: Vec<Node>,
    entries: Vec<Entry>,
}

impl Open {
    fn take(&mut self, node: Node) -> Result<(), Diagnostic> {
        if self.list {
            self.items.push(node);
            return Ok(());
        }
        match self.key.take() {
            Some((key, key_place)) => {
                let value = Node { place: after_key(&node, key_place, &key), ..node };
                self.entries.push(Entry { key, key_place, value });
            }
            None => match node.kind {
                NodeKind::Scalar { text, .. } => self.key = Some((text, node.place)),
                _ => {
                    return Err(Diagnostic::new(
                        "syntax",
                        Origin::File(node.place),
                        "a key cannot be a list or a mapping",
                        "write a word and a colon, such as `fanout: 3`",
                    ));
                }
            },
        }
        Ok(())
    }

    fn close(self, found: &mut Vec<Diagnostic>) -> NodeKind {
        if self.list {
            return NodeKind::List(self.items);
        }
        let mut entries: Vec<Entry> = Vec::with_capacity(self.entries.len());
        let mut first_lines = std::collections::HashMap::new();
        for entry in self.entries {
            let line = entry.key_place.line;
            match first_lines.get(&entry.key) {
                Some(first) => found.push(duplicate(&entry, *first)),
                None => {
                    first_lines.insert(entry.key.clone(), line);
                    entries.push(entry);
                }
            }
        }
        NodeKind::Map(entries)
    }
}

fn duplicate(entry: &Entry, first_line: usize) -> Diagnostic {
    let key = shown(&entry.key);
    Diagnostic::new(
        "duplicate_key",
        Origin::File(entry.key_place),
        format!("`{key}` is given twice: the first one is on line {first_line}"),
        format!("keep one of lines {first_line} and {}", entry.key_place.line),
    )
}

/// Nothing has no place of its own: the error points behind its key.
fn after_key(node: &Node, key_place: Place, key: &str) -> Place {
    if node.is_null() && node.place.line != key_place.line {
        return Place::new(key_place.line, key_place.column, key.chars().count());
    }
    node.place
}

/// Where a list or mapping began: its first item or key.
fn closing_place(kind: &NodeKind, end: Place) -> Place {
    match kind {
        NodeKind::Scalar { .. } => end,
        NodeKind::List(items) => items.first().map_or(end, |item| item.place),
        NodeKind::Map(entries) => entries.first().map_or(end, |entry| entry.key_place),
    }
}

fn place_of(span: Span) -> Place {
    let width = if span.start.line() == span.end.line() {
        span.end.col().saturating_sub(span.start.col())
    } else {
        1
    };
    Place::new(span.start.line(), span.start.col() + 1, width)
}

pub(super) fn empty() -> Diagnostic {
    Diagnostic::new(
        "empty",
        Origin::Default,
        "the file is empty: it holds no key",
        "begin with `topology: flat_mesh`, or run without a file to use the defaults",
    )
}

pub(super) fn alias(place: Place) -> Diagnostic {
    Diagnostic::new(
        "alias",
        Origin::File(place),
        "aliases (`*name`) are not read: a small file could unfold to any size",
        "write the value out here; text that begins with `*` stands in quotes",
    )
}

fn tagged(place: Place, tag: &str) -> Diagnostic {
    Diagnostic::new(
        "syntax",
        Origin::File(place),
        format!("the tag `{}` is not read: values have the type of their key", shown(tag)),
        "write the value without a tag",
    )
}

fn second_document(place: Place) -> Diagnostic {
    Diagnostic::new(
        "syntax",
        Origin::File(place),
        "a second document begins here: one file is one configuration",
        "put it into a file of its own",
    )
}

fn too_much(place: Place, what: &str, help: &str) -> Diagnostic {
    Diagnostic::new("too_large", Origin::File(place), format!("the file {what}"), help)
}
