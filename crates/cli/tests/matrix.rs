//! Every command, in one table: what it prints when it goes well, as text and as JSON, and how it
//! fails, as text and as JSON, with which exit code. A command without a row fails.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod common;

use std::process::{Command, Output, Stdio};

use common::{Folder, Node, command, json, repository, run, text, until};
use rustix::process::Signal;
use serde_json::Value;

/// A command, once well and once wrong. `DIR` is the test's folder, `A` the data folder of a node.
struct Row {
    name: &'static str,
    well: &'static str,
    /// Names of the JSON object, or of the objects in the JSON list.
    names: &'static str,
    wrong: &'static str,
    exit: i32,
    code: &'static str,
}

const fn row(
    name: &'static str,
    well: &'static str,
    names: &'static str,
    wrong: &'static str,
    exit: i32,
    code: &'static str,
) -> Row {
    Row { name, well, names, wrong, exit, code }
}

const SHOWN: &str = "key type value author clock concurrent";
const WRITTEN: &str = "key author incarnation seq";
const STATUS: &str = "node incarnation mesh state members links converged lag_ms root records \
                      clock_skew_ms partition partition_mode reachable required recovery_ms \
                      storage storage_error seeds refused";
const DRILL: &str = "agents minority runs detection_ms recovery_ms agreement_ms false_alarms \
                     node_seconds lost_writes acknowledged_writes writes_not_refused \
                     majority_writes_refused undetected unrecovered";
const LIARS: &str = "share converged rounds honest_convicted honest_evicted \
                     equivocators_unconvicted forged_accepted kinds";
const PEER: &str = "node address region state rtt_ms reputation link";
const CERTIFICATE: &str = "kind subject issuer key mesh node not_before not_after state";
const DEV: &str = "agents transport interval_ms fanout setup_ms updates lost converged \
                   convergence_ms rounds copies_per_agent bytes_per_agent_per_s \
                   cpu_ms_per_update rss_bytes";

