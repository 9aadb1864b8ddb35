//! `peers --explain`: why each peer is trusted as it is, with one that sent what nobody may send.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use std::sync::Arc;

use common::{Folder, Node, PATIENCE, until};
use knhk_mesh::core::identity::Signer;
use knhk_mesh::identity::Keypair;
use knhk_mesh::messages::Lane;
use knhk_mesh::transport::{EVENT_CAPACITY, Event, Profile, Settings, Target, Transport};
use serde_json::Value;

/// Links with `node` under `key` and says things that are no messages, so often.
async fn send_garbage(node: &Node, key: Keypair, times: usize) {
    let mesh = node.json(&["status"])["mesh"].as_str().unwrap().parse().unwrap();
    let settings = Settings::new(Arc::new(key), mesh, Profile::Normal);
    let (sender, mut events) = tokio::sync::mpsc::channel(EVENT_CAPACITY);
    let transport = Transport::quic(settings, sender).unwrap();
    transport.dial(Target { node: None, addr: node.address.parse().unwrap() });
    let link = loop {
        match tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
            Event::Up(link) => break link,
            Event::DialFailed { why, .. } => panic!("{why}"),
            _ => {}
        }
    };
    for _ in 0..times {
        link.send(Lane::Delta, vec![0xee; 40].into()).unwrap();
    }
    until("the blame", || {
        let all = node.json(&["peers", "--explain"]);
        let parts = all.as_array().unwrap().iter().map(|peer| &peer["taken"][0]["times"]);
        let all_of_it = parts.into_iter().any(|seen| *seen == times);
        all_of_it.then_some(())
    });
    transport.shutdown(std::time::Duration::from_secs(1)).await;
}

#[track_caller]
fn of<'a>(all: &'a Value, node: &str) -> &'a Value {
    let found = all.as_array().unwrap().iter().find(|peer| peer["node"] == node);
    found.unwrap_or_else(|| panic!("{node} is not in {all}"))
}

#[test]
fn a_peer_that_was_blamed_is_shown_with_every_reason_and_the_way_back() {
    let folder = Folder::new();
    let a = Node::start(&folder.path("a"), &[]);
    let b = Node::start(&folder.path("b"), &["--seeds", &a.address]);
    a.await_members(2);
    let good = b.json(&["status"])["node"].as_str().unwrap().to_owned();
    // The key of a member, so that it stays in the directory when its link ends.
    let liar = Node::start(&folder.path("liar"), &["--seeds", &a.address]);
    a.await_members(3);
    // A member by its own record, not only at the other end of a link: records stay.
    liar.tell(&["set", "word", "given"]);
    [&a, &b].iter().for_each(|node| node.await_value("word", "given"));
    until("equal digests", || (a.tell(&["digest"]) == liar.tell(&["digest"])).then_some(()));
    until("equal digests", || (b.tell(&["digest"]) == liar.tell(&["digest"])).then_some(()));
    let bad = liar.json(&["status"])["node"].as_str().unwrap().to_owned();
    let key = knhk_mesh::key_file::load(&folder.path("liar").join("node.key")).unwrap();
    assert_eq!(key.node_id().to_string(), bad);
    liar.kill();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(send_garbage(&a, key, 6));

    let all = a.json(&["peers", "--explain"]);
    let blamed = of(&all, &bad);
    assert_eq!((&blamed["trusted"], &blamed["threshold"]), (&false.into(), &0.5.into()));
    let part = &blamed["taken"][0];
    assert_eq!(part["times"], 6, "{blamed}");
    assert!((part["amount"].as_f64().unwrap() - 0.6).abs() < 0.01, "{blamed}");
    assert!(!part["means"].as_str().unwrap().is_empty());
    assert!(blamed["whole_in_s"].as_u64() > blamed["trusted_in_s"].as_u64(), "{blamed}");
    let honest = of(&all, &good);
    assert_eq!((&honest["trusted"], &honest["reputation"]), (&true.into(), &1.0.into()));
    assert_eq!(honest["taken"], serde_json::json!([]));
    assert!(honest["accused"].is_null() && honest["barred_s"].is_null(), "{honest}");

    let shown = a.tell(&["peers", "--explain"]);
    let at = |node: &str| shown.lines().position(|line| line.starts_with(node)).unwrap();
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[at(&bad)].contains("NOT trusted, below 0.500"), "{shown}");
    assert!(lines[at(&bad) + 1].starts_with("  -0.600  "), "{shown}");
    assert!(lines[at(&bad) + 1].contains("6 times"), "{shown}");
    assert_eq!(lines[at(&good) + 1], "  nothing against it");
    // Nobody is told what a node thinks of others.
    assert_eq!(of(&b.json(&["peers", "--explain"]), &bad)["trusted"], true);
}
