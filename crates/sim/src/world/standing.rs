//! A mesh that stands: its nodes know each other from the start.

use std::net::SocketAddr;
use std::sync::Arc;

use knhk_mesh_core::config::Config;
use knhk_mesh_core::identity::{Incarnation, Keypair, NodeId, Signer as _};
use knhk_mesh_core::node::Node;
use knhk_mesh_core::peer_registry::{PeerInfo, PeerRegistry};
use knhk_mesh_core::rng::mix;
use knhk_mesh_core::time::Time;

use super::{Drive, World};
use crate::network::Network;

impl World {
    /// `n` nodes that know each other from the start: a mesh that stands, without its links and
    /// without the time that joining takes.
    ///
    /// # Panics
    /// If the configuration is out of range.
    #[must_use]
    pub fn standing(n: usize, config: Config, network: Network, seed: u64, drive: Drive) -> Self {
        let mut world = Self::bare(config, network, seed, drive);
        let mut all = PeerRegistry::new(NodeId([0; 32]), (&**world.settings).into());
        world.keys = (0..n).map(|i| world.key(i)).collect();
        let signers = world.keys.iter().map(|key| Box::new(Keypair::from_secret(key)));
        let signers: Vec<_> = signers.collect();
        for (i, signer) in signers.iter().enumerate() {
            let addresses = vec![SocketAddr::from(([127, 0, 0, 1], 10_000 + (i % 50_000) as u16))];
            let (id, incarnation) = (signer.node_id(), Incarnation(1));
            let (region, zone) = (world.settings.region.clone(), String::new());
            let listed =
                all.register(PeerInfo { id, addresses, region, zone, incarnation }, Time::ZERO);
            assert!(listed.is_ok(), "the mesh has room for its members");
        }
        let directory = all.snapshot();
        for (i, signer) in signers.into_iter().enumerate() {
            let (settings, directory) = (Arc::clone(&world.settings), Arc::clone(&directory));
            let seed = mix(seed ^ (i as u64 + 1));
            let node = Node::over_snapshot(settings, signer, directory, seed, world.clock());
            world.put(i, node);
        }
        world
    }
}
