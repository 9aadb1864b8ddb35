//! What applications share: every view, seen from nodes that did not write it.
mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{agree, eventually, on, swarm};
use knhk_mesh::clock::WallClock;
use knhk_mesh::time::WallMs;
use knhk_mesh::transport::memory::MemoryHub;
use knhk_mesh::{Mesh, Options, ReadError, WriteError};

#[tokio::test(start_paused = true)]
async fn a_value_is_set_replaced_and_deleted_everywhere() {
    let nodes = swarm(&MemoryHub::new(), 10).await;
    nodes[3].set("color", "red").await.unwrap();
    for node in &nodes {
        eventually(|| async { node.get("color").await.unwrap().is_some() }).await;
        let found = node.get("color").await.unwrap().unwrap();
        assert_eq!((found.value.as_ref(), found.author), (&b"red"[..], nodes[3].node_id()));
        assert!(!found.concurrent);
    }
    nodes[7].set("color", "blue").await.unwrap();
    agree(&nodes).await;
    for node in &nodes {
        assert_eq!(node.get("color").await.unwrap().unwrap().value, "blue");
    }
    nodes[1].delete("color").await.unwrap();
    agree(&nodes).await;
    for node in &nodes {
        assert_eq!(node.get("color").await.unwrap(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn increments_of_all_nodes_add_up() {
    let nodes = swarm(&MemoryHub::new(), 5).await;
    for (i, node) in nodes.iter().enumerate() {
        node.incr("done", 10).await.unwrap();
        node.incr("done", -(i as i64)).await.unwrap();
    }
    agree(&nodes).await;
    for node in &nodes {
        assert_eq!(node.counter("done").await.unwrap(), Some(40));
        assert_eq!(node.counter("other").await.unwrap(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn sets_grow_and_shrink() {
    let nodes = swarm(&MemoryHub::new(), 3).await;
    nodes[0].add("team", "ada").await.unwrap();
    nodes[1].add("team", "bob").await.unwrap();
    agree(&nodes).await;
    nodes[2].remove("team", "ada").await.unwrap();
    agree(&nodes).await;
    for node in &nodes {
        assert_eq!(node.members("team").await.unwrap(), [Bytes::from("bob")]);
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_values_stay_until_somebody_has_seen_both() {
    let hub = MemoryHub::new();
    let nodes = swarm(&hub, 3).await;
    let (a, b, c) = (&nodes[0], &nodes[1], &nodes[2]);
    let (put_a, put_b) = tokio::join!(a.put("plan", "A"), b.put("plan", "B"));
    put_a.unwrap();
    put_b.unwrap();
    agree(&nodes).await;
    let both = c.siblings("plan").await.unwrap();
    assert_eq!(both.len(), 2, "{both:?}");
    c.put("plan", "A and B").await.unwrap();
    agree(&nodes).await;
    for node in &nodes {
        let left = node.siblings("plan").await.unwrap();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(left[0].value, "A and B");
    }
}

#[tokio::test(start_paused = true)]
async fn extremes_are_kept() {
    let nodes = swarm(&MemoryHub::new(), 3).await;
    for (node, value) in nodes.iter().zip([5, -7, 3]) {
        node.offer_max("peak", value).await.unwrap();
        node.offer_min("low", value).await.unwrap();
    }
    agree(&nodes).await;
    for node in &nodes {
        assert_eq!(node.max("peak").await.unwrap(), Some(5));
        assert_eq!(node.min("low").await.unwrap(), Some(-7));
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_with_a_time_to_live_is_not_read_after_it() {
    let clock = WallClock::manual(WallMs(1_700_000_000_000));
    let options = Options { clock: clock.clone(), ..on(&MemoryHub::new(), 1) };
    let node = Mesh::join(options).await.unwrap();
    node.set_with_ttl("lease", "mine", Duration::from_secs(5)).await.unwrap();
    assert!(node.get("lease").await.unwrap().is_some());
    clock.set(WallMs(1_700_000_006_000));
    assert_eq!(node.get("lease").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_is_told_and_changes_nothing() {
    let node = Mesh::join(on(&MemoryHub::new(), 1)).await.unwrap();
    node.set("k", "v").await.unwrap();
    let before = node.digest().await.unwrap();
    assert!(matches!(node.set("", "v").await, Err(WriteError::Rejected(_))));
    assert!(matches!(node.set("k".repeat(256), "v").await, Err(WriteError::Rejected(_))));
    assert!(matches!(node.set("k", vec![0; 2_000]).await, Err(WriteError::Rejected(_))));
    assert!(matches!(node.get("").await, Err(ReadError::Key(_))));
    assert_eq!(node.digest().await.unwrap(), before);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_node_says_so() {
    let node = Mesh::join(on(&MemoryHub::new(), 1)).await.unwrap();
    let (clone, registry) = (node.clone(), node.peer_registry().await.unwrap());
    let mut watch = node.watch("").await.unwrap();
    node.leave().await;
    clone.leave().await;
    assert_eq!(clone.set("k", "v").await, Err(WriteError::Stopped));
    assert_eq!(clone.get("k").await, Err(ReadError::Stopped));
    assert!(clone.status().await.is_err());
    assert!(registry.get_random_peers(3).await.is_empty());
    while let Some(item) = watch.next().await {
        item.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_absent_seed_stops_nobody_and_is_met_when_it_comes() {
    let hub = MemoryHub::new();
    let late = "127.0.0.1:7777".parse().unwrap();
    let early = Mesh::join(Options { seeds: vec![late], ..on(&hub, 1) }).await.unwrap();
    early.set("k", "v").await.unwrap();
    tokio::time::sleep(Duration::from_secs(100)).await;
    let seed = Mesh::join(Options { bind: late, ..on(&hub, 2) }).await.unwrap();
    eventually(|| async { seed.get("k").await.unwrap().is_some() }).await;
}

#[tokio::test(start_paused = true)]
async fn who_leaves_is_no_member_any_more() {
    let mut nodes = swarm(&MemoryHub::new(), 3).await;
    nodes.pop().unwrap().leave().await;
    for node in &nodes {
        eventually(|| async { node.status().await.unwrap().node.members == 2 }).await;
    }
}
