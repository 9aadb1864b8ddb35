//! The layers, laid over each other: every key's value, and which layer it comes from.
//!
//! ```text
//!   flags ──> environment ──> file ──> defaults      the first that has the key
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::keys::{self, KEYS, Key, PREFIX};
use super::place::{Origin, Place};
use super::topology::Topology;
use super::value::{Kind, NumberRange, Value};

/// A value and where it comes from.
#[derive(Clone, PartialEq, Debug)]
pub struct Setting {
    /// The value.
    pub value: Value,
    /// The layer.
    pub origin: Origin,
    /// Where the items of a list of the file stand.
    pub(super) items: Vec<Place>,
}

/// All values by their paths; those in lists of sections as `regions[0].name`.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Values {
    pub(super) map: BTreeMap<String, Setting>,
    /// Keys whose value was refused: they have neither a value nor a default, so no rule that
    /// needs them says something that follows from the refusal only.
    pub(super) failed: BTreeSet<String>,
    /// Sections of the list `regions`.
    pub(super) regions: usize,
}

impl Values {
    pub(super) fn put(&mut self, path: &str, value: Value, origin: Origin, items: Vec<Place>) {
        self.map.insert(path.into(), Setting { value, origin, items });
    }

    pub(super) fn fail(&mut self, path: &str) {
        self.failed.insert(path.into());
    }

    /// Lays `upper` over this one.
    pub(super) fn lay(&mut self, upper: Values) {
        self.map.extend(upper.map);
        self.failed.extend(upper.failed);
        self.regions = self.regions.max(upper.regions);
    }

    pub(super) fn get(&self, path: &str) -> Option<&Setting> {
        self.map.get(path).filter(|_| !self.failed.contains(path))
    }

