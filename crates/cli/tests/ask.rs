//! Every command against a running node: what it prints, as text and as JSON, how it fails and with
//! which exit code; and the socket itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod common;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

use common::{Folder, Node, Wire, command, json, text, until};
use rustix::process::Signal;
use serde_json::Value;

fn names(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

fn sorted<'a>(list: &str, into: &'a mut String) -> Vec<&'a str> {
    *into = list.to_owned();
    let mut names: Vec<&str> = into.split(' ').collect();
    names.sort_unstable();
    names
}

#[track_caller]
fn has_names(object: &Value, list: &str) {
    assert_eq!(names(object), sorted(list, &mut String::new()), "{object}");
}

/// The exit code and the error's code, as JSON and as text.
#[track_caller]
fn fails(node: &Node, args: &[&str], exit: i32, code: &str) {
    let output = node.ask(&[args, &["-o", "json"]].concat());
    assert_eq!(output.status.code(), Some(exit), "{args:?} {}", text(&output.stderr));
    assert!(output.stdout.is_empty(), "{args:?}");
    let error = &json(&output.stderr)["error"];
    assert_eq!(error["code"], code, "{args:?} {error}");
    assert!(!error["message"].as_str().unwrap().is_empty(), "{error}");
    assert!(!error["help"].as_str().unwrap().is_empty(), "{error}");
    let output = node.ask(args);
    assert_eq!(output.status.code(), Some(exit), "{args:?}");
    assert!(text(&output.stderr).starts_with("error: ") && output.stdout.is_empty());
}

fn pair(folder: &Folder) -> [Node; 2] {
    let a = Node::start(&folder.path("a"), &[]);
    let b = Node::start(&folder.path("b"), &["--seeds", &a.address]);
    a.await_members(2);
    b.await_members(2);
    [a, b]
}

