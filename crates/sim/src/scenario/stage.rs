//! The world of one scenario and what the time line does to it, always between two slots.

use std::collections::BTreeSet;

use knhk_mesh_core::crdt::Op;
use knhk_mesh_core::messages::sink::WriteId;
use knhk_mesh_core::node::Phase;
use knhk_mesh_core::rng::Rng;

use super::file::{At, Delete, Hostile, OneWay, Restart, Who, Write};
use super::ledger::{Ledger, key};
use crate::adversary::Kind;
use crate::checkers::world_liveness;
use crate::engine::Slot;
use crate::network::{Cut, Network};
use crate::report::FaultSpan;
use crate::world::{NodeIx, World};

/// The first nodes are everybody's seeds, as a deployment has them. They are never hostile, and
/// never chosen at random to leave.
pub(super) const SEEDS: usize = 3;
/// A link that carries nothing one way ends after this long, as QUIC's idle timeout does it.
const IDLE: Slot = 30_000;
/// How long the process of a node that left goes on.
const LINGER: Slot = 2_000;
/// Fewer that heard something may all be killed before they pass it on.
const FEW: usize = 5;
/// Milliseconds between two looks at what a process does by itself.
pub(super) const TICK: Slot = 100;
/// Between two dials of a liar to a node that it surrounds.
const SURROUND: Slot = 500;
/// A clock that is further off cannot take part: its records are refused as being from the future.
const TOLERATED_MS: i64 = 4_000;

/// A write of the time line that somebody waits for.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) node: NodeIx,
    pub(super) id: WriteId,
    pub(super) key: String,
    pub(super) value: Vec<u8>,
    pub(super) wrote: Slot,
    /// When every honest node showed it.
    pub(super) reached: Option<Slot>,
    pub(super) measured: bool,
    pub(super) refused: bool,
    pub(super) outcome: Option<bool>,
    /// Its writer ended before it could tell what became of it.
    pub(super) orphaned: bool,
}

pub(super) struct Stage {
    pub(super) world: World,
    pub(super) ledger: Ledger,
    pub(super) rng: Rng,
    pub(super) watched: Vec<Watched>,
    pub(super) faults: Vec<FaultSpan>,
    pub(super) broken: Vec<String>,
    /// Nodes that said goodbye, or never come back.
    pub(super) left: BTreeSet<NodeIx>,
    /// Nodes that left without a word, or whose goodbye hardly anybody heard: they stay members
    /// unless it spreads.
    pub(super) silent: BTreeSet<NodeIx>,
    /// Clocks that are too far off to take part.
    pub(super) astray: BTreeSet<NodeIx>,
    slow: BTreeSet<NodeIx>,
    /// Nodes that were slow at some time.
    pub(super) starved: BTreeSet<NodeIx>,
    recovering: BTreeSet<NodeIx>,
    /// Whom an eclipse keeps from the world.
    surrounded: BTreeSet<NodeIx>,
    writers: BTreeSet<NodeIx>,
    /// Seeds that a node has not reached since it started.
    unreached: Vec<Vec<NodeIx>>,
    lingering: Vec<(Slot, NodeIx)>,
    idle_since: Option<Slot>,
    /// The faults are over: nobody writes any more.
    over: bool,
}

impl Stage {
    pub(super) fn new(world: World, rng: Rng) -> Self {
        let unreached = (0..world.len()).map(|i| seeds_of(&world, i)).collect();
        Stage {
            world,
            ledger: Ledger::default(),
            rng,
            watched: Vec::new(),
            faults: Vec::new(),
            broken: Vec::new(),
            left: BTreeSet::new(),
            silent: BTreeSet::new(),
            astray: BTreeSet::new(),
            slow: BTreeSet::new(),
            starved: BTreeSet::new(),
            recovering: BTreeSet::new(),
            surrounded: BTreeSet::new(),
            writers: BTreeSet::new(),
            unreached,
            lingering: Vec::new(),
            idle_since: None,
            over: false,
        }
    }

