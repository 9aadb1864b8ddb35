//! The partition drill holds what the project promises, in as many runs as a test may take.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use knhk_mesh_sim::drill::{Figures, Partition};

fn play(drill: &Partition) -> Figures {
    drill.run(&|_| ()).unwrap()
}

fn holds(figures: &Figures) {
    let all = format!("{figures:?}");
    assert_eq!((figures.undetected, figures.unrecovered, figures.false_alarms), (0, 0, 0), "{all}");
    let refused = (figures.writes_not_refused, figures.majority_writes_refused);
    assert_eq!((figures.lost_writes, refused), (0, (0, 0)), "{all}");
    assert!(figures.detection_ms.max <= 1_000 && figures.recovery_ms.max <= 5_000, "{all}");
    assert!(figures.acknowledged_writes > 0, "{all}");
}

#[test]
fn three_of_ten_notice_refuse_and_come_back() {
    holds(&play(&Partition { runs: 20, ..Partition::default() }));
}

#[test]
fn thirty_of_a_hundred_notice_refuse_and_come_back() {
    holds(&play(&Partition { agents: 100, minority: 30, runs: 2, ..Partition::default() }));
}

#[test]
fn a_lossy_world_with_silent_nodes_raises_no_alarm() {
    let split = Duration::from_secs(60);
    let calm = Partition { minority: 0, split, ..Partition::default() };
    let lossy = play(&Partition { loss: 0.1, runs: 4, ..calm.clone() });
    assert_eq!(lossy.false_alarms, 0, "{lossy:?}");
    let silent = play(&Partition { agents: 30, loss: 0.02, silent: 0.2, ..calm });
    assert_eq!(silent.false_alarms, 0, "{silent:?}");
    assert!(silent.node_seconds > 24.0 * 60.0);
}
