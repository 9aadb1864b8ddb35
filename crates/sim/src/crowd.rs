//! Up to a million nodes over one directory that all share: for the spreading of a few updates,
//! where membership is not what is measured. Each node has chosen its links uniformly, as a real
//! one does, and they stand for the whole run: a flat overlay of sampled links.

use std::sync::Arc;

use hashbrown::HashMap;
use knhk_mesh_core::config::Settings;
use knhk_mesh_core::crdt::Op;
use knhk_mesh_core::identity::{AgentNo, Incarnation, Keypair, NodeId, PeerIx, Signer};
use knhk_mesh_core::messages::sink::WriteId;
use knhk_mesh_core::messages::{Input, Lane, Message};
use knhk_mesh_core::node::Node;
use knhk_mesh_core::peer_registry::{Directory, PeerInfo, PeerRegistry};
use knhk_mesh_core::rng::{Rng, mix};
use knhk_mesh_core::time::Time;

use crate::adversary::{Conduct, Kind, forked};
use crate::cast::Corrupt;
use crate::engine::host::{Host, NEVER};
use crate::engine::{Engine, Shared, Slot, Who};
use crate::network::Network;
use crate::world::{Drive, NodeIx};

/// Up to so many nodes all have true keys; above, those that sign.
pub(crate) const ALL_KEYED: usize = 10_000;

/// What a crowd is made of.
pub(crate) struct Plan {
    pub(crate) settings: Arc<Settings>,
    pub(crate) network: Network,
    pub(crate) nodes: usize,
    pub(crate) seed: u64,
    pub(crate) drive: Drive,
    /// Adversaries by index.
    pub(crate) corrupt: Corrupt,
    /// Nodes that write.
    pub(crate) writers: Vec<NodeIx>,
}

/// A listed node that never signs: its id follows from its number.
struct Unsigned(u64);

impl Signer for Unsigned {
    fn node_id(&self) -> NodeId {
        let mut id = [0; 32];
        for (at, chunk) in id.chunks_mut(8).enumerate() {
            chunk.copy_from_slice(&mix(self.0.wrapping_mul(4) + at as u64).to_le_bytes());
        }
        NodeId(id)
    }
    /// # Panics
    /// Always: only nodes with keys write.
    fn sign(&self, _: &[u8]) -> [u8; 64] {
        unreachable!("a node without a key does not write")
    }
}

impl Plan {
    fn key(&self, i: NodeIx) -> [u8; 32] {
        let mut key = [0; 32];
        for (at, chunk) in key.chunks_mut(8).enumerate() {
            chunk.copy_from_slice(&mix(self.seed ^ ((i as u64) << 8) ^ at as u64).to_le_bytes());
        }
        key
    }

    fn signer(&self, i: NodeIx) -> Box<dyn Signer + Send> {
        let signs = self.nodes <= ALL_KEYED
            || self.writers.contains(&i)
            || self.corrupt.get(&i).is_some_and(|kind| kind.writes());
        if signs {
            Box::new(Keypair::from_secret(&self.key(i)))
        } else {
            Box::new(Unsigned(mix(self.seed) ^ i as u64))
        }
    }

    fn directory(&self, signers: &[Box<dyn Signer + Send>]) -> Arc<Directory> {
        let mut all = PeerRegistry::new(NodeId([0; 32]), (&**self.settings).into());
        let latency = &self.network.latency;
        for (i, signer) in signers.iter().enumerate() {
            let region = latency.regions()[latency.region_of(i)].clone();
            let (addresses, zone) = (Vec::new(), String::new());
            let incarnation = Incarnation(1);
            let id = signer.node_id();
            let listed =
                all.register(PeerInfo { id, addresses, region, zone, incarnation }, Time::ZERO);
            assert_eq!(listed, Ok(PeerIx::new(i, 0)), "the index in the directory is the node's");
        }
        all.snapshot()
    }

    /// For each node the others that it chose, uniformly.
    fn chosen(&self) -> Vec<u32> {
        let n = self.nodes as u32;
        let each = self.links_each();
        let mut rng = Rng::new(mix(self.seed ^ 0x6c69_6e6b));
        let mut chosen = Vec::with_capacity(self.nodes * each);
        for i in 0..n {
            let first = chosen.len();
            while chosen.len() < first + each {
                let other = rng.below(n);
                if other != i && !chosen[first..].contains(&other) {
                    chosen.push(other);
                }
            }
        }
        chosen
    }

    fn links_each(&self) -> usize {
        self.settings.wanted_links().min(self.nodes - 1)
    }
}

/// The nodes of a plan, linked, before anything happens.
pub(crate) struct Crowd {
    pub(crate) engine: Engine,
    pub(crate) settings: Arc<Settings>,
    keys: HashMap<NodeIx, [u8; 32], foldhash::fast::FixedState>,
    writes: u64,
}

