//! One update through a mesh: how many rounds, copies and bytes until every honest node has it.
//!
//! ```text
//!   link -> warm up (updates that leave a tree behind)
//!        -> write -> every honest node informed -> no copy under way: the cost is known
//!        -> further updates, one after the other: how many are in time -> checkers
//! ```

mod showing;

use core::time::Duration;

use knhk_mesh_core::config::{Config, Lanes, OutOfRange, Settings};
use knhk_mesh_core::crdt::{Key, Op};
use knhk_mesh_core::rng::mix;

use crate::adversary::Kind;
use crate::cast::{self, Part};
use crate::checkers::{liveness, safety};
use crate::crowd::{ALL_KEYED, Crowd, Plan};
use crate::engine::{QueueKind, Slot, Tally};
use crate::latency::Latency;
use crate::network::Network;
use crate::report::{Report, RoundRow, count};
use crate::world::Drive;

/// Rounds after which a run gives up.
const MAX_ROUNDS: u64 = 100;
/// Rounds after which honest nodes have to agree on everything.
const QUIESCENCE: u32 = 50;
/// Events between two words on how far a run is.
const TELL_EVERY: u64 = 100_000;
/// Rounds that the cost of the update is counted for at most once everybody has it.
const RESTLESS: u64 = 10;
/// Nodes that take turns to write further updates.
const TURNS: usize = 8;
/// Most nodes: as many as a directory can list.
pub const MAX_AGENTS: u32 = 1 << 20;

/// What to run.
#[derive(Clone, Debug)]
pub struct Spread {
    /// Nodes, one agent each.
    pub agents: u32,
    /// Which lanes carry updates.
    pub lanes: Lanes,
    /// Peers a round.
    pub fanout: usize,
    /// Length of a round.
    pub interval: Duration,
    /// Fixes every random choice.
    pub seed: u64,
    /// Worker threads, 1-8.
    pub threads: usize,
    /// The engine's queue.
    pub queue: QueueKind,
    /// Share of messages lost, 0-1.
    pub loss: f64,
    /// Shares of nodes that break the protocol; those of one kind are added up.
    pub adversaries: Vec<(Kind, f64)>,
    /// How long messages take.
    pub latency: Latency,
    /// Encode and decode every message; by default up to 10,000 nodes.
    pub wire: Option<bool>,
    /// Updates before the measured one; by default 1 with a tree, none without.
    pub warm_up: Option<u32>,
    /// Updates, the measured one included; of further ones only the time is measured.
    pub updates: u32,
}

impl Default for Spread {
    fn default() -> Self {
        Spread {
            agents: 100,
            lanes: Lanes::All,
            fanout: 3,
            interval: Duration::from_millis(100),
            seed: 1,
            threads: 1,
            queue: QueueKind::Wheel,
            loss: 0.0,
            adversaries: Vec::new(),
            latency: Latency::default(),
            wire: None,
            warm_up: None,
            updates: 1,
        }
    }
}

/// A run that cannot be made. Nothing was run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SpreadError {
    /// Too few or too many nodes.
    #[error("{0} agents; allowed is 2-{MAX_AGENTS}")]
    Agents(u32),
    /// A share outside 0-1.
    #[error("{0} is no share: use 0-1, such as 0.33")]
    Share(String),
    /// A share that is less than half a node.
    #[error("{kind}={share} of {agents} agents is no node: leave it out, or take a larger share")]
    NoNode {
        /// The kind of adversary.
        kind: Kind,
        /// Its share.
        share: String,
        /// Nodes.
        agents: u32,
    },
    /// Shares of all nodes.
    #[error("{liars} of {agents} agents break the protocol: at least one has to be honest")]
    NobodyHonest {
        /// Adversaries of all kinds.
        liars: u32,
        /// Nodes.
        agents: u32,
    },
    /// A setting of the nodes.
    #[error(transparent)]
    Setting(#[from] OutOfRange),
}

/// Where a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// `linking`, `warming up`, `spreading` or `further updates`.
    pub stage: &'static str,
    /// Simulated milliseconds.
    pub sim_ms: u64,
    /// Share of this stage that is done, 0-1.
    pub done: f64,
    /// Events so far.
    pub events: u64,
}

