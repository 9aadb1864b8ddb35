//! A cut, played many times: how fast the nodes noticed and came back.
//!
//! ```text
//!   a mesh that stands ──2 s──> cut ──split──> heal ──> roots agree, all healthy
//!        writes on both sides    │ minority: partitioned, refuses      │
//!                                └ detection_ms                        └ recovery_ms, lost_writes
//! ```
//!
//! A run counts with its slowest node. Messages across the cut vanish; nobody is told.

use core::time::Duration;

use knhk_mesh_core::config::{Config, Detect, Mode, OutOfRange, Settings};
use knhk_mesh_core::crdt::{Key, Op};
use knhk_mesh_core::error::WriteError;
use knhk_mesh_core::messages::sink::WriteId;
use knhk_mesh_core::partition::PartitionStatus;
use knhk_mesh_core::rng::{Rng, mix};
use knhk_mesh_core::telemetry::Event;
use knhk_mesh_core::time::Time;
use serde::Serialize;

use crate::adversary::Kind;
use crate::latency::Latency;
use crate::network::Network;
use crate::world::{Drive, NodeIx, World};

/// What a mesh gets to find its links.
const WARM_UP: Duration = Duration::from_secs(2);
/// Between two writes of each side.
const WRITES: Duration = Duration::from_millis(100);
/// Writes of each side before and during the split, at most.
const MOST_WRITES: usize = 100;
/// How often agreement is looked for.
const LOOK: Duration = Duration::from_millis(10);
/// A mesh that has not recovered after this long never does.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is still watched after the recovery.
const AFTER: Duration = Duration::from_secs(1);

/// A partition, played `runs` times.
#[derive(Clone, Debug)]
pub struct Partition {
    /// Nodes.
    pub agents: u32,
    /// How many of them are cut off; none: only false alarms are counted.
    pub minority: u32,
    /// Seeds.
    pub runs: u32,
    /// The first of them.
    pub seed: u64,
    /// Share of the messages that are lost.
    pub loss: f64,
    /// Share of the nodes that receive and never send.
    pub silent: f64,
    /// How long the cut lasts.
    pub split: Duration,
    /// What noticing may cost.
    pub detect: Detect,
    /// What the minority may do.
    pub mode: Mode,
    /// How long messages take.
    pub latency: Latency,
    /// Runs at a time.
    pub threads: usize,
}

impl Default for Partition {
    /// Three of ten nodes are cut off for 5 s, once.
    fn default() -> Self {
        Partition {
            agents: 10,
            minority: 3,
            runs: 1,
            seed: 1,
            loss: 0.0,
            silent: 0.0,
            split: Duration::from_secs(5),
            detect: Detect::Fast,
            mode: Mode::ReadOnly,
            latency: Latency::default(),
            threads: 1,
        }
    }
}

/// A measure over all runs, in milliseconds.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Measure {
    /// Half of the runs were faster or as fast.
    pub p50: u64,
    /// 99 of 100 were.
    pub p99: u64,
    /// The slowest run.
    pub max: u64,
}

impl Measure {
    fn of(mut all: Vec<u64>) -> Self {
        all.sort_unstable();
        let at = |share: f64| {
            let rank = (share * all.len() as f64).ceil() as usize;
            all.get(rank.saturating_sub(1)).copied().unwrap_or(0)
        };
        Measure { p50: at(0.5), p99: at(0.99), max: at(1.0) }
    }
}

/// What a drill showed.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Figures {
    /// Nodes.
    pub agents: u32,
    /// How many of them were cut off.
    pub minority: u32,
    /// Runs.
    pub runs: u32,
    /// From the cut until every honest node of the minority says that it is partitioned.
    pub detection_ms: Measure,
    /// From the end of the cut until all honest nodes have one root and are healthy.
    pub recovery_ms: Measure,
    /// From the end of the cut until all honest nodes have one root.
    pub agreement_ms: Measure,
    /// Honest nodes that said partitioned while they were not cut off.
    pub false_alarms: u64,
    /// Time in which they could have.
    pub node_seconds: f64,
    /// Acknowledged writes that an honest node lacked at the end.
    pub lost_writes: u64,
    /// Acknowledged writes.
    pub acknowledged_writes: u64,
    /// Writes that a node took although it was partitioned and read-only.
    pub writes_not_refused: u64,
    /// Writes of the majority that were refused.
    pub majority_writes_refused: u64,
    /// Runs in which a node of the minority did not notice before the cut ended.
    pub undetected: u64,
    /// Runs that had not recovered a minute after the cut.
    pub unrecovered: u64,
}

/// What one run showed.
#[derive(Default)]
struct Outcome {
    detection_ms: Option<u64>,
    agreement_ms: Option<u64>,
    recovery_ms: Option<u64>,
    figures: Figures,
}

