//! The regression gate: a fixed set of small runs against the figures that are committed. What got
//! better or worse shows up here before it shows up at a million nodes.
//!
//! `make sim-check` compares; `make sim-accept` writes the figures of this code into
//! `tests/baseline.json`, to be committed with the change that explains them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use knhk_mesh_core::config::Lanes;
use knhk_mesh_sim::adversary::Kind;
use knhk_mesh_sim::report::Verdict;
use knhk_mesh_sim::spread::{Spread, run};
use serde::{Deserialize, Serialize};

/// What is compared of a run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Figures {
    rounds: u32,
    sim_ms: u64,
    copies_per_agent: f64,
    bytes_per_agent: f64,
    events: u64,
    trace_hash: String,
}

fn runs() -> Vec<(String, Spread)> {
    let mut runs = Vec::new();
    for agents in [10, 100, 1_000] {
        let plain = Spread { agents, seed: 11, ..Spread::default() };
        let repair = Spread { lanes: Lanes::Repair, ..plain.clone() };
        let silent = vec![(Kind::Silent, 0.33)];
        let hard = Spread { loss: 0.1, adversaries: silent, ..repair.clone() };
        let far = Spread { latency: "world".parse().unwrap(), ..plain.clone() };
        runs.push((format!("{agents} all"), plain));
        runs.push((format!("{agents} repair"), repair));
        runs.push((format!("{agents} repair, a third silent, 10 % loss"), hard));
        runs.push((format!("{agents} all, world"), far));
    }
    for kind in Kind::ALL {
        let adversaries = vec![(kind, 0.3)];
        let run = Spread { agents: 60, seed: 12, adversaries, ..Spread::default() };
        runs.push((format!("60 all, 30 % {kind}"), run));
    }
    runs
}

#[test]
fn the_figures_are_those_of_the_baseline() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/baseline.json");
    let mut now = BTreeMap::new();
    for (name, spread) in runs() {
        let report = run(&spread, &mut |_| ()).unwrap();
        assert_eq!(report.verdict, Verdict::Pass, "{name}: {report:?}");
        let figures = Figures {
            rounds: report.rounds,
            sim_ms: report.sim_ms,
            copies_per_agent: report.copies_per_agent,
            bytes_per_agent: report.bytes_per_agent,
            events: report.events,
            trace_hash: report.trace_hash,
        };
        now.insert(name, figures);
    }
    if std::env::var_os("SIM_ACCEPT").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&now).unwrap() + "\n").unwrap();
        return;
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let committed: BTreeMap<String, Figures> = serde_json::from_str(&text).unwrap();
    let mut differences = String::new();
    for (name, figures) in &now {
        match committed.get(name) {
            Some(before) if before == figures => {}
            Some(before) => differences += &compare(name, before, figures),
            None => differences += &format!("{name}: new\n"),
        }
    }
    let gone = committed.keys().filter(|name| !now.contains_key(*name));
    gone.for_each(|name| differences += &format!("{name}: gone\n"));
    assert!(
        differences.is_empty(),
        "the simulator's figures changed:\n{differences}If that is what the change is for: \
         make sim-accept, and commit tests/baseline.json with it."
    );
}

fn compare(name: &str, before: &Figures, now: &Figures) -> String {
    let mut lines = format!("{name}\n");
    let mut line = |what: &str, before: f64, now: f64| {
        if before != now {
            lines += &format!("  {what:16} {before:>14.3} -> {now:>14.3}\n");
        }
    };
    line("rounds", before.rounds.into(), now.rounds.into());
    line("simulated ms", before.sim_ms as f64, now.sim_ms as f64);
    line("copies a node", before.copies_per_agent, now.copies_per_agent);
    line("bytes a node", before.bytes_per_agent, now.bytes_per_agent);
    line("events", before.events as f64, now.events as f64);
    if before.trace_hash != now.trace_hash {
        lines += &format!("  trace            {} -> {}\n", before.trace_hash, now.trace_hash);
    }
    lines
}
