//! A cut cable, not a simulated one: real processes in network namespaces of their own, joined by a
//! bridge in another one. Links are set down in the middle, so the nodes' own interfaces stay up
//! and nobody is told. Says `skipped:` and why where the system does not allow it.
//!
//! ```text
//!   node 1 .. 5, each in its namespace ── veth ──┐
//!                                                ├── bridge, in the namespace of the hub
//!                       cut: ip link set down ───┘
//! ```
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod common;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use common::{Folder, Node, PATIENCE_WITH_EYES, command, json, text, until, until_within};
use serde_json::Value;

const NODES: usize = 5;

/// Runs `ip` with these words; what it said if it failed.
fn ip(line: &str) -> Result<(), String> {
    let output = Command::new("ip").args(line.split_whitespace()).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {line}: {}", text(&output.stderr).trim()))
}

/// Namespaces and what joins them; gone when dropped.
struct Lab {
    name: String,
}

impl Lab {
    fn build() -> Result<Lab, String> {
        ip("-V")?;
        let lab = Lab { name: format!("knhk{}", std::process::id()) };
        let (name, hub) = (&lab.name, lab.hub());
        ip(&format!("netns add {hub}"))?;
        ip(&format!("-n {hub} link add bridge type bridge"))?;
        ip(&format!("-n {hub} link set bridge up"))?;
        for i in 1..=NODES {
            let own = lab.of(i);
            ip(&format!("netns add {own}"))?;
            ip(&format!("-n {hub} link add port{i} type veth peer name eth0 netns {own}"))?;
            ip(&format!("-n {hub} link set port{i} master bridge"))?;
            ip(&format!("-n {hub} link set port{i} up"))?;
            ip(&format!("-n {own} addr add 10.99.0.{i}/24 dev eth0"))?;
            ip(&format!("-n {own} link set eth0 up"))?;
            ip(&format!("-n {own} link set lo up"))?;
        }
        // Namespaces may be allowed, and entering them not.
        let entered = Command::new("ip").args(["netns", "exec", &lab.of(1), "true"]).status();
        if !entered.is_ok_and(|status| status.success()) {
            return Err(format!("{name}: a namespace cannot be entered"));
        }
        Ok(lab)
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    fn of(&self, i: usize) -> String {
        format!("{}-{i}", self.name)
    }

    /// Cuts the cables of `nodes` at the hub, or mends them.
    fn cables(&self, nodes: &[usize], state: &str) {
        for i in nodes {
            ip(&format!("-n {} link set port{i} {state}", self.hub())).unwrap();
        }
    }

    /// Starts `run` in the namespace of node `i`.
    fn start(&self, i: usize, folder: &Folder, config: &str) -> Node {
        let inside = command();
        let mut outside = Command::new("ip");
        outside.args(["netns", "exec", &self.of(i)]).arg(inside.get_program());
        for (name, value) in inside.get_envs() {
            match value {
                Some(value) => outside.env(name, value),
                None => outside.env_remove(name),
            };
        }
        let bind = format!("10.99.0.{i}:9000");
        let options = ["-c", config, "--bind", &bind, "--identity", &key(&folder.0, i)];
        Node::start_with(&folder.path(&i.to_string()), &options, &mut outside)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // The links end with their namespaces.
        (1..=NODES).map(|i| self.of(i)).chain([self.hub()]).for_each(|name| {
            let _ = ip(&format!("netns del {name}"));
        });
    }
}

fn key(folder: &Path, i: usize) -> String {
    folder.join(format!("{i}.key")).display().to_string()
}

fn status(node: &Node) -> Value {
    node.json(&["status"])
}

fn await_partition(nodes: &[&Node], state: &str) {
    for (i, node) in nodes.iter().enumerate() {
        let mut last = Value::Null;
        let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until_within(PATIENCE_WITH_EYES, state, || {
                last = status(node);
                (last["partition"] == state).then_some(())
            });
        }));
        assert!(held.is_ok(), "number {i} of them is not {state}: {last}");
    }
}

fn set(node: &Node, value: &str) -> Output {
    node.ask(&["set", "colour", value, "-o", "json"])
}

#[test]
fn a_minority_behind_a_cut_cable_refuses_writes_and_agrees_after_it_is_mended() {
    let lab = match Lab::build() {
        Ok(lab) => lab,
        Err(why) => {
            // Not `eprintln`, which is kept from whoever runs a test that passes.
            let told = writeln!(std::io::stderr(), "skipped: no network namespaces: {why}");
            return told.unwrap();
        }
    };
    let folder = Folder::new();
    let mut config = b"topology: flat_mesh\npartition:\n  mode: read_only\n  detect: fast\n\
                      bootstrap:\n  seeds: [\"10.99.0.1:9000\", \"10.99.0.2:9000\"]\n\
                      mesh:\n  admission: allowlist\n  allowlist:\n"
        .to_vec();
    for i in 1..=NODES {
        let mut keygen = command();
        keygen.args(["keygen", "-o", "json", "--identity"]).arg(key(&folder.0, i));
        let made = json(&keygen.output().unwrap().stdout);
        writeln!(config, "    - {}", made["node"].as_str().unwrap()).unwrap();
    }
    let config = folder.write("mesh.yaml", &text(&config));
    let nodes: Vec<Node> = (1..=NODES).map(|i| lab.start(i, &folder, &config)).collect();
    let [a, b, c, d, e] = &nodes[..] else { unreachable!() };
    [a, b, c, d, e].iter().for_each(|node| node.await_members(NODES as u64));
    assert!(set(a, "blue").status.success());
    e.await_value("colour", "blue");

    // Four of five are needed, so neither part of a cut of two may write; of one, the four may.
    lab.cables(&[5], "down");
    await_partition(&[e], "partitioned");
    let refused = set(e, "red");
    assert_eq!(refused.status.code(), Some(7), "{}", text(&refused.stderr));
    let error = &json(&refused.stderr)["error"];
    assert_eq!((&error["reachable"], &error["required"]), (&1.into(), &4.into()), "{error}");
    assert_eq!(e.get("colour").as_deref(), Some("blue"), "reading goes on");
    await_partition(&[a, b, c, d], "healthy");
    until("the four write", || set(b, "green").status.success().then_some(()));
    d.await_value("colour", "green");

    lab.cables(&[4], "down");
    await_partition(&[a, b, c, d, e], "partitioned");
    assert_eq!(set(a, "red").status.code(), Some(7));

    lab.cables(&[4, 5], "up");
    await_partition(&[a, b, c, d, e], "healthy");
    until("equal roots", || {
        let roots: Vec<Value> = nodes.iter().map(|node| status(node)["root"].clone()).collect();
        roots.windows(2).all(|pair| pair[0] == pair[1]).then_some(())
    });
    e.await_value("colour", "green");
    assert!(set(e, "violet").status.success());
    a.await_value("colour", "violet");
}
