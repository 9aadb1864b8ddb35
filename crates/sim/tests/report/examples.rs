//! Reports as runs give them, made by formulas, so that nothing but their printing is tested.

use knhk_mesh_sim::report::{
    FaultSpan, Point, RegionCurve, Report, RoundRow, Setup, Target, Verdict,
};

/// A share that grows like an epidemic: half at `half_ms`, the rest within about `3 * width_ms`.
fn curve(nodes: u32, half_ms: f64, width_ms: f64, until: f64) -> Vec<Point> {
    let nodes = f64::from(nodes);
    let grown = |ms: f64| 1.0 / (1.0 + ((half_ms - ms) / width_ms).exp());
    let whole = |share: f64| (share * nodes).round() / nodes;
    let points = (0..=60).map(|i| f64::from(i) * half_ms / 25.0).filter(|ms| *ms < until);
    let mut curve: Vec<Point> = points
        .map(|ms| Point { ms: ms.round(), informed: whole(grown(ms)).max(1.0 / nodes) })
        .collect();
    curve[0].ms = 0.0;
    curve.push(Point { ms: until, informed: 1.0 });
    curve.dedup_by(|later, before| later.ms <= before.ms || later.informed <= before.informed);
    curve
}

fn rounds(honest: u32, agents: u32, fanout: u32, count: u32, curve: &[Point]) -> Vec<RoundRow> {
    let (mut theory, mut before) = (1.0 / f64::from(agents), 1u64);
    let k = f64::from(fanout);
    let row = |round: u32| {
        let end = f64::from(round) * 100.0;
        let share = curve.iter().take_while(|p| p.ms <= end).last().map_or(0.0, |p| p.informed);
        let informed = (share * f64::from(honest)).round() as u64;
        theory = 1.0 - (1.0 - theory) * (-k * theory).exp() * (1.0 - theory).powf(k);
        let copies = (informed - before.min(informed)) * 5 / 4;
        before = informed;
        let messages = u64::from(agents * fanout) * 2 + copies;
        let bytes = messages * 96 + copies * 310;
        let (honest, theory) = (honest.into(), Some(theory));
        RoundRow { round, informed, honest, messages, copies, bytes, theory }
    };
    (1..=count).map(row).collect()
}

fn target(name: &str, unit: &str, bound: f64, measured: f64, required: bool) -> Target {
    Target {
        name: name.into(),
        unit: unit.into(),
        bound,
        measured,
        at_least: false,
        required,
        held: measured <= bound,
    }
}

fn setup() -> Setup {
    Setup {
        scenario: "spread".into(),
        seed: 7,
        fanout: 3,
        interval_ms: 100,
        lanes: "all".into(),
        latency: "lan".into(),
        loss: 0.0,
        adversaries: Vec::new(),
        warm_up: 1,
        wire: true,
        inputs: "5d1a3c0b9e8f7a62".into(),
        threads: 1,
        version: "0.1.0".into(),
    }
}

fn report(agents: u32, setup: Setup, curve: Vec<Point>, per_round: Vec<RoundRow>) -> Report {
    let last = curve.last().copied().unwrap();
    let nodes = f64::from(agents);
    let sum = |of: fn(&RoundRow) -> u64| per_round.iter().map(of).sum::<u64>() as f64;
    let informed = Target {
        at_least: true,
        held: last.informed >= 1.0,
        ..target("honest nodes informed", "share", 1.0, last.informed, true)
    };
    let rounds = (last.ms / 100.0).ceil();
    let bound = nodes.log2().ceil() + 3.0;
    Report {
        agents,
        rounds: rounds as u32,
        sim_ms: last.ms as u64,
        round_ms: 100,
        counted_ms: per_round.len() as u64 * 100,
        informed: last.informed,
        copies_per_agent: sum(|row| row.copies) / nodes,
        bytes_per_agent: sum(|row| row.bytes) / nodes,
        events: sum(|row| row.messages) as u64 * 3,
        events_per_cpu_s: 5_150_000.0,
        cpu_s: sum(|row| row.messages) * 3.0 / 5_150_000.0,
        rss_bytes: 20 << 20 | u64::from(agents) << 12,
        trace_hash: "7b92a53d70d4c620".into(),
        verdict: Verdict::Pass,
        setup,
        targets: vec![
            informed,
            target("rounds", "rounds", bound, rounds, true),
            target("simulated time, loosest bound", "ms", 5_000.0, last.ms, false),
            target("simulated time, strictest bound", "ms", 300.0, last.ms, false),
        ],
        broken: Vec::new(),
        curve,
        per_round,
        regions: Vec::new(),
        faults: Vec::new(),
        aftermath: None,
        further_ms: Vec::new(),
        notes: vec![
            "A flat overlay of sampled links: each node chose 12 others, over one directory that \
             all share; links stand for the whole run."
                .into(),
        ],
        reproduce: "knhk-mesh sim --agents 1000 --lanes all --fanout 3 --interval-ms 100 --seed 7 \
                    --latency lan"
            .into(),
    }
}

