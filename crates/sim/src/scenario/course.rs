//! The course of a run: first the faults, under which nothing bad may happen, then their end, after
//! which good things must happen within their bounds.

use core::time::Duration;

use knhk_mesh_core::config::{Config, Detect, Lanes, Settings};
use knhk_mesh_core::rng::{Rng, mix};
use knhk_mesh_core::time::Time;

use super::ScenarioError;
use super::file::{File, Lane, Watching};
use super::ledger;
use super::showing::{Measured, report};
use super::stage::{Stage, TICK};
use crate::checkers::{world_liveness, world_safety};
use crate::engine::{Slot, Tally};
use crate::latency::Latency;
use crate::network::Network;
use crate::report::{Point, RegionCurve, Report, RoundRow};
use crate::spread::Progress;
use crate::world::{Drive, NodeIx, World};

/// Rows of a report at most; each covers whole intervals.
const MAX_ROWS: Slot = 200;
/// Most broken invariants that are told.
const MOST: usize = 10;
/// How long agreement must last to count.
const REST: Slot = 1_000;

/// Runs `file`.
pub(super) fn run(
    file: &File,
    drive: Drive,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, ScenarioError> {
    let config = config(file);
    Settings::new(config.clone())?;
    let interval = config.interval.as_millis() as Slot;
    let links = &file.network;
    let network = Network {
        latency: links.latency.as_ref().map(|ways| ways.0.clone()).unwrap_or_default(),
        loss: links.loss.0,
        duplicate: links.duplicate.0,
        reorder: links.reorder.0,
        bandwidth: links.bandwidth.map(|b| b.0),
        ..Network::default()
    };
    let rng = Rng::new(mix(file.seed ^ 0x7363_656e));
    let by_region = regions(&network.latency, file.agents.0 as usize);
    let world = World::driven(file.agents.0 as usize, config, network, file.seed, drive);
    let most = file.seconds.0 * 1_000 + file.expect.agree_within_ms.0;
    let each = most.div_ceil(MAX_ROWS).next_multiple_of(interval);
    let mut course = Course {
        file,
        stage: Stage::new(world, rng),
        each,
        interval,
        most,
        rows: Vec::new(),
        curve: Vec::new(),
        by_region,
        last: Tally::default(),
        busiest: Busiest::default(),
        progress,
    };
    course.faults()?;
    let measured = course.settle();
    let Course { stage, rows, curve, by_region, .. } = course;
    Ok(Report { regions: by_region, ..report(file, drive, stage, rows, curve, &measured) })
}

/// A curve for each region, if there are several; their nodes are those of the start.
fn regions(latency: &Latency, nodes: usize) -> Vec<RegionCurve> {
    let names = latency.regions().iter().enumerate();
    let one = |(region, name): (usize, &String)| {
        let agents = (0..nodes).filter(|&i| latency.region_of(i) == region).count() as u32;
        RegionCurve { name: name.clone(), agents, curve: Vec::new() }
    };
    if names.len() > 1 { names.map(one).collect() } else { Vec::new() }
}

fn config(file: &File) -> Config {
    let mut config = Config::default();
    let settings = &file.config;
    if let Some(fanout) = settings.fanout {
        config.fanout = fanout.0 as usize;
    }
    if let Some(interval) = settings.interval_ms {
        config.interval = Duration::from_millis(interval.0);
    }
    if let Some(links) = settings.chosen_links {
        config.chosen_links = links.0 as usize;
    }
    if let Some(links) = settings.max_links {
        config.max_links = links.0 as usize;
    }
    if let Some(payload) = settings.max_payload {
        config.genesis.limits.max_payload = payload.0 as u16;
    }
    if let Some(authors) = settings.max_authors {
        config.genesis.limits.max_authors = authors.0 as u32;
    }
    if settings.lanes == Lane::Repair {
        config.lanes = Lanes::Repair;
    }
    config.detect = match settings.detect {
        Watching::Off => Detect::Off,
        Watching::Fast => Detect::Fast,
        Watching::Thrifty => Detect::Thrifty,
    };
    config
}

/// Bytes that each node sent until the last whole second, and the most in one.
#[derive(Default)]
struct Busiest {
    sent: Vec<u64>,
    most: u64,
}

impl Busiest {
    fn look(&mut self, world: &World) {
        self.sent.resize(world.len(), 0);
        for (i, sent) in self.sent.iter_mut().enumerate().filter(|(i, _)| world.is_honest(*i)) {
            let now = world.sent(i);
            self.most = self.most.max(now - *sent);
            *sent = now;
        }
    }
}

struct Course<'a> {
    file: &'a File,
    stage: Stage,
    /// Milliseconds of a row.
    each: Slot,
    interval: Slot,
    /// Milliseconds that the run can last.
    most: Slot,
    rows: Vec<RoundRow>,
    curve: Vec<Point>,
    by_region: Vec<RegionCurve>,
    last: Tally,
    busiest: Busiest,
    progress: &'a mut dyn FnMut(Progress),
}

