//! Ten peers of many.

use std::hint::black_box;

use knhk_mesh_core::identity::{Incarnation, NodeId, PeerIx};
use knhk_mesh_core::peer_registry::{PeerInfo, PeerRegistry, Settings};
use knhk_mesh_core::rng::Rng;
use knhk_mesh_core::time::Time;

use crate::clock::timed;
use crate::report::{Report, Samples};

/// Peers of one selection.
const K: usize = 10;
/// Selections between two readings of the clock, which costs more than one of them.
const GROUP: usize = 64;
/// Groups measured.
const GROUPS: usize = 20_000;

/// Measures the selection from `peers` and prints its row.
pub(crate) fn measure(peers: usize, report: &mut Report) -> std::io::Result<()> {
    let settings = Settings { max_peers: peers, byzantine_threshold: 0.5, expected_members: 0 };
    let mut registry = PeerRegistry::new(NodeId([0; 32]), settings);
    let mut rng = Rng::new(2);
    for i in 1..=peers as u64 {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&i.to_le_bytes());
        let peer = PeerInfo {
            id: NodeId(id),
            addresses: Vec::new(),
            region: "local".into(),
            zone: String::new(),
            incarnation: Incarnation(1),
        };
        registry.register(peer, Time::ZERO).expect("there is room");
    }
    let all: Vec<PeerIx> = registry.all().collect();
    for ix in all.into_iter().filter(|_| rng.below(100) == 0) {
        registry.update_reputation(ix, -0.9);
    }
    let mut samples = Samples::default();
    let mut chosen: Vec<PeerIx> = Vec::with_capacity(K);
    for _ in 0..GROUPS {
        let ((), ns) = timed(|| {
            for _ in 0..GROUP {
                chosen.clear();
                registry.random(K, &mut rng, &mut chosen);
                black_box(&chosen);
            }
        });
        samples.push(ns, GROUP);
        assert_eq!(chosen.len(), K, "ten were chosen");
    }
    report.row("select", None, Some(peers), &samples)
}