/// A thousand nodes without a fault: done within the first round, as the tree does it.
pub(crate) fn calm() -> Report {
    let curve = curve(1_000, 12.0, 1.6, 24.0);
    let rows = rounds(1_000, 1_000, 3, 1, &curve);
    let mut report = report(1_000, setup(), curve, rows);
    report.targets[3].held = true;
    report.targets.push(target("payload copies a node", "copies", 1.5, 1.25, false));
    report
}

/// Ten thousand nodes in five regions, a third of them silent, a tenth of the messages lost.
pub(crate) fn stormy() -> Report {
    let curve_all = curve(6_700, 430.0, 52.0, 871.0);
    let setup = Setup {
        lanes: "repair".into(),
        latency: "world".into(),
        loss: 0.1,
        adversaries: vec![("silent".into(), 0.33)],
        warm_up: 0,
        ..setup()
    };
    let rows = rounds(6_700, 10_000, 3, 9, &curve_all);
    let mut report = report(10_000, setup, curve_all, rows);
    let names = ["us-east", "us-west", "eu-west", "ap-southeast", "sa-east"];
    report.regions = names
        .iter()
        .zip([0.0, 24.0, 31.0, 88.0, 52.0])
        .map(|(name, late)| RegionCurve {
            name: (*name).into(),
            agents: 2_000,
            curve: curve(1_340, 400.0 + late, 50.0, 780.0 + late),
        })
        .collect();
    report.faults = [("10 % of messages lost", 0.0, 871.0), ("33 % silent", 0.0, 871.0)]
        .map(|(what, from_ms, until)| FaultSpan {
            from_ms,
            until_ms: Some(until),
            what: what.into(),
        })
        .into();
    report
}

/// A scenario that fails, with names that attack whoever prints them.
pub(crate) fn hostile() -> Report {
    let mut curve: Vec<Point> = (0..=40)
        .map(|i| {
            let ms = f64::from(i) * 60.0;
            let share = if ms < 300.0 {
                ms / 1_000.0
            } else if ms < 1_500.0 {
                0.3
            } else {
                ms / 2_500.0
            };
            Point { ms, informed: (share * 64.0).round().max(1.0) / 64.0 }
        })
        .collect();
    curve.truncate(39);
    let rows = rounds(64, 64, 3, 24, &curve);
    let setup = Setup { scenario: "<script>alert('x')</script>".into(), seed: u64::MAX, ..setup() };
    let mut report = report(64, setup, curve, rows);
    report.regions = vec![RegionCurve {
        name: "\"><img src=x onerror=alert(1)>, \u{1b}[31m".into(),
        agents: 64,
        curve: report.curve.clone(),
    }];
    let fault = |from_ms, until_ms, what: &str| FaultSpan { from_ms, until_ms, what: what.into() };
    report.faults = vec![
        fault(300.0, Some(1_500.0), "nodes 0-19 cut off from 20-63, one way only"),
        fault(-500.0, None, "5 % of messages lost & doubled"),
        fault(1_800.0, Some(1_801.0), "node 7 restarts without its disk <b>"),
    ];
    report.broken = vec![
        "node 12 shows a record that nobody wrote: key `</style><script>`, author ab12".into(),
        "honest nodes hold 2 different states at the end".into(),
    ];
    report.notes.push("A note with\nseveral lines\u{7}.".into());
    report.reproduce = "knhk-mesh sim --scenario \"a & b.toml\" --seed 18446744073709551615".into();
    report.judge();
    report
}
