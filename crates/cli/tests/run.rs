//! Meshes of real processes over QUIC: what an operator counts on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod common;

use std::net::UdpSocket;
use std::process::Stdio;
use std::time::Duration;

use common::{Folder, Node, Wire, command, json, text, until, until_within};
use rustix::process::Signal;

/// Three nodes; the first is the seed of the others.
fn three(folder: &Folder) -> [Node; 3] {
    let seed = Node::start(&folder.path("a"), &[]);
    let seeds = ["--seeds", seed.address.as_str()];
    let others = ["b", "c"].map(|name| Node::start(&folder.path(name), &seeds));
    let [b, c] = others;
    let nodes = [seed, b, c];
    nodes.iter().for_each(|node| node.await_members(3));
    nodes
}

/// A port that nobody has now.
fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn what_one_writes_all_read_and_concurrent_increments_add_up() {
    let folder = Folder::new();
    let nodes = three(&folder);
    nodes[0].tell(&["set", "greeting", "hello"]);
    nodes.iter().for_each(|node| node.await_value("greeting", "hello"));
    let asked: Vec<_> = (0..60)
        .map(|i| {
            let mut command = nodes[i % 3].command(&["incr", "hits", "--timeout", "60s"]);
            command.stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in asked {
        assert!(child.wait().unwrap().success());
    }
    nodes.iter().for_each(|node| node.await_value("hits", "60"));
    nodes[1].tell(&["add", "team", "ada"]);
    nodes[2].tell(&["add", "team", "bob"]);
    nodes.iter().for_each(|node| node.await_value("team", "ada\nbob"));
    nodes[0].tell(&["remove", "team", "ada"]);
    nodes.iter().for_each(|node| node.await_value("team", "bob"));
    nodes[2].tell(&["del", "greeting"]);
    for node in &nodes {
        until("the deletion", || node.get("greeting").is_none().then_some(()));
    }
    let ids: Vec<String> =
        nodes.iter().map(|node| node.json(&["status"])["node"].to_string()).collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    until("equal digests", || {
        let all: Vec<String> = nodes.iter().map(|node| node.tell(&["digest"])).collect();
        (all[0] == all[1] && all[1] == all[2]).then_some(())
    });
}

#[test]
fn who_was_killed_comes_back_with_its_own_counts_and_gets_all_it_missed() {
    let folder = Folder::new();
    let [a, b, c] = three(&folder);
    for _ in 0..3 {
        c.tell(&["incr", "mine", "7"]);
    }
    c.tell(&["set", "from-c", "kept"]);
    let incarnation = c.json(&["status"])["incarnation"].as_u64();
    c.kill();
    let mut wire = Wire::open(&a.data);
    for i in 0..1_000 {
        let line = format!(r#"{{"v":1,"op":"set","key":"missed/{}","value":"{i}"}}"#, i % 500);
        let answer = wire.ask(&line);
        assert!(answer["ok"]["seq"].is_u64(), "{answer}");
    }
    let c = Node::start(&folder.path("c"), &["--seeds", &a.address]);
    assert!(c.json(&["status"])["incarnation"].as_u64() > incarnation);
    let digest = a.tell(&["digest"]);
    assert!(!digest.is_empty());
    until("the missed writes", || (c.tell(&["digest"]) == a.tell(&["digest"])).then_some(()));
    let mut wire = Wire::open(&c.data);
    for i in 0..500 {
        let answer = wire.ask(&format!(r#"{{"v":1,"op":"get","key":"missed/{i}"}}"#));
        assert_eq!(answer["ok"]["value"], (i + 500).to_string());
    }
    assert_eq!((c.get("mine").as_deref(), c.get("from-c").as_deref()), (Some("21"), Some("kept")));
    c.tell(&["incr", "mine"]);
    [&a, &b, &c].into_iter().for_each(|node| node.await_value("mine", "22"));
}

#[test]
fn the_seed_may_die_and_come_back() {
    let folder = Folder::new();
    let [a, b, c] = three(&folder);
    let bind = a.address.clone();
    a.tell(&["set", "last-words", "go on"]);
    b.await_value("last-words", "go on");
    c.await_value("last-words", "go on");
    a.kill();
    b.tell(&["set", "after", "us"]);
    c.await_value("after", "us");
    c.tell(&["incr", "n", "2"]);
    b.await_value("n", "2");
    let a = Node::start(&folder.path("a"), &["--bind", &bind, "--seeds", &b.address]);
    a.await_value("after", "us");
    a.await_value("n", "2");
}

#[test]
fn a_seed_that_was_killed_is_found_again_by_those_it_left() {
    let folder = Folder::new();
    let [a, b, c] = three(&folder);
    a.tell(&["incr", "n", "4"]);
    b.await_value("n", "4");
    let bind = a.address.clone();
    a.kill();
    b.tell(&["set", "missed", "yes"]);
    // It knows nobody: the others have to notice that it is a new process, and dial it.
    let a = Node::start(&folder.path("a"), &["--bind", &bind]);
    // It tells them so when they send; who missed that notices after 30 s without an answer.
    until_within(Duration::from_secs(90), "the missed value", || a.get("missed"));
    a.tell(&["incr", "n", "1"]);
    [&a, &b, &c].into_iter().for_each(|node| node.await_value("n", "5"));
}

#[test]
fn all_start_without_the_seed_and_are_a_mesh_when_it_appears() {
    let folder = Folder::new();
    let seed = format!("localhost:{}", free_port());
    let absent = format!("{seed},no-such-name.invalid:9000");
    let nodes = ["b", "c"].map(|name| Node::start(&folder.path(name), &["--seeds", &absent]));
    for node in &nodes {
        node.tell(&["set", "alone", "works"]);
        assert_eq!(node.json(&["status"])["members"], 1);
        assert!(node.logged("seed not resolved, trying on")["seed"] == "no-such-name.invalid:9000");
    }
    let bind = seed.replace("localhost", "127.0.0.1");
    let told = nodes[0].logged("seed not reached, trying on");
    assert_eq!((&told["seed"], &told["why"]), (&bind.as_str().into(), &"no answer in time".into()));
    let a = Node::start(&folder.path("a"), &["--bind", &bind]);
    nodes[0].logged("seed reached");
    a.await_members(3);
    nodes.iter().for_each(|node| node.await_members(3));
    nodes[0].tell(&["set", "together", "yes"]);
    nodes[1].await_value("together", "yes");
}

#[test]
fn a_signal_leaves_the_mesh_and_a_restart_joins_it_again() {
    let folder = Folder::new();
    let a = Node::start(&folder.path("a"), &[]);
    let b = Node::start(&folder.path("b"), &["--seeds", &a.address]);
    a.await_members(2);
    b.tell(&["incr", "n", "5"]);
    b.signal(Signal::TERM);
    b.logged("left");
    assert_eq!(b.exit_code(), Some(0));
    assert!(!folder.path("b/control.sock").exists());
    until("the departure", || (a.json(&["status"])["members"] == 1).then_some(()));
    let b = Node::start(&folder.path("b"), &["--seeds", &a.address]);
    a.await_members(2);
    b.tell(&["incr", "n", "1"]);
    a.await_value("n", "6");
    b.signal(Signal::INT);
    assert_eq!(b.exit_code(), Some(130));
}

#[test]
fn a_reload_applies_what_it_can_and_refuses_what_is_wrong() {
    let folder = Folder::new();
    let a = Node::start(&folder.path("a"), &[]);
    let file = folder.path("mesh.yaml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("topology: flat_mesh\nnode:\n  bind: 127.0.0.1:0\n");
    let b = Node::start(&folder.path("b"), &["-c", file.to_str().unwrap()]);
    write("topology: flat_mesh\nnode:\n  bind: 127.0.0.1:0\ngossip:\n  fanout: 0\n");
    b.signal(Signal::HUP);
    let refused = b.logged("reload refused, the old configuration stays");
    assert!(refused["why"].as_str().unwrap().contains("mesh.yaml:5:11"), "{refused}");
    let seeds = format!("bootstrap:\n  seeds: [\"{}\"]\n", a.address);
    write(&format!(
        "topology: flat_mesh\nnode:\n  bind: 127.0.0.1:0\ngossip:\n  fanout: 7\n{seeds}"
    ));
    b.signal(Signal::HUP);
    let reloaded = b.logged("reloaded");
    assert_eq!(reloaded["applied"], serde_json::json!(["bootstrap.seeds"]));
    assert_eq!(reloaded["needs_restart"], serde_json::json!(["gossip.fanout"]));
    a.await_members(2);
}

#[test]
fn a_service_manager_is_told_when_it_is_ready_and_when_it_stops() {
    let folder = Folder::new();
    let path = folder.path("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(common::PATIENCE)).unwrap();
    let heard = || {
        let mut bytes = [0; 256];
        let n = manager.recv(&mut bytes).unwrap();
        text(&bytes[..n])
    };
    let mut asked = command();
    let node = Node::start_with(&folder.path("a"), &[], asked.env("NOTIFY_SOCKET", &path));
    assert_eq!(heard(), "READY=1");
    node.signal(Signal::HUP);
    assert!(heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(heard(), "READY=1");
    node.signal(Signal::TERM);
    assert_eq!(heard(), "STOPPING=1");
    assert_eq!(node.exit_code(), Some(0));
}

#[test]
fn what_cannot_run_says_why_and_what_helps() {
    let folder = Folder::new();
    let deploy = |name: &str| format!("{}/../../deploy/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let socket = folder.path("s");
    let run = |args: &[&str]| {
        let mut asked = command();
        asked.args(["run", "--log", "json", "--control-socket"]).arg(&socket).args(args);
        asked.output().unwrap()
    };
    for topology in ["multi_region_leaders", "hierarchical"] {
        let region = if topology == "hierarchical" { "region-1" } else { "us-east-1" };
        let output = run(&["-c", &deploy(topology), "--region", region]);
        assert_eq!(output.status.code(), Some(78), "{}", text(&output.stderr));
        let error = &json(&output.stderr)["error"];
        assert_eq!(error["code"], "not_runnable", "{error}");
        assert!(error["message"].as_str().unwrap().contains("waits for"), "{error}");
    }
    let output = run(&["--bind", "nowhere"]);
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(json(&output.stderr)["error"]["code"], "bad_configuration");
    let output = run(&["--bind", "127.0.0.1:0", "--identity", "/no/such/key"]);
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(json(&output.stderr)["error"]["code"], "identity");
    let output = command().arg("run").env("KNHK_MESH_LOG", "loud").output().unwrap();
    assert_eq!(output.status.code(), Some(78));

    let node = Node::start(&folder.path("a"), &[]);
    let taken = run(&["--bind", &node.address]);
    assert_eq!(taken.status.code(), Some(1));
    assert_eq!(json(&taken.stderr)["error"]["code"], "bind");
    let data = folder.path("a");
    let mut asked = command();
    let output = asked.args(["run", "--bind", "127.0.0.1:0", "--data-dir"]).arg(&data).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("in use by a running node"));
    // A socket of its own does not help: the records are those of the other one.
    let output = run(&["--bind", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let error = &json(&output.stderr)["error"];
    assert_eq!(error["code"], "data_dir", "{error}");
    assert!(error["message"].as_str().unwrap().contains("in use by another node"), "{error}");
    assert_eq!(node.json(&["status"])["state"], "ready", "the first one goes on");
}

#[test]
fn a_damaged_store_is_told_in_one_sentence_and_a_lost_one_comes_back_from_peers() {
    let folder = Folder::new();
    let a = Node::start(&folder.path("a"), &[]);
    let b = Node::start(&folder.path("b"), &["--seeds", &a.address]);
    b.tell(&["incr", "n", "7"]);
    a.await_value("n", "7");
    b.kill();
    let store = folder.path("b/state.redb");
    let whole = std::fs::read(&store).unwrap();
    for damage in 0..40 {
        let mut bytes = whole.clone();
        match damage {
            0 => bytes.truncate(9_000),
            1 => bytes[..64].fill(0),
            2 => bytes = b"# not a store\n".to_vec(),
            // Everything behind the first pages, a byte in each 512.
            _ => (4_096 + damage * 13..bytes.len()).step_by(512).for_each(|at| bytes[at] ^= 0x55),
        }
        std::fs::write(&store, bytes).unwrap();
        let mut asked = command();
        asked.args(["run", "--bind", "127.0.0.1:0", "-o", "json", "--data-dir"]);
        let output = asked.arg(folder.path("b")).output().unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{damage}: {told}");
        let error = &json(&output.stderr)["error"];
        assert_eq!(error["code"], "data_dir", "{damage}: {told}");
        assert!(error["message"].as_str().unwrap().contains("is damaged"), "{damage}: {told}");
        assert!(error["help"].as_str().unwrap().contains("restore"), "{damage}: {told}");
    }
    // As the message says.
    std::fs::rename(&store, folder.path("b/damaged")).unwrap();
    let b = Node::start(&folder.path("b"), &["--seeds", &a.address]);
    b.logged("writes wait for peers");
    b.tell(&["incr", "n", "1", "--timeout", "30s"]);
    a.await_value("n", "8");
}

/// The largest file that a process may write, as if its disk were full there.
#[cfg(target_os = "linux")]
fn limit_files(node: &Node, bytes: Option<u64>) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let pid = Pid::from_raw(node.child.id().cast_signed());
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_refuses_writes_says_so_and_is_used_again_when_it_has_room() {
    let folder = Folder::new();
    // The signal that comes with the limit would end the process before it hears of the error.
    let mut asked = std::process::Command::new("sh");
    asked.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_knhk-mesh")]);
    let node = Node::start_with(&folder.path("a"), &[], &mut asked);
    node.tell(&["set", "k", "v"]);
    limit_files(&node, Some(4_096));
    let failed = node.ask(&["set", "first", "owed", "-o", "json"]);
    assert_eq!(failed.status.code(), Some(1));
    let error = &json(&failed.stderr)["error"];
    assert_eq!(error["code"], "not_stored", "{error}");
    assert!(error["message"].as_str().unwrap().contains("large"), "{error}");
    let status = node.json(&["status"]);
    assert_eq!((&status["state"], &status["storage"]), (&"ready".into(), &"failed".into()));
    assert!(status["storage_error"].is_string(), "{status}");
    assert_eq!(node.get("k").as_deref(), Some("v"), "it reads on");
    for args in
        [&["set", "k", "w", "-o", "json"][..], &["backup", &folder.at("copy"), "-o", "json"]]
    {
        let refused = node.ask(args);
        assert_eq!(refused.status.code(), Some(1));
        assert_eq!(json(&refused.stderr)["error"]["code"], "disk_failed");
    }
    assert_eq!(node.get("k").as_deref(), Some("v"), "what cannot be stored is not shown");
    node.logged("the disk failed, writes are refused");
    limit_files(&node, None);
    until("room again", || (node.json(&["status"])["storage"] == "ok").then_some(()));
    node.logged("the disk is back");
    node.tell(&["set", "k", "w"]);
    node.kill();
    let node = Node::start(&folder.path("a"), &[]);
    assert_eq!(node.get("k").as_deref(), Some("w"));
    assert_eq!(node.get("first").as_deref(), Some("owed"), "it was owed, and is stored");
}

#[test]
fn ports_of_a_range_are_tried_in_turn() {
    let folder = Folder::new();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let file = folder.path("mesh.yaml");
    let range = format!("network:\n  port_range: {port}-{}\n", port.saturating_add(20));
    std::fs::write(&file, range).unwrap();
    let node = Node::start(&folder.path("a"), &["-c", file.to_str().unwrap()]);
    let got: u16 = node.address.rsplit(':').next().unwrap().parse().unwrap();
    assert!(got > port && got <= port + 20);
    node.tell(&["set", "first", "try"]);
}

#[test]
fn a_made_key_writes_at_once_and_a_used_one_asks_its_peers_first() {
    let folder = Folder::new();
    // The first node of a mesh, with a key that an operator made for it.
    let key = folder.at("ada.key");
    let keygen = command().args(["keygen", "--identity", &key]).output().unwrap();
    let first = Node::start(&folder.path("first"), &["--identity", &key]);
    first.tell(&["set", "k", "v"]);
    assert_eq!(text(&keygen.stdout).trim_end(), first.json(&["status"])["node"]);
    // The key that a node made for itself, moved to where an operator keeps keys.
    let made = Node::start(&folder.path("made"), &[]);
    let id = made.json(&["status"])["node"].clone();
    made.tell(&["incr", "n", "3"]);
    let b = Node::start(&folder.path("b"), &["--seeds", &made.address]);
    b.await_value("n", "3");
    let key = folder.path("key");
    std::fs::copy(folder.path("made/node.key"), &key).unwrap();
    made.kill();
    let identity = ["--identity", key.to_str().unwrap(), "--seeds", &b.address];
    let again = Node::start(&folder.path("again"), &identity);
    again.tell(&["incr", "n", "--timeout", "30s"]);
    assert_eq!(again.json(&["status"])["node"], id);
    b.await_value("n", "4");
}

#[test]
fn a_second_process_with_the_same_key_ends_the_first_with_a_code_of_its_own() {
    let folder = Folder::new();
    let mut nodes = three(&folder);
    nodes[0].tell(&["set", "mine", "old"]);
    nodes.iter().for_each(|node| node.await_value("mine", "old"));
    // Stamps of the first ten seconds could be those of an earlier life with another clock.
    std::thread::sleep(Duration::from_secs(11));
    std::fs::create_dir(folder.path("again")).unwrap();
    std::fs::copy(folder.path("a/node.key"), folder.path("again/node.key")).unwrap();
    let seeds = nodes[1].address.clone();
    let again = Node::start(&folder.path("again"), &["--seeds", seeds.as_str()]);
    let stops = nodes[0].logged("this one stops");
    assert!(stops["help"].as_str().is_some_and(|help| help.contains("keygen")), "{stops}");
    assert_eq!(nodes[0].child.wait().unwrap().code(), Some(79));
    again.tell(&["set", "mine", "new", "--timeout", "60s"]);
    for node in [&nodes[1], &nodes[2], &again] {
        node.await_value("mine", "new");
    }
}
