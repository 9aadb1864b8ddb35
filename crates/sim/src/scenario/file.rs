//! A scenario as it stands in its file. Every figure has a bound, every name is known: what is
//! wrong is refused with its line before anything runs.

use core::fmt;
use core::str::FromStr;

use serde::Deserialize;

use crate::adversary::Kind;
use crate::latency::Latency;
use crate::network::Group;

/// Most bytes of a scenario file.
pub(super) const MAX_FILE: usize = 256 * 1024;
/// Most entries of a time line.
pub(super) const MAX_ENTRIES: usize = 2_000;
/// Most nodes of a run, those that join included.
pub(super) const MAX_NODES: u64 = 4_000;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) name: Label,
    /// Depends on every byte of the file.
    #[serde(skip)]
    pub(super) print: u64,
    /// The public failure that it is named after.
    pub(super) source: String,
    pub(super) agents: Whole<2, 2_000>,
    pub(super) seconds: Whole<1, 86_400>,
    #[serde(default)]
    pub(super) seed: u64,
    #[serde(default)]
    pub(super) config: Settings,
    #[serde(default)]
    pub(super) network: Links,
    #[serde(default)]
    pub(super) load: Load,
    #[serde(default)]
    pub(super) at: Vec<At>,
    #[serde(default)]
    pub(super) expect: Expect,
}

/// What the nodes are configured with.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    pub(super) fanout: Option<Whole<1, 100>>,
    pub(super) interval_ms: Option<Whole<10, 60_000>>,
    pub(super) lanes: Lane,
    pub(super) chosen_links: Option<Whole<1, 256>>,
    pub(super) max_links: Option<Whole<1, 4_096>>,
    pub(super) max_payload: Option<Whole<64, 16_384>>,
    pub(super) max_authors: Option<Whole<4, 4_096>>,
    pub(super) detect: Watching,
}

/// Whether nodes look for partitions, and at what cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Watching {
    #[default]
    Off,
    Fast,
    Thrifty,
}

/// Which lanes carry updates.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Lane {
    #[default]
    All,
    Repair,
}

/// The network at the start.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Links {
    pub(super) latency: Option<Ways>,
    pub(super) loss: Share,
    pub(super) duplicate: Share,
    pub(super) reorder: Share,
    pub(super) bandwidth: Option<Whole<1_000, 1_000_000_000>>,
}

/// How long messages take: the name of a built-in world, or a table as in a latency file.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "toml::Value")]
pub(super) struct Ways(pub(super) Latency);

impl TryFrom<toml::Value> for Ways {
    type Error = String;
    fn try_from(value: toml::Value) -> Result<Self, String> {
        let latency = match value {
            toml::Value::String(name) => name.parse(),
            table => Latency::from_file(
                "inline",
                table.try_into().map_err(|e: toml::de::Error| e.to_string())?,
            ),
        };
        latency.map(Ways).map_err(|why| why.to_string())
    }
}

/// Writes of random honest nodes.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Load {
    pub(super) writes_per_s: Whole<0, 10_000>,
    /// From here to the end of the faults.
    pub(super) from_ms: Whole<0, 86_400_000>,
}

/// One moment of the time line and what happens then; in the order of these fields.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct At {
    pub(super) ms: Whole<0, 86_400_000>,
    /// Mends every cut.
    #[serde(default)]
    pub(super) heal: bool,
    /// Cuts nodes below this one off from the others; links across end.
    pub(super) split: Option<Whole<1, 100_000>>,
    /// One direction; links stand until they time out.
    pub(super) cut: Option<OneWay>,
    pub(super) loss: Option<Share>,
    pub(super) duplicate: Option<Share>,
    pub(super) reorder: Option<Share>,
    pub(super) bandwidth: Option<Whole<1_000, 1_000_000_000>>,
    pub(super) adversary: Option<Hostile>,
    pub(super) slow: Option<Slow>,
    pub(super) clock: Option<Clock>,
    pub(super) kill: Option<Named<Who>>,
    pub(super) restart: Option<Restart>,
    pub(super) join: Option<Whole<1, 2_000>>,
    pub(super) leave: Option<Leave>,
    pub(super) write: Option<Write>,
    pub(super) delete: Option<Delete>,
}

