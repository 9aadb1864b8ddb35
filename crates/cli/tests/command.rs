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
fn the_command_says_what_it_is_for() {
    assert!(text(&run(&["--help"]).stdout).starts_with("A peer-to-peer mesh"));
}

#[test]
fn the_version_is_told() {
    let version = text(&run(&["--version"]).stdout);
    assert_eq!(version, concat!("knhk-mesh ", env!("CARGO_PKG_VERSION"), "\n"));
    let output = run(&["--version", "-o", "json"]);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["version"], env!("CARGO_PKG_VERSION"));
    assert!(object["wire_version"].is_u64() && output.status.success());
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
fn a_swarm_at_rest_shows_what_it_costs_and_nothing_of_updates_that_were_not() {
    let args = "dev --agents 3 --detect thrifty --idle 1s -o json";
    let output = run(&args.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for name in ["copies_per_agent", "bytes_per_agent_per_s", "cpu_ms_per_update"] {
        assert!(report[name].is_null(), "{report}");
    }
    assert!(report["idle"]["bytes_per_agent_per_s"].as_f64().is_some_and(|bytes| bytes > 0.0));
    assert!(report["idle"]["seconds"].as_f64().is_some_and(|seconds| seconds >= 1.0));
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
fn a_setting_out_of_range_is_wrong_usage_and_told_with_its_range() {
    for (option, range) in [("--fanout", "1..=100"), ("--interval-ms", "10..=60000")] {
        let output = run(&["dev", "--agents", "2", option, "0", "--for", "2s"]);
        assert_eq!(output.status.code(), Some(2));
        let told = text(&output.stderr);
        assert!(told.contains(option) && told.contains(range), "{told}");
    }
}

#[test]
fn wrong_usage_is_json_when_json_was_asked_for() {
    for line in [
        "dev --fanout 0 -o json",
        "dev -o json --agents x",
        "-o json fly",
        "-o json",
        "config -o=json",
        "config check --output json",
        "keygen --identity a --data-dir b -ojson",
    ] {
        let output = run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(output.stdout.is_empty(), "{line}");
        let told = text(&output.stderr);
        let error = serde_json::from_str::<Value>(&told).unwrap()["error"].take();
        assert_eq!(error["code"], "usage", "{line}");
        for part in ["message", "help"] {
            assert!(error[part].as_str().is_some_and(|part| !part.is_empty()), "{line}: {told}");
        }
        assert_eq!(told.lines().count(), 1, "{line}");
    }
}

#[test]
fn colours_are_for_terminals_and_for_nobody_who_wants_none() {
    let coloured = |variables: &[&str]| {
        [&["dev", "--fanout", "0"][..], &["--help"]].map(|args| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_knhk-mesh"));
            command.env_remove("CLICOLOR_FORCE").env_remove("NO_COLOR");
            command.envs(variables.iter().map(|name| (*name, "1")));
            let output = command.args(args).output().unwrap();
            [output.stdout, output.stderr].concat().contains(&0x1b)
        })
    };
    assert_eq!(coloured(&[]), [false; 2], "no terminal");
    assert_eq!(coloured(&["CLICOLOR_FORCE"]), [true; 2]);
    assert_eq!(coloured(&["CLICOLOR_FORCE", "NO_COLOR"]), [false; 2]);
}

/// Reads one line and hangs up, as `| head -1` does.
#[cfg(unix)]
#[test]
fn a_reader_that_hangs_up_ends_every_command_quietly() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;
    for line in [
        "config schema",
        "completions bash",
        "man",
        "--help",
        "genesis",
        "config show --origin",
        "dev --agents 2 --transport memory",
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_knhk-mesh"))
            .args(line.split(' '))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(!first.is_empty(), "{line}");
        assert_eq!(child.wait().unwrap().code(), Some(0), "{line}");
        let mut told = String::new();
        child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!(told, "", "{line}");
    }
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