    pub(super) fn now(&self) -> Slot {
        self.world.now().0 / 1_000_000
    }

    /// The honest nodes that run, take part, and have not left.
    pub(super) fn live(&self) -> Vec<NodeIx> {
        let takes_part = |i: &NodeIx| {
            self.world.is_up(*i)
                && self.world.is_honest(*i)
                && !self.left.contains(i)
                && !self.astray.contains(i)
        };
        (0..self.world.len()).filter(takes_part).collect()
    }

    /// Whether what node `i` lost can come back: it runs and has its state.
    pub(super) fn returns(&self, i: NodeIx) -> bool {
        self.world.is_up(i) && !self.left.contains(&i)
    }

    /// Those of `who` that run, honest ones if drawn at random; seeds only if `with_seeds`.
    fn chosen(&mut self, who: &Who, with_seeds: bool) -> Vec<NodeIx> {
        let n = self.world.len();
        let up = |i: &NodeIx| self.world.is_up(*i) && !self.left.contains(i);
        let drawn = |stage: &mut Self, count: usize| {
            let mut from = stage.live();
            from.retain(|&i| with_seeds || i >= SEEDS);
            let mut out = Vec::new();
            while out.len() < count && !from.is_empty() {
                out.push(from.swap_remove(stage.rng.below(from.len() as u32) as usize));
            }
            out.sort_unstable();
            out
        };
        match *who {
            Who::Range(first, end) => (first..end.min(n)).filter(up).collect(),
            Who::All => (0..n).filter(up).collect(),
            Who::Down => {
                let down = |i: &NodeIx| !self.world.is_up(*i) && !self.left.contains(i);
                (0..n).filter(down).collect()
            }
            Who::Any(count) => drawn(self, count),
            Who::Share(share) => {
                let count = ((0..n).filter(up).count() as f64 * share).round() as usize;
                drawn(self, count)
            }
        }
    }

    fn begins(&mut self, what: String) {
        let from_ms = self.now() as f64;
        self.faults.push(FaultSpan { from_ms, until_ms: None, what });
    }

    /// Faults of which `what` begins so are over.
    fn ends(&mut self, what: &str) {
        let now = self.now() as f64;
        let over =
            |fault: &&mut FaultSpan| fault.until_ms.is_none() && fault.what.starts_with(what);
        self.faults.iter_mut().filter(over).for_each(|fault| fault.until_ms = Some(now));
    }

    fn moment(&mut self, what: String) {
        let now = self.now() as f64;
        self.faults.push(FaultSpan { from_ms: now, until_ms: Some(now), what });
    }

    /// Does what stands at one moment of the time line.
    pub(super) fn act(&mut self, at: &At) -> Result<(), String> {
        if at.heal {
            self.heal();
        }
        if let Some(split) = at.split {
            self.begins(format!("cut: nodes below {} off from the others", split.0));
            self.world.split(split.0 as usize);
            self.idle_since = None;
        }
        if let Some(cut) = &at.cut {
            self.cut(cut)?;
        }
        self.set_network(at);
        if let Some(hostile) = &at.adversary {
            self.corrupt(hostile);
        }
        if let Some(slow) = &at.slow {
            let who = self.chosen(&slow.who.0, true);
            self.slow_down(&who, slow.by_ms.0);
        }
        if let Some(clock) = &at.clock {
            let who = self.chosen(&clock.who.0, true);
            self.set_clocks(&who, clock.ahead_ms.into());
        }
        if let Some(who) = &at.kill {
            let who = self.chosen(&who.0, true);
            self.moment(format!("{} nodes killed", who.len()));
            who.iter().for_each(|&i| self.kill(i));
        }
        if let Some(restart) = &at.restart {
            self.restart(restart);
        }
        if let Some(count) = at.join {
            self.moment(format!("{} nodes join", count.0));
            (0..count.0).for_each(|_| self.join());
        }
        if let Some(leave) = &at.leave {
            self.leave(&leave.who.0, leave.notice);
        }
        if let Some(write) = &at.write {
            self.write(write);
        }
        if let Some(Delete { node, key: name }) = &at.delete {
            let node = node.0 as usize;
            if node < self.world.len() && self.world.is_up(node) {
                self.world.write(node, &Op::Delete { key: key(&name.0) });
                self.writers.insert(node);
            }
        }
        Ok(())
    }