/// From some nodes to others: cut, or so lossy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OneWay {
    pub(super) from: Named<Side>,
    pub(super) to: Named<Side>,
    pub(super) loss: Option<Share>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hostile {
    pub(super) who: Named<Who>,
    pub(super) kind: Named<Kind>,
    /// Whom a censor hides, or an eclipse keeps from the world: nodes by number.
    pub(super) hides: Option<Named<Who>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Slow {
    pub(super) who: Named<Who>,
    pub(super) by_ms: Whole<0, 60_000>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Clock {
    pub(super) who: Named<Who>,
    pub(super) ahead_ms: i32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Restart {
    pub(super) who: Named<Who>,
    #[serde(default = "yes")]
    pub(super) disk: bool,
    /// At another address.
    #[serde(default)]
    pub(super) moved: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Leave {
    pub(super) who: Named<Who>,
    #[serde(default = "yes")]
    pub(super) notice: bool,
}

/// A register is set, a number of times, one value after the other.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Write {
    pub(super) node: Whole<0, 100_000>,
    pub(super) key: Label,
    #[serde(default)]
    pub(super) value: String,
    /// The value is filled up to so many bytes.
    #[serde(default)]
    pub(super) len: Whole<0, 65_536>,
    /// So many registers, `key` with a number behind it.
    pub(super) burst: Option<Whole<1, 900>>,
    /// The time until every honest node shows it is measured.
    #[serde(default)]
    pub(super) measured: bool,
    /// The writer must be told that it is refused.
    #[serde(default)]
    pub(super) refused: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Delete {
    pub(super) node: Whole<0, 100_000>,
    pub(super) key: Label,
}

/// What must hold beside the invariants.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expect {
    /// After the faults end.
    pub(super) agree_within_ms: Whole<1, 86_400_000>,
    /// Each measured write.
    pub(super) reach_within_ms: Option<Whole<1, 86_400_000>>,
    /// In every directory.
    pub(super) members: Option<Whole<1, 100_000>>,
    pub(super) max_links: Option<Whole<1, 4_096>>,
    /// Sent by the busiest honest node in its busiest second while the faults last.
    pub(super) max_bytes_per_s: Option<Whole<1, 1_000_000_000>>,
    /// Sent by a node in the mean over the run.
    pub(super) mean_bytes_per_s: Option<Whole<1, 1_000_000_000>>,
    pub(super) max_digest_bytes: Option<Whole<1, 1_000_000>>,
    /// Entries of a node's state.
    pub(super) max_records: Option<Whole<1, 10_000_000>>,
    /// How often an honest node that was never slow may say that it is cut off from the others.
    pub(super) max_alarms: Option<Whole<0, 1_000_000>>,
    /// How often such a node may take another one for lost.
    pub(super) max_lost_members: Option<Whole<0, 1_000_000>>,
    /// Messages that full uplinks drop, at least: else the fault was never there.
    pub(super) min_congested: Option<Whole<0, 1_000_000_000>>,
    /// Registers that every honest node shows at the end.
    pub(super) shows: std::collections::BTreeMap<Label, String>,
    /// Registers that none shows.
    pub(super) absent: Vec<Label>,
}

impl Default for Expect {
    fn default() -> Self {
        Expect {
            agree_within_ms: Whole(30_000),
            reach_within_ms: None,
            members: None,
            max_links: None,
            max_bytes_per_s: None,
            mean_bytes_per_s: None,
            max_digest_bytes: None,
            max_records: None,
            max_alarms: None,
            max_lost_members: None,
            min_congested: None,
            shows: Default::default(),
            absent: Vec::new(),
        }
    }
}

fn yes() -> bool {
    true
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "u64")]
pub(super) struct Whole<const MIN: u64, const MAX: u64>(pub(super) u64);

impl<const MIN: u64, const MAX: u64> TryFrom<u64> for Whole<MIN, MAX> {
    type Error = String;
    fn try_from(n: u64) -> Result<Self, String> {
        if (MIN..=MAX).contains(&n) {
            return Ok(Whole(n));
        }
        Err(format!("{n} is out of range: allowed is {MIN}-{MAX}"))
    }
}

impl<const MIN: u64, const MAX: u64> Default for Whole<MIN, MAX> {
    fn default() -> Self {
        Whole(MIN)
    }
}

/// A name or a key: 1-200 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Label(pub(super) String);

impl TryFrom<String> for Label {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let len = text.len();
        if (1..=200).contains(&len) {
            return Ok(Label(text));
        }
        Err(format!("a name has 1-200 bytes, this one has {len}"))
    }
}

/// A share, 0-1.
#[derive(Clone, Copy, PartialEq, Debug, Default, Deserialize)]
#[serde(try_from = "f64")]
pub(super) struct Share(pub(super) f64);

impl TryFrom<f64> for Share {
    type Error = String;
    fn try_from(share: f64) -> Result<Self, String> {
        if (0.0..=1.0).contains(&share) {
            return Ok(Share(share));
        }
        Err(format!("{share} is no share: allowed is 0-1"))
    }
}

/// Something that is written as a text.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(try_from = "String")]
#[serde(bound(deserialize = "T: FromStr<Err: fmt::Display>"))]
pub(super) struct Named<T>(pub(super) T);

impl<T: FromStr<Err: fmt::Display>> TryFrom<String> for Named<T> {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Named).map_err(|why: T::Err| why.to_string())
    }
}