impl Spread {
    /// Whether messages are encoded.
    #[must_use]
    pub fn encodes(&self) -> bool {
        self.wire.unwrap_or(self.agents as usize <= ALL_KEYED)
    }

    /// Updates before the measured one.
    #[must_use]
    pub fn warm_up(&self) -> u32 {
        self.warm_up.unwrap_or(u32::from(self.lanes == Lanes::All))
    }

    /// Rounds within which the specification wants everybody informed: log2 n + 3, rounded up.
    #[must_use]
    pub fn bound(&self) -> u32 {
        (u64::from(self.agents).next_power_of_two().trailing_zeros()) + 3
    }

    /// Milliseconds of a round as the bound counts them: an interval, or the three ways of an
    /// exchange (digest, request, records) between two regions in the mean, if that takes longer.
    /// Who asks in one round and has no answer before the next but one learns nothing in between.
    #[must_use]
    pub fn round_ms(&self) -> u64 {
        (self.interval.as_millis() as u64).max((3.0 * self.latency.mean_ms()).ceil() as u64)
    }

    /// The adversaries, if these options make a run.
    fn parts(&self) -> Result<Vec<Part>, SpreadError> {
        if !(2..=MAX_AGENTS).contains(&self.agents) {
            return Err(SpreadError::Agents(self.agents));
        }
        let wrong = |share: &f64| !(0.0..=1.0).contains(share);
        let shares = self.adversaries.iter().map(|(_, share)| share);
        if let Some(share) = shares.chain([&self.loss]).find(|share| wrong(share)) {
            return Err(SpreadError::Share(share.to_string()));
        }
        cast::parts(self.agents, &self.adversaries)
    }

    fn settings(&self) -> Result<std::sync::Arc<Settings>, OutOfRange> {
        let (fanout, interval, lanes) = (self.fanout, self.interval, self.lanes);
        let mut config = Config { fanout, interval, lanes, ..Config::default() };
        let limits = &mut config.genesis.limits;
        // The directory lists everybody, though few are authors.
        limits.max_authors = limits.max_authors.max(self.agents);
        Settings::new(config)
    }
}

/// Runs it. Equal options give equal reports.
///
/// # Errors
/// [`SpreadError`] if the options make no run.
///
/// # Panics
/// If an invariant of the engine breaks; what the protocol breaks is in the report.
pub fn run(spread: &Spread, progress: &mut dyn FnMut(Progress)) -> Result<Report, SpreadError> {
    let parts = spread.parts()?;
    let settings = spread.settings()?;
    // One writer for each warm-up, that of the measured update, and those of further ones.
    let further = (spread.updates as usize).saturating_sub(1);
    let writers = spread.warm_up() as usize + 1 + further.min(TURNS);
    let (corrupt, writers) = cast::cast(spread.agents, spread.seed, &parts, writers);
    let network =
        Network { latency: spread.latency.clone(), loss: spread.loss, ..Network::default() };
    let drive = Drive { threads: spread.threads, queue: spread.queue, wire: spread.encodes() };
    let nodes = spread.agents as usize;
    let (seed, writers) = (spread.seed, writers);
    let plan = Plan { settings, network, nodes, seed, drive, corrupt, writers };
    let mut crowd = Crowd::new(&plan, |i| {
        let done = i as f64 / nodes as f64;
        progress(Progress { stage: "linking", sim_ms: 0, done, events: 0 });
    });
    let honest = (nodes - plan.corrupt.len()) as u64;
    let mut run = Run { spread, parts, plan: &plan, honest, progress };
    run.warm_up(&mut crowd);
    let course = run.measure(&mut crowd);
    let mut report = run.report(&crowd, &course);
    if report.informed >= 1.0 {
        report.further_ms = run.further(&mut crowd);
        report.notes.extend(further_note(&report));
    }
    run.judge(&mut crowd, &mut report);
    Ok(report)
}

struct Run<'a> {
    spread: &'a Spread,
    parts: Vec<Part>,
    plan: &'a Plan,
    /// How many nodes keep to the protocol.
    honest: u64,
    progress: &'a mut dyn FnMut(Progress),
}

