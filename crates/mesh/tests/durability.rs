//! A store that is lost, old, damaged or out of reach, and a seed that starts again.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use common::{Folder, agree, eventually, on};
use knhk_mesh::identity::{Keypair, Signer};
use knhk_mesh::key_file;
use knhk_mesh::node::Phase;
use knhk_mesh::storage::backup::{BackupError, Trust, restore};
use knhk_mesh::storage::{Health, StoreError};
use knhk_mesh::transport::memory::MemoryHub;
use knhk_mesh::{Identity, JoinError, Mesh, Options};
use redb::ReadableTable;

fn durable(hub: &MemoryHub, random: u64, folder: &Folder, seeds: &[&Mesh]) -> Options {
    let seeds = seeds.iter().map(|mesh| mesh.local_addr()).collect();
    Options { data_dir: Some(folder.0.clone()), seeds, ..on(hub, random) }
}

async fn members(node: &Mesh, wanted: usize) {
    eventually(|| async { node.status().await.unwrap().node.members == wanted }).await;
}

#[tokio::test]
async fn a_node_from_a_backup_counts_on_from_what_its_peers_hold() {
    let (hub, folder, copies) = (MemoryHub::new(), Folder::new("node"), Folder::new("copy"));
    std::fs::create_dir_all(&copies.0).unwrap();
    let copy = copies.0.join("monday");
    let ada = Mesh::join(durable(&hub, 1, &folder, &[])).await.unwrap();
    let peer = |random| Options { seeds: vec![ada.local_addr()], ..on(&hub, random) };
    let bob = Mesh::join(peer(2)).await.unwrap();
    // With three seeds nobody waits for more of them.
    let others = [Mesh::join(peer(5)).await.unwrap(), Mesh::join(peer(6)).await.unwrap()];
    members(&ada, 4).await;
    ada.incr("n", 3).await.unwrap();
    ada.set("k", "monday").await.unwrap();
    assert_eq!(ada.status().await.unwrap().storage, Health::Good);
    let summary = ada.back_up(&copy).await.unwrap();
    assert!(summary.records >= 3 && summary.incarnation > Default::default());
    ada.incr("n", 4).await.unwrap();
    ada.set("k", "tuesday").await.unwrap();
    agree(&[ada.clone(), bob.clone(), others[0].clone(), others[1].clone()]).await;
    ada.close().await;

    std::fs::remove_file(folder.0.join("state.redb")).unwrap();
    let node = key_file::load(&folder.0.join(key_file::KEY_FILE)).unwrap().node_id();
    restore(&copy, &folder.0, node, bob.mesh_id(), Trust::AskPeers).unwrap();
    let seeds = [&bob, &others[0], &others[1]];
    let ada = Mesh::join(durable(&hub, 3, &folder, &seeds)).await.unwrap();
    let phase = ada.status().await.unwrap().node.phase;
    assert_eq!(phase, Phase::Recovering);
    assert_eq!(ada.counter("n").await.unwrap(), Some(3), "it reads what it has");
    ada.incr("n", 1).await.unwrap();
    assert_eq!(ada.counter("n").await.unwrap(), Some(8));
    assert_eq!(ada.get("k").await.unwrap().unwrap().value, "tuesday");
    agree(&[ada.clone(), bob.clone()]).await;
    assert_eq!(bob.counter("n").await.unwrap(), Some(8));
    ada.close().await;
    let again = Mesh::join(durable(&hub, 4, &folder, &[])).await.unwrap();
    again.incr("n", 1).await.unwrap();
    assert_eq!(again.counter("n").await.unwrap(), Some(9), "its disk is the newest again");
    again.close().await;
    bob.close().await;
}

#[tokio::test]
async fn a_node_without_a_folder_has_nothing_to_back_up() {
    let node = Mesh::join(on(&MemoryHub::new(), 1)).await.unwrap();
    assert_eq!(node.status().await.unwrap().storage, Health::Memory);
    assert!(matches!(node.back_up("/nowhere").await, Err(BackupError::NoStore)));
    node.close().await;
    assert!(matches!(node.back_up("/nowhere").await, Err(BackupError::Stopped)));
}

