//! One update through a crowd: bounds, invariants, and one trace whatever drives it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use knhk_mesh_core::config::Lanes;
use knhk_mesh_sim::QueueKind;
use knhk_mesh_sim::adversary::{self, Kind};
use knhk_mesh_sim::report::{Report, Verdict};
use knhk_mesh_sim::spread::{Spread, SpreadError, run};

fn report(spread: &Spread) -> Report {
    run(spread, &mut |_| ()).unwrap()
}

fn hard(agents: u32, seed: u64) -> Spread {
    let adversaries = vec![(Kind::Silent, 0.33)];
    Spread { agents, seed, lanes: Lanes::Repair, loss: 0.1, adversaries, ..Spread::default() }
}

#[test]
fn threads_queue_and_repetition_do_not_change_the_run() {
    for spread in [Spread { agents: 3_000, ..Spread::default() }, hard(3_000, 4)] {
        let first = report(&spread);
        let wheel = Spread { threads: 2, ..spread.clone() };
        let heap = Spread { queue: QueueKind::Heap, threads: 3, ..spread.clone() };
        for mut other in [report(&spread), report(&wheel), report(&heap)] {
            other.setup.threads = first.setup.threads;
            assert_eq!(other, first);
        }
        let other = report(&Spread { seed: spread.seed + 1, ..spread.clone() });
        assert_ne!(other.trace_hash, first.trace_hash);
    }
}

#[test]
fn encoding_every_message_changes_nothing() {
    let plain = Spread { agents: 200, wire: Some(false), ..Spread::default() };
    let wire = Spread { wire: Some(true), ..plain.clone() };
    let (plain, wire) = (report(&plain), report(&wire));
    assert_eq!((plain.rounds, plain.events), (wire.rounds, wire.events));
    assert_eq!(plain.curve, wire.curve);
    assert_eq!(plain.trace_hash, wire.trace_hash);
}

#[test]
fn repair_alone_meets_the_bounds_with_a_third_silent_and_loss() {
    for agents in [10, 100, 1_000] {
        for seed in 0..10 {
            let report = report(&hard(agents, seed));
            assert_eq!(report.verdict, Verdict::Pass, "{}", report.reproduce);
        }
    }
}

#[test]
fn a_pruned_tree_brings_one_copy() {
    let report = report(&Spread { agents: 1_000, ..Spread::default() });
    assert!((0.9..1.2).contains(&report.copies_per_agent), "{}", report.copies_per_agent);
    assert_eq!(report.rounds, 1);
}

/// Copies on their way when the last node learns it are paid for as well.
#[test]
fn the_cost_is_counted_until_no_copy_is_under_way() {
    // Nothing is pruned yet: everybody passes it to everybody, over slow ways.
    let latency = "world".parse().unwrap();
    let flood = Spread { agents: 200, latency, warm_up: Some(0), ..Spread::default() };
    let report = report(&flood);
    let rows = &report.per_round;
    let sum = |of: fn(&knhk_mesh_sim::report::RoundRow) -> u64| rows.iter().map(of).sum::<u64>();
    assert_eq!(sum(|row| row.copies) as f64, report.copies_per_agent * 200.0);
    assert_eq!(sum(|row| row.bytes) as f64, report.bytes_per_agent * 200.0);
    assert_eq!(report.counted_ms, rows.len() as u64 * 100);
    assert!(report.counted_ms > report.sim_ms && rows.len() > report.rounds as usize);
    assert!(rows.last().is_some_and(|row| row.copies > 0), "trailing quiet is left out");
    // 24 links each in the mean: everybody gets it over all of them but those it passed it on by.
    assert!((10.0..24.0).contains(&report.copies_per_agent), "{}", report.copies_per_agent);
    assert!(report.notes.iter().any(|note| note.contains("until the update rested")));
}

#[test]
fn copies_that_never_end_are_said() {
    let adversaries = vec![(Kind::Replay, 0.3)];
    let loud = Spread { agents: 60, seed: 12, adversaries, ..Spread::default() };
    assert!(report(&loud).notes.iter().any(|note| note.contains("somebody repeats them")));
}

