//! Who may come in, asked through the front door.
mod common;

use std::time::Duration;

use common::{Folder, on};
use knhk_mesh::config::{Admission, Config};
use knhk_mesh::identity::{Keypair, NodeId, Signer};
use knhk_mesh::transport::BindError;
use knhk_mesh::transport::memory::MemoryHub;
use knhk_mesh::{Identity, JoinError, Mesh, Options};

#[tokio::test]
async fn open_admission_beyond_loopback_is_refused_before_anything_is_made() {
    let folder = Folder::new("open");
    let bind = "0.0.0.0:0".parse().unwrap();
    let options = Options { bind, data_dir: Some(folder.0.clone()), ..Options::default() };
    let refused = Mesh::join(options).await.err().unwrap();
    assert!(matches!(refused, JoinError::Bind(BindError::OpenBeyondLoopback(_))), "{refused}");
    assert!(!folder.0.exists());
}

fn listed(hub: &MemoryHub, secret: u8, list: &[NodeId]) -> Options {
    let config = Config { admission: Admission::allowlist(list.to_vec()), ..Config::default() };
    let identity = Identity::New(Keypair::from_secret(&[secret; 32]));
    Options { config, identity, ..on(hub, secret.into()) }
}

#[tokio::test(start_paused = true)]
async fn only_listed_keys_share_state() {
    let hub = MemoryHub::new();
    let id = |secret: u8| Keypair::from_secret(&[secret; 32]).node_id();
    let list = [id(1), id(2)];
    let first = Mesh::join(listed(&hub, 1, &list)).await.unwrap();
    let seeds = vec![first.local_addr()];
    let second = Options { seeds: seeds.clone(), ..listed(&hub, 2, &list) };
    let second = Mesh::join(second).await.unwrap();
    let stranger = Options { seeds, ..listed(&hub, 3, &[id(1), id(2), id(3)]) };
    let stranger = Mesh::join(stranger).await.unwrap();
    first.set("k", "v").await.unwrap();
    common::eventually(|| async { second.get("k").await.unwrap().is_some() }).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(stranger.get("k").await.unwrap(), None);
    assert_eq!(first.status().await.unwrap().node.members, 2);
}

#[tokio::test(start_paused = true)]
async fn another_mesh_on_the_same_network_stays_another() {
    let hub = MemoryHub::new();
    let here = Mesh::join(on(&hub, 1)).await.unwrap();
    let mut config = Config::default();
    config.genesis.name = "other".into();
    let there = Options { config, seeds: vec![here.local_addr()], ..on(&hub, 2) };
    let there = Mesh::join(there).await.unwrap();
    here.set("k", "v").await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(there.get("k").await.unwrap(), None);
    assert_eq!(there.status().await.unwrap().node.links, 0);
}