/// In this order: later rows use what earlier ones made.
const ROWS: &[Row] = &[
    row("set", "set k v --data-dir A", WRITTEN, "set k v --data-dir DIR/none", 3, "unreachable"),
    row("get", "get k --data-dir A", SHOWN, "get nothing --data-dir A", 5, "not_found"),
    row("incr", "incr n --data-dir A", WRITTEN, "incr n many --data-dir A", 2, "usage"),
    row("add", "add s x --data-dir A", WRITTEN, "add s x --data-dir A --agent 9", 5, "not_found"),
    row("remove", "remove s x --data-dir A", WRITTEN, "remove s y --data-dir A", 5, "not_found"),
    row("del", "del k --data-dir A", WRITTEN, "del nothing --data-dir A", 5, "not_found"),
    row("peers", "peers --data-dir A", PEER, "peers --data-dir A --timeout 0", 2, "usage"),
    row("status", "status --data-dir A", STATUS, "status --data-dir DIR", 3, "unreachable"),
    row(
        "digest",
        "digest --data-dir A",
        "scope root count",
        "digest --control-socket DIR/deaf --timeout 50ms",
        4,
        "timeout",
    ),
    row(
        "ping",
        "ping B --data-dir A",
        "node address rtt_ms link",
        "ping x --data-dir A",
        2,
        "usage",
    ),
    row(
        "backup",
        "backup DIR/copy-N --data-dir A",
        "file records incarnation",
        "backup DIR/copy-1 --data-dir A",
        6,
        "conflict",
    ),
    row(
        "restore",
        "restore DIR/copy-1 --data-dir DIR/back-N --identity A/node.key",
        "node records incarnation asks_peers",
        "restore DIR/no-copy --data-dir DIR/c --identity A/node.key",
        5,
        "not_found",
    ),
    row(
        "config-check",
        "config check REPO/deploy/flat_mesh.yaml",
        "file topology runnable not_runnable_because worst_case_bytes notes",
        "config check DIR/none.yaml",
        78,
        "bad_configuration",
    ),
    row(
        "config-show",
        "config show",
        "file settings",
        "config show -c DIR/broken.yaml",
        78,
        "bad_configuration",
    ),
    row("config-schema", "config schema", "", "config schema --loud", 2, "usage"),
    row(
        "keygen",
        "keygen --identity DIR/key-N",
        "node file",
        "keygen --identity DIR/key-1",
        6,
        "conflict",
    ),
    row(
        "cert-ca",
        "cert ca --dir DIR/ca-N",
        "admission_key key certificate",
        "cert ca --dir DIR/ca-1",
        6,
        "conflict",
    ),
    row(
        "cert-issue",
        "cert issue B --dir DIR/ca-1 --out DIR/crt-N",
        CERTIFICATE,
        "cert issue B --dir DIR/ca-1 --out DIR/crt-1",
        6,
        "conflict",
    ),
    row(
        "cert-rotate",
        "cert rotate DIR/crt-1 --dir DIR/ca-1",
        CERTIFICATE,
        "cert rotate DIR/ca-1/ca.crt --dir DIR/ca-1",
        1,
        "certificate",
    ),
    row("cert-show", "cert show DIR/crt-1", CERTIFICATE, "cert show DIR/none", 5, "not_found"),
    row(
        "ticket",
        "ticket --key DIR/ca-1/ca.key",
        "token file mesh node redeem_by_ms until_ms",
        "ticket --key DIR/none",
        5,
        "not_found",
    ),
    // How it goes well is shown in tests/admission.rs: this mesh has no operator.
    row("deny", "", "", "deny B --key DIR/ca-1/ca.key --data-dir A", 1, "no_admission_key"),
    row("forget", "", "", "forget B --key DIR/ca-1/ca.key --data-dir A", 1, "no_admission_key"),
    row("denied", "denied --data-dir A", "", "denied --data-dir DIR/none", 3, "unreachable"),
    row(
        "fact-sign",
        "fact sign k v --version 1 --key DIR/member-1 -c DIR/committee.yaml",
        "vote key version value signer",
        "fact sign k w --version 1 --key DIR/member-1 -c DIR/committee.yaml",
        6,
        "signed_other",
    ),
    row(
        "fact-join",
        "fact join VOTE-1 VOTE-2 VOTE-3 -c DIR/committee.yaml",
        "certificate key version value signers",
        "fact join VOTE-1 VOTE-2 -c DIR/committee.yaml",
        1,
        "not_certified",
    ),
    // How these go well is shown in tests/facts.rs: this mesh has no committee.
    row("fact-publish", "", "", "fact publish CERTIFICATE --data-dir A", 1, "no_committee"),
    row("fact-get", "", "", "fact get k --data-dir A", 5, "not_found"),
    row(
        "fact-list",
        "fact list --data-dir A",
        "facts conflicts",
        "fact list --data-dir DIR/none",
        3,
        "unreachable",
    ),
    row("genesis", "genesis", "", "genesis -c DIR/broken.yaml", 78, "bad_configuration"),
    row(
        "doctor",
        "doctor --data-dir DIR/fresh --bind 127.0.0.1:0",
        "check state detail help",
        "doctor --bind B-ADDRESS",
        1,
        "unhealthy",
    ),
    row("completions", "completions bash", "shell script", "completions tcl", 2, "usage"),
    row("man", "man", "name page", "man --out DIR/broken.yaml", 1, "output"),
    row("sim", "sim --agents 10", "", "sim --scenario DIR/none.toml", 2, "unreadable"),
    row("sim-matrix", "sim matrix --max 10", "", "sim matrix --latency fast", 2, "latency"),
    row(
        "sim-drill-partition",
        "sim drill partition --agents 5 --minority 1 --runs 1",
        DRILL,
        "sim drill partition --agents 5 --minority 5 --runs 1",
        2,
        "drill",
    ),
    row(
        "sim-drill-byzantine",
        "sim drill byzantine --agents 7 --kind silent",
        LIARS,
        "sim drill byzantine --agents 7 --share 0.1",
        2,
        "drill",
    ),
    row(
        "sim-compare",
        "sim compare DIR/run DIR/run",
        "",
        "sim compare DIR/none DIR/run",
        2,
        "unreadable",
    ),
    row(
        "dev",
        "dev --agents 2 --transport memory --updates 1",
        DEV,
        "dev --agents 3 --updates 1 --for 1ms",
        1,
        "time",
    ),
    // How these go well is shown in tests/chaos.rs: `run` takes no such orders.
    row("chaos-kill", "", "", "chaos kill 0 --data-dir A", 1, "no_chaos"),
    row("chaos-partition", "", "", "chaos partition --data-dir A", 2, "usage"),
    row("chaos-delay", "", "", "chaos delay 5 --loss 2 --data-dir A", 2, "usage"),
    row("chaos-heal", "", "", "chaos heal --data-dir DIR/none", 3, "unreachable"),
    row("chaos-show", "", "", "chaos show --data-dir A", 1, "no_chaos"),
    // `run` and `watch` go on until they are ended: `those_that_go_on` shows how they go well.
    row("run", "", "", "run --bind B-ADDRESS --control-socket DIR/s", 1, "bind"),
    row("watch", "", "", "watch --data-dir DIR/none", 3, "unreachable"),
];

