//! What a run showed, as data: the JSON of `sim -o json`, and the source of table, page and CSV.
//! Equal runs give equal reports, except for `cpu_s`, `events_per_cpu_s` and `rss_bytes`.
//!
//! ```text
//!            ┌─ table    a terminal
//!   Report ──┼─ page     one self-contained HTML page
//!            ├─ csv      spreadsheets
//!   Report ──┴─ compare  two runs side by side
//! ```

mod compare;
mod csv;
mod facts;
mod figures;
mod page;
mod table;

pub use compare::{Comparison, Figure, SetupDifference, compare};
pub use csv::csv;
pub(crate) use figures::count;
pub use page::page;
pub use table::table;

use core::time::Duration;

use serde::{Deserialize, Serialize};

/// One run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Nodes, one agent each.
    pub agents: u32,
    /// Whole intervals from the write until the last honest node had the update; of a scenario,
    /// from the end of the faults until all honest nodes held one state.
    pub rounds: u32,
    /// The same in simulated milliseconds.
    pub sim_ms: u64,
    /// Milliseconds of a round as the bound on rounds counts them: an interval, or the mean
    /// exchange between two regions if that takes longer.
    #[serde(default)]
    pub round_ms: u64,
    /// Milliseconds from the write for which copies and bytes are counted: until no copy arrived
    /// any more; of a scenario, the whole run.
    #[serde(default)]
    pub counted_ms: u64,
    /// Share of the honest nodes that are up and have the update, 0-1; of a scenario, that hold the
    /// state that most of them hold.
    pub informed: f64,
    /// Payload copies received a node, duplicates included, from the write until the update rested.
    pub copies_per_agent: f64,
    /// Bytes sent a node in the same time.
    pub bytes_per_agent: f64,
    /// Deliveries and timers that the whole run handled.
    pub events: u64,
    /// Events for each second of CPU.
    pub events_per_cpu_s: f64,
    /// Seconds of CPU of the process, all threads.
    pub cpu_s: f64,
    /// Most resident memory of the process.
    pub rss_bytes: u64,
    /// Depends on everything that happened: equal seeds have equal hashes, whatever the threads.
    pub trace_hash: String,
    /// Whether every target and every invariant held.
    pub verdict: Verdict,
    /// What was run.
    pub setup: Setup,
    /// Bounds, and what was measured against them.
    pub targets: Vec<Target>,
    /// Invariants that broke; empty when all held.
    pub broken: Vec<String>,
    /// Share of honest nodes that had the update, over time: first point the write, last the end.
    pub curve: Vec<Point>,
    /// What each round cost.
    pub per_round: Vec<RoundRow>,
    /// The curve of each region.
    pub regions: Vec<RegionCurve>,
    /// Faults on the time line.
    pub faults: Vec<FaultSpan>,
    /// What only a scenario measures; none of a spread run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aftermath: Option<Aftermath>,
    /// Milliseconds until each further update was everywhere; none if it never was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_ms: Vec<Option<u64>>,
    /// What the reader has to know to judge the run, such as "flat overlay".
    pub notes: Vec<String>,
    /// The command that gives this run again.
    pub reproduce: String,
}

/// What a scenario left behind: agreement after its faults, and the outcomes of its writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Aftermath {
    /// Milliseconds from the end of the faults until all held one state; none if not in time.
    pub agreed_after_ms: Option<u64>,
    /// Writes of the load that the writer was told are stored.
    pub writes_acknowledged: u64,
    /// Those that it was told are not.
    pub writes_refused: u64,
    /// Acknowledged ones that went with a lost disk before every node held them.
    pub writes_gone: u64,
    /// Accounts of authors of which a node misses something that is owed: must be 0.
    pub writes_lost: u64,
    /// Messages that nodes refused.
    pub messages_refused: u64,
}

/// In one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every target and invariant held.
    Pass,
    /// One did not.
    Fail,
}

impl Report {
    /// What the run cost, which only the caller can tell: the simulator reads no clock.
    pub fn cost(&mut self, cpu: Duration, rss_bytes: u64) {
        self.cpu_s = cpu.as_secs_f64();
        self.rss_bytes = rss_bytes;
        self.events_per_cpu_s = self.events as f64 / self.cpu_s.max(1e-9);
    }

    /// Whether everything held that had to.
    pub fn judge(&mut self) {
        let missed = self.targets.iter().any(|target| target.required && !target.held);
        let fails = missed || !self.broken.is_empty();
        self.verdict = if fails { Verdict::Fail } else { Verdict::Pass };
    }
}

/// What was run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Setup {
    /// Name of the scenario; `spread` for one update.
    pub scenario: String,
    /// Fixes every random choice.
    pub seed: u64,
    /// Peers a round.
    pub fanout: u32,
    /// Length of a round.
    pub interval_ms: u64,
    /// `all` or `repair`.
    pub lanes: String,
    /// Name or file of the latencies.
    pub latency: String,
    /// Share of messages lost, 0-1.
    pub loss: f64,
    /// Shares of adversaries by kind, `silent` among them.
    pub adversaries: Vec<(String, f64)>,
    /// Updates before the measured one, which leave a tree behind.
    pub warm_up: u32,
    /// Every message was encoded and decoded.
    pub wire: bool,
    /// Depends on the text of the scenario and on every way of the latency.
    #[serde(default)]
    pub inputs: String,
    /// Worker threads.
    pub threads: u32,
    /// Version of the program.
    pub version: String,
}

/// A bound and what was measured.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Target {
    /// What: `rounds`, `simulated time`, `memory a node`, ...
    pub name: String,
    /// Unit of both figures: `rounds`, `ms`, `bytes`, `copies`, `share`.
    pub unit: String,
    /// At most this (at least, if `at_least`).
    pub bound: f64,
    /// What the run showed.
    pub measured: f64,
    /// The bound is a lower one.
    pub at_least: bool,
    /// A miss fails the run; else it is a goal.
    pub required: bool,
    /// Whether it held.
    pub held: bool,
}

/// A point of a curve.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Point {
    /// Milliseconds since the write; of a scenario, since its start.
    pub ms: f64,
    /// Share informed, 0-1.
    pub informed: f64,
}

/// One round of the run.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct RoundRow {
    /// From 1.
    pub round: u32,
    /// Honest nodes that have the update at its end; of a scenario, that agree.
    pub informed: u64,
    /// Honest nodes at its end; of a scenario, those that run.
    #[serde(default)]
    pub honest: u64,
    /// Messages sent in it.
    pub messages: u64,
    /// Payload copies received in it.
    pub copies: u64,
    /// Bytes sent in it.
    pub bytes: u64,
    /// The theoretical bound at its end, as a share: push-pull with this fanout, no faults;
    /// none of a scenario.
    pub theory: Option<f64>,
}

impl RoundRow {
    /// Share of the honest nodes that are informed at its end, 0-1.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.informed as f64 / self.honest.max(1) as f64
    }
}

/// How a region came to know.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RegionCurve {
    /// Its name.
    pub name: String,
    /// Its nodes.
    pub agents: u32,
    /// Share of its honest nodes, over time.
    pub curve: Vec<Point>,
}

/// A fault and how long it lasted.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FaultSpan {
    /// Milliseconds since the write; negative before it.
    pub from_ms: f64,
    /// End; `None` if it never ended.
    pub until_ms: Option<f64>,
    /// In words.
    pub what: String,
}
