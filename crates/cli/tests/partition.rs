//! A partition of real processes: a stopped process answers as little as one behind a cut cable.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod common;

use common::{Folder, Node, json, until};
use rustix::process::Signal;

const CONFIG: &str = "topology: flat_mesh\npartition:\n  mode: read_only\n  detect: fast\n";

#[test]
fn a_minority_refuses_writes_with_exit_code_7_and_takes_them_again_after_the_heal() {
    let folder = Folder::new();
    let config = folder.write("mesh.yaml", CONFIG);
    let options = ["-c", config.as_str(), "--bind", "127.0.0.1:0"];
    let seed = Node::start(&folder.path("a"), &options);
    let more = [options.as_slice(), &["--seeds", &seed.address]].concat();
    let others = ["b", "c", "d"].map(|name| Node::start(&folder.path(name), &more));
    let [b, c, d] = others;
    [&seed, &b, &c, &d].into_iter().for_each(|node| node.await_members(4));
    seed.tell(&["set", "colour", "blue"]);
    b.await_value("colour", "blue");

    // Three of four are needed.
    [&c, &d].into_iter().for_each(|node| node.signal(Signal::STOP));
    let refused = until("a refusal", || {
        let answer = seed.ask(&["set", "colour", "red", "-o", "json"]);
        (!answer.status.success()).then_some(answer)
    });
    assert_eq!(refused.status.code(), Some(7));
    let error = &json(&refused.stderr)["error"];
    assert_eq!(error["kind"], "partitioned", "{error}");
    assert_eq!((&error["reachable"], &error["required"]), (&2.into(), &3.into()));
    assert!(error["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0), "{error}");
    let state = until("the other to notice", || {
        let status = b.json(&["status"]);
        (status["partition"] == "partitioned").then_some(status)
    });
    assert_eq!((&state["reachable"], &state["required"]), (&2.into(), &3.into()));
    let told = seed.logged("partitioned");
    assert_eq!((&told["reachable"], &told["required"]), (&2.into(), &3.into()), "{told}");
    assert_eq!((&told["level"], &told["mode"]), (&"warn".into(), &"read_only".into()), "{told}");
    // Reading goes on, and what was written before the others fell silent is there.
    assert!(seed.get("colour").is_some());

    [&c, &d].into_iter().for_each(|node| node.signal(Signal::CONT));
    until("a write", || b.ask(&["set", "colour", "green"]).status.success().then_some(()));
    [&seed, &b, &c, &d].into_iter().for_each(|node| node.await_value("colour", "green"));
    seed.logged("recovering");
    assert!(seed.logged("healthy")["recovery_ms"].as_u64().is_some_and(|ms| ms > 0));
}