    fn heal(&mut self) {
        self.ends("cut");
        let network = self.world.network();
        network.cuts.clear();
        network.lossy.clear();
        self.idle_since = None;
    }

    fn cut(&mut self, way: &OneWay) -> Result<(), String> {
        let latency = &self.world.network().latency;
        let (from, to) = (way.from.0.group(latency)?, way.to.0.group(latency)?);
        let cut = Cut { from, to };
        match way.loss {
            Some(loss) => {
                let percent = loss.0 * 100.0;
                self.begins(format!("cut: {percent} % lost from {} to {}", way.from.0, way.to.0));
                self.world.network().lossy.push((cut, loss.0));
            }
            None => {
                self.begins(format!("cut: nothing from {} to {}", way.from.0, way.to.0));
                self.world.network().cuts.push(cut);
                self.idle_since = Some(self.now());
            }
        }
        Ok(())
    }

    fn set_network(&mut self, at: &At) {
        let shares = [("loss", at.loss), ("duplicates", at.duplicate), ("disorder", at.reorder)];
        for (what, share) in shares {
            let Some(share) = share else { continue };
            self.ends(what);
            if share.0 > 0.0 {
                self.begins(format!("{what}: {} % of messages", share.0 * 100.0));
            }
            let network = self.world.network();
            match what {
                "loss" => network.loss = share.0,
                "duplicates" => network.duplicate = share.0,
                _ => network.reorder = share.0,
            }
        }
        if let Some(bandwidth) = at.bandwidth {
            self.begins(format!("bandwidth: {} bytes a second and node", bandwidth.0));
            self.world.network().bandwidth = Some(bandwidth.0);
        }
    }

    fn corrupt(&mut self, hostile: &Hostile) {
        let (who, kind) = (self.chosen(&hostile.who.0, false), hostile.kind.0);
        let targets: Vec<NodeIx> = match hostile.hides.as_ref().map(|who| who.0) {
            Some(Who::Range(first, end)) => (first..end.min(self.world.len())).collect(),
            _ => Vec::new(),
        };
        assert!(who.iter().all(|&i| i >= SEEDS), "a scenario's seeds are never hostile");
        self.begins(format!("{} nodes {kind}", who.len()));
        if kind == Kind::Eclipse {
            self.surrounded.extend(&targets);
        }
        for i in who {
            self.world.corrupt_against(i, kind, &targets);
            if kind == Kind::Equivocate {
                self.world.fork(i);
            }
        }
    }

    fn slow_down(&mut self, who: &[NodeIx], by_ms: Slot) {
        let by = core::time::Duration::from_millis(by_ms);
        if by_ms == 0 {
            self.ends("slow");
        } else {
            self.begins(format!("slow: {} nodes by {by_ms} ms", who.len()));
        }
        for &i in who {
            self.world.slow_down(i, by);
            self.slow.insert(i);
            self.starved.insert(i);
        }
    }

    fn set_clocks(&mut self, who: &[NodeIx], ahead_ms: i64) {
        if ahead_ms == 0 {
            self.ends("clock");
        } else {
            self.begins(format!("clock: {} nodes {ahead_ms} ms ahead", who.len()));
        }
        for &i in who {
            self.world.set_clock_error(i, ahead_ms);
            if ahead_ms.abs() > TOLERATED_MS {
                self.astray.insert(i);
            } else {
                self.astray.remove(&i);
            }
        }
    }

    pub(super) fn kill(&mut self, i: NodeIx) {
        self.world.kill(i);
        self.watched.iter_mut().filter(|w| w.node == i).for_each(|w| w.orphaned = true);
        self.recovering.remove(&i);
        let live = self.live();
        self.ledger.stopped(&mut self.world, i, &live);
    }

