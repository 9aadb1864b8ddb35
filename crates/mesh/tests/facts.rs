//! What a quorum of the committee certifies, asked through the front door.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod common;

use common::{Folder, on};
use knhk_mesh::admission::{AdmissionError, Denial, NotAdmitted};
use knhk_mesh::config::Config;
use knhk_mesh::core::certified::{Certificate, Fact, NotCertified, Vote};
use knhk_mesh::identity::{Committee, Incarnation, Keypair, MeshId, NodeId, Signer};
use knhk_mesh::time::WallMs;
use knhk_mesh::transport::memory::MemoryHub;
use knhk_mesh::{Identity, Mesh, Options};

/// Members of the committee; none of them has to run a node.
const MEMBERS: [u8; 4] = [11, 12, 13, 14];
const OPERATOR: u8 = 9;

fn pair(secret: u8) -> Keypair {
    Keypair::from_secret(&[secret; 32])
}

fn committee() -> Committee {
    Committee::new(MEMBERS.map(|member| pair(member).node_id()).to_vec()).unwrap()
}

/// A mesh with an admission key and a committee of four.
fn appointed(hub: &MemoryHub, secret: u8, seed: Option<&Mesh>) -> Options {
    let mut config = Config::default();
    config.genesis.admission_key = Some(pair(OPERATOR).node_id());
    config.genesis.committee = Some(committee());
    let seeds = seed.map(Mesh::local_addr).into_iter().collect();
    let identity = Identity::New(pair(secret));
    Options { config, identity, seeds, ..on(hub, secret.into()) }
}

/// The same with a disk, and whatever identity is on it.
fn stored(hub: &MemoryHub, secret: u8, seed: Option<&Mesh>, folder: &Folder) -> Options {
    let data_dir = Some(folder.0.clone());
    Options { data_dir, identity: Identity::Auto, ..appointed(hub, secret, seed) }
}

fn join(mesh: &MeshId, fact: &Fact, by: &[u8]) -> Result<Certificate, NotCertified> {
    let vote = |member: &u8| Vote::sign(&pair(*member), fact.clone(), &committee(), mesh).unwrap();
    let votes: Vec<_> = by.iter().map(vote).collect();
    Certificate::join(&votes, &committee(), mesh).map(|joined| joined.certificate().clone())
}

/// What is certified with one signature taken out: two are left.
fn of_two(mesh: &MeshId, fact: &Fact) -> Certificate {
    let whole = join(mesh, fact, &MEMBERS[..3]).unwrap().encode();
    let (head, signatures) = whole.split_at(whole.len() - 3 * 64);
    let (head, signers) = head.split_at(head.len() - 2);
    let signers = u16::from_le_bytes([signers[0], signers[1]]);
    let two = signers & (signers - 1);
    let bytes = [head, &two.to_le_bytes(), &signatures[64..]].concat();
    Certificate::decode(&bytes).unwrap()
}

async fn members(mesh: &Mesh) -> usize {
    mesh.status().await.unwrap().node.members
}

fn is_denied(mesh: &Mesh, node: &NodeId) -> bool {
    mesh.denied().iter().any(|void| void.node == *node && void.is_for_ever())
}

