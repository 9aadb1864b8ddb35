//! What a run of a scenario showed, as a report: expectations are its targets, broken invariants
//! are told in words.

use knhk_mesh_core::identity::NodeId;
use knhk_mesh_core::telemetry::Event;

use super::file::{Expect, File, Lane};
use super::stage::{Stage, shows};
use crate::engine::Slot;
use crate::report::{Aftermath, Point, Report, RoundRow, Setup, Target, Verdict};
use crate::shell;
use crate::world::{Drive, NodeIx};

/// Most broken expectations of one kind that are told.
const MOST: usize = 10;

/// What was measured at the end.
pub(super) struct Measured {
    /// Milliseconds from the end of the faults.
    pub(super) agreed_after: Option<Slot>,
    /// Share of the honest live nodes that hold the state that most hold.
    pub(super) in_agreement: f64,
    /// What is wrong with directories.
    pub(super) directories: Vec<String>,
    /// Acknowledged writes that are missing.
    pub(super) lost: Vec<String>,
    /// Views that no order of the writes gives, and writes that nobody heard of.
    pub(super) wrong: Vec<String>,
    /// Members in the shortest and the longest directory.
    pub(super) listed: (usize, usize),
    pub(super) busiest: u64,
    pub(super) live: Vec<NodeIx>,
    pub(super) interval: Slot,
}

pub(super) fn report(
    file: &File,
    drive: Drive,
    mut stage: Stage,
    rows: Vec<RoundRow>,
    curve: Vec<Point>,
    measured: &Measured,
) -> Report {
    let tally = stage.world.tally();
    let nodes = stage.world.len();
    let sim_ms = measured.agreed_after.unwrap_or(file.expect.agree_within_ms.0);
    let targets = targets(file, &mut stage, measured);
    let mut broken = core::mem::take(&mut stage.broken);
    for list in [&measured.lost, &measured.wrong, &measured.directories] {
        broken.extend(list.iter().take(MOST).cloned());
    }
    broken.extend(wrong_writes(&stage, &file.expect, measured));
    let mut report = Report {
        agents: nodes as u32,
        rounds: sim_ms.div_ceil(measured.interval) as u32,
        sim_ms,
        round_ms: measured.interval,
        counted_ms: stage.world.now().0 / 1_000_000,
        informed: measured.in_agreement,
        copies_per_agent: tally.copies as f64 / nodes as f64,
        bytes_per_agent: tally.bytes as f64 / nodes as f64,
        events: tally.events,
        events_per_cpu_s: 0.0,
        cpu_s: 0.0,
        rss_bytes: 0,
        trace_hash: format!("{:016x}", stage.world.trace()),
        verdict: Verdict::Pass,
        setup: setup(file, drive, &stage, measured),
        targets,
        broken,
        curve,
        per_round: rows,
        regions: Vec::new(),
        aftermath: Some(aftermath(&stage, measured)),
        further_ms: Vec::new(),
        notes: notes(file, &stage, measured),
        faults: stage.faults,
        reproduce: reproduce(&format!("{}.toml", file.name.0), file.seed),
    };
    report.judge();
    report
}

/// The command that runs the scenario file at `path` again.
#[must_use]
pub fn reproduce(path: &str, seed: u64) -> String {
    format!("knhk-mesh sim --scenario {} --seed {seed}", shell::word(path))
}