impl Course<'_> {
    fn advance(&mut self, to: Slot) {
        self.stage.world.run_until(Time::from_ms(to), |_| false);
    }

    /// The first phase: everything on the time line happens.
    fn faults(&mut self) -> Result<(), ScenarioError> {
        let end = self.file.seconds.0 * 1_000;
        let writes = self.file.load.writes_per_s.0;
        let from = self.file.load.from_ms.0;
        let (mut next, mut wrote, mut live) = (0, 0u64, self.stage.live());
        while self.stage.now() < end {
            let tick_end = (self.stage.now() / TICK + 1) * TICK;
            while let Some(at) = self.file.at.get(next).filter(|at| at.ms.0 < tick_end) {
                self.advance(at.ms.0);
                let (entry, ms) = (next + 1, at.ms.0);
                let acted = self.stage.act(at);
                acted.map_err(|why| ScenarioError::Entry { entry, ms, why })?;
                next += 1;
                live = self.stage.live();
            }
            // Writes are spread evenly over the seconds.
            let due = |ms: Slot| ms.saturating_sub(from).saturating_mul(writes) / 1_000;
            while wrote < due(tick_end) {
                let at = from + (wrote + 1) * 1_000 / writes.max(1);
                self.advance(at.min(tick_end).max(self.stage.now()));
                self.stage.load(&live);
                wrote += 1;
            }
            self.advance(tick_end);
            self.look("under faults");
            live = self.stage.live();
        }
        // What stands at the very end still happens.
        for (entry, at) in self.file.at.iter().enumerate().skip(next) {
            let acted = self.stage.act(at);
            acted.map_err(|why| ScenarioError::Entry { entry: entry + 1, ms: at.ms.0, why })?;
        }
        self.check_safety();
        Ok(())
    }

    /// The second phase: no more faults, no more writes.
    fn settle(&mut self) -> Measured {
        self.stage.end_faults();
        let start = self.stage.now();
        let deadline = start + self.file.expect.agree_within_ms.0;
        let mut agreed: Option<Slot> = None;
        loop {
            let holds = self.agrees();
            agreed = agreed.filter(|_| holds).or(holds.then(|| self.stage.now()));
            let rested = agreed.is_some_and(|at| self.stage.now() >= at + REST);
            let late = self.stage.now() >= deadline && agreed.is_none();
            if rested || late {
                break;
            }
            self.advance(self.stage.now() + TICK);
            self.look("settling");
        }
        self.row();
        self.check_safety();
        let live = self.stage.live();
        let members = self.members(&live);
        let gone: Vec<NodeIx> = self.stage.left.difference(&self.stage.silent).copied().collect();
        let world = &mut self.stage.world;
        let in_agreement = world_liveness::in_agreement(world, &live);
        let wrong = |&i: &NodeIx| world_liveness::directory(world, i, &members, &gone);
        let directories = live.iter().filter_map(wrong).collect();
        let listed = live.iter().map(|&i| world.node(i).registry().members());
        let listed = listed.clone().min().zip(listed.max()).unwrap_or_default();
        let returns = |i: NodeIx| self.stage.returns(i);
        let missing = |&i: &NodeIx| self.stage.ledger.against(&self.stage.world, i, returns);
        let lost = live.iter().flat_map(missing).collect();
        let wrong = self.wrong_views(&live, agreed.is_some());
        Measured {
            agreed_after: agreed.map(|at| at.max(start) - start),
            in_agreement: in_agreement as f64 / live.len().max(1) as f64,
            directories,
            lost,
            wrong,
            listed,
            busiest: self.busiest.most,
            live,
            interval: self.interval,
        }
    }

    /// What is wrong with what `live` nodes show and were told, beside what is missing.
    fn wrong_views(&self, live: &[NodeIx], one_state: bool) -> Vec<String> {
        let (world, ledger) = (&self.stage.world, &self.stage.ledger);
        let returns = |i: NodeIx| self.stage.returns(i);
        let merges = |&i: &NodeIx| ledger.against_merges(world, i, returns);
        let silent = live.iter().filter_map(|&i| match ledger.unanswered(i) {
            0 => None,
            n => Some(format!("node {i} never told what became of {n} writes")),
        });
        let views = || ledger::differing(|i| ledger.views(world, i), live);
        let differing = if one_state { views() } else { None };
        live.iter().flat_map(merges).chain(silent).chain(differing).collect()
    }

    /// Honest nodes that every directory should list: those that are up, and those that went
    /// without a word after they had announced themselves.
    fn members(&self, live: &[NodeIx]) -> Vec<NodeIx> {
        let stage = &self.stage;
        let gone = |i: &NodeIx| stage.left.contains(i) && !stage.silent.contains(i);
        let known = |i: &NodeIx| {
            live.first().is_some_and(|&at| world_liveness::lists(&stage.world, at, *i))
        };
        let honest = |i: &NodeIx| stage.world.is_honest(*i);
        let listed = |i: &NodeIx| live.contains(i) || known(i);
        (0..stage.world.len()).filter(|i| honest(i) && !gone(i) && listed(i)).collect()
    }

    fn agrees(&mut self) -> bool {
        let live = self.stage.live();
        self.stage.all_ready()
            && !live.is_empty()
            && world_liveness::in_agreement(&mut self.stage.world, &live) == live.len()
    }

    /// What is looked at after each tick.
    fn look(&mut self, stage: &'static str) {
        self.stage.tick();
        let now = self.stage.now();
        if now.is_multiple_of(1_000) {
            if self.stage.broken.is_empty() {
                self.stage.broken.extend(world_safety::queues(&self.stage.world));
            }
            if now <= self.file.seconds.0 * 1_000 {
                self.busiest.look(&self.stage.world);
            }
            let (sim_ms, events) = (now, self.stage.world.tally().events);
            let done = now as f64 / self.most as f64;
            (self.progress)(Progress { stage, sim_ms, done, events });
        }
        if now.is_multiple_of(self.each) {
            self.row();
        }
    }

    fn row(&mut self) {
        let now = self.stage.now();
        let round = (now / self.interval) as u32;
        if self.rows.last().is_some_and(|row| row.round == round) {
            return;
        }
        let live = self.stage.live();
        let agreeing = world_liveness::agreeing(&mut self.stage.world, &live);
        self.regions(now, &live, &agreeing);
        let informed = agreeing.len();
        let tally = self.stage.world.tally();
        self.rows.push(RoundRow {
            round,
            informed: informed as u64,
            honest: live.len() as u64,
            messages: tally.messages - self.last.messages,
            copies: tally.copies - self.last.copies,
            bytes: tally.bytes - self.last.bytes,
            theory: None,
        });
        let share = informed as f64 / live.len().max(1) as f64;
        self.curve.push(Point { ms: now as f64, informed: share });
        self.last = tally;
    }

    /// The share of each region, if there are several.
    fn regions(&mut self, now: Slot, live: &[NodeIx], agreeing: &[NodeIx]) {
        let latency = &self.stage.world.network().latency;
        for (region, curve) in self.by_region.iter_mut().enumerate() {
            let lies = |i: &&NodeIx| latency.region_of(**i) == region;
            let (of, agree) = (live.iter().filter(lies), agreeing.iter().filter(lies));
            let informed = agree.count() as f64 / of.count().max(1) as f64;
            curve.curve.push(Point { ms: now as f64, informed });
        }
    }

    fn check_safety(&mut self) {
        self.stage.broken.extend(world_safety::queues(&self.stage.world));
        let live = self.stage.live();
        if live.is_empty() {
            self.stage.broken.push("no honest node is left that runs and takes part".into());
        }
        for i in live {
            if self.stage.broken.len() >= MOST {
                break;
            }
            let found = world_safety::check(&self.stage.world, i);
            for what in found {
                if !self.stage.broken.contains(&what) {
                    self.stage.broken.push(what);
                }
            }
        }
        self.stage.broken.truncate(MOST);
    }
}
