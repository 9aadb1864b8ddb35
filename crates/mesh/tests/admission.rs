//! Who may come in, asked through the front door.
mod common;

use std::time::Duration;

use common::{Folder, on};
use knhk_mesh::admission::{AdmissionError, Denial, Void};
use knhk_mesh::config::{Admission, Config};
use knhk_mesh::identity::{Keypair, NodeId, Signer};
use knhk_mesh::time::WallMs;
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

/// A mesh whose operator has the key 9.
fn with_operator(hub: &MemoryHub, secret: u8, seed: Option<&Mesh>) -> Options {
    let mut config = Config::default();
    config.genesis.admission_key = Some(Keypair::from_secret(&[9; 32]).node_id());
    let seeds = seed.map(Mesh::local_addr).into_iter().collect();
    let identity = Identity::New(Keypair::from_secret(&[secret; 32]));
    Options { config, identity, seeds, ..on(hub, secret.into()) }
}

fn denial(mesh: &Mesh, node: NodeId) -> Denial {
    Denial::sign(&Keypair::from_secret(&[9; 32]), &mesh.mesh_id(), node, WallMs(1))
}

#[tokio::test(start_paused = true)]
async fn a_denial_goes_through_the_mesh_and_what_is_left_of_the_node_is_the_same_everywhere() {
    let hub = MemoryHub::new();
    let ada = Mesh::join(with_operator(&hub, 1, None)).await.unwrap();
    let bob = Mesh::join(with_operator(&hub, 2, Some(&ada))).await.unwrap();
    let eve = Mesh::join(with_operator(&hub, 3, Some(&bob))).await.unwrap();
    for node in [&ada, &bob, &eve] {
        common::eventually(|| async { node.status().await.unwrap().node.members == 3 }).await;
    }
    eve.set("by-eve", "1").await.unwrap();
    bob.set("by-bob", "2").await.unwrap();
    common::eventually(|| async { ada.get("by-eve").await.unwrap().is_some() }).await;
    let mut watch = bob.watch("by-eve").await.unwrap();
    // Known at one side of a split only, when the denial comes.
    let alone = ada.node_id();
    hub.split(move |node| u32::from(*node == alone));
    eve.set("late", "3").await.unwrap();
    common::eventually(|| async { bob.get("late").await.unwrap().is_some() }).await;
    assert!(ada.deny(denial(&ada, eve.node_id())).await.unwrap());
    assert!(!ada.deny(denial(&ada, eve.node_id())).await.unwrap(), "known already");
    assert!(bob.denied().is_empty());
    hub.heal();
    common::eventually(|| async { bob.denied().len() == 1 }).await;
    common::eventually(|| async { eve.status().await.unwrap().node.links == 0 }).await;
    assert!(watch.next().await.is_some(), "watchers hear that the record went");
    for node in [&ada, &bob] {
        common::eventually(|| async { node.status().await.unwrap().node.members == 2 }).await;
        assert_eq!(node.get("by-eve").await.unwrap(), None);
        assert_eq!(node.get("late").await.unwrap(), None);
        assert!(node.get("by-bob").await.unwrap().is_some());
    }
    common::eventually(|| async { ada.digest().await == bob.digest().await }).await;
    // Who comes later hears of it before eve could come by that way.
    let dan = Mesh::join(with_operator(&hub, 4, Some(&bob))).await.unwrap();
    common::eventually(|| async { dan.denied().len() == 1 }).await;
    dan.set("by-dan", "4").await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(eve.get("by-dan").await.unwrap(), None);
    assert_eq!(eve.status().await.unwrap().node.links, 0);
}

#[tokio::test(start_paused = true)]
async fn who_is_forgotten_is_gone_and_may_come_back() {
    let hub = MemoryHub::new();
    let ada = Mesh::join(with_operator(&hub, 1, None)).await.unwrap();
    let bob = Mesh::join(with_operator(&hub, 2, Some(&ada))).await.unwrap();
    let eve = Mesh::join(with_operator(&hub, 3, Some(&bob))).await.unwrap();
    let members = async |node: &Mesh| node.status().await.unwrap().node.members;
    common::eventually(|| async { members(&ada).await == 3 && members(&bob).await == 3 }).await;
    eve.set("by-eve", "1").await.unwrap();
    common::eventually(|| async { ada.get("by-eve").await.unwrap().is_some() }).await;
    let (node, up_to) = (eve.node_id(), eve.status().await.unwrap().node.incarnation);
    eve.close().await;
    let operator = Keypair::from_secret(&[9; 32]);
    let forget = Denial::up_to(&operator, &ada.mesh_id(), node, up_to, WallMs(5));
    assert!(ada.deny(forget).await.unwrap());
    for mesh in [&ada, &bob] {
        common::eventually(|| async { members(mesh).await == 2 }).await;
        assert_eq!(mesh.get("by-eve").await.unwrap(), None);
        assert_eq!(mesh.denied(), [Void { node, up_to, at: Some(WallMs(5)) }]);
    }
    let eve = Mesh::join(with_operator(&hub, 3, Some(&bob))).await.unwrap();
    eve.set("by-eve", "2").await.unwrap();
    common::eventually(|| async { ada.get("by-eve").await.unwrap().is_some() }).await;
    common::eventually(|| async { members(&ada).await == 3 }).await;
    assert!(eve.status().await.unwrap().node.incarnation > up_to);
    // Whose last word is a purge leaves nothing behind.
    eve.purge().await;
    common::eventually(|| async { bob.get("by-eve").await.unwrap().is_none() }).await;
    common::eventually(|| async { members(&bob).await == 2 }).await;
    // To deny reaches further than to forget.
    assert!(bob.deny(Denial::sign(&operator, &ada.mesh_id(), node, WallMs(6))).await.unwrap());
    assert!(!bob.deny(forget).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn nobody_but_the_operator_denies_and_a_mesh_without_one_has_nobody_who_could() {
    let hub = MemoryHub::new();
    let ada = Mesh::join(with_operator(&hub, 1, None)).await.unwrap();
    let bob = Mesh::join(with_operator(&hub, 2, Some(&ada))).await.unwrap();
    let by_bob =
        Denial::sign(&Keypair::from_secret(&[2; 32]), &ada.mesh_id(), bob.node_id(), WallMs(1));
    assert!(matches!(ada.deny(by_bob).await, Err(AdmissionError::Refused(_))));
    let free = Mesh::join(on(&MemoryHub::new(), 7)).await.unwrap();
    let denied = free.deny(denial(&free, bob.node_id())).await;
    assert!(matches!(denied, Err(AdmissionError::NoKey)));
    assert!(matches!(
        ada.deny(denial(&free, bob.node_id())).await,
        Err(AdmissionError::Refused(_))
    ));
    assert!(ada.denied().is_empty() && free.denied().is_empty());
}
