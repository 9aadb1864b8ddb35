//! The processes on the machines: made with a key of their own, killed, and started again with
//! what their disk holds.

use std::net::SocketAddr;

use knhk_mesh_core::config::Settings;
use knhk_mesh_core::identity::Keypair;
use knhk_mesh_core::messages::sink::OwnRecord;
use knhk_mesh_core::node::{Node, Restored};
use knhk_mesh_core::rng::mix;

use super::{NodeIx, World};
use crate::engine::Who;
use crate::engine::host::{Host, NEVER};

/// Members that a machine remembers, and how many it dials at a time.
const KNOWN: usize = 64;
const KNOWN_AT_ONCE: usize = 4;

impl World {
    /// One more machine with a new key; it starts knowing three others.
    pub fn add(&mut self) -> NodeIx {
        let i = self.add_alone();
        for _ in 0..i.min(3) {
            let seed = self.rng.below(i as u32) as usize;
            self.dial(i, seed);
        }
        i
    }

    /// The same; it knows nobody.
    pub fn add_alone(&mut self) -> NodeIx {
        let i = self.len();
        self.keys.push(self.key(i));
        let restored = Restored { new_key: true, ..Restored::default() };
        let node = self.make_node(i, &restored);
        self.put(i, node);
        i
    }

    pub(super) fn key(&self, i: NodeIx) -> [u8; 32] {
        let mut key = [0; 32];
        for (at, chunk) in key.chunks_mut(8).enumerate() {
            chunk.copy_from_slice(&mix(self.seed ^ ((i as u64) << 8) ^ at as u64).to_le_bytes());
        }
        key
    }

    pub(super) fn put(&mut self, i: NodeIx, node: Node) {
        if let Who::Known { ids, machines } = &mut self.engine.shared.who {
            machines.insert(node.id(), i);
            ids.push(node.id());
        }
        self.engine.add(Host::new(node));
        self.schedule(i);
    }

    pub(super) fn make_node(&self, i: NodeIx, restored: &Restored) -> Node {
        // Each node listens at an address of its own; the world routes by id.
        let mut config = (**self.settings).clone();
        let latency = &self.engine.shared.network.latency;
        if latency.regions().len() > 1 {
            config.region.clone_from(&latency.regions()[latency.region_of(i)]);
        }
        config.addresses = vec![self.address(i)];
        let settings = Settings::new(config);
        let Ok(settings) = settings else { unreachable!() };
        let signer = Box::new(Keypair::from_secret(&self.keys[i]));
        let seed = mix(self.seed ^ (i as u64 + 1));
        Node::new(settings, signer, restored, seed, self.clock())
    }

    /// Where node `i` listens.
    #[must_use]
    pub fn address(&self, i: NodeIx) -> SocketAddr {
        let port = 10_000 + (i % 50_000) as u16;
        let own = (i < self.len()).then(|| self.engine.host(i).own.as_ref()).flatten();
        SocketAddr::from(([127, 0, own.map_or(0, |own| own.moves), 1], port))
    }

    /// From its next start on node `i` listens at another address.
    pub fn move_away(&mut self, i: NodeIx) {
        let own = self.engine.host_mut(i).own();
        own.moves = own.moves.wrapping_add(1);
    }

    /// Kills the process of node `i`.
    pub fn kill(&mut self, i: NodeIx) {
        let host = self.engine.host_mut(i);
        host.up = false;
        host.boots = host.boots.wrapping_add(1);
        self.engine.shared.boots[i] = self.engine.host(i).boots;
        let cut: Vec<_> = self.links.iter().filter(|(a, b)| *a == i || *b == i).copied().collect();
        let known = cut.iter().map(|&(a, b)| if a == i { b } else { a }).take(KNOWN).collect();
        self.engine.host_mut(i).own().known = known;
        for (a, b) in cut {
            self.unlink(a, b);
        }
    }

    /// Node `i` dials a few of those that its last process was linked with, as the shell does where
    /// no link stands: the way back in when every seed is dead or hostile.
    pub fn dial_known(&mut self, i: NodeIx) {
        let known = self.engine.host(i).own.as_ref().map(|own| own.known.clone());
        let mut drawn = Vec::new();
        if let Some(known) = known.filter(|known| !known.is_empty()) {
            self.rng.sample(&known, KNOWN_AT_ONCE, &mut drawn);
        }
        drawn.into_iter().for_each(|other| self.dial(i, other));
    }

    /// What node `i` has on disk now.
    #[must_use]
    pub fn disk(&self, i: NodeIx) -> Vec<OwnRecord> {
        self.engine.host(i).own.as_ref().map(|own| own.disk.clone()).unwrap_or_default()
    }

    /// Starts node `i` again, with its disk or without.
    pub fn restart(&mut self, i: NodeIx, with_disk: bool, seeds: &[NodeIx]) {
        let own = self.engine.host_mut(i).own();
        if !with_disk {
            own.disk.clear();
            own.known.clear();
            own.incarnation = None;
        }
        self.start(i, false, seeds);
    }

    /// Starts node `i` again with an older copy of its disk.
    pub fn restart_from(&mut self, i: NodeIx, copy: Vec<OwnRecord>, seeds: &[NodeIx]) {
        self.engine.host_mut(i).own().disk = copy;
        self.start(i, true, seeds);
    }

    fn start(&mut self, i: NodeIx, outdated: bool, seeds: &[NodeIx]) {
        let own = self.engine.host_mut(i).own();
        own.peers.clear();
        let incarnation = own.incarnation;
        let records = own.disk.iter().map(|r| r.bytes.clone()).collect();
        let restored = Restored { incarnation, records, outdated, new_key: false };
        let node = self.make_node(i, &restored);
        let host = self.engine.host_mut(i);
        (host.node, host.up, host.wake) = (node, true, NEVER);
        self.schedule(i);
        seeds.iter().for_each(|&seed| self.dial(i, seed));
    }
}
