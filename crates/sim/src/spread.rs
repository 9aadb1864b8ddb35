//! One update through a mesh: how many rounds, copies and bytes until every honest node has it.
//!
//! ```text
//!   link -> warm up (updates that leave a tree behind) -> write -> every honest node informed
//! ```

use core::time::Duration;

use knhk_mesh_core::config::{Config, Lanes, OutOfRange, Settings};
use knhk_mesh_core::crdt::{Key, Op};

use crate::adversary::Kind;
use crate::cast::{self, Part};
use crate::checkers::{liveness, safety};
use crate::crowd::{ALL_KEYED, Crowd, Plan};
use crate::engine::host::NEVER;
use crate::engine::{QueueKind, Slot, Tally};
use crate::latency::Latency;
use crate::network::Network;
use crate::report::{FaultSpan, Point, RegionCurve, Report, RoundRow, Setup, Verdict, count};
use crate::shell;
use crate::world::Drive;

/// Rounds after which a run gives up.
const MAX_ROUNDS: u64 = 100;
/// Rounds after which honest nodes have to agree on everything.
const QUIESCENCE: u32 = 50;
/// Events between two words on how far a run is.
const TELL_EVERY: u64 = 100_000;
/// Points of a curve.
const MAX_POINTS: usize = 200;
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
    /// `linking`, `warming up` or `spreading`.
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
    // One writer for each warm-up, and that of the measured update.
    let writers = spread.warm_up() as usize + 1;
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
    Ok(run.report(&mut crowd, &course))
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
    ended: Slot,
    before: Tally,
    after: Tally,
    rows: Vec<RoundRow>,
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
        let (mut rows, mut last) = (Vec::new(), before);
        let all = self.theory();
        for round in 1..=MAX_ROUNDS {
            let end = wrote + round * self.interval();
            let honest = self.honest;
            let done = self.inform("spreading", crowd, end);
            let now = crowd.engine.tally();
            rows.push(RoundRow {
                round: round as u32,
                informed: now.informed,
                honest,
                messages: now.messages - last.messages,
                copies: now.copies - last.copies,
                bytes: now.bytes - last.bytes,
                theory: Some(all.get(round as usize).copied().unwrap_or(1.0)),
            });
            last = now;
            if done {
                break;
            }
        }
        let after = crowd.engine.tally();
        Course { wrote, ended: crowd.engine.now, before, after, rows }
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

    fn report(&self, crowd: &mut Crowd, course: &Course) -> Report {
        let spread = self.spread;
        let mut times: Vec<(Slot, usize)> = crowd
            .engine
            .hosts()
            .filter(|(_, host)| host.informed != NEVER)
            .map(|(i, host)| (host.informed - course.wrote, i))
            .collect();
        times.sort_unstable();
        let all = times.len() as u64 == self.honest;
        let sim_ms =
            if all { times.last().map_or(0, |(at, _)| *at) } else { course.ended - course.wrote };
        let spent = |of: fn(&Tally) -> u64| {
            (of(&course.after) - of(&course.before)) as f64 / f64::from(spread.agents)
        };
        let mut report = Report {
            agents: spread.agents,
            rounds: sim_ms.div_ceil(self.interval()) as u32,
            sim_ms,
            informed: times.len() as f64 / self.honest as f64,
            copies_per_agent: spent(|tally| tally.copies),
            bytes_per_agent: spent(|tally| tally.bytes),
            events: course.after.events,
            events_per_cpu_s: 0.0,
            cpu_s: 0.0,
            rss_bytes: 0,
            trace_hash: format!("{:016x}", crowd.engine.trace()),
            verdict: Verdict::Pass,
            setup: self.setup(),
            targets: Vec::new(),
            broken: safety::check(crowd),
            curve: curve(times.iter().map(|(at, _)| *at), self.honest),
            per_round: course.rows.clone(),
            regions: self.regions(crowd, &times),
            faults: self.faults(sim_ms),
            aftermath: None,
            notes: self.notes(),
            reproduce: self.command(),
        };
        if all {
            report.broken.extend(self.quiesce(crowd));
        }
        report.targets = liveness::targets(&report, spread.bound());
        report.judge();
        report
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

    fn setup(&self) -> Setup {
        let spread = self.spread;
        let share = |part: &Part| (part.kind.to_string(), part.share);
        Setup {
            scenario: "spread".into(),
            seed: spread.seed,
            fanout: spread.fanout as u32,
            interval_ms: self.interval(),
            lanes: lanes(spread.lanes).into(),
            latency: spread.latency.name().into(),
            loss: spread.loss,
            adversaries: self.parts.iter().map(share).collect(),
            warm_up: spread.warm_up(),
            wire: spread.encodes(),
            inputs: format!("{:016x}", spread.latency.print()),
            threads: spread.threads as u32,
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }

    fn regions(&self, crowd: &Crowd, times: &[(Slot, usize)]) -> Vec<RegionCurve> {
        let latency = &self.spread.latency;
        let names = latency.regions().iter().enumerate();
        let one = |(region, name): (usize, &String)| {
            let lies = |i: &usize| latency.region_of(*i) == region;
            let agents = (0..self.plan.nodes).filter(lies).count() as u32;
            let honest = |i: &usize| lies(i) && crowd.engine.host(*i).is_honest();
            let honest = (0..self.plan.nodes).filter(honest).count() as u64;
            let times = times.iter().filter(|(_, i)| lies(i)).map(|(at, _)| *at);
            RegionCurve { name: name.clone(), agents, curve: curve(times, honest) }
        };
        if names.len() > 1 { names.map(one).collect() } else { Vec::new() }
    }

    fn faults(&self, sim_ms: Slot) -> Vec<FaultSpan> {
        let spread = self.spread;
        let always = |what: String| FaultSpan { from_ms: 0.0, until_ms: Some(sim_ms as f64), what };
        let loss =
            (spread.loss > 0.0).then(|| format!("{} % of messages lost", percent(spread.loss)));
        let liars = self.parts.iter().map(|Part { kind, share, nodes }| {
            format!("{} % {kind}: {}", percent(*share), count(u64::from(*nodes), "node"))
        });
        loss.into_iter().chain(liars).map(always).collect()
    }

    fn notes(&self) -> Vec<String> {
        let each = self.plan.settings.wanted_links().min(self.plan.nodes - 1);
        let mut notes = vec![format!(
            "A flat overlay of sampled links: each node chose {each} others from one directory \
             that all share; links stand for the whole run."
        )];
        if !self.spread.encodes() {
            notes.push("Messages were not encoded (--wire does it); verdicts are real.".into());
        }
        notes
    }

    fn command(&self) -> String {
        let s = self.spread;
        let mut line = format!("knhk-mesh sim --agents {} --seed {}", s.agents, s.seed);
        line += &format!(" --lanes {} --fanout {}", lanes(s.lanes), s.fanout);
        line += &format!(" --interval-ms {}", self.interval());
        line += &format!(" --latency {}", shell::word(s.latency.name()));
        if s.loss > 0.0 {
            line += &format!(" --loss {}", s.loss);
        }
        for Part { kind, share, .. } in &self.parts {
            line += &format!(" --adversary {kind}={share}");
        }
        line
    }
}

fn set(name: &str, value: &str) -> Op {
    Op::Set { key: key(name), value: value.to_owned().into(), ttl: None }
}

const fn lanes(lanes: Lanes) -> &'static str {
    match lanes {
        Lanes::All => "all",
        Lanes::Repair => "repair",
    }
}

fn percent(share: f64) -> f64 {
    (share * 1_000.0).round() / 10.0
}

/// The share informed over time, from the times of each, ascending.
fn curve(times: impl Iterator<Item = Slot>, of: u64) -> Vec<Point> {
    let (mut points, mut informed) = (Vec::<Point>::new(), 0);
    for at in times {
        informed += 1;
        let point = Point { ms: at as f64, informed: informed as f64 / of.max(1) as f64 };
        match points.last_mut() {
            Some(last) if last.ms == point.ms => *last = point,
            _ => points.push(point),
        }
    }
    thin(points)
}

/// At most [`MAX_POINTS`] of them, first and last kept.
fn thin(points: Vec<Point>) -> Vec<Point> {
    let every = points.len().div_ceil(MAX_POINTS).max(1);
    let last = points.len().saturating_sub(1);
    let kept = points.into_iter().enumerate().filter(|(i, _)| i % every == 0 || *i == last);
    kept.map(|(_, point)| point).collect()
}
