//! What can be said to `sim`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::RangedI64ValueParser;
use clap::{Subcommand, ValueEnum};
use knhk_mesh_sim::QueueKind;
use knhk_mesh_sim::adversary::Kind;
use knhk_mesh_sim::spread::MAX_AGENTS;

use crate::args::Detection;

/// Options of `sim`.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Sim {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Show two runs side by side: what was run differently, and what came out differently
    Compare(Compare),
    /// Play one fault many times and measure how fast the nodes notice and come back
    #[command(subcommand)]
    Drill(Drill),
    /// Run every size from 10 to 1,000,000 nodes, calm and in a storm, beside the specification
    Matrix(Matrix),
}

/// What is played.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Drill {
    /// Cut a minority off, let it notice and refuse writes, heal the network, and watch it recover
    Partition(PartitionDrill),
    /// Let a share of the nodes lie, in each way alone and in all together, and see that what is
    /// promised to the honest ones holds
    Byzantine(ByzantineDrill),
}

/// Liars of each kind and of all, many times.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ByzantineDrill {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = drilled())]
    pub(crate) agents: u32,
    /// Share of them that lie, such as 0.33 or 33%; what is promised is promised up to a third
    #[arg(long, value_name = "F", default_value = "0.33", value_parser = share)]
    pub(crate) share: f64,
    /// A kind of liars; can be repeated [default: each kind there is]. Each is played alone, and
    /// then all of them mixed.
    /// Kinds: silent, forge, replay, flood, time-shift, lie-digest, omit, censor, equivocate,
    /// suspect, tamper, eclipse, cold-boot
    #[arg(verbatim_doc_comment, long, value_name = "KIND", value_parser = kind)]
    pub(crate) kind: Vec<Kind>,
    /// How many runs of each, each with its own seed
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = drill_runs())]
    pub(crate) runs: u32,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Share of the messages that are lost, such as 0.1 or 10%
    #[arg(long, value_name = "P", default_value = "0", value_parser = share)]
    pub(crate) loss: f64,
    /// How long messages take: lan, world, a range such as 10-50ms, or a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "lan")]
    pub(crate) latency: String,
    /// Runs at a time; the figures do not depend on them
    #[arg(long, value_name = "T", default_value_t = 1, value_parser = threads())]
    pub(crate) threads: u8,
}

/// A partition, many times.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PartitionDrill {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = drilled())]
    pub(crate) agents: u32,
    /// How many of them are cut off; 0 counts false alarms only
    #[arg(long, value_name = "M", default_value_t = 3)]
    pub(crate) minority: u32,
    /// How many runs, each with its own seed
    #[arg(long, value_name = "R", default_value_t = 10, value_parser = drill_runs())]
    pub(crate) runs: u32,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Share of the messages that are lost, such as 0.1 or 10%
    #[arg(long, value_name = "P", default_value = "0", value_parser = share)]
    pub(crate) loss: f64,
    /// Share of the nodes that receive and never send, such as 0.33 or 33%
    #[arg(long, value_name = "F", default_value = "0", value_parser = share)]
    pub(crate) silent: f64,
    /// How long the network stays cut, in milliseconds
    #[arg(long, value_name = "T", default_value_t = 5_000)]
    pub(crate) split_ms: u64,
    /// What noticing may cost: see docs/PARTITIONS.md
    #[arg(long, value_enum, default_value_t = Detection::Fast)]
    pub(crate) detect: Detection,
    /// What a minority may do: see docs/PARTITIONS.md
    #[arg(long, value_enum, default_value_t = ModeArg::ReadOnly)]
    pub(crate) mode: ModeArg,
    /// How long messages take: lan, world, a range such as 10-50ms, or a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "lan")]
    pub(crate) latency: String,
    /// Runs at a time; the figures do not depend on them
    #[arg(long, value_name = "T", default_value_t = 1, value_parser = threads())]
    pub(crate) threads: u8,
}

/// What a minority may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum ModeArg {
    /// Everything
    Available,
    /// Read
    ReadOnly,
    /// Read, and write its own slots
    QuorumOnly,
}

/// One run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Run {
    /// How many nodes, one agent each [default: 100]
    #[arg(long, value_name = "N", value_parser = agents())]
    pub(crate) agents: Option<u32>,
    /// Which lanes carry updates
    #[arg(long, value_enum, default_value_t = LanesArg::All)]
    pub(crate) lanes: LanesArg,
    /// Peers per gossip round, 1 to 100 [default: 3]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) fanout: Option<u8>,
    /// Length of a gossip round in milliseconds, 10 to 60000 [default: 100]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub(crate) interval_ms: Option<u64>,
    /// Fixes every random choice: equal seeds give equal runs [default: 1]
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
    /// Worker threads; the run and its trace hash do not depend on them
    #[arg(long, value_name = "T", default_value_t = 1, value_parser = threads())]
    pub(crate) threads: u8,
    /// What orders events: a timing wheel, or the plain heap that it is checked against
    #[arg(long, value_enum, default_value_t = Queue::Wheel)]
    pub(crate) queue: Queue,
    /// Share of the messages that are lost, such as 0.1 or 10%
    #[arg(long, value_name = "P", default_value = "0", value_parser = share)]
    pub(crate) loss: f64,
    /// Share of the nodes that receive and never send, such as 0.33 or 33%
    #[arg(long, value_name = "F", default_value = "0", value_parser = share)]
    pub(crate) silent: f64,
    /// Share of the nodes that break the protocol in this way; can be repeated.
    /// Kinds: silent, forge, replay, flood, time-shift, lie-digest, omit, censor, equivocate,
    /// tamper, eclipse, cold-boot
    #[arg(verbatim_doc_comment, long, value_name = "KIND=F", value_parser = adversary)]
    pub(crate) adversary: Vec<(Kind, f64)>,
    /// Updates, one after the other; the first is measured in full, of the others only the time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = updates())]
    pub(crate) updates: u32,
    /// How long messages take: lan, world, a range such as 10-50ms, or a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "lan")]
    pub(crate) latency: String,
    /// Run this scenario, which sets nodes, network and faults over time, instead of one update
    #[arg(long, value_name = "FILE", conflicts_with_all = ALL_OF_SPREAD)]
    pub(crate) scenario: Option<PathBuf>,
    /// Take agents, fanout and interval from a topology file; flags win
    #[arg(short = 'c', long = "config", value_name = "TOPOLOGY.yaml")]
    pub(crate) topology: Option<PathBuf>,
    /// Write the run as one self-contained HTML page
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Write rounds and curves as CSV
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// Encode and decode every message [default: up to 10,000 nodes]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub(crate) wire: Option<bool>,
}

