//! Every scenario file is run: the quick ones here, all of them by `make sim-nightly`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use knhk_mesh_sim::QueueKind;
use knhk_mesh_sim::report::{Report, Verdict};
use knhk_mesh_sim::scenario::{later, name, run, run_driven};
use knhk_mesh_sim::world::Drive;

/// More than a second or two each without optimisation: the nightly set runs them.
const SLOW: [&str; 7] = [
    "autoscale",
    "clock-skew",
    "covert-flash",
    "digest-over-mtu",
    "gc-resurrection",
    "one-way-loss",
    "rejoin-storm",
];

fn files() -> Vec<(String, String)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios"));
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths
        .map(|path| {
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (stem, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn text_of(name: &str) -> String {
    files().into_iter().find(|(stem, _)| stem == name).unwrap().1
}

fn quiet(text: &str) -> Report {
    run(text, None, 1, &mut |_| ()).unwrap()
}

fn passes(report: &Report) {
    let missed: Vec<_> = report.targets.iter().filter(|t| t.required && !t.held).collect();
    let what = (&report.setup.scenario, missed, &report.broken);
    assert_eq!(report.verdict, Verdict::Pass, "{what:#?}\n{}", report.reproduce);
}

#[test]
fn every_file_is_a_scenario_of_its_name_and_no_failure_is_forgotten() {
    let mut known: BTreeSet<String> = later().iter().map(|later| later.name.into()).collect();
    for (stem, text) in files() {
        assert_eq!(name(&text).unwrap(), stem);
        assert!(known.insert(stem), "a scenario exists, or it comes later");
    }
    assert!(SLOW.iter().all(|slow| known.contains(*slow)));
    assert_eq!(known.len(), 28, "27 failures of other systems, and autoscale");
}

fn quick_part(part: usize, of: usize) {
    let quick = files().into_iter().filter(|(stem, _)| !SLOW.contains(&stem.as_str()));
    for (_, text) in quick.enumerate().filter(|(i, _)| i % of == part).map(|(_, file)| file) {
        passes(&quiet(&text));
    }
}

#[test]
fn the_first_third_of_the_quick_scenarios_holds() {
    quick_part(0, 3);
}

#[test]
fn the_second_third_of_the_quick_scenarios_holds() {
    quick_part(1, 3);
}

#[test]
fn the_last_third_of_the_quick_scenarios_holds() {
    quick_part(2, 3);
}

#[test]
fn threads_queue_and_repetition_do_not_matter() {
    for stem in ["revived-by-full-sync", "join-order-partition"] {
        let text = text_of(stem);
        let traces = [
            (1, QueueKind::Wheel),
            (1, QueueKind::Wheel),
            (2, QueueKind::Wheel),
            (1, QueueKind::Heap),
        ]
        .map(|(threads, queue)| {
            let drive = Drive { threads, queue, ..Drive::default() };
            let report = run_driven(&text, Some(7), drive, &mut |_| ()).unwrap();
            (report.trace_hash, report.rounds, report.broken)
        });
        assert!(traces.iter().all(|trace| *trace == traces[0]), "{stem}: {traces:?}");
    }
    let text = text_of("join-order-partition");
    let other = run(&text, Some(8), 1, &mut |_| ()).unwrap();
    assert_ne!(other.trace_hash, run(&text, Some(7), 1, &mut |_| ()).unwrap().trace_hash);
}

/// What a scenario says when an expectation does not hold.
#[test]
fn a_miss_fails_the_run_and_says_how_to_see_it_again() {
    let text = "name = 'islands'\nsource = 'made up'\nagents = 4\nseconds = 8\n\
                [[at]]\nms = 3000\nwrite = { node = 0, key = 'k', value = 'v', measured = true }\n\
                [[at]]\nms = 2000\nsplit = 2\n\
                [expect]\nreach_within_ms = 1000\n\
                shows = { k = 'w' }\nabsent = ['k']\nmembers = 5\n";
    let report = run(text, Some(3), 1, &mut |_| ()).unwrap();
    assert_eq!(report.verdict, Verdict::Fail);
    let held = |name: &str| report.targets.iter().find(|t| t.name == name).unwrap().held;
    assert!(!held("a measured write everywhere") && !held("members"));
    assert!(held("agreement after the faults") && held("acknowledged writes lost"));
    assert_eq!(report.broken.len(), 8, "{:?}", report.broken);
    assert_eq!(report.reproduce, "knhk-mesh sim --scenario islands.toml --seed 3");
    let cut = report.faults.iter().find(|fault| fault.what.starts_with("cut")).unwrap();
    assert_eq!((cut.from_ms, cut.until_ms), (2_000.0, Some(8_000.0)));
    assert!(report.curve.iter().any(|point| point.informed == 0.5));
}

/// Agreement of nobody is no agreement.
#[test]
fn a_scenario_that_leaves_nobody_fails() {
    let text = "name = 'nobody'\nsource = 'made up'\nagents = 4\nseconds = 2\n\
                [[at]]\nms = 2000\nkill = 'all'\n[expect]\nagree_within_ms = 1000\n";
    let report = run(text, None, 1, &mut |_| ()).unwrap();
    assert_eq!(report.verdict, Verdict::Fail);
    assert!(report.broken.iter().any(|what| what.contains("no honest node is left")));
    assert!(report.aftermath.is_some_and(|aftermath| aftermath.agreed_after_ms.is_none()));
    let table = knhk_mesh_sim::report::table(&report);
    assert!(table.starts_with("FAILED: no one state within"), "{table}");
}
