//! `knhk-mesh chaos` against a real `knhk-mesh dev`: a part is cut off and says so, nodes die and
//! come back, and all end with the same records.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

use common::{Folder, PATIENCE, PATIENCE_WITH_EYES, command, json, text, until, until_within};
use serde_json::{Value, json as object};

/// A swarm that stays up, found in a folder of its own; ended when dropped.
struct Dev<'a> {
    child: Child,
    folder: &'a Folder,
    said: Receiver<String>,
}

impl<'a> Dev<'a> {
    fn start(folder: &'a Folder, args: &[&str]) -> Self {
        let mut command = in_folder(folder);
        command.args(["dev", "--for", "5m"]).args(args);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (say, said) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = say.send(line);
            }
        });
        let dev = Dev { child, folder, said };
        dev.says("Ctrl-C ends it");
        dev
    }

    /// Waits for a line with these words.
    fn says(&self, words: &str) -> String {
        loop {
            let line = self.said.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("never said: {words}"));
            if line.contains(words) {
                return line;
            }
        }
    }

    fn chaos(&self, line: &str) -> Value {
        json(tells(self.folder, &format!("chaos {line} -o json")).as_bytes())
    }

    fn status(&self, node: usize) -> Value {
        json(tells(self.folder, &format!("status --agent {node} -o json")).as_bytes())
    }

    fn await_partition(&self, nodes: &[usize], state: &str) {
        for node in nodes {
            until_within(PATIENCE_WITH_EYES, &format!("{node} is {state}"), || {
                (self.status(*node)["partition"] == state).then_some(())
            });
        }
    }

    fn await_agreement(&self, nodes: usize) {
        until("equal roots", || {
            let roots: Vec<_> = (0..nodes).map(|i| self.status(i)["root"].clone()).collect();
            roots.windows(2).all(|pair| pair[0] == pair[1]).then_some(())
        });
    }
}

impl Drop for Dev<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn in_folder(folder: &Folder) -> Command {
    let mut command = command();
    command.env("XDG_RUNTIME_DIR", &folder.0);
    command
}

fn ask(folder: &Folder, line: &str) -> Output {
    in_folder(folder).args(line.split_whitespace()).output().unwrap()
}