impl Partition {
    /// Plays all runs; `done` is told how many are over. Equal arguments give equal figures,
    /// whatever the threads.
    ///
    /// # Errors
    /// [`OutOfRange`] if there are more members than the mesh has room for, or fewer than two, or
    /// as many are cut off as there are.
    ///
    /// # Panics
    /// If an invariant of the engine breaks.
    pub fn run(&self, done: &(dyn Fn(u64) + Sync)) -> Result<Figures, OutOfRange> {
        Settings::new(self.config())?;
        let fits = self.agents >= 2 && self.minority < self.agents;
        if !fits {
            let (key, allowed) = ("minority", "less than agents, which are 2 at least");
            return Err(OutOfRange { key, value: self.minority.to_string(), allowed });
        }
        let play = |n: u64| Run::new(self, self.seed + n).play();
        let outcomes = super::play_all(self.runs.into(), self.threads, &play, done);
        Ok(self.sum(&outcomes))
    }

    fn config(&self) -> Config {
        let (detect, mode) = (self.detect, self.mode);
        let mut config = Config { detect, mode, ..Config::default() };
        let limits = &mut config.genesis.limits;
        limits.max_authors = limits.max_authors.max(self.agents + 1);
        config
    }

    fn sum(&self, outcomes: &[Outcome]) -> Figures {
        let mut sum = Figures {
            agents: self.agents,
            minority: self.minority,
            runs: self.runs,
            ..Figures::default()
        };
        let measure =
            |of: fn(&Outcome) -> Option<u64>| Measure::of(outcomes.iter().filter_map(of).collect());
        sum.detection_ms = measure(|run| run.detection_ms);
        sum.agreement_ms = measure(|run| run.agreement_ms);
        sum.recovery_ms = measure(|run| run.recovery_ms);
        for run in outcomes {
            sum.false_alarms += run.figures.false_alarms;
            sum.node_seconds += run.figures.node_seconds;
            sum.lost_writes += run.figures.lost_writes;
            sum.acknowledged_writes += run.figures.acknowledged_writes;
            sum.writes_not_refused += run.figures.writes_not_refused;
            sum.majority_writes_refused += run.figures.majority_writes_refused;
            let cut = self.minority > 0;
            sum.undetected += u64::from(cut && run.detection_ms.is_none());
            sum.unrecovered += u64::from(cut && run.recovery_ms.is_none());
        }
        sum
    }
}

struct Run<'a> {
    drill: &'a Partition,
    world: World,
    rng: Rng,
    /// Honest nodes that are cut off, and those that are not.
    minority: Vec<NodeIx>,
    majority: Vec<NodeIx>,
    /// Writes under way and how many began on each side.
    open: Vec<(NodeIx, WriteId, Key)>,
    begun: usize,
    kept: Vec<Key>,
    next_write: Time,
    outcome: Outcome,
}

impl<'a> Run<'a> {
    fn new(drill: &'a Partition, seed: u64) -> Self {
        let latency = drill.latency.clone();
        let network = Network { latency, loss: drill.loss, ..Network::default() };
        let (n, drive) = (drill.agents as usize, Drive { wire: false, ..Drive::default() });
        let mut world = World::standing(n, drill.config(), network, seed, drive);
        let mut rng = Rng::new(mix(seed ^ 0x0064_7269_6c6c));
        let all: Vec<NodeIx> = (0..n).collect();
        let mut silent = Vec::new();
        rng.sample(&all, (n as f64 * drill.silent).round() as usize, &mut silent);
        silent.iter().for_each(|&i| world.corrupt(i, Kind::Silent));
        let honest = all.into_iter().filter(|i| !silent.contains(i));
        let (minority, majority) = honest.partition(|&i| i < drill.minority as usize);
        let (open, kept, outcome) = (Vec::new(), Vec::new(), Outcome::default());
        let (begun, next_write) = (0, Time::ZERO + WARM_UP / 2);
        Run { drill, world, rng, minority, majority, open, begun, kept, next_write, outcome }
    }

    fn play(mut self) -> Outcome {
        // A cut comes at any moment between two heartbeats.
        let phase = Duration::from_millis(self.rng.below(500).into());
        self.go_on(Time::ZERO + WARM_UP + phase, |_, _| false);
        if self.drill.minority == 0 {
            self.go_on(self.world.now() + self.drill.split, |_, _| false);
            self.outcome.figures.false_alarms = self.alarms(&self.majority);
            self.outcome.figures.node_seconds = self.node_seconds(&self.majority, Time::ZERO);
            return self.outcome;
        }
        let before = self.alarms(&self.minority);
        let cut_at = self.world.now();
        self.outcome.figures.node_seconds = self.node_seconds(&self.minority, Time::ZERO);
        self.world.network().split(self.drill.minority as usize);
        let healed_at = cut_at + self.drill.split;
        let noticed = self
            .go_on(healed_at, |world, minority| minority.iter().all(|&i| is_partitioned(world, i)));
        self.outcome.detection_ms = noticed.then(|| ms_since(&self.world, cut_at));
        self.try_the_minority();
        self.go_on(healed_at, |_, _| false);
        let during = self.alarms(&self.minority);
        self.world.network().cuts.clear();
        self.recover(healed_at);
        let end = self.world.now() + AFTER;
        self.world.run_until(end, |_| false);
        let after = self.alarms(&self.minority) - during;
        self.outcome.figures.false_alarms = before + after + self.alarms(&self.majority);
        self.outcome.figures.node_seconds += self.node_seconds(&self.majority, Time::ZERO)
            + self.node_seconds(&self.minority, healed_at);
        self.count_lost();
        self.outcome
    }

