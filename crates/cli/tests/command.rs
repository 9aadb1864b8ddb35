//! The binary from outside: what it prints where, and how it ends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};

use serde_json::Value;

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_knhk-mesh")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_help_is_what_was_agreed() {
    let help = run(&["dev", "--help"]);
    assert_eq!(text(&help.stdout), include_str!("dev-help.txt"));
    assert_eq!(help.status.code(), Some(0));
}

#[test]
fn the_command_says_what_it_is_for() {
    assert!(text(&run(&["--help"]).stdout).starts_with("A peer-to-peer mesh"));
}

#[test]
fn the_version_is_told() {
    let version = text(&run(&["--version"]).stdout);
    assert_eq!(version, concat!("knhk-mesh ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn wrong_usage_ends_with_two() {
    for args in [&["dev", "--agents", "0"][..], &["dev", "--for", "soon"], &["fly"], &[]] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn updates_are_measured_and_printed_as_one_object() {
    let args = "dev --agents 4 --transport memory --updates 3 --interval-ms 50 --seed 7 -o json";
    let output = run(&args.split(' ').collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    assert_eq!(out.lines().count(), 1);
    let report: Value = serde_json::from_str(&out).unwrap();
    for (name, wanted) in [("agents", 4), ("updates", 3), ("lost", 0), ("interval_ms", 50)] {
        assert_eq!(report[name], wanted, "{name}");
    }
    assert_eq!(report["converged"], true);
    assert!(report["convergence_ms"]["p99"].is_f64() && report["rounds"]["max"].is_u64());
}

#[test]
fn a_swarm_without_updates_shows_its_nodes() {
    let output = run(&["dev", "--agents", "3", "--for", "2s"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    assert_eq!(out.lines().filter(|line| line.contains("127.0.0.1:")).count(), 3, "{out}");
    assert!(out.contains("a first update was at every node after"), "{out}");
    assert!(output.stderr.is_empty(), "progress is for terminals");
}

#[test]
fn a_failure_is_json_on_standard_error_when_the_output_is_json() {
    let output = run(&["dev", "--agents", "3", "--updates", "1", "--for", "1ms", "-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let failure: Value = serde_json::from_str(&text(&output.stderr)).unwrap();
    assert_eq!(failure["error"]["code"], "time");
    assert!(failure["error"]["help"].as_str().unwrap().contains("--for"));
}

#[test]
fn a_setting_out_of_range_is_told_with_its_range() {
    let output = run(&["dev", "--agents", "2", "--fanout", "0", "--for", "2s"]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("gossip.fanout is 0; allowed is 1-100") && told.contains("--help"));
}

#[cfg(unix)]
#[test]
fn an_interrupt_stops_the_swarm_and_ends_with_130() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    let mut child = Command::new(env!("CARGO_BIN_EXE_knhk-mesh"))
        .args(["dev", "--agents", "2"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("Ctrl-C")));
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