fn feed(node: &Node, args: &[&str], input: &[u8]) -> Output {
    let mut command = node.command(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Who refuses the input does not read it.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

#[test]
fn values_are_printed_as_they_are_and_described_as_json() {
    let folder = Folder::new();
    let node = Node::start(&folder.path("a"), &[]);
    assert_eq!(node.tell(&["set", "k", "two words"]), "", "no news is good news");
    assert_eq!(node.tell(&["get", "k"]), "two words\n");
    let got = node.json(&["get", "k"]);
    has_names(&got, "key type value author clock concurrent");
    has_names(&got["clock"], "wall_ms counter");
    assert_eq!(
        (&got["key"], &got["type"], &got["value"]),
        (&"k".into(), &"lww".into(), &"two words".into())
    );
    assert_eq!(got["author"], node.json(&["status"])["node"]);
    assert_eq!(got["concurrent"], false);

    for by in ["40", "-3", "5"] {
        node.tell(&["incr", "n", by]);
    }
    node.tell(&["incr", "n"]);
    assert_eq!(node.tell(&["get", "n"]), "43\n");
    let got = node.json(&["get", "n"]);
    assert_eq!((&got["type"], &got["value"]), (&"counter".into(), &43.into()));
    has_names(&got, "key type value author clock concurrent");

    node.tell(&["add", "s", "b"]);
    node.tell(&["add", "s", "a"]);
    assert_eq!(node.tell(&["get", "s"]), "a\nb\n");
    assert_eq!(node.json(&["get", "s"])["value"], serde_json::json!(["a", "b"]));
    assert_eq!(node.json(&["get", "s"])["type"], "set");

    // One key may have several views.
    node.tell(&["set", "n", "text"]);
    assert_eq!(node.tell(&["get", "n"]), "text\n");
    assert_eq!(node.tell(&["get", "n", "--type", "counter"]), "43\n");
    fails(&node, &["get", "n", "--type", "set"], 5, "not_found");

    node.tell(&["set", "k", "--dashes"]);
    assert_eq!(node.tell(&["get", "k"]), "--dashes\n");
    node.tell(&["set", "brief", "x", "--ttl", "100ms"]);
    until("the end of its time", || node.get("brief").is_none().then_some(()));
}

#[test]
fn bytes_that_are_no_text_go_through_standard_input_and_base64() {
    let folder = Folder::new();
    let node = Node::start(&folder.path("a"), &[]);
    let bytes = [0xff, 0x00, b'\n', b'x'];
    assert!(feed(&node, &["set", "bin", "-"], &bytes).status.success());
    assert_eq!(node.ask(&["get", "bin"]).stdout, [&bytes[..], b"\n"].concat());
    let got = node.json(&["get", "bin"]);
    assert!(got["value"].is_null());
    assert_eq!(got["value_base64"], "/wAKeA==");
    assert!(feed(&node, &["add", "set", "-"], b"\xfe").status.success());
    node.tell(&["add", "set", "text"]);
    let got = node.json(&["get", "set"]);
    assert!(got["value"].is_null());
    assert_eq!(got["value_base64"], serde_json::json!(["dGV4dA==", "/g=="]));
    assert_eq!(node.ask(&["get", "set"]).stdout, b"text\n\xfe\n");
    let huge = vec![b'x'; 100_000];
    let refused = feed(&node, &["set", "huge", "-"], &huge);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("standard input"));
}

#[test]
fn every_write_has_a_receipt() {
    let folder = Folder::new();
    let node = Node::start(&folder.path("a"), &[]);
    let author = node.json(&["status"])["node"].clone();
    let incarnation = node.json(&["status"])["incarnation"].clone();
    let mut last = None;
    for args in [
        &["set", "k", "v"][..],
        &["incr", "n"],
        &["add", "s", "m"],
        &["remove", "s", "m"],
        &["del", "k"],
    ] {
        let receipt = node.json(args);
        has_names(&receipt, "key author incarnation seq");
        assert_eq!((&receipt["author"], &receipt["incarnation"]), (&author, &incarnation));
        let seq = receipt["seq"].as_u64();
        assert!(seq.is_some() && seq > last, "{receipt}");
        last = seq;
    }
    assert!(node.json(&["incr", "n", "0"])["seq"].is_null(), "nothing to do");
}

#[test]
fn the_node_and_its_peers_are_described() {
    let folder = Folder::new();
    let [a, b] = pair(&folder);
    let names = "node incarnation mesh state members links converged lag_ms root records \
                 clock_skew_ms partition partition_mode reachable required recovery_ms storage \
                 storage_error seeds";
    let status = until("a heard clock", || {
        let status = a.json(&["status"]);
        (status["clock_skew_ms"].is_i64() && status["converged"] == true).then_some(status)
    });
    has_names(&status, &format!("{names} refused"));
    has_names(&status["refused"], "links messages");
    assert_eq!((&status["storage"], &status["storage_error"]), (&"ok".into(), &Value::Null));
    assert_eq!((&status["state"], &status["members"]), (&"ready".into(), &2.into()));
    assert!(status["clock_skew_ms"].as_i64().unwrap().abs() < 10_000);
    let shown = a.tell(&["status"]);
    assert!(names.split(' ').all(|name| shown.contains(&format!("\n{name} ")) || name == "node"));

    let peers = a.json(&["peers"]);
    let [peer] = peers.as_array().unwrap().as_slice() else { panic!("{peers}") };
    has_names(peer, "node address region state rtt_ms reputation link");
    let id = b.json(&["status"])["node"].as_str().unwrap().to_owned();
    assert_eq!((&peer["node"], &peer["state"]), (&id.clone().into(), &"alive".into()));
    assert_eq!((&peer["link"], &peer["region"]), (&"accepted".into(), &"local".into()));
    assert_eq!(b.json(&["peers"])[0]["link"], "dialled");
    assert_eq!(b.json(&["peers"])[0]["address"], a.address);
    assert!(peer["rtt_ms"].is_f64() && peer["reputation"].is_f64());
    assert!(a.tell(&["peers"]).lines().nth(1).unwrap().starts_with(&id));

    let digest = until("equal digests", || {
        let digest = a.json(&["digest"]);
        (digest == b.json(&["digest"])).then_some(digest)
    });
    has_names(&digest, "scope root count");
    assert_eq!((&digest["scope"], digest["root"].as_str().unwrap().len()), (&"cell".into(), 64));
    assert!(a.tell(&["digest"]).starts_with("cell "));

    let ping = a.json(&["ping", &id]);
    has_names(&ping, "node address rtt_ms link");
    assert!(ping["rtt_ms"].as_f64().unwrap() > 0.0);
    assert!(a.tell(&["ping", &id[..8]]).ends_with(" ms\n"));
    let own = a.json(&["status"])["node"].as_str().unwrap().to_owned();
    fails(&a, &["ping", &own], 5, "not_found");
    fails(&a, &["ping", "zzzzzzzz"], 5, "not_found");
    fails(&a, &["ping", "x"], 2, "usage");
    // Known as a member, and gone without a word: no link, no measurement.
    b.signal(Signal::TERM);
    until("no peer", || a.json(&["peers"]).as_array().unwrap().is_empty().then_some(()));
    fails(&a, &["ping", &id], 5, "not_found");
}

/// A watch, and the lines that it prints.
fn watch(node: &Node, args: &[&str]) -> (Child, Receiver<String>) {
    let mut child = node.command(args).stdout(Stdio::piped()).spawn().unwrap();
    let (said, lines) = channel();
    let printed = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    std::thread::spawn(move || printed.for_each(|line| drop(said.send(line))));
    (child, lines)
}

#[test]
fn a_watch_tells_each_change_as_one_line() {
    let folder = Folder::new();
    let [a, b] = pair(&folder);
    let (mut programs, objects) = watch(&a, &["watch", "task/", "-o", "json"]);
    let (mut people, lines) = watch(&a, &["watch", "task/"]);
    let (mut few, counted) = watch(&a, &["watch", "--count", "2"]);
    // A watch tells what comes after it: this is repeated until all of them have begun.
    until("three watches", || {
        b.tell(&["incr", "task/start"]);
        few.try_wait().unwrap()
    });
    assert_eq!(counted.iter().count(), 2);
    let next = |lines: &Receiver<String>| loop {
        let line = lines.recv_timeout(common::PATIENCE).unwrap();
        if !line.contains("task/start") {
            return line;
        }
    };
    until("both", || {
        b.tell(&["set", "task/0", "go"]);
        let first: Value = serde_json::from_str(&next(&objects)).unwrap();
        has_names(&first, "key type value author clock concurrent");
        assert_eq!((&first["key"], &first["value"]), (&"task/0".into(), &"go".into()));
        Some(())
    });
    assert_eq!(next(&lines), "task/0 = go");
    b.tell(&["set", "elsewhere", "unseen"]);
    for (change, line, kind) in [
        (&["add", "task/open", "x"][..], "task/open = x", "set"),
        (&["del", "task/0"], "task/0 deleted", "lww"),
        (&["incr", "task/n", "2"], "task/n = 2", "counter"),
    ] {
        b.tell(change);
        assert_eq!(next(&lines), line);
        let event: Value = serde_json::from_str(&next(&objects)).unwrap();
        assert_eq!(event["type"], kind, "{event}");
        assert_eq!(event["value"].is_null(), line.ends_with("deleted"));
    }
    let pid = rustix::process::Pid::from_raw(people.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    assert_eq!(people.wait().unwrap().code(), Some(130));
    a.signal(Signal::TERM);
    assert_eq!(programs.wait().unwrap().code(), Some(3), "the node went away");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let folder = Folder::new();
    let node = Node::start(&folder.path("a"), &[]);
    let mut command = node.command(&["watch", "-o", "json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let status = until("the end of the watch", || {
        node.tell(&["incr", "n"]);
        child.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(0));
    let mut told = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut told).unwrap();
    assert_eq!(told, "");
}

#[test]
fn failures_have_their_exit_codes() {
    let folder = Folder::new();
    let node = Node::start(&folder.path("a"), &[]);
    node.tell(&["incr", "n", "9223372036854775807"]);
    fails(&node, &["get", "nothing"], 5, "not_found");
    fails(&node, &["del", "nothing"], 5, "not_found");
    fails(&node, &["del", "n"], 5, "not_found");
    fails(&node, &["remove", "nothing", "x"], 5, "not_found");
    fails(&node, &["get", ""], 2, "key_length");
    fails(&node, &["set", &"k".repeat(256), "v"], 2, "key_length");
    fails(&node, &["set", "k", &"v".repeat(5_000)], 1, "too_large");
    fails(&node, &["set", "k", &"v".repeat(70_000)], 1, "too_large");
    fails(&node, &["get", "n", "--agent", "1"], 5, "not_found");
    for args in
        [&["get"][..], &["set", "k"], &["incr", "n", "many"], &["get", "k", "--timeout", "0"]]
    {
        assert_eq!(node.ask(args).status.code(), Some(2), "{args:?}");
    }
    let elsewhere = |args: &[&str]| {
        let mut asked = command();
        asked.args(["status", "-o", "json"]).args(args).output().unwrap()
    };
    let output = elsewhere(&["--data-dir", "/no/such/folder"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(json(&output.stderr)["error"]["code"], "unreachable");
    let output = elsewhere(&["--control-socket", &"long/".repeat(40)]);
    assert_eq!(output.status.code(), Some(2));
    // A process that accepts and never answers.
    let deaf = folder.path("deaf");
    let _listener = std::os::unix::net::UnixListener::bind(&deaf).unwrap();
    let output = elsewhere(&["--timeout", "100ms", "--control-socket", deaf.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(json(&output.stderr)["error"]["code"], "timeout");
    // One whose process is stopped, but not gone.
    node.signal(Signal::STOP);
    let output = node.ask(&["set", "k", "v", "--timeout", "200ms", "-o", "json"]);
    node.signal(Signal::CONT);
    assert_eq!(output.status.code(), Some(4));
    assert!(json(&output.stderr)["error"]["help"].as_str().unwrap().contains("may still"));
}

#[test]
fn a_write_that_waits_for_peers_is_a_timeout() {
    let folder = Folder::new();
    let made = Node::start(&folder.path("made"), &[]);
    let key = folder.path("key");
    std::fs::copy(folder.path("made/node.key"), &key).unwrap();
    made.kill();
    // A used key without its records waits for peers, and there are none.
    let node = Node::start(&folder.path("a"), &["--identity", key.to_str().unwrap()]);
    assert_eq!(node.json(&["status"])["state"], "recovering");
    node.logged("writes wait for peers");
    fails(&node, &["set", "k", "v", "--timeout", "300ms"], 4, "timeout");
}

#[test]
fn the_environment_names_socket_and_folder_for_both_sides() {
    let folder = Folder::new();
    let socket = folder.path("here.sock");
    let mut asked = command();
    asked.env("KNHK_MESH_CONTROL_SOCKET", &socket).env("KNHK_MESH_DATA_DIR", folder.path("d"));
    let mut child =
        asked.args(["run", "--bind", "127.0.0.1:0"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut first).unwrap();
    for part in [" info ready node=", " address=127.0.0.1:", " mesh=default ", "here.sock"] {
        assert!(first.contains(part), "{first}");
    }
    let ask = |args: &[&str]| {
        command().args(args).env("KNHK_MESH_CONTROL_SOCKET", &socket).output().unwrap()
    };
    assert!(ask(&["set", "k", "v"]).status.success());
    assert_eq!(ask(&["get", "k"]).stdout, b"v\n");
    assert!(folder.path("d/node.key").exists() && !folder.path("d/control.sock").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    let output = ask(&["get", "k"]);
    assert_eq!(output.status.code(), Some(3), "a stale socket");
    // Without a name it is a private folder of the user's.
    let output =
        command().args(["status"]).env("XDG_RUNTIME_DIR", folder.path("x")).output().unwrap();
    assert!(text(&output.stderr).contains("x/knhk-mesh/control.sock"));
}

#[test]
fn the_socket_is_its_owners_only_and_replaces_a_stale_one() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("a")).unwrap();
    std::fs::set_permissions(folder.path("a"), PermissionsExt::from_mode(0o755)).unwrap();
    let node = Node::start(&folder.path("a"), &[]);
    let socket = folder.path("a/control.sock");
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&socket), 0o600);
    node.kill();
    assert!(socket.exists(), "nobody was left to remove it");
    let node = Node::start(&folder.path("a"), &[]);
    node.tell(&["set", "k", "the key of a killed node writes"]);
    assert_eq!(node.json(&["status"])["state"], "ready");
    drop(node);
    std::fs::remove_file(&socket).unwrap();
    std::fs::write(&socket, "precious").unwrap();
    let mut asked = command();
    let output = asked.args(["run", "--data-dir"]).arg(folder.path("a")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("is no socket"));
    assert_eq!(std::fs::read_to_string(&socket).unwrap(), "precious");
    // The usual place must be nobody else's.
    let open = folder.path("x/knhk-mesh");
    std::fs::create_dir_all(&open).unwrap();
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).unwrap();
    for word in ["run", "status"] {
        let output = command().arg(word).env("XDG_RUNTIME_DIR", folder.path("x")).output();
        assert!(text(&output.unwrap().stderr).contains("open to other users"), "{word}");
    }
}

#[test]
fn the_protocol_refuses_what_it_does_not_know_and_stays_usable() {
    let folder = Folder::new();
    let node = Node::start(&folder.path("a"), &[]);
    let mut wire = Wire::open(&node.data);
    for (line, code) in [
        ("{}", "usage"),
        ("[]", "usage"),
        ("no json", "usage"),
        (r#"{"v":2,"op":"get","key":"k"}"#, "version"),
        (r#"{"v":1,"op":"fly"}"#, "usage"),
        (r#"{"v":1,"op":"get"}"#, "usage"),
        (r#"{"v":1,"op":"get","key":"k","key_base64":"aw=="}"#, "usage"),
        (r#"{"v":1,"op":"get","key_base64":"!"}"#, "usage"),
        (r#"{"v":1,"op":"get","key":"k","type":"blob"}"#, "usage"),
        (r#"{"v":1,"op":"get","key":"k","kye":1}"#, "usage"),
        (r#"{"v":1,"op":"get","key":"k","agent":7}"#, "not_found"),
        (r#"{"v":1,"op":"set","key":"k"}"#, "usage"),
    ] {
        let answer = wire.ask(line);
        assert_eq!(answer["error"]["code"], code, "{line}: {answer}");
        has_names(&answer["error"], "code message help exit");
    }
    let answer = wire.ask(r#"{"v":1,"op":"set","key_base64":"/w==","value_base64":"AA=="}"#);
    assert_eq!(answer["ok"]["key_base64"], "/w==");
    assert_eq!(wire.ask(r#"{"v":1,"op":"get","key_base64":"/w=="}"#)["ok"]["value"], "\0");
    // Requests may be sent ahead; answers come in order.
    wire.send("{\"v\":1,\"op\":\"incr\",\"key\":\"n\"}\n\n{\"v\":1,\"op\":\"get\",\"key\":\"n\"}");
    assert!(wire.next().unwrap()["ok"]["seq"].is_u64());
    assert_eq!(wire.next().unwrap()["ok"]["value"], 1);
    // A line without an end is the end.
    let mut long = Wire::open(&node.data);
    long.send(&"x".repeat(80_000));
    assert_eq!(long.next().unwrap()["error"]["code"], "usage");
    // Far more connections than are served: none blocks the others for good.
    let mut held: Vec<Wire> = (0..300).map(|_| Wire::open(&node.data)).collect();
    let mut refused = 0;
    for wire in &mut held {
        // Who is refused finds the connection closed, and the reason in it.
        let _ = wire.0.get_mut().write_all(b"{\"v\":1,\"op\":\"digest\"}\n");
        refused += usize::from(wire.next().is_none_or(|answer| answer["error"]["code"] == "busy"));
    }
    assert!((1..100).contains(&refused), "{refused}");
    let refused = node.ask(&["status", "-o", "json"]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(json(&refused.stderr)["error"]["code"], "busy");
    drop(held);
    until("room again", || node.ask(&["status"]).status.success().then_some(()));
}

#[test]
fn agents_of_dev_are_picked_by_number() {
    let folder = Folder::new();
    let socket = folder.path("dev.sock");
    let mut asked = command();
    let mut child = asked
        .args(["dev", "--agents", "4", "--control-socket"])
        .arg(&socket)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("  knhk-mesh get greeting --agent 3")));
    let ask = |args: &[&str]| {
        let output = command().args(args).arg("--control-socket").arg(&socket).output().unwrap();
        (output.status.code(), text(&output.stdout))
    };
    assert_eq!(ask(&["set", "greeting", "hello"]).0, Some(0));
    until("the greeting", || {
        (ask(&["get", "greeting", "--agent", "3"]) == (Some(0), "hello\n".into())).then_some(())
    });
    let nodes: std::collections::BTreeSet<String> = ["0", "1", "2", "3"]
        .map(|agent| json(ask(&["status", "-o", "json", "--agent", agent]).1.as_bytes()))
        .map(|status| status["node"].to_string())
        .into();
    assert_eq!(nodes.len(), 4);
    assert_eq!(ask(&["status", "--agent", "4"]).0, Some(5));
    let taken = command().args(["dev", "--control-socket"]).arg(&socket).output().unwrap();
    assert_eq!(taken.status.code(), Some(1));
    assert!(text(&taken.stderr).contains("in use by a running node"));
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!socket.exists());
}

#[test]
fn dev_starts_the_mesh_of_a_file() {
    let folder = Folder::new();
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = folder.path("mesh.yaml");
    let end = port.saturating_add(50);
    let text_of = |agents: &str| {
        format!(
            "topology: flat_mesh\nagent_count: {agents}\ngossip:\n  fanout: 2\n\
             network:\n  transport: TCP\n  tls: false\n  port_range: {port}-{end}\n"
        )
    };
    std::fs::write(&file, text_of("3-9")).unwrap();
    let run = |args: &[&str]| {
        let mut asked = command();
        asked.args(["dev", "-o", "json", "--updates", "1", "-c"]).arg(&file).args(args);
        asked.output().unwrap()
    };
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report = json(&output.stdout);
    assert_eq!((&report["agents"], &report["transport"]), (&3.into(), &"tcp".into()));
    assert_eq!(report["fanout"], 2);
    let report = json(&run(&["--agents", "4", "--fanout", "3", "--transport", "memory"]).stdout);
    assert_eq!((&report["agents"], &report["transport"]), (&4.into(), &"memory".into()));
    assert_eq!(report["fanout"], 3);
    std::fs::write(&file, text_of("3-9").replace("fanout: 2", "fanout: 0")).unwrap();
    assert_eq!(run(&[]).status.code(), Some(78));
    std::fs::write(&file, format!("{}mesh:\n  max_authors: 2\n", text_of("3"))).unwrap();
    assert_eq!(run(&[]).status.code(), Some(78));
}