    fn restart(&mut self, restart: &Restart) {
        let who = match restart.who.0 {
            Who::Range(first, end) => {
                let down = self.chosen(&Who::Down, true);
                down.into_iter().filter(|i| (first..end).contains(i)).collect()
            }
            _ => self.chosen(&Who::Down, true),
        };
        let disk = if restart.disk { "with" } else { "without" };
        self.moment(format!("{} nodes start again {disk} their disks", who.len()));
        for &i in &who {
            if restart.moved {
                self.world.move_away(i);
            }
            self.ledger.returned(i);
            self.world.restart(i, restart.disk, &[]);
            self.unreached[i] = seeds_of(&self.world, i);
            self.dial_seeds(i);
        }
        // Who starts beside it may answer it before it has anything: all of them run by now.
        for i in who {
            self.resume_recovery(i);
            if !restart.disk {
                // Its application does not wait until it has its state back.
                self.load(&[i]);
            }
        }
    }

    /// Who lost its disk, or was killed before it had its state back, has to ask the others.
    fn resume_recovery(&mut self, i: NodeIx) {
        let now = self.world.clock_of(i);
        let recovers = self.world.node_mut(i).status(now).phase == Phase::Recovering;
        if recovers && self.world.is_honest(i) && self.recovering.insert(i) {
            let live = self.live();
            self.ledger.lost_disk(&self.world, i, &live);
        }
    }

    fn join(&mut self) {
        let i = self.world.add();
        self.unreached.push(seeds_of(&self.world, i));
        self.dial_seeds(i);
    }

    fn leave(&mut self, who: &Who, notice: bool) {
        let who = self.chosen(who, false);
        let how = if notice { "with" } else { "without" };
        self.moment(format!("{} nodes leave {how} notice", who.len()));
        for i in who {
            if notice {
                self.world.leave(i);
                self.left.insert(i);
                self.lingering.push((self.now() + LINGER, i));
            } else {
                self.kill(i);
                self.left.insert(i);
                self.silent.insert(i);
            }
        }
    }

    fn write(&mut self, write: &Write) {
        let node = write.node.0 as usize;
        if node >= self.world.len() || !self.world.is_up(node) {
            return;
        }
        let mut value = write.value.clone().into_bytes();
        value.resize(value.len().max(write.len.0 as usize), b'.');
        for n in 0..write.burst.map_or(1, |burst| burst.0) {
            let name = if write.burst.is_some() {
                format!("{}{n}", write.key.0)
            } else {
                write.key.0.clone()
            };
            let op = Op::Set { key: key(&name), value: value.clone().into(), ttl: None };
            let id = self.world.write(node, &op);
            self.writers.insert(node);
            self.watched.push(Watched {
                node,
                id,
                key: name,
                value: value.clone(),
                wrote: self.now(),
                reached: None,
                measured: write.measured,
                refused: write.refused,
                outcome: None,
                orphaned: false,
            });
        }
    }

    /// A random honest live node writes.
    pub(super) fn load(&mut self, live: &[NodeIx]) {
        if live.is_empty() {
            return;
        }
        let i = live[self.rng.below(live.len() as u32) as usize];
        if self.returns(i) {
            self.ledger.write(&mut self.world, i, &mut self.rng);
            self.writers.insert(i);
        }
    }

    fn dial_seeds(&mut self, i: NodeIx) {
        let seeds = core::mem::take(&mut self.unreached[i]);
        for seed in seeds {
            self.world.dial(i, seed);
            if !self.world.is_up(seed) || !self.world.network().connects(i, seed) {
                self.unreached[i].push(seed);
            }
        }
    }