impl Crowd {
    pub(crate) fn new(plan: &Plan, mut progress: impl FnMut(usize)) -> Self {
        assert!(plan.nodes >= 2, "a mesh has at least two nodes");
        let signers: Vec<_> = (0..plan.nodes).map(|i| plan.signer(i)).collect();
        let directory = plan.directory(&signers);
        let shared = Shared::new(plan.network.clone(), plan.drive.wire, Who::Listed);
        let mut engine = Engine::new(shared, plan.seed, plan.drive.queue, plan.drive.threads);
        let now = engine.shared.now(0, 0);
        let allied = plan.corrupt.iter().filter(|(_, kind)| **kind == Kind::Eclipse);
        let allies: Vec<NodeId> = allied.filter_map(|(&i, _)| directory.id_at(i)).collect();
        for (i, signer) in signers.into_iter().enumerate() {
            let hidden_from = &directory;
            let (settings, directory) = (Arc::clone(&plan.settings), Arc::clone(&directory));
            let seed = mix(plan.seed ^ (i as u64 + 1));
            let mut host = Host::new(Node::over_snapshot(settings, signer, directory, seed, now));
            if let Some(&kind) = plan.corrupt.get(&i) {
                let own = host.own();
                let hidden = plan.writers.iter().filter_map(|&i| hidden_from.id_at(i)).collect();
                let mut conduct = Conduct::new(kind).against(hidden).signing_with(plan.key(i));
                conduct.allies.clone_from(&allies);
                own.conduct = Some(conduct);
                own.clock_error = if kind == Kind::TimeShift { 3_600_000 } else { 0 };
            }
            engine.add(host);
        }
        let forkers = plan.corrupt.iter().filter(|(_, kind)| **kind == Kind::Equivocate);
        let keys = forkers.map(|(&i, _)| (i, plan.key(i))).collect();
        let settings = Arc::clone(&plan.settings);
        let mut crowd = Crowd { engine, settings, keys, writes: 0 };
        crowd.link(plan, &directory, &mut progress);
        crowd
    }

    /// Both ends of every link come up; what they would say about it is not sent: they are equal.
    fn link(&mut self, plan: &Plan, directory: &Directory, progress: &mut impl FnMut(usize)) {
        let (chosen, each) = (plan.chosen(), plan.links_each());
        let mut degrees = vec![each as u32; plan.nodes];
        chosen.iter().for_each(|&other| degrees[other as usize] += 1);
        for (i, &degree) in degrees.iter().enumerate() {
            self.engine.host_mut(i).node.reserve_links(degree as usize);
        }
        let now = self.engine.shared.now(0, 0);
        for i in 0..plan.nodes {
            for &other in &chosen[i * each..(i + 1) * each] {
                for (me, peer, chosen) in [(i, other as usize, true), (other as usize, i, false)] {
                    let Some(node) = directory.id_at(peer) else { continue };
                    let (shard, local, _) = self.engine.place(me);
                    let host = &mut shard.hosts[local];
                    host.node.handle(now, Input::LinkUp { node, chosen }, &mut shard.outcome);
                    shard.outcome.discard();
                }
            }
            if i % 1_024 == 0 {
                progress(i);
            }
        }
        for i in 0..plan.nodes {
            let (shard, local, shared) = self.engine.place(i);
            shard.schedule(0, local, shared);
        }
    }

    /// Node `i` writes.
    pub(crate) fn write(&mut self, i: NodeIx, op: &Op) {
        self.writes += 1;
        let (id, now) = (WriteId(self.writes), self.engine.now);
        let (shard, local, shared) = self.engine.place(i);
        shard.call(now, local, shared, Input::Write(id, AgentNo(0), op));
        shard.schedule(now, local, shared);
        self.engine.carry_mail();
    }

    /// An equivocating node signs two frames for one place, and shows each to half of its peers.
    pub(crate) fn fork(&mut self, i: NodeIx) {
        let Some(key) = self.keys.get(&i) else { return };
        let now = self.engine.now;
        let frames = forked(&self.settings, key, self.engine.shared.now(now, 0).wall);
        let (shard, local, shared) = self.engine.place(i);
        let peers: Vec<PeerIx> = shard.hosts[local].node.linked().collect();
        let halves = peers.split_at(peers.len() / 2);
        for (to, frame) in [halves.0, halves.1].into_iter().zip(frames) {
            shard.send(now, local, to, Lane::Delta, Message::Signed(frame), shared);
        }
        self.engine.carry_mail();
    }

    /// From now on the run watches this register.
    pub(crate) fn watch(&mut self, key: &[u8]) {
        for shard in &mut self.engine.shards {
            shard.outcome.watched = Some((knhk_mesh_core::crdt::Family::Lww, key.to_vec()));
            shard.tally.informed = 0;
            shard.hosts.iter_mut().for_each(|host| host.informed = NEVER);
        }
    }

    /// Runs what happens up to and in `last`, or until `done`.
    pub(crate) fn run_until(&mut self, last: Slot, mut done: impl FnMut(&Engine) -> bool) -> bool {
        while let Some(slot) = self.engine.next().filter(|&slot| slot <= last) {
            self.engine.step(slot);
            // Links are fixed: what nodes ask for beside messages is not granted.
            drop(self.engine.take_requests());
            if done(&self.engine) {
                return true;
            }
        }
        self.engine.now = self.engine.now.max(last);
        false
    }
}