fn setup(file: &File, drive: Drive, stage: &Stage, measured: &Measured) -> Setup {
    let nodes = stage.world.len();
    let mut adversaries: Vec<(String, f64)> = Vec::new();
    for kind in (0..nodes).filter_map(|i| stage.world.conduct(i)) {
        let share = 1.0 / nodes as f64;
        match adversaries.iter_mut().find(|(name, _)| name == kind.name()) {
            Some((_, sum)) => *sum += share,
            None => adversaries.push((kind.name().into(), share)),
        }
    }
    let lanes = if file.config.lanes == Lane::Repair { "repair" } else { "all" };
    let latency = file.network.latency.as_ref().map_or("lan", |ways| ways.0.name());
    Setup {
        scenario: file.name.0.clone(),
        seed: file.seed,
        fanout: file.config.fanout.map_or(3, |fanout| fanout.0) as u32,
        interval_ms: measured.interval,
        lanes: lanes.into(),
        latency: latency.into(),
        loss: file.network.loss.0,
        adversaries,
        warm_up: 0,
        wire: drive.wire,
        inputs: format!("{:016x}", file.print),
        threads: drive.threads as u32,
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

fn target(name: &str, unit: &str, bound: u64, measured: u64) -> Target {
    Target {
        name: name.into(),
        unit: unit.into(),
        bound: bound as f64,
        measured: measured as f64,
        at_least: false,
        required: true,
        held: measured <= bound,
    }
}

fn targets(file: &File, stage: &mut Stage, measured: &Measured) -> Vec<Target> {
    let expect = &file.expect;
    let live = &measured.live;
    let bound = expect.agree_within_ms.0;
    let ms = measured.agreed_after;
    let agreement = Target {
        held: ms.is_some_and(|ms| ms <= bound),
        ..target("agreement after the faults", "ms", bound, ms.unwrap_or(bound))
    };
    let lost = target("acknowledged writes lost", "writes", 0, measured.lost.len() as u64);
    let wrong = target("wrong directories", "nodes", 0, measured.directories.len() as u64);
    let mut targets = vec![agreement, lost, wrong];
    let mut at_most = |name: &str, unit: &str, bound: Option<u64>, measured: u64| {
        targets.extend(bound.map(|bound| target(name, unit, bound, measured)));
    };
    let world = &stage.world;
    let most = |of: &dyn Fn(NodeIx) -> usize| live.iter().map(|&i| of(i)).max().unwrap_or(0) as u64;
    if let Some(bound) = expect.reach_within_ms.map(|ms| ms.0) {
        let late = Slot::MAX >> 12;
        let took = |w: &super::stage::Watched| w.reached.map_or(late, |at| at - w.wrote);
        let slowest = stage.watched.iter().filter(|w| w.measured).map(took).max();
        at_most("a measured write everywhere", "ms", Some(bound), slowest.unwrap_or(late));
    }
    let links = most(&|i| world.node(i).linked().count());
    at_most("links of a node", "links", expect.max_links.map(|n| n.0), links);
    let busiest = expect.max_bytes_per_s.map(|n| n.0);
    at_most("bytes of the busiest second of a node", "bytes", busiest, measured.busiest);
    let sent = live.iter().map(|&i| world.sent(i)).sum::<u64>() / live.len().max(1) as u64;
    let mean = sent * 1_000 / (world.now().0 / 1_000_000).max(1);
    at_most("bytes a second and node", "bytes", expect.mean_bytes_per_s.map(|n| n.0), mean);
    let digest = world.tally().longest_digest;
    at_most(
        "longest message of the digest lane",
        "bytes",
        expect.max_digest_bytes.map(|n| n.0),
        digest,
    );
    let records = most(&|i| world.node(i).store().len());
    at_most("entries of a node", "records", expect.max_records.map(|n| n.0), records);
    targets.extend(provoked(expect, stage, live));
    if let Some(members) = expect.members {
        let (least, most) = (measured.listed.0 as u64, measured.listed.1 as u64);
        let found = if least == members.0 { most } else { least };
        let held = found == members.0;
        targets.push(Target { held, ..target("members", "nodes", members.0, found) });
    }
    targets
}

/// What healthy nodes took each other for, and whether the fault was there at all. What a node
/// without CPU time thinks of itself and others is its own affair.
fn provoked(expect: &Expect, stage: &Stage, live: &[NodeIx]) -> Vec<Target> {
    let world = &stage.world;
    let healthy = |i: &NodeIx| !stage.starved.contains(i);
    let told = |wanted: &dyn Fn(&Event) -> bool| -> u64 {
        let of = |&i: &NodeIx| world.events(i).iter().filter(|e| wanted(e)).count() as u64;
        live.iter().filter(|i| healthy(i)).map(of).sum()
    };
    let alarms = expect.max_alarms.map(|most| {
        let found = told(&|event| matches!(event, Event::Partitioned { .. }));
        target("alarms of a partition", "times", most.0, found)
    });
    let lost = expect.max_lost_members.map(|most| {
        let is_healthy = |id: &NodeId| world.by_id(id).is_some_and(|i| healthy(&i));
        let found = told(&|event| matches!(event, Event::MemberLost(id) if is_healthy(id)));
        target("members taken for lost", "times", most.0, found)
    });
    let congested = expect.min_congested.map(|least| {
        let found = world.tally().congested;
        let dropped = target("messages dropped by full uplinks", "messages", least.0, found);
        Target { at_least: true, held: found >= least.0, ..dropped }
    });
    alarms.into_iter().chain(lost).chain(congested).collect()
}

/// Writes of the time line that did not do what was expected.
fn wrong_writes(stage: &Stage, expect: &Expect, measured: &Measured) -> Vec<String> {
    let mut wrong = Vec::new();
    for watched in &stage.watched {
        let name = &watched.key;
        match (watched.refused, watched.outcome) {
            (true, Some(false)) | (false, Some(true)) => {}
            (true, _) => wrong.push(format!("the write of {name} was not refused")),
            (false, Some(false)) => wrong.push(format!("the write of {name} was refused")),
            // Who was killed, has left or is hostile tells nothing.
            (false, None) if watched.orphaned || !measured.live.contains(&watched.node) => {}
            (false, None) => wrong.push(format!("the write of {name} had no outcome")),
        }
    }
    for &i in &measured.live {
        for (name, value) in &expect.shows {
            if !shows(&stage.world, i, &name.0, value.as_bytes()) {
                wrong.push(format!("node {i} does not show {} as {value}", name.0));
            }
        }
        for name in &expect.absent {
            let wall = stage.world.clock_of(i).wall;
            if stage.world.node(i).get(&super::ledger::key(&name.0), wall).is_some() {
                wrong.push(format!("node {i} shows {}, which was deleted", name.0));
            }
        }
    }
    wrong.truncate(MOST);
    wrong
}

fn aftermath(stage: &Stage, measured: &Measured) -> Aftermath {
    let (world, ledger) = (&stage.world, &stage.ledger);
    Aftermath {
        agreed_after_ms: measured.agreed_after,
        writes_acknowledged: ledger.acknowledged,
        writes_refused: ledger.refused,
        writes_gone: ledger.forgiven,
        writes_lost: measured.lost.len() as u64,
        messages_refused: (0..world.len()).map(|i| world.node(i).counters().refused_total()).sum(),
    }
}

fn notes(file: &File, stage: &Stage, measured: &Measured) -> Vec<String> {
    let (world, ledger) = (&stage.world, &stage.ledger);
    let refused: u64 = (0..world.len()).map(|i| world.node(i).counters().refused_total()).sum();
    let convicted = |e: &&Event| matches!(e, Event::Convicted(..));
    let convictions =
        measured.live.first().map_or(0, |&i| world.events(i).iter().filter(convicted).count());
    let after = measured.agreed_after.map_or("not in time".into(), |ms| format!("{ms} ms"));
    vec![
        format!("Named after {}.", file.source),
        format!(
            "After the faults: one state after {after}. Writes: {} acknowledged, {} refused, {} \
             gone with a lost disk before every node held them. Messages refused: {refused}; \
             convictions: {convictions}.",
            ledger.acknowledged, ledger.refused, ledger.forgiven
        ),
        "The first three nodes are everybody's seeds; curve and rounds count honest live nodes \
         that hold the state that most of them hold."
            .into(),
    ]
}