    /// What shells do beside the protocol: seeds are dialled until they answer, and again by who
    /// has no link; silent links end; who left ends its process.
    pub(super) fn tick(&mut self) {
        let now = self.now();
        for i in core::mem::take(&mut self.writers) {
            let others = self.ledger.collect(&mut self.world, i);
            for (id, result) in others {
                let found = self.watched.iter_mut().find(|w| w.node == i && w.id == id);
                if let Some(watched) = found {
                    watched.outcome = Some(result.is_ok());
                }
            }
            self.writers.insert(i);
        }
        if now.is_multiple_of(10 * TICK) {
            self.keep_linked();
        }
        if self.idle_since.is_some_and(|since| now >= since + IDLE) {
            self.idle_since = None;
            self.world.end_cut_links();
        }
        let gone: Vec<_> = self.lingering.iter().filter(|(at, _)| *at <= now).copied().collect();
        self.lingering.retain(|(at, _)| *at > now);
        for (_, i) in gone {
            // A goodbye that hardly anybody heard before the process ended may die with those few.
            let live = self.live();
            let heard = |&&at: &&NodeIx| world_liveness::knows_goodbye(&self.world, at, i);
            if live.iter().filter(heard).count() < FEW.min(live.len()) {
                self.silent.insert(i);
            }
            self.kill(i);
        }
        if now.is_multiple_of(1_000) && !self.over {
            self.world.accuse_all();
        }
        if now.is_multiple_of(SURROUND) && !self.surrounded.is_empty() {
            let victims: Vec<NodeIx> = self.surrounded.iter().copied().collect();
            self.world.surround(Kind::Eclipse, &victims);
        }
        self.watch_recoveries();
        self.watch_writes();
    }

    fn keep_linked(&mut self) {
        for i in 0..self.world.len() {
            if !self.world.is_up(i) || self.left.contains(&i) {
                continue;
            }
            if self.world.node(i).linked().next().is_none() {
                self.unreached[i] = seeds_of(&self.world, i);
                self.world.dial_known(i);
            }
            if !self.unreached[i].is_empty() {
                self.dial_seeds(i);
            }
        }
    }

    /// Until a node has its state back, those that answer it may be ones that just started.
    fn watch_recoveries(&mut self) {
        for i in self.recovering.clone() {
            let now = self.world.clock_of(i);
            if self.world.node_mut(i).status(now).phase == Phase::Recovering {
                let live = self.live();
                self.ledger.lost_disk(&self.world, i, &live);
            } else {
                self.recovering.remove(&i);
            }
        }
    }

    fn watch_writes(&mut self) {
        if self.watched.iter().all(|w| !w.measured || w.reached.is_some()) {
            return;
        }
        let (live, now) = (self.live(), self.now());
        let Stage { world, watched, .. } = self;
        for watched in watched.iter_mut().filter(|w| w.measured && w.reached.is_none()) {
            let shows = |&i: &NodeIx| shows(world, i, &watched.key, &watched.value);
            if live.iter().all(shows) {
                watched.reached = Some(now);
            }
        }
    }

    /// Ends every fault that is not somebody's character.
    pub(super) fn end_faults(&mut self) {
        self.over = true;
        self.heal();
        let Network { loss, duplicate, reorder, bandwidth, .. } = self.world.network();
        (*loss, *duplicate, *reorder, *bandwidth) = (0.0, 0.0, 0.0, None);
        for i in core::mem::take(&mut self.slow) {
            self.world.slow_down(i, core::time::Duration::ZERO);
        }
        for what in ["loss", "duplicates", "disorder", "bandwidth", "slow"] {
            self.ends(what);
        }
    }

    /// Whether all that take part have taken their state back.
    pub(super) fn all_ready(&self) -> bool {
        let live = self.live();
        !self.recovering.iter().any(|i| live.contains(i))
    }
}

/// The seeds of node `i`.
fn seeds_of(world: &World, i: NodeIx) -> Vec<NodeIx> {
    (0..SEEDS.min(world.len())).filter(|&seed| seed != i).collect()
}

/// Whether node `i` shows this value.
pub(super) fn shows(world: &World, i: NodeIx, name: &str, value: &[u8]) -> bool {
    let wall = world.clock_of(i).wall;
    world.node(i).get(&key(name), wall).is_some_and(|shown| shown.value == value)
}