/// The commands that have help texts: all there are.
fn all_commands() -> Vec<String> {
    let folder = repository().join("crates/cli/tests/help");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let names = files.map(|name| name.to_string_lossy().into_owned());
    let names = names
        .filter_map(|name| Some(name.strip_suffix(".txt")?.strip_prefix("knhk-mesh-")?.to_owned()));
    // They have subcommands only.
    names
        .filter(|name| !["config", "cert", "chaos", "fact", "sim-drill"].contains(&name.as_str()))
        .collect()
}

#[test]
fn every_command_has_a_row() {
    for name in all_commands() {
        assert!(ROWS.iter().any(|row| row.name == name), "no row for {name}");
    }
}

/// What the rows need, and the words that stand for it.
struct Stage {
    folder: Folder,
    nodes: [Node; 2],
    peer: String,
    /// Of the first three of a committee of four, and the certificate of them.
    votes: Vec<String>,
    certificate: String,
}

impl Stage {
    fn new() -> Stage {
        let folder = Folder::new();
        let a = Node::start(&folder.path("a"), &[]);
        let b = Node::start(&folder.path("b"), &["--seeds", &a.address]);
        a.await_members(2);
        let peer = b.json(&["status"])["node"].as_str().unwrap().to_owned();
        folder.write("broken.yaml", "gossip:\n  fanout: 0\n");
        let simulated = run("sim --agents 10 -o json");
        folder.write("run", &text(&simulated.stdout));
        let (votes, certificate) = certified(&folder);
        Stage { folder, nodes: [a, b], peer, votes, certificate }
    }

    fn ask(&self, line: &str, attempt: u32, more: &[&str]) -> Output {
        let folder = self.folder.0.display().to_string();
        let words = line.split(' ').map(|word| match word {
            "A" => self.nodes[0].data.display().to_string(),
            "B" => self.peer.clone(),
            "CERTIFICATE" => self.certificate.clone(),
            "VOTE-1" | "VOTE-2" | "VOTE-3" => {
                self.votes[usize::from(word.as_bytes()[5] - b'1')].clone()
            }
            "B-ADDRESS" => self.nodes[1].address.clone(),
            word => word
                .replace("A/", &format!("{}/", self.nodes[0].data.display()))
                .replace("REPO", &repository().display().to_string())
                .replace("DIR", &folder)
                .replace("-N", &format!("-{attempt}")),
        });
        command().args(words).args(more).output().unwrap()
    }
}