/// The file is as it was written, but what was written is not what was signed.
#[tokio::test]
async fn records_that_do_not_verify_are_damage_and_not_passed_over() {
    let (hub, folder) = (MemoryHub::new(), Folder::new("forged"));
    let node = Mesh::join(durable(&hub, 1, &folder, &[])).await.unwrap();
    node.set("k", "v").await.unwrap();
    node.close().await;
    let database = redb::Database::open(folder.0.join("state.redb")).unwrap();
    let write = database.begin_write().unwrap();
    {
        let mut own = write.open_table(redb::TableDefinition::<u16, &[u8]>::new("own")).unwrap();
        let mut bytes = own.get(16).unwrap().unwrap().value().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        own.insert(16, bytes.as_slice()).unwrap();
    }
    write.commit().unwrap();
    drop(database);
    let refused = Mesh::join(durable(&hub, 2, &folder, &[])).await.unwrap_err();
    assert!(
        matches!(&refused, JoinError::Store(StoreError::Damaged { reason, .. })
            if reason.contains("signed")),
        "{refused}"
    );
    // The folder is free again: the same is told, and not that it is in use.
    let again = Mesh::join(durable(&hub, 3, &folder, &[])).await.unwrap_err();
    assert_eq!(again.to_string(), refused.to_string());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_folder_that_cannot_be_written_is_told_at_once() {
    for folder in ["/proc/knhk-mesh", "/dev/null/knhk-mesh"] {
        let options = Options { data_dir: Some(folder.into()), ..on(&MemoryHub::new(), 1) };
        let refused = Mesh::join(options).await.unwrap_err();
        assert!(matches!(refused, JoinError::Store(StoreError::Unusable { .. })), "{refused}");
    }
}

/// A seed that starts again knows nobody, and whom it left has links enough without it.
#[tokio::test(start_paused = true)]
async fn a_seed_that_left_or_vanished_is_dialled_again_by_those_it_left() {
    for vanishes in [false, true] {
        // Without a disk: its thread does not follow the test's clock.
        let (hub, key) = (MemoryHub::new(), || Keypair::from_secret(&[9; 32]));
        let seed = Options { identity: Identity::New(key()), ..on(&hub, 1) };
        let seed = Mesh::join(seed).await.unwrap();
        let (addr, id) = (seed.local_addr(), seed.node_id());
        let bob = Mesh::join(Options { seeds: vec![addr], ..on(&hub, 2) }).await.unwrap();
        let eve = Mesh::join(Options { seeds: vec![addr], ..on(&hub, 3) }).await.unwrap();
        for node in [&seed, &bob, &eve] {
            members(node, 3).await;
        }
        if vanishes {
            // Nobody hears its last words, and its links end by silence.
            hub.split(move |node| u32::from(*node == id));
            seed.close().await;
        } else {
            seed.leave().await;
        }
        for node in [&bob, &eve] {
            eventually(|| async { node.status().await.unwrap().node.links == 1 }).await;
        }
        hub.heal();
        let identity = Identity::Existing(key());
        let seed = Options { bind: addr, identity, ..on(&hub, 4) };
        let seed = Mesh::join(seed).await.unwrap();
        assert_eq!(seed.local_addr(), addr);
        for node in [&seed, &bob, &eve] {
            members(node, 3).await;
        }
        bob.set("k", "v").await.unwrap();
        eventually(|| async { seed.get("k").await.unwrap().is_some() }).await;
        for node in [seed, bob, eve] {
            node.close().await;
        }
    }
}

#[tokio::test]
async fn what_an_agent_writes_carries_its_number() {
    use knhk_mesh::identity::AgentNo;
    let node = Mesh::join(on(&MemoryHub::new(), 1)).await.unwrap();
    let third = node.agent(AgentNo(3));
    let receipt = third.set("k", "v").await.unwrap();
    assert_eq!(node.get("k").await.unwrap().unwrap().value, "v");
    assert!(node.set("k", "w").await.unwrap().hlc > receipt.hlc, "it is the same node");
    node.close().await;
}