fn tells(folder: &Folder, line: &str) -> String {
    let output = ask(folder, line);
    assert_eq!(output.status.code(), Some(0), "{line}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn fails(folder: &Folder, line: &str, exit: i32, code: &str) -> Value {
    let output = ask(folder, &format!("{line} -o json"));
    assert_eq!(output.status.code(), Some(exit), "{line}: {}", text(&output.stderr));
    let error = json(&output.stderr)["error"].clone();
    assert_eq!(error["code"], code, "{error}");
    error
}

fn numbers(list: &Value) -> Vec<usize> {
    list.as_array().unwrap().iter().map(|i| i.as_u64().unwrap() as usize).collect()
}

#[test]
fn a_minority_says_that_it_is_cut_off_and_all_agree_after_the_heal() {
    let folder = Folder::new();
    let dev = Dev::start(&folder, &["--agents", "10", "--seed", "7"]);
    let cut = dev.chaos("partition --minority 3");
    assert_eq!((&cut["agents"], &cut["running"]), (&10.into(), &10.into()));
    assert_eq!((&cut["detects"], &cut["partition"]["one_way"]), (&true.into(), &false.into()));
    let minority = numbers(&cut["partition"]["nodes"]);
    assert_eq!(minority.len(), 3, "{cut}");
    let rest: Vec<usize> = (0..10).filter(|i| !minority.contains(i)).collect();
    dev.await_partition(&minority, "partitioned");
    dev.says("partitioned: nodes");
    // Seven of ten are enough, and nothing of theirs gets across.
    dev.await_partition(&rest, "healthy");
    tells(&folder, &format!("set side many --agent {}", rest[0]));
    tells(&folder, &format!("set side few --agent {}", minority[0]));
    until("a part agrees", || {
        let seen = ask(&folder, &format!("get side --agent {}", rest[6]));
        (text(&seen.stdout) == "many\n").then_some(())
    });
    assert_eq!(tells(&folder, &format!("get side --agent {}", minority[0])), "few\n");
    assert_ne!(dev.status(minority[0])["root"], dev.status(rest[0])["root"]);

    let healed = dev.chaos("heal");
    assert_eq!(healed["partition"], Value::Null);
    dev.await_partition(&minority, "healthy");
    dev.says("healthy: nodes");
    dev.await_agreement(10);
}

#[test]
fn killed_nodes_say_no_goodbye_and_come_back_as_who_they_were() {
    let folder = Folder::new();
    killed_and_back(&folder, &[]);
    let (data, socket) = (folder.at("swarm"), folder.at("knhk-mesh/control.sock"));
    killed_and_back(&folder, &["--data-dir", &data, "--control-socket", &socket]);
}

fn killed_and_back(folder: &Folder, more: &[&str]) {
    let dev = Dev::start(folder, &[&["--agents", "6", "--seed", "7"], more].concat());
    let before = dev.status(4);
    tells(folder, "set mine kept --agent 4");
    let id = before["node"].as_str().unwrap();
    let killed = dev.chaos(&format!("kill 2 {}", &id[..12]));
    assert_eq!(killed["killed"], object!([2, 4]));
    assert_eq!(killed["running"], 4);
    let error = fails(folder, "status --agent 4", 3, "unreachable");
    assert!(error["message"].as_str().unwrap().contains("killed"), "{error}");
    // They left without a word: a member that said good-bye would be none any more.
    assert_eq!(dev.status(0)["members"], 6);
    fails(folder, "chaos kill 0 1 3 5", 2, "usage");
    tells(folder, "set missed by-two --agent 0");

    let healed = dev.chaos("heal");
    assert_eq!((&healed["killed"], &healed["running"]), (&object!([]), &6.into()));
    let after = dev.status(4);
    assert_eq!(after["node"], before["node"]);
    assert!(after["incarnation"].as_u64() > before["incarnation"].as_u64());
    for (key, value) in [("mine", "kept\n"), ("missed", "by-two\n")] {
        until(key, || {
            let got = ask(folder, &format!("get {key} --agent 4"));
            (text(&got.stdout) == value).then_some(())
        });
    }
    // With the key that it had it may write again.
    tells(folder, "set mine again --agent 4 --timeout 30s");
    dev.await_agreement(6);
}

#[test]
fn late_and_lost_datagrams_delay_and_lose_nothing_for_good() {
    let folder = Folder::new();
    let dev = Dev::start(&folder, &["--agents", "4", "--seed", "7"]);
    let socket = folder.path("knhk-mesh").join(format!("dev-{}.sock", dev.child.id()));
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&socket), mode(socket.parent().unwrap())), (0o600, 0o700));

    let line = "delay 200 --jitter 50 --loss 0.1 1";
    assert_eq!(
        tells(&folder, &format!("chaos {line}")),
        "delay: 200 ms and up to 50 ms more, 10.0 % lost, node 1\nundo: knhk-mesh chaos heal\n"
    );
    let shown = dev.chaos("show");
    assert_eq!(shown["delay"], object!({ "ms": 200, "jitter_ms": 50, "loss": 0.1, "nodes": [1] }));
    let written = std::time::Instant::now();
    tells(&folder, "set slow arrives --agent 0");
    until("a late value", || {
        let got = ask(&folder, "get slow --agent 1");
        (text(&got.stdout) == "arrives\n").then_some(())
    });
    assert!(written.elapsed().as_millis() >= 200, "nothing is earlier than its delay");
    assert_eq!(dev.chaos("delay 0")["delay"], Value::Null);
    dev.await_agreement(4);
    for wrong in ["chaos kill", "chaos partition --minority 4", "chaos delay 10001"] {
        fails(&folder, wrong, 2, "usage");
    }
    fails(&folder, "chaos kill 4", 5, "not_found");
}

#[test]
fn one_swarm_is_found_and_of_several_one_has_to_be_named() {
    let folder = Folder::new();
    fails(&folder, "chaos show", 3, "unreachable");
    let a = Dev::start(&folder, &["--agents", "2"]);
    assert_eq!(a.chaos("show")["pid"], a.child.id());
    let b = Dev::start(&folder, &["--agents", "3", "--transport", "memory"]);
    let error = fails(&folder, "chaos heal", 2, "ambiguous");
    let mut pids: Vec<_> =
        error["swarms"].as_array().unwrap().iter().map(|swarm| swarm["pid"].clone()).collect();
    pids.sort_unstable_by_key(|pid| pid.as_u64());
    let mut both = [a.child.id(), b.child.id()];
    both.sort_unstable();
    assert_eq!(pids, both);
    let of_b = format!("--pid {}", b.child.id());
    assert_eq!(b.chaos(&format!("show {of_b}"))["agents"], 3);
    let error = fails(&folder, &format!("chaos delay 5 {of_b}"), 1, "needs_quic");
    assert!(error["message"].as_str().unwrap().contains("memory"), "{error}");
    // What a killed swarm left behind is nobody.
    drop(b);
    assert_eq!(a.chaos("show")["pid"], a.child.id());

    // A node of `run` takes no such orders.
    let node = common::Node::start(&folder.path("run"), &[]);
    let output = node.ask(&["chaos", "heal", "-o", "json"]);
    assert_eq!(json(&output.stderr)["error"]["code"], "no_chaos");
}
