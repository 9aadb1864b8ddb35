//! Random faults over real membership: a handful of seeds here, a thousand by `make sim-nightly`.

use knhk_mesh_sim::QueueKind;
use knhk_mesh_sim::chaos::{run, scenario};
use knhk_mesh_sim::report::Verdict;
use knhk_mesh_sim::world::Drive;

#[test]
fn a_handful_of_seeds_holds() {
    for seed in 0..8 {
        let report = run(seed, 20, 20, Drive::default()).unwrap();
        let missed: Vec<_> = report.targets.iter().filter(|t| t.required && !t.held).collect();
        let what = (seed, missed, &report.broken);
        assert_eq!(report.verdict, Verdict::Pass, "{what:#?}\n{}", report.reproduce);
    }
}

#[test]
fn threads_queue_and_repetition_do_not_matter() {
    for seed in [101, 102] {
        let drives = [
            Drive::default(),
            Drive::default(),
            Drive { threads: 2, ..Drive::default() },
            Drive { queue: QueueKind::Heap, ..Drive::default() },
        ];
        let traces = drives.map(|drive| run(seed, 12, 12, drive).unwrap().trace_hash);
        assert!(traces.iter().all(|trace| *trace == traces[0]), "{seed}: {traces:?}");
    }
}

#[test]
fn seeds_make_different_scenarios_and_hold_their_bounds() {
    let all: std::collections::BTreeSet<String> = (0..200).map(|s| scenario(s, 100, 60)).collect();
    assert_eq!(all.len(), 200);
    for text in all {
        let hostile: u32 = text
            .lines()
            .filter(|line| line.starts_with("adversary"))
            .filter_map(|line| line.split('"').nth(1)?.strip_suffix(" any")?.parse::<u32>().ok())
            .sum();
        assert!(hostile <= 33, "{hostile} of 100 are hostile");
    }
}