#[test]
fn further_updates_are_timed_one_by_one() {
    let some = Spread { agents: 100, updates: 40, loss: 0.1, ..Spread::default() };
    let report = report(&some);
    assert_eq!((report.verdict, report.further_ms.len()), (Verdict::Pass, 39));
    let times: std::collections::BTreeSet<_> = report.further_ms.iter().copied().collect();
    assert!(times.len() > 3 && !times.contains(&None), "each its own: {times:?}");
    assert!(report.notes.iter().any(|note| note.starts_with("39 further updates")));
    assert!(report.reproduce.contains("--updates 40"));
    // The first one is measured as if it were alone.
    let alone = run(&Spread { updates: 1, ..some }, &mut |_| ()).unwrap();
    assert_eq!((alone.sim_ms, alone.curve), (report.sim_ms, report.curve));
}

/// A bound in intervals says nothing where an exchange takes longer than an interval.
#[test]
fn the_bound_counts_exchanges_where_they_are_longer_than_intervals() {
    let far = Spread { agents: 100, latency: "world".parse().unwrap(), ..hard(100, 1) };
    let near = Spread { latency: "10-50ms".parse().unwrap(), ..far.clone() };
    assert_eq!((far.round_ms(), near.round_ms(), hard(100, 1).round_ms()), (209, 100, 100));
    let [far, near] = [far, near].map(|spread| report(&spread));
    let names = |report: &Report| -> Vec<(String, bool)> {
        let rounds = report.targets.iter().filter(|target| target.name.starts_with("rounds"));
        rounds.map(|target| (target.name.clone(), target.required)).collect()
    };
    assert_eq!(names(&near), [("rounds".into(), true)]);
    let expected = [("rounds of 209 ms, an exchange", true), ("rounds, as intervals", false)];
    assert_eq!(names(&far), expected.map(|(name, required)| (name.to_owned(), required)));
    assert!(far.notes.iter().any(|note| note.contains("the bound counts rounds of that length")));
}

#[test]
fn a_third_that_floods_costs_no_more_than_its_bound() {
    let adversaries = vec![(Kind::Flood, 0.33)];
    let flood = Spread { agents: 300, seed: 3, adversaries, ..Spread::default() };
    let report = report(&flood);
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.broken);
    let ms = 100.0 * (report.per_round.len() as f64);
    let most = 99.0 * adversary::FLOOD_MOST as f64 * (ms / adversary::FLOOD_EVERY as f64 + 1.0);
    let sent: u64 = report.per_round.iter().map(|row| row.messages).sum();
    // Each may be answered once.
    assert!((sent as f64) < 2.0 * most + 300.0 * 50.0 * ms / 100.0, "{sent} of {most}");
}

#[test]
fn liars_of_every_kind_stop_nobody_and_spoil_nothing() {
    for kind in Kind::ALL {
        for lanes in [Lanes::All, Lanes::Repair] {
            let adversaries = vec![(kind, 0.33)];
            let spread = Spread { agents: 40, seed: 3, lanes, adversaries, ..Spread::default() };
            let report = report(&spread);
            assert_eq!(report.verdict, Verdict::Pass, "{}: {:?}", report.reproduce, report.broken);
        }
    }
}

#[test]
fn what_cannot_be_run_is_said() {
    let progress = &mut |_| ();
    let one = Spread { agents: 1, ..Spread::default() };
    assert_eq!(run(&one, progress), Err(SpreadError::Agents(1)));
    let all = Spread { adversaries: vec![(Kind::Silent, 1.0)], ..Spread::default() };
    assert_eq!(run(&all, progress), Err(SpreadError::NobodyHonest { liars: 100, agents: 100 }));
    let loss = Spread { loss: f64::NAN, ..Spread::default() };
    assert!(matches!(run(&loss, progress), Err(SpreadError::Share(_))));
    let fanout = Spread { fanout: 0, ..Spread::default() };
    assert!(matches!(run(&fanout, progress), Err(SpreadError::Setting(_))));
}