    pub(super) fn number(&self, path: &str) -> Option<u64> {
        match self.get(path)?.value {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    pub(super) fn share(&self, path: &str) -> Option<f64> {
        match self.get(path)?.value {
            Value::Share(share) => Some(share),
            _ => None,
        }
    }

    pub(super) fn flag(&self, path: &str) -> Option<bool> {
        match self.get(path)?.value {
            Value::Flag(flag) => Some(flag),
            _ => None,
        }
    }

    pub(super) fn range(&self, path: &str) -> Option<NumberRange> {
        match self.get(path)?.value {
            Value::Range(range) => Some(range),
            _ => None,
        }
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        match &self.get(path)?.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn list(&self, path: &str) -> &[String] {
        match self.get(path).map(|setting| &setting.value) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    pub(super) fn origin(&self, path: &str) -> Origin {
        self.map.get(path).map_or(Origin::Default, |setting| setting.origin.clone())
    }

    /// Where one item of a list stands.
    pub(super) fn item_origin(&self, path: &str, item: usize) -> Origin {
        let place = self.map.get(path).and_then(|setting| setting.items.get(item));
        place.map_or_else(|| self.origin(path), |place| Origin::File(*place))
    }

    /// Whether somebody set it, rightly.
    pub(super) fn is_given(&self, path: &str) -> bool {
        self.get(path).is_some_and(|setting| setting.origin.is_given())
    }

    pub(super) fn topology(&self) -> Option<Topology> {
        self.text("topology").map(Topology::of)
    }

    /// Gives every key that nobody set its default.
    pub(super) fn fill(&mut self) {
        if !self.failed.contains("topology") && !self.map.contains_key("topology") {
            self.default("topology", Value::Text(Topology::FlatMesh.name().into()));
        }
        let topology = self.topology();
        if let Some(topology) = topology {
            self.inherit(topology);
        }
        for key in KEYS {
            let Some(text) = key.default else { continue };
            if topology.is_some_and(|topology| topology.knows(key.scope))
                && let Ok(value) = key.kind.scalar(text, false)
            {
                self.default(key.path, value);
            }
        }
        self.fill_derived(topology);
    }

    /// What somebody wrote about the whole mesh is nearer than a default about its parts.
    fn inherit(&mut self, topology: Topology) {
        let parts = match topology {
            Topology::FlatMesh | Topology::SingleRegionMesh => return,
            Topology::MultiRegionLeaders => {
                ["gossip.intra_region.fanout", "gossip.intra_region.interval_ms"]
            }
            Topology::Hierarchical => ["gossip.edge_to_edge", "gossip.intervals.edge_ms"],
        };
        for (whole, part) in ["gossip.fanout", "gossip.interval_ms"].into_iter().zip(parts) {
            if let Some(number) = self.number(whole) {
                self.default(part, Value::Number(number));
            }
        }
    }

    /// Defaults that follow from other values.
    fn fill_derived(&mut self, topology: Option<Topology>) {
        if let Some(transport) = self.text("network.transport") {
            let tls = transport == "QUIC";
            self.default("network.tls", Value::Flag(tls));
            self.default("security.mtls", Value::Flag(tls));
        }
        if self.flag("network.batching") == Some(false) && !self.is_given("network.batch_size") {
            self.put("network.batch_size", Value::Number(1), Origin::Default, Vec::new());
        }
        if let Some(topology) = topology {
            // Three or fewer need each other: one that restarts would stop all.
            let few = self.range("agent_count").is_some_and(|count| count.max <= 3);
            let available = few || topology == Topology::FlatMesh;
            let mode = if available { "available" } else { "read_only" };
            self.default("partition.mode", Value::Text(mode.into()));
            for i in 0..self.regions {
                if topology.knows(super::topology::Scope::Regions) {
                    self.default(&format!("regions[{i}].leader_count"), Value::Number(3));
                }
            }
        }
        if !self.failed.contains("agent_count")
            && let Some(count) = self.range("agent_count")
        {
            let detect = if count.max <= 64 { "fast" } else { "thrifty" };
            self.default("partition.detect", Value::Text(detect.into()));
        }
        match self.regions {
            0 => self.default("node.region", Value::Text("local".into())),
            1 => {
                if let Some(name) = self.text("regions[0].name") {
                    let name = name.to_owned();
                    self.default("node.region", Value::Text(name));
                }
            }
            _ => {}
        }
    }

    fn default(&mut self, path: &str, value: Value) {
        if !self.failed.contains(path) && !self.map.contains_key(path) {
            self.put(path, value, Origin::Default, Vec::new());
        }
    }

    /// All of them in the order of the table.
    pub(super) fn in_order(&self) -> Vec<(&str, &'static Key, &Setting)> {
        let place = |key: &Key| KEYS.iter().position(|row| row.path == key.path);
        let rows = self.map.iter().filter_map(|(path, setting)| {
            keys::find(path).map(|key| (path.as_str(), key, setting))
        });
        let mut rows: Vec<_> = rows.collect();
        let region = |path: &str| {
            let digits: String = path.chars().filter(char::is_ascii_digit).collect();
            if path.starts_with("regions[") { digits.parse::<usize>().ok() } else { None }
        };
        // All fields of a region stand together, where `regions` stands.
        let first = KEYS.iter().position(|row| row.path.starts_with("regions[]"));
        rows.sort_by_key(|(path, key, _)| {
            let row = place(key);
            match region(path) {
                Some(region) => (first, region, row),
                None => (row, 0, row),
            }
        });
        rows
    }
}

/// A value that a flag gives to a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlagValue {
    /// The key: `node.bind`.
    pub key: &'static str,
    /// The flag's name for people: `--bind`.
    pub flag: String,
    /// Its text; lists are separated by commas.
    pub text: String,
}

impl FlagValue {
    /// `--bind 127.0.0.1:9000` for `node.bind`.
    #[must_use]
    pub fn new(key: &'static str, flag: &str, text: impl Into<String>) -> Self {
        FlagValue { key, flag: flag.into(), text: text.into() }
    }
}

/// Variables with the prefix that are no keys: the command line reads them.
const NOT_KEYS: [&str; 4] =
    ["KNHK_MESH_CONFIG", "KNHK_MESH_CONTROL_SOCKET", "KNHK_MESH_LOG", "KNHK_MESH_TOKEN"];

/// What an environment variable means.
pub(super) enum Variable {
    /// It sets this key.
    Sets(&'static Key),
    /// Another program's, or read elsewhere.
    Other,
    /// It has the form of a key and is none; perhaps this one was meant.
    Unknown(Option<String>),
    /// It begins like ours and is neither a key nor in a key's form. Container platforms set such
    /// names for a service called knhk-mesh, so it is a note and no error.
    Stray,
}

pub(super) fn variable(name: &str) -> Variable {
    let Some(rest) = name.strip_prefix(PREFIX) else { return Variable::Other };
    if NOT_KEYS.contains(&name) {
        return Variable::Other;
    }
    let long = rest.to_ascii_lowercase().replace("__", ".");
    let by_name =
        |key: &&Key| key.environment().is_some_and(|variable| variable == name) || key.path == long;
    if let Some(key) = KEYS.iter().find(by_name).filter(|key| key.environment().is_some()) {
        return Variable::Sets(key);
    }
    if !rest.contains("__") {
        return Variable::Stray;
    }
    let names: Vec<String> = KEYS.iter().filter_map(Key::environment).collect();
    let nearest = super::suggest::nearest(name, names.iter().map(String::as_str));
    Variable::Unknown(nearest.map(str::to_owned))
}

/// Reads the text of a flag or a variable.
pub(super) fn one_line(key: &Key, text: &str) -> Result<Value, super::value::Wrong> {
    let Some(item) = key.kind.item() else { return super::value::of_key(key, text.trim(), false) };
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let read = parts.map(|part| {
        item.scalar(part, false).map(|value| match value {
            Value::Text(text) => text,
            other => other.to_string(),
        })
    });
    let list: Vec<String> = read.collect::<Result<_, _>>()?;
    if list.is_empty() && item != Kind::Contact {
        return Err(super::value::Wrong {
            code: "missing_value",
            what: "is empty".into(),
            help: format!("write {}", item.example()),
        });
    }
    Ok(Value::List(list))
}
