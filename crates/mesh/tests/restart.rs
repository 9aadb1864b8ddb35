//! What a node owes its disk: acknowledged means there after a restart, also after kill -9.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod common;
#[allow(dead_code, reason = "its main is not called here")]
#[path = "../examples/durable.rs"]
mod durable;

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use common::{Folder, on};
use knhk_mesh::transport::memory::MemoryHub;
use knhk_mesh::{JoinError, Mesh, Options};

fn durable_node(folder: &Folder) -> Options {
    Options { data_dir: Some(folder.0.clone()), ..on(&MemoryHub::new(), 1) }
}

#[tokio::test]
async fn acknowledged_writes_outlive_a_restart() {
    let folder = Folder::new("restart");
    let first = Mesh::join(durable_node(&folder)).await.unwrap();
    first.set("color", "red").await.unwrap();
    first.set("gone", "soon").await.unwrap();
    first.delete("gone").await.unwrap();
    first.incr("total", 3).await.unwrap();
    first.add("team", "ada").await.unwrap();
    let (id, before) = (first.node_id(), first.status().await.unwrap().node.incarnation);
    first.close().await;

    let second = Mesh::join(durable_node(&folder)).await.unwrap();
    assert_eq!(second.node_id(), id);
    assert_eq!(second.get("color").await.unwrap().unwrap().value, "red");
    assert_eq!(second.get("gone").await.unwrap(), None);
    assert_eq!(second.counter("total").await.unwrap(), Some(3));
    assert_eq!(second.members("team").await.unwrap(), ["ada"]);
    assert!(second.status().await.unwrap().node.incarnation > before);
    second.incr("total", 1).await.unwrap();
    assert_eq!(second.counter("total").await.unwrap(), Some(4));
    second.close().await;
}

#[tokio::test(start_paused = true)]
async fn who_was_linked_once_is_found_again_though_every_seed_is_dead() {
    let hub = MemoryHub::new();
    let folders = [Folder::new("found-1"), Folder::new("found-2")];
    let seed = Mesh::join(on(&hub, 9)).await.unwrap();
    let (at, mut nodes) = (seed.local_addr(), Vec::new());
    let node = |i: usize| {
        let (data_dir, seeds) = (Some(folders[i].0.clone()), vec![at]);
        let bind = SocketAddr::from(([127, 0, 0, 1], 7_001 + i as u16));
        Options { data_dir, seeds, bind, ..on(&hub, 1 + i as u64) }
    };
    for i in 0..2 {
        nodes.push(Mesh::join(node(i)).await.unwrap());
    }
    for node in &nodes {
        common::eventually(|| async { node.status().await.unwrap().node.links == 2 }).await;
    }
    for folder in &folders {
        common::eventually(|| async { folder.0.join("peers").exists() }).await;
    }
    seed.close().await;
    for node in nodes.drain(..) {
        node.close().await;
    }
    for i in 0..2 {
        nodes.push(Mesh::join(node(i)).await.unwrap());
    }
    nodes[0].set("k", "v").await.unwrap();
    common::eventually(|| async { nodes[1].get("k").await.unwrap().is_some() }).await;
}

#[tokio::test]
async fn a_folder_serves_one_node_at_a_time() {
    let folder = Folder::new("one-at-a-time");
    let first = Mesh::join(durable_node(&folder)).await.unwrap();
    let second = Mesh::join(durable_node(&folder)).await;
    assert!(matches!(second, Err(JoinError::Store(_))), "{second:?}");
    first.close().await;
    Mesh::join(durable_node(&folder)).await.unwrap().close().await;
}

/// Where the killed process of the test below keeps its state.
const FOLDER: &str = "KNHK_MESH_TEST_FOLDER";

/// The process that the next test kills: without its folder in the environment it has nothing to
/// do.
#[tokio::test]
async fn writer_to_be_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let options = Options { data_dir: Some(folder.into()), ..Options::default() };
    durable::write_for_ever(options).await.unwrap();
}

/// Runs the writer until `lines` writes are acknowledged, kills it, and gives what it printed.
fn write_and_kill(folder: &Folder, lines: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer_to_be_killed", "--nocapture"])
        .env(FOLDER, &folder.0)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut printed: Vec<String> = out.by_ref().take(lines).map(Result::unwrap).collect();
    child.kill().unwrap();
    // What was acknowledged before the signal arrived; its last line may be cut off.
    printed.extend(out.map_while(Result::ok));
    child.wait().unwrap();
    printed
}

#[tokio::test]
async fn a_killed_process_finds_every_acknowledged_write_again() {
    let folder = Folder::new("kill");
    let mut newest: HashMap<String, u64> = HashMap::new();
    let mut total = 0;
    let mut incarnation = None;
    for lines in [120, 41] {
        newest.clear();
        for line in write_and_kill(&folder, lines) {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["set", key, value] => drop(newest.insert(key.into(), value.parse().unwrap())),
                ["incr", value] => total = value.parse::<i128>().unwrap(),
                _ => {}
            }
        }
        assert!(!newest.is_empty() && total > 0);
        let node = Mesh::join(durable_node(&folder)).await.unwrap();
        for (key, value) in &newest {
            // One more write may have reached the disk without its acknowledgement being read.
            let found = node.get(key).await.unwrap().unwrap().value;
            let found: u64 = std::str::from_utf8(&found).unwrap().parse().unwrap();
            assert!(found == *value || found == *value + 50, "{key}: {value}, found {found}");
        }
        let counted = node.counter("total").await.unwrap().unwrap();
        assert!(counted == total || counted == total + 1, "{total}, found {counted}");
        let status = node.status().await.unwrap().node;
        assert!(Some(status.incarnation) > incarnation);
        incarnation = Some(status.incarnation);
        node.close().await;
    }
}