/// Makes DIR/member-1 to -4 and DIR/committee.yaml, three votes of them and what they certify.
fn certified(folder: &Folder) -> (Vec<String>, String) {
    let printed = |line: &str| {
        let output = run(line);
        assert!(output.status.success(), "{line}: {}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    };
    let member = |n: u8| folder.at(&format!("member-{n}"));
    let ids = (1..=4).map(|n| printed(&format!("keygen --identity {}", member(n))));
    let yaml = format!("mesh:\n  committee: [{}]\n", ids.collect::<Vec<_>>().join(", "));
    let config = folder.write("committee.yaml", &yaml);
    let vote = |n: u8| format!("fact sign k v --version 1 --key {} -c {config}", member(n));
    let votes: Vec<String> = (1..=3).map(|n| printed(&vote(n))).collect();
    let certificate = printed(&format!("fact join {} -c {config}", votes.join(" ")));
    (votes, certificate)
}

fn names_of(value: &Value) -> Vec<&str> {
    let object = match value {
        Value::Array(list) => &list[0],
        other => other,
    };
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn every_command_goes_well_and_fails_as_text_and_as_json() {
    let stage = Stage::new();
    let _deaf = std::os::unix::net::UnixListener::bind(stage.folder.path("deaf")).unwrap();
    let mut wrong = Vec::new();
    for row in ROWS {
        let mut expect = |holds: bool, what: &str, output: &Output| {
            if !holds {
                let (out, err) = (text(&output.stdout), text(&output.stderr));
                wrong.push(format!("{}: {what}: {:?} {out} {err}", row.name, output.status.code()));
            }
        };
        if !row.well.is_empty() {
            let output = stage.ask(row.well, 1, &[]);
            expect(output.status.code() == Some(0), "text goes well", &output);
            expect(
                serde_json::from_slice::<Value>(&output.stdout).is_err()
                    || row.name == "config-schema",
                "text is no JSON",
                &output,
            );
            let again = ["set k v --data-dir A", "add s x --data-dir A"];
            // What a row took away is there again for its JSON.
            again.iter().for_each(|line| drop(stage.ask(line, 1, &[])));
            let output = stage.ask(row.well, 2, &["-o", "json"]);
            expect(output.status.code() == Some(0), "json goes well", &output);
            expect(output.stderr.is_empty(), "json tells nothing beside it", &output);
            let Ok(object) = serde_json::from_slice::<Value>(&output.stdout) else {
                expect(false, "it is JSON", &output);
                continue;
            };
            let mut names: Vec<&str> = row.names.split_whitespace().collect();
            names.sort_unstable();
            expect(names.is_empty() || names_of(&object) == names, row.names, &output);
        }
        let output = stage.ask(row.wrong, 1, &[]);
        expect(output.status.code() == Some(row.exit), "text fails", &output);
        expect(text(&output.stderr).starts_with("error: "), "it says error:", &output);
        let silent = output.stdout.is_empty() || row.name == "doctor" || row.name == "dev";
        expect(silent, "standard output is for data", &output);
        let output = stage.ask(row.wrong, 1, &["-o", "json"]);
        expect(output.status.code() == Some(row.exit), "json fails", &output);
        let Ok(told) = serde_json::from_slice::<Value>(&output.stderr) else {
            expect(false, "the error is JSON", &output);
            continue;
        };
        expect(told["error"]["code"] == row.code, row.code, &output);
        for part in ["message", "help"] {
            let said = told["error"][part].as_str().is_some_and(|part| !part.is_empty());
            expect(said, part, &output);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A command that goes on, its first line, and how it ended after a signal.
fn ended_by(
    mut command: Command,
    signal: Signal,
    mut until_it_works: impl FnMut(),
) -> (String, i32) {
    use std::io::{BufRead, BufReader};
    let (reader, writer) = std::io::pipe().unwrap();
    let mut child = command
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    drop(command);
    let (said, heard) = std::sync::mpsc::channel();
    let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
    std::thread::spawn(move || lines.try_for_each(|line| said.send(line)));
    let first = until("a first line", || {
        until_it_works();
        heard.try_recv().ok()
    });
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
    (first, child.wait().unwrap().code().unwrap())
}

#[test]
fn those_that_go_on_say_what_they_do_until_a_signal_ends_them() {
    let stage = Stage::new();
    let a = &stage.nodes[0];
    for form in [&[][..], &["-o", "json"]] {
        let mut watch = a.command(&["watch", "n"]);
        watch.args(form);
        let (line, code) = ended_by(watch, Signal::INT, || drop(a.tell(&["incr", "n"])));
        assert_eq!(code, 130);
        if form.is_empty() {
            assert!(line.starts_with("n = "), "{line}");
        } else {
            assert_eq!(names_of(&json(line.as_bytes())).len(), 6, "{line}");
        }
        for (signal, wanted) in [(Signal::TERM, 0), (Signal::INT, 130)] {
            let mut run = command();
            run.args(["run", "--bind", "127.0.0.1:0", "--data-dir"]).arg(stage.folder.path("r"));
            run.args(form);
            let (line, code) = ended_by(run, signal, || ());
            assert_eq!(code, wanted, "{line}");
            if form.is_empty() {
                assert!(line.contains(" info ready node="), "{line}");
            } else {
                let ready = json(line.as_bytes());
                assert_eq!((&ready["event"], &ready["level"]), (&"ready".into(), &"info".into()));
            }
        }
    }
}