/// The engine's queue; the trace hash does not depend on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Queue {
    /// Events by slot of virtual time
    Wheel,
    /// A binary heap
    Heap,
}

impl From<Queue> for QueueKind {
    fn from(queue: Queue) -> Self {
        match queue {
            Queue::Wheel => QueueKind::Wheel,
            Queue::Heap => QueueKind::Heap,
        }
    }
}

/// What a scenario decides itself.
const ALL_OF_SPREAD: [&str; 11] = [
    "agents",
    "lanes",
    "fanout",
    "interval_ms",
    "loss",
    "silent",
    "adversary",
    "updates",
    "latency",
    "topology",
    "wire",
];

/// Two results of `sim -o json`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Compare {
    /// The earlier or expected run, as `sim -o json` printed it
    #[arg(value_name = "A.json")]
    pub(crate) a: PathBuf,
    /// The other one
    #[arg(value_name = "B.json")]
    pub(crate) b: PathBuf,
}

/// The scale matrix.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Matrix {
    /// Largest size that is run
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = agents())]
    pub(crate) max: u32,
    /// Seeds for each line; at most 3 at 100,000 nodes and 1 at 1,000,000
    #[arg(long, value_name = "K", default_value_t = 3, value_parser = seeds())]
    pub(crate) seeds: u32,
    /// The first of the seeds
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Updates for each line, over all its seeds, of which the share in time is shown [default: as
    /// many as the SLA needs up to 10,000 nodes, one a seed above]
    #[arg(long, value_name = "U", value_parser = updates())]
    pub(crate) updates: Option<u32>,
    /// Which lanes carry updates
    #[arg(long, value_enum, default_value_t = LanesArg::All)]
    pub(crate) lanes: LanesArg,
    /// How long messages take: lan, world, a range such as 10-50ms, or a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "lan")]
    pub(crate) latency: String,
    /// Worker threads; the runs do not depend on them
    #[arg(long, value_name = "T", default_value_t = 1, value_parser = threads())]
    pub(crate) threads: u8,
}

/// Which lanes carry updates.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum LanesArg {
    /// The tree first, push-pull as the guarantee
    All,
    /// Push-pull alone
    Repair,
}

fn agents() -> RangedI64ValueParser<u32> {
    RangedI64ValueParser::new().range(2..=i64::from(MAX_AGENTS))
}

fn drilled() -> RangedI64ValueParser<u32> {
    RangedI64ValueParser::new().range(2..=10_000)
}

fn drill_runs() -> RangedI64ValueParser<u32> {
    RangedI64ValueParser::new().range(1..=1_000_000)
}

fn threads() -> RangedI64ValueParser<u8> {
    RangedI64ValueParser::new().range(1..=8)
}

fn seeds() -> RangedI64ValueParser<u32> {
    RangedI64ValueParser::new().range(1..=1_000)
}

fn updates() -> RangedI64ValueParser<u32> {
    RangedI64ValueParser::new().range(1..=100_000)
}

/// `0.33`, `33%`.
fn share(text: &str) -> Result<f64, String> {
    let (number, of) = match text.strip_suffix('%') {
        Some(percent) => (percent.trim_end(), 100.0),
        None => (text, 1.0),
    };
    let value = number.parse::<f64>().map(|value| value / of);
    let value = value.ok().filter(|value| (0.0..=1.0).contains(value));
    value.ok_or_else(|| "write a share from 0 to 1, such as 0.33, or 33%".into())
}

fn kind(text: &str) -> Result<Kind, String> {
    Kind::from_str(text).map_err(|e| e.to_string())
}

/// `forge=0.1`.
fn adversary(text: &str) -> Result<(Kind, f64), String> {
    let (kind, of) = text.split_once('=').ok_or("write a kind and a share, such as forge=0.1")?;
    Ok((self::kind(kind)?, share(of)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_numbers_or_per_cent() {
        assert_eq!([share("0.33"), share("10%"), share("1")], [Ok(0.33), Ok(0.1), Ok(1.0)]);
        for bad in ["", "-0.1", "1.01", "101%", "NaN", "inf", "a third"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn adversaries_need_a_known_kind_and_a_share() {
        assert_eq!(adversary("forge=0.1"), Ok((Kind::Forge, 0.1)));
        assert_eq!(adversary("lie-digest=5%"), Ok((Kind::LieDigest, 0.05)));
        for bad in ["forge", "nice=0.1", "forge=2", "=", "forge="] {
            assert!(adversary(bad).is_err(), "{bad}");
        }
    }
}
