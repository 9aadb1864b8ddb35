//! `sim` from outside: what it prints where, and how it ends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

fn run(args: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_knhk-mesh")).args(args.split(' ')).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder of this test alone.
fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

#[test]
fn a_run_is_one_object_and_the_same_with_more_threads() {
    let args = "sim --agents 50 --seed 7 --silent 20% --loss 0.05 -o json";
    let one = run(args);
    assert_eq!(one.status.code(), Some(0), "{}", text(&one.stderr));
    assert_eq!((text(&one.stdout).lines().count(), text(&one.stderr)), (1, String::new()));
    let one: Value = serde_json::from_slice(&one.stdout).unwrap();
    let two: Value = serde_json::from_slice(&run(&format!("{args} --threads 2")).stdout).unwrap();
    assert_eq!(one["trace_hash"], two["trace_hash"]);
    assert_eq!((&one["agents"], &one["verdict"]), (&Value::from(50), &Value::from("pass")));
    assert_eq!(one["informed"], 1.0);
    for figure in ["rounds", "sim_ms", "copies_per_agent", "bytes_per_agent", "events"] {
        assert!(one[figure].as_f64().unwrap() > 0.0, "{figure}");
    }
    for cost in ["cpu_s", "events_per_cpu_s", "rss_bytes"] {
        assert!(one[cost].as_f64().unwrap() > 0.0, "{cost}");
    }
}

#[test]
fn reports_are_written_and_compared() {
    let folder = folder("sim-reports");
    let at = |name: &str| folder.join(name).display().to_string();
    let (page, csv) = (at("run.html"), at("run.csv"));
    let output = run(&format!("sim --agents 20 --latency world --report {page} --csv {csv}"));
    assert!(text(&output.stdout).starts_with("passed: every honest node"));
    assert!(fs::read_to_string(&page).unwrap().ends_with("</html>\n"));
    assert!(fs::read_to_string(&csv).unwrap().starts_with("kind,"));
    for seed in [1, 2] {
        let json = run(&format!("sim --agents 20 --seed {seed} -o json")).stdout;
        fs::write(at(&format!("{seed}.json")), json).unwrap();
    }
    let compare = |a, b| run(&format!("sim compare {} {}", at(a), at(b)));
    assert!(text(&compare("1.json", "1.json").stdout).starts_with("The same run"));
    let differ = compare("1.json", "2.json");
    assert!(text(&differ.stdout).starts_with("Different setups, different runs"));
    assert_eq!(differ.status.code(), Some(0));
    let json = run(&format!("sim compare {} {} -o json", at("1.json"), at("2.json"))).stdout;
    let json: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((&json["same_trace"], &json["setup"][0]["name"]), (&false.into(), &"seed".into()));
}

#[test]
fn a_run_that_fails_still_prints_its_report() {
    // Nobody but the writer hears anything.
    let output = run("sim --agents 20 --loss 1 --interval-ms 10 -o json");
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verdict"], "fail");
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["error"]["code"], "verdict");
    assert!(error["error"]["help"].as_str().unwrap().contains("--loss 1"));
}

#[test]
fn the_printed_command_gives_the_same_run() {
    let ways = folder("sim-again").join("two regions, it's $5.toml");
    fs::write(&ways, "regions = [\"a\", \"b\"]\none_way_ms = [[1, 9], [9, 1]]\n").unwrap();
    let sets: [&[&str]; 4] = [
        &["--adversary", "forge=0.1", "--adversary", "silent=0.2"],
        &["--silent", "0.5", "--adversary", "silent=0.25", "--adversary", "omit=10%"],
        &[
            "--lanes",
            "repair",
            "--adversary",
            "omit=0.1",
            "--adversary",
            "omit=0.2",
            "--loss",
            "3%",
        ],
        &["--latency", ways.to_str().unwrap(), "--fanout", "5", "--interval-ms", "50"],
    ];
    let json = |words: &[String]| -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_knhk-mesh"));
        let output = command.args(words).args(["-o", "json"]).output().unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
    };
    for set in sets {
        let usual = ["sim", "--agents", "50", "--seed", "3"];
        let words: Vec<String> = usual.iter().chain(set).map(ToString::to_string).collect();
        let one = json(&words);
        let command = shlex::split(one["reproduce"].as_str().unwrap()).unwrap();
        let two = json(&command[1..]);
        assert_eq!(one["trace_hash"], two["trace_hash"], "{words:?} {command:?}");
        assert_eq!(one["reproduce"], two["reproduce"]);
    }
    let file = folder("sim-again-scenario").join("a scenario.toml");
    let scenario = "name = 'two words'\nsource = 'made up'\nagents = 4\nseconds = 3\n";
    fs::write(&file, scenario).unwrap();
    let words = ["sim", "--scenario", file.to_str().unwrap(), "--seed", "9"];
    let one = json(&words.map(String::from));
    let command = shlex::split(one["reproduce"].as_str().unwrap()).unwrap();
    assert_eq!(one["trace_hash"], json(&command[1..])["trace_hash"], "{command:?}");
}