/// Which nodes: `7`, `10..20`, `20%` and `5 any` of those that run, `down`, or `all`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Who {
    Range(usize, usize),
    Share(f64),
    Any(usize),
    Down,
    All,
}

impl FromStr for Who {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || {
            format!("`{text}` names no nodes: use `7`, `10..20`, `20%`, `5 any`, `down` or `all`")
        };
        let number = |text: &str| text.parse::<usize>().map_err(|_| unknown());
        match text {
            "down" => return Ok(Who::Down),
            "all" => return Ok(Who::All),
            _ => {}
        }
        if let Some(share) = text.strip_suffix('%') {
            let share = share.parse::<f64>().map_err(|_| unknown())?;
            let fits = (0.0..=100.0).contains(&share);
            return if fits { Ok(Who::Share(share / 100.0)) } else { Err(unknown()) };
        }
        if let Some(count) = text.strip_suffix(" any") {
            return Ok(Who::Any(number(count)?));
        }
        match text.split_once("..") {
            Some((first, end)) => {
                let (first, end) = (number(first)?, number(end)?);
                if first < end { Ok(Who::Range(first, end)) } else { Err(unknown()) }
            }
            None => number(text).map(|n| Who::Range(n, n + 1)),
        }
    }
}

/// One side of a cut: `10..20`, `7`, or `region eu-west`.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Side {
    Range(usize, usize),
    Region(String),
}

impl FromStr for Side {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(region) = text.strip_prefix("region ") {
            return Ok(Side::Region(region.into()));
        }
        match text.parse() {
            Ok(Who::Range(first, end)) => Ok(Side::Range(first, end)),
            _ => Err(format!("`{text}` is no side of a cut: use `7`, `10..20` or `region NAME`")),
        }
    }
}

impl Side {
    pub(super) fn group(&self, latency: &Latency) -> Result<Group, String> {
        match self {
            Side::Range(first, end) => Ok(Group::Range(*first, *end)),
            Side::Region(name) => {
                let at = latency.regions().iter().position(|region| region == name);
                let all = || latency.regions().join(", ");
                at.map(Group::Region)
                    .ok_or_else(|| format!("no region {name}: there are {}", all()))
            }
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Side::Range(first, end) => write!(f, "{first}..{end}"),
            Side::Region(name) => write!(f, "{name}"),
        }
    }
}