#[tokio::test(start_paused = true)]
async fn three_of_four_deny_a_node_everywhere_and_two_or_the_operator_do_not() {
    let (hub, folder) = (MemoryHub::new(), Folder::new("facts"));
    let ada = Mesh::join(appointed(&hub, 1, None)).await.unwrap();
    let bob = Mesh::join(appointed(&hub, 2, Some(&ada))).await.unwrap();
    let eve = Mesh::join(appointed(&hub, 3, Some(&bob))).await.unwrap();
    let dan = Mesh::join(stored(&hub, 4, Some(&ada), &folder)).await.unwrap();
    for node in [&ada, &bob, &eve, &dan] {
        common::eventually(|| async { members(node).await == 4 }).await;
    }
    eve.set("by-eve", "1").await.unwrap();
    common::eventually(|| async { dan.get("by-eve").await.unwrap().is_some() }).await;
    dan.close().await;
    let (mesh, evil) = (ada.mesh_id(), eve.node_id());
    let by_operator = Denial::sign(&pair(OPERATOR), &mesh, evil, WallMs(1));
    let refused = ada.deny(by_operator).await.unwrap_err();
    assert!(matches!(refused, AdmissionError::Refused(NotAdmitted::NeedsQuorum)), "{refused}");
    let out = Fact::void(&evil, Denial::FOR_EVER);
    let few = NotCertified::Count { have: 2, need: 3 };
    assert_eq!(join(&mesh, &out, &MEMBERS[..2]), Err(few));
    let refused = ada.publish_fact(of_two(&mesh, &out)).await.unwrap_err();
    let wanted = NotAdmitted::Uncertified(few);
    assert!(matches!(refused, AdmissionError::Refused(why) if why == wanted), "{refused}");
    assert!(ada.denied().is_empty());
    let certificate = join(&mesh, &out, &MEMBERS[1..]).unwrap();
    assert!(ada.publish_fact(certificate.clone()).await.unwrap());
    assert!(!ada.publish_fact(certificate).await.unwrap(), "known already");
    common::eventually(|| async { eve.status().await.unwrap().node.links == 0 }).await;
    for node in [&ada, &bob] {
        common::eventually(|| async { node.get("by-eve").await.unwrap().is_none() }).await;
        assert!(is_denied(node, &evil));
    }
    // Who was down meanwhile hears of it, drops what it had, and keeps it.
    let dan = Mesh::join(stored(&hub, 4, Some(&bob), &folder)).await.unwrap();
    common::eventually(|| async { is_denied(&dan, &evil) }).await;
    common::eventually(|| async { dan.get("by-eve").await.unwrap().is_none() }).await;
    dan.close().await;
    for node in [ada, bob, eve] {
        node.close().await;
    }
    let alone = Mesh::join(stored(&hub, 4, None, &folder)).await.unwrap();
    assert!(is_denied(&alone, &evil), "on disk, and checked again");
    assert_eq!(alone.get("by-eve").await.unwrap(), None);
    let eve = Mesh::join(appointed(&hub, 3, Some(&alone))).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(eve.status().await.unwrap().node.links, 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_starts_with_a_list_that_is_cut_or_altered() {
    let (hub, folder) = (MemoryHub::new(), Folder::new("cut-notices"));
    let ada = Mesh::join(stored(&hub, 1, None, &folder)).await.unwrap();
    let fact = Fact::void(&pair(3).node_id(), Denial::FOR_EVER);
    assert!(ada.publish_fact(join(&ada.mesh_id(), &fact, &MEMBERS[..3]).unwrap()).await.unwrap());
    ada.close().await;
    let path = folder.0.join("notices");
    let whole = std::fs::read(&path).unwrap();
    let mut altered = whole.clone();
    altered[4] ^= 0x80;
    for bytes in [&whole[..whole.len() - 1], &whole[..3], &altered] {
        std::fs::write(&path, bytes).unwrap();
        let why = Mesh::join(stored(&hub, 1, None, &folder)).await.unwrap_err().to_string();
        assert!(why.contains("notices is cut or altered: delete it"), "{why}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "nothing was changed");
    }
    std::fs::remove_file(&path).unwrap();
    let ada = Mesh::join(stored(&hub, 1, None, &folder)).await.unwrap();
    assert!(!is_denied(&ada, &pair(3).node_id()));
}

#[tokio::test(start_paused = true)]
async fn who_is_forgotten_by_a_quorum_may_come_back_and_be_denied_then() {
    let hub = MemoryHub::new();
    let ada = Mesh::join(appointed(&hub, 1, None)).await.unwrap();
    let bob = Mesh::join(appointed(&hub, 2, Some(&ada))).await.unwrap();
    common::eventually(|| async { members(&ada).await == 2 }).await;
    bob.set("by-bob", "1").await.unwrap();
    common::eventually(|| async { ada.get("by-bob").await.unwrap().is_some() }).await;
    let (node, up_to) = (bob.node_id(), bob.status().await.unwrap().node.incarnation);
    bob.close().await;
    let void = async |up_to: Incarnation| {
        let certificate = join(&ada.mesh_id(), &Fact::void(&node, up_to), &MEMBERS[..3]);
        ada.publish_fact(certificate.unwrap()).await.unwrap()
    };
    assert!(void(up_to).await);
    common::eventually(|| async { members(&ada).await == 1 }).await;
    assert_eq!(ada.get("by-bob").await.unwrap(), None);
    assert!(!void(Incarnation(up_to.0 - 1)).await, "it reaches less far");
    let bob = Mesh::join(appointed(&hub, 2, Some(&ada))).await.unwrap();
    bob.set("by-bob", "2").await.unwrap();
    common::eventually(|| async { ada.get("by-bob").await.unwrap().is_some() }).await;
    assert!(void(Denial::FOR_EVER).await);
    common::eventually(|| async { bob.status().await.unwrap().node.links == 0 }).await;
    assert!(is_denied(&ada, &node));
}

#[tokio::test(start_paused = true)]
async fn the_highest_version_stands_everywhere_and_liars_are_named_everywhere() {
    let (hub, folder) = (MemoryHub::new(), Folder::new("liars"));
    let ada = Mesh::join(stored(&hub, 1, None, &folder)).await.unwrap();
    let bob = Mesh::join(appointed(&hub, 2, Some(&ada))).await.unwrap();
    let mesh = ada.mesh_id();
    let said = |version: u64, value: &str| Fact::new("config/x", version, value.into()).unwrap();
    let certify = |version: u64, value: &str, by: &[u8]| join(&mesh, &said(version, value), by);
    assert_eq!(ada.fact("config/x"), None);
    assert!(ada.publish_fact(certify(1, "3", &MEMBERS[..3]).unwrap()).await.unwrap());
    common::eventually(|| async { bob.fact("config/x") == Some((1, b"3".to_vec())) }).await;
    // The two in the middle sign two values of version 2, one for each side of a split.
    let alone = ada.node_id();
    hub.split(move |node| u32::from(*node == alone));
    let [left, right] = [certify(2, "4", &MEMBERS[..3]), certify(2, "5", &MEMBERS[1..])];
    assert!(ada.publish_fact(left.unwrap()).await.unwrap());
    assert!(bob.publish_fact(right.unwrap()).await.unwrap());
    assert!(ada.fact_conflicts().is_empty() && bob.fact_conflicts().is_empty());
    hub.heal();
    let mut liars = [MEMBERS[1], MEMBERS[2]].map(|member| pair(member).node_id());
    liars.sort_unstable();
    for node in [&ada, &bob] {
        common::eventually(|| async { node.fact_conflicts().len() == 1 }).await;
        let found = &node.fact_conflicts()[0];
        assert_eq!(found.signers_of_both(node.committee().unwrap()), liars);
    }
    assert_eq!(ada.fact("config/x"), bob.fact("config/x"));
    assert!(ada.publish_fact(certify(3, "6", &MEMBERS[..3]).unwrap()).await.unwrap());
    common::eventually(|| async { bob.fact("config/x") == Some((3, b"6".to_vec())) }).await;
    assert!(!bob.publish_fact(certify(1, "3", &MEMBERS[..3]).unwrap()).await.unwrap());
    ada.close().await;
    let ada = Mesh::join(stored(&hub, 1, None, &folder)).await.unwrap();
    assert_eq!(ada.fact("config/x"), Some((3, b"6".to_vec())));
    assert_eq!((ada.facts().len(), ada.fact_conflicts().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_committee_nothing_is_certified() {
    let ada = Mesh::join(on(&MemoryHub::new(), 1)).await.unwrap();
    let fact = Fact::new("config/x", 1, b"3".to_vec()).unwrap();
    let certificate = join(&ada.mesh_id(), &fact, &MEMBERS[..3]).unwrap();
    let refused = ada.publish_fact(certificate).await.unwrap_err();
    assert!(matches!(refused, AdmissionError::Refused(NotAdmitted::NoCommittee)), "{refused}");
    assert!(ada.facts().is_empty() && ada.committee().is_none());
}

#[tokio::test(start_paused = true)]
async fn more_than_a_lane_holds_gets_through_in_the_end() {
    let hub = MemoryHub::new();
    let ada = Mesh::join(appointed(&hub, 1, None)).await.unwrap();
    let mesh = ada.mesh_id();
    for n in 0..1_000 {
        let fact = Fact::new(&format!("key/{n}"), 1, vec![b'x'; Fact::MAX_VALUE]).unwrap();
        assert!(ada.publish_fact(join(&mesh, &fact, &MEMBERS[..3]).unwrap()).await.unwrap());
    }
    let bob = Mesh::join(appointed(&hub, 2, Some(&ada))).await.unwrap();
    common::eventually(|| async { bob.facts().len() == 1_000 }).await;
}
