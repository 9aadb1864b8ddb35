//! Watches over a mesh: own and foreign changes, after the merge, and the price of being slow.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{agree, swarm};
use knhk_mesh::transport::memory::MemoryHub;
use knhk_mesh::{Lagged, Watch};

async fn next_key(watch: &mut Watch) -> String {
    let change = watch.next().await.unwrap().unwrap();
    String::from_utf8(change.key.as_bytes().to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn own_and_foreign_changes_are_seen_after_the_merge() {
    let nodes = swarm(&MemoryHub::new(), 3).await;
    let mut watch = nodes[0].watch("task/").await.unwrap();
    nodes[0].set("task/own", "1").await.unwrap();
    assert_eq!(next_key(&mut watch).await, "task/own");
    nodes[1].set("note", "not watched").await.unwrap();
    nodes[2].add("task/foreign", "2").await.unwrap();
    assert_eq!(next_key(&mut watch).await, "task/foreign");
    assert_eq!(nodes[0].members("task/foreign").await.unwrap(), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_watch_is_told_what_it_missed() {
    let nodes = swarm(&MemoryHub::new(), 2).await;
    let mut watch = nodes[1].watch("k").await.unwrap();
    for i in 0..1_100 {
        nodes[0].set("k", i.to_string()).await.unwrap();
        if i % 50 == 0 {
            agree(&nodes).await;
        }
        nodes[1].set("k", i.to_string()).await.unwrap();
    }
    agree(&nodes).await;
    let Some(Err(Lagged(missed))) = watch.next().await else { panic!("not told") };
    assert!(missed > 0);
    let mut kept = 0;
    while let Some(item) = watch.try_next() {
        item.unwrap();
        kept += 1;
    }
    assert_eq!(kept, knhk_mesh::watch::WATCH_CAPACITY);
}

#[tokio::test(start_paused = true)]
async fn the_directory_can_be_read_and_changed() {
    let nodes = swarm(&MemoryHub::new(), 5).await;
    let registry = nodes[0].peer_registry().await.unwrap();
    // Who is linked is a peer; where it is, its member record says.
    common::eventually(|| async { registry.get_peers_by_region("local").await.len() == 4 }).await;
    assert_eq!((registry.peer_count(), registry.active_peer_count()), (4, 4));
    assert_eq!(registry.quorum_size(), 4);
    let random = registry.get_random_peers(2).await;
    assert!(random.len() == 2 && random[0].id != random[1].id);
    let liar = nodes[1].node_id();
    assert_eq!(registry.update_reputation(&liar, -0.7).await.map(|r| r < 0.5), Ok(true));
    assert_eq!(registry.byzantine_peer_count(), 1);
    assert!(registry.get_random_peers(10).await.iter().all(|peer| peer.id != liar));
    assert!(registry.get_peer(&liar).is_some_and(|peer| peer.reputation < 0.5));
    registry.deregister_peer(&liar).await.unwrap();
    assert!(registry.get_peer(&liar).is_none() && registry.touch_peer(&liar).await.is_err());
    assert_eq!(nodes[2].peers().await.unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_nearest_peers_are_those_with_a_measured_latency() {
    let hub = MemoryHub::with(Duration::from_millis(5), 0.0, 1);
    let nodes = swarm(&hub, 4).await;
    let registry = nodes[0].peer_registry().await.unwrap();
    common::eventually(|| async { registry.get_nearest_peers(3).await.len() == 3 }).await;
    let nearest = registry.get_nearest_peers(3).await;
    assert!(nearest.iter().all(|peer| peer.latency == Some(Duration::from_millis(10))));
}

#[tokio::test(start_paused = true)]
async fn linked_peers_stay_active_and_are_not_pruned() {
    let nodes = swarm(&MemoryHub::new(), 3).await;
    let registry = nodes[0].peer_registry().await.unwrap();
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(registry.active_peer_count(), 2);
    assert_eq!(registry.prune_stale_peers(Duration::from_secs(60)).await, 0);
}