/// What was seen while the measured update spread.
struct Course {
    wrote: Slot,
    /// The end of the last round in which a copy arrived.
    rested: Slot,
    /// Copies still arrived when the counting ended.
    restless: bool,
    before: Tally,
    after: Tally,
    rows: Vec<RoundRow>,
}

/// The rounds so far.
struct Rows {
    all: Vec<RoundRow>,
    last: Tally,
    honest: u64,
}

impl Rows {
    fn push(&mut self, crowd: &Crowd, theory: Option<&f64>) {
        let (now, last) = (crowd.engine.tally(), self.last);
        self.all.push(RoundRow {
            round: self.all.len() as u32 + 1,
            informed: now.informed,
            honest: self.honest,
            messages: now.messages - last.messages,
            copies: now.copies - last.copies,
            bytes: now.bytes - last.bytes,
            theory: Some(theory.copied().unwrap_or(1.0)),
        });
        self.last = now;
    }
}

/// How long further updates took, in words; none if there were none.
fn further_note(report: &Report) -> Option<String> {
    let mut times: Vec<u64> = report.further_ms.iter().flatten().copied().collect();
    times.sort_unstable();
    let slowest = *times.last()?;
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    Some(format!(
        "{}, one after the other: everywhere after {} ms (median), {} ms (99 %), {slowest} ms \
         (slowest).",
        count(times.len() as u64, "further update"),
        at(0.5),
        at(0.99)
    ))
}

fn key(text: &str) -> Key {
    let key = Key::try_from(text);
    assert!(key.is_ok(), "names of keys here are short");
    let Ok(key) = key else { unreachable!() };
    key
}

