//! One update through a crowd: bounds, invariants, and one trace whatever drives it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use knhk_mesh_core::config::Lanes;
use knhk_mesh_sim::QueueKind;
use knhk_mesh_sim::adversary::Kind;
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