#[test]
fn what_cannot_be_run_ends_with_two() {
    let usage = ["--agents 1", "--loss 2", "--adversary nice=0.1", "--fanout 0", "--threads 0"];
    let both = ["--scenario a.toml --agents 5"];
    let missing = [
        "--latency nowhere",
        "--scenario /nowhere.toml",
        "--report /nowhere/a.html",
        "--silent 1",
        "--agents 2 --silent .25 --adversary forge=.25",
        "--agents 10 --adversary forge=0.01",
        "--adversary split-vote=0.1",
        "drill byzantine --agents 5 --share 0.1",
        "compare /nowhere.json /nowhere.json",
    ];
    for args in usage.iter().chain(&both).chain(&missing) {
        let output = run(&format!("sim {args}"));
        assert_eq!(output.status.code(), Some(2), "{args}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args}");
    }
    let error: Value =
        serde_json::from_slice(&run("sim --latency nowhere -o json").stderr).unwrap();
    assert_eq!(error["error"]["code"], "latency");
}

#[test]
fn topology_files_set_what_flags_do_not() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/flat_mesh.yaml");
    let output = run(&format!("sim -c {file} --agents 12 -o json"));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["agents"], &report["setup"]["fanout"]), (&12.into(), &5.into()));
    assert_eq!(run("sim -c /nowhere.yaml").status.code(), Some(2));
}

#[test]
fn a_run_that_is_refused_leaves_no_file_and_no_half_of_one() {
    let folder = folder("sim-files");
    let at = |name: &str| folder.join(name).display().to_string();
    fs::write(at("old.html"), "old").unwrap();
    run(&format!("sim --latency nowhere --report {} --csv {}", at("new.html"), at("new.csv")));
    run(&format!("sim --latency nowhere --report {}", at("old.html")));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(at("old.html")).unwrap(), "old");
    let one = run(&format!("sim --agents 4 --report {} --csv {}", at("a"), at("a")));
    assert_eq!(one.status.code(), Some(2));
    run(&format!("sim --agents 4 --report {}", at("old.html")));
    assert!(fs::read_to_string(at("old.html")).unwrap().ends_with("</html>\n"));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn latencies_come_from_files_too() {
    let path = folder("sim-latency").join("two.toml");
    fs::write(&path, "regions = [\"a\", \"b\"]\none_way_ms = [[1, 20], [20, 1]]\n").unwrap();
    let output = run(&format!("sim --agents 20 --latency {} -o json", path.display()));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["regions"][1]["name"], "b");
}

#[test]
fn the_matrix_puts_runs_beside_the_specification() {
    let output = run("sim matrix --max 100 --seeds 2 -o json");
    let matrix: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines = matrix["lines"].as_array().unwrap();
    // Two sizes, two fanouts, calm and storm.
    assert_eq!(lines.len(), 8);
    let passed = matrix["verdict"] == "pass";
    assert_eq!(output.status.code(), Some(if passed { 0 } else { 1 }));
    assert_eq!((&lines[7]["fanout"], &lines[7]["storm"]), (&3.into(), &true.into()));
    assert_eq!((&lines[7]["rounds_loose"], &lines[7]["rounds_least"]), (&10.into(), &3.into()));
    let table = text(&run("sim matrix --max 10 --seeds 1").stdout);
    assert!(table.lines().all(|line| line.chars().count() <= 124), "{table}");
    assert!(table.contains("lines held"));
}