impl Run<'_> {
    fn interval(&self) -> Slot {
        self.spread.interval.as_millis() as Slot
    }

    /// Runs up to `last` or until everybody honest is informed, and tells on the way how far it is.
    fn inform(&mut self, stage: &'static str, crowd: &mut Crowd, last: Slot) -> bool {
        let (honest, progress) = (self.honest, &mut *self.progress);
        let mut next = 0;
        crowd.run_until(last, |engine| {
            let tally = engine.tally();
            if tally.events >= next {
                next = tally.events + TELL_EVERY;
                let done = tally.informed as f64 / honest as f64;
                progress(Progress { stage, sim_ms: engine.now, done, events: tally.events });
            }
            tally.informed >= honest
        })
    }

    /// Lets rounds begin, and updates prune the tree.
    fn warm_up(&mut self, crowd: &mut Crowd) {
        crowd.run_until(self.interval(), |_| false);
        for i in 0..self.spread.warm_up() as usize {
            let name = format!("warm-up-{i}");
            crowd.watch(name.as_bytes());
            crowd.write(self.plan.writers[i], &set(&name, "ready"));
            for _ in 0..20 {
                let last = crowd.engine.now + self.interval();
                if self.inform("warming up", crowd, last) {
                    break;
                }
            }
            // Prunes and the rounds after them.
            crowd.run_until(crowd.engine.now + 5 * self.interval(), |_| false);
        }
    }

    fn measure(&mut self, crowd: &mut Crowd) -> Course {
        let key = key("update");
        crowd.watch(key.as_bytes());
        let (wrote, before) = (crowd.engine.now, crowd.engine.tally());
        crowd.write(self.plan.writers[self.spread.warm_up() as usize], &set("update", "hello"));
        let mut liars: Vec<_> = self.plan.corrupt.iter().map(|(&i, &kind)| (i, kind)).collect();
        liars.sort_unstable();
        for (i, kind) in liars {
            match kind {
                Kind::TimeShift => crowd.write(i, &set("update", "from the future")),
                Kind::Equivocate => crowd.fork(i),
                _ => {}
            }
        }
        let mut rows = Rows { all: Vec::new(), last: before, honest: self.honest };
        let theory = self.theory();
        let mut done = false;
        for round in 1..=MAX_ROUNDS {
            let end = wrote + round * self.interval();
            done = self.inform("spreading", crowd, end);
            // A round is counted to its end, also the one in which the last one learns it.
            crowd.run_until(end, |_| false);
            rows.push(crowd, theory.get(round as usize));
            if done {
                break;
            }
        }
        let mut rested = (crowd.engine.now, crowd.engine.tally(), rows.all.len());
        let restless = done && !self.rest(crowd, &mut rows, &mut rested);
        let (rested, after, rounds) = rested;
        rows.all.truncate(rounds);
        Course { wrote, rested, restless, before, after, rows: rows.all }
    }

    /// Lets rounds pass until no copy arrived for as long as the slowest answer takes; the trailing
    /// quiet is left out of `rested`. Whether it came to that.
    fn rest(&self, crowd: &mut Crowd, rows: &mut Rows, rested: &mut (Slot, Tally, usize)) -> bool {
        let (interval, answer) = (self.interval(), 2 * self.spread.latency.longest_ms());
        let quiet = interval.max(answer).div_ceil(interval);
        let mut calm = 0;
        for _ in 0..RESTLESS.max(2 * quiet) {
            crowd.run_until(crowd.engine.now + interval, |_| false);
            rows.push(crowd, None);
            if rows.all.last().is_some_and(|row| row.copies > 0) {
                *rested = (crowd.engine.now, crowd.engine.tally(), rows.all.len());
                calm = 0;
            } else {
                calm += 1;
            }
            if calm == quiet {
                return true;
            }
        }
        false
    }

    /// The updates after the measured one: in how many milliseconds each was everywhere; none for
    /// the last one if it never was.
    fn further(&mut self, crowd: &mut Crowd) -> Vec<Option<u64>> {
        let (mut times, first) = (Vec::new(), self.spread.warm_up() as usize + 1);
        for n in 1..self.spread.updates {
            // Not in step with the rounds, and not one behind the other.
            let pause = mix(self.spread.seed ^ mix(n.into())) % self.interval();
            crowd.run_until(crowd.engine.now + 1 + pause, |_| false);
            crowd.watch(b"update");
            let (wrote, turn) = (crowd.engine.now, first + n as usize % TURNS);
            let turn = turn.min(self.plan.writers.len() - 1);
            crowd.write(self.plan.writers[turn], &set("update", &format!("further {n}")));
            let last = wrote + MAX_ROUNDS * self.interval();
            let done = self.inform("further updates", crowd, last);
            times.push(done.then(|| crowd.engine.now - wrote));
            if !done {
                break;
            }
        }
        times
    }

    /// The share informed after each round if every node speaks to `fanout` others, in the mean:
    /// nobody is told by those who know, and learns nothing from those it asks.
    fn theory(&self) -> Vec<f64> {
        let (n, k) = (f64::from(self.spread.agents), self.spread.fanout as f64);
        let step = |informed: &f64| {
            let missed = (-k * informed).exp() * (1.0 - informed).powf(k);
            Some(1.0 - (1.0 - informed) * missed)
        };
        core::iter::successors(Some(1.0 / n), step).take(MAX_ROUNDS as usize).collect()
    }

    /// What holds at the very end, after further updates.
    fn judge(&self, crowd: &mut Crowd, report: &mut Report) {
        report.events = crowd.engine.tally().events;
        report.trace_hash = format!("{:016x}", crowd.engine.trace());
        report.broken = safety::check(crowd);
        if report.further_ms.contains(&None) {
            let n = report.further_ms.len();
            report
                .broken
                .push(format!("update {} was not everywhere in {MAX_ROUNDS} rounds", n + 1));
        } else if report.informed >= 1.0 {
            report.broken.extend(self.quiesce(crowd));
        }
        report.targets = liveness::targets(report, self.spread.bound());
        report.judge();
    }

    /// What liars wrote beside the update still spreads for a while; then honest nodes agree.
    fn quiesce(&self, crowd: &mut Crowd) -> Option<String> {
        for _ in 0..QUIESCENCE {
            if liveness::states(crowd) == 1 {
                return None;
            }
            crowd.run_until(crowd.engine.now + self.interval(), |_| false);
        }
        let states = liveness::states(crowd);
        (states > 1).then(|| format!("honest nodes hold {states} different states at the end"))
    }
}

fn set(name: &str, value: &str) -> Op {
    Op::Set { key: key(name), value: value.to_owned().into(), ttl: None }
}