    /// Runs until `until` with writes on both sides, or until `done` says so about the minority.
    fn go_on(&mut self, until: Time, done: impl Fn(&World, &[NodeIx]) -> bool) -> bool {
        while self.world.now() < until {
            let stop = self.next_write.max(self.world.now()).min(until);
            let minority = &self.minority;
            if self.world.run_until(stop, |world| done(world, minority)) {
                return true;
            }
            if self.world.now() >= self.next_write {
                self.next_write = self.world.now() + WRITES;
                self.collect();
                if self.begun < MOST_WRITES {
                    self.begun += 1;
                    let sides = [self.majority.clone(), self.minority.clone()];
                    sides.iter().for_each(|side| self.write(side));
                }
            }
        }
        false
    }

    fn write(&mut self, side: &[NodeIx]) {
        if side.is_empty() {
            return;
        }
        let i = side[self.rng.below(side.len() as u32) as usize];
        self.write_at(i);
    }

    fn write_at(&mut self, i: NodeIx) -> WriteId {
        let name = format!("w{}-{}", self.kept.len() + self.open.len(), self.rng.next_u64());
        let key = Key::try_from(name.as_bytes());
        assert!(key.is_ok(), "a short name is a key");
        let Ok(key) = key else { unreachable!() };
        let op = Op::Set { key: key.clone(), value: name.into_bytes().into(), ttl: None };
        let id = self.world.write(i, &op);
        self.open.push((i, id, key));
        id
    }

    /// What became of the writes under way.
    fn collect(&mut self) {
        let mut open = core::mem::take(&mut self.open);
        open.retain(|(i, id, key)| {
            let Some(outcome) = self.world.outcome(*i, *id) else { return true };
            match outcome {
                Ok(_) => {
                    self.kept.push(key.clone());
                    self.outcome.figures.acknowledged_writes += 1;
                }
                Err(_) if *i >= self.drill.minority as usize => {
                    self.outcome.figures.majority_writes_refused += 1;
                }
                Err(_) => {}
            }
            false
        });
        self.open = open;
    }

    /// Every node of the minority that noticed has to refuse a write, if its mode says so.
    fn try_the_minority(&mut self) {
        for i in self.minority.clone() {
            if !is_partitioned(&self.world, i) || self.drill.mode != Mode::ReadOnly {
                continue;
            }
            let id = self.write_at(i);
            let refused =
                matches!(self.world.outcome(i, id), Some(Err(WriteError::Partitioned { .. })));
            self.outcome.figures.writes_not_refused += u64::from(!refused);
        }
        self.collect();
    }

    fn recover(&mut self, healed_at: Time) {
        while self.world.now() < healed_at + PATIENCE {
            self.world.run_until(self.world.now() + LOOK, |_| false);
            if !self.world.agrees() {
                continue;
            }
            let passed = ms_since(&self.world, healed_at);
            self.outcome.agreement_ms.get_or_insert(passed);
            let healthy = |&i: &NodeIx| status(&self.world, i) == PartitionStatus::Healthy;
            if self.minority.iter().chain(&self.majority).all(healthy) {
                self.outcome.recovery_ms = Some(passed);
                return;
            }
        }
    }

    fn count_lost(&mut self) {
        self.collect();
        let wall = self.world.clock().wall;
        let lacks = |key: &&Key| {
            let mut honest = self.minority.iter().chain(&self.majority);
            honest.any(|&i| self.world.node(i).get(key, wall).is_none())
        };
        self.outcome.figures.lost_writes = self.kept.iter().filter(lacks).count() as u64;
    }

    /// How often these nodes said that they are partitioned.
    fn alarms(&self, nodes: &[NodeIx]) -> u64 {
        let is_alarm = |event: &&Event| matches!(event, Event::Partitioned { .. });
        let of = |&i: &NodeIx| self.world.events(i).iter().filter(is_alarm).count() as u64;
        nodes.iter().map(of).sum()
    }

    fn node_seconds(&self, nodes: &[NodeIx], since: Time) -> f64 {
        nodes.len() as f64 * self.world.now().since(since).as_secs_f64()
    }
}

fn status(world: &World, i: NodeIx) -> PartitionStatus {
    world.node(i).partition()
}

fn is_partitioned(world: &World, i: NodeIx) -> bool {
    matches!(status(world, i), PartitionStatus::Partitioned { .. })
}

fn ms_since(world: &World, since: Time) -> u64 {
    world.now().since(since).as_millis() as u64
}
