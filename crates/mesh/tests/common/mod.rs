//! Nodes for tests: on one in-memory network, on a virtual clock where the test wants one.
#![allow(dead_code, unused_imports, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../src/test_folder.rs"]
mod test_folder;

use std::time::Duration;

use knhk_mesh::transport::memory::MemoryHub;
use knhk_mesh::{Mesh, Options, TransportKind};
pub(crate) use test_folder::Folder;

/// Options of a node on `hub`; `random` fixes its choices.
pub(crate) fn on(hub: &MemoryHub, random: u64) -> Options {
    Options {
        transport: TransportKind::Memory(hub.clone()),
        random_seed: Some(random),
        ..Options::default()
    }
}

/// `n` nodes that know each other.
pub(crate) async fn swarm(hub: &MemoryHub, n: usize) -> Vec<Mesh> {
    let mut nodes: Vec<Mesh> = Vec::new();
    for i in 0..n {
        let seeds = nodes.iter().take(2).map(Mesh::local_addr).collect();
        let options = Options { seeds, ..on(hub, i as u64) };
        nodes.push(Mesh::join(options).await.unwrap());
    }
    for node in &nodes {
        eventually(|| async { node.status().await.unwrap().node.members == n }).await;
    }
    nodes
}

/// Waits (on the test's clock) until `condition` holds; fails after a minute.
pub(crate) async fn eventually<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    for _ in 0..6_000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not happen within a minute");
}

/// Waits until all nodes hold the same records.
pub(crate) async fn agree(nodes: &[Mesh]) {
    eventually(|| async {
        let first = nodes[0].digest().await.unwrap();
        for node in nodes {
            if node.digest().await.unwrap() != first {
                return false;
            }
        }
        true
    })
    .await;
}
