//! The directory of peers for applications. What changes the registry, and every choice of peers,
//! is asked of the node task, which owns the one list of eligible peers; looking up and counting
//! reads a concurrent copy that only that task writes.
//!
//! ```text
//!   register, touch, random, nearest ──> mailbox ──> node task ──> core::peer_registry
//!   get, all, counts  <── DashMap <── changed members at once, everything each second ──'
//! ```
//!
//! The copy is made when the first handle is asked for, and goes with the last one: a node that
//! nobody asks pays nothing for it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use dashmap::DashMap;
use knhk_mesh_core::identity::{Incarnation, NodeId, PeerIx};
use knhk_mesh_core::node::Node;
use knhk_mesh_core::peer_registry::{self as core, PeerView, RegisterError};
use knhk_mesh_core::rng::Rng;
use knhk_mesh_core::time::Time;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::mesh::ask;
use crate::node_task::Command;

/// A peer counts as active if it was heard within this time.
const ACTIVE: Duration = Duration::from_secs(30);

/// One peer, as this node knows it.
#[derive(Clone, PartialEq, Debug)]
pub struct PeerInfo {
    /// Its key.
    pub id: NodeId,
    /// Where to dial it; at most 4.
    pub addresses: Vec<SocketAddr>,
    /// Its region; at most 64 bytes.
    pub region: String,
    /// Its zone inside the region; at most 64 bytes.
    pub zone: String,
    /// The newest start of its process that is known.
    pub incarnation: Incarnation,
    /// What this node thinks of it, 0.0-1.0; starts at 1.0. Never told to others.
    pub reputation: f32,
    /// The last contact; its registration if there was none.
    pub last_seen: Instant,
    /// Smoothed round-trip time; `None` if never measured.
    pub latency: Option<Duration>,
}

impl PeerInfo {
    /// A peer that is only known by its key and address.
    #[must_use]
    pub fn new(id: NodeId, address: SocketAddr) -> Self {
        PeerInfo {
            id,
            addresses: vec![address],
            region: String::new(),
            zone: String::new(),
            incarnation: Incarnation::default(),
            reputation: 1.0,
            last_seen: Instant::now(),
            latency: None,
        }
    }

    fn of(view: &PeerView<'_>, clock: &Clock) -> Self {
        PeerInfo {
            id: view.id,
            addresses: view.addresses.to_vec(),
            region: view.region.into(),
            zone: view.zone.into(),
            incarnation: view.incarnation,
            reputation: view.reputation,
            last_seen: clock.instant(view.last_seen),
            latency: view.latency,
        }
    }
}

/// Why the registry did not do it. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The peer cannot be registered.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// No such peer; it may have left.
    #[error("no such peer")]
    UnknownPeer,
    /// The node stopped.
    #[error("the node stopped")]
    Stopped,
}

/// The directory of one node. Clones are the same directory; it does not keep the node running.
#[derive(Clone, Debug)]
pub struct PeerRegistry {
    model: Arc<Model>,
    commands: mpsc::WeakSender<Command>,
}

/// The copy that handles read.
#[derive(Debug)]
pub(crate) struct Model {
    peers: DashMap<NodeId, PeerInfo>,
    quorum: AtomicUsize,
    byzantine: AtomicUsize,
    draws: AtomicU64,
}

impl PeerRegistry {
    pub(crate) fn new(model: Arc<Model>, commands: mpsc::WeakSender<Command>) -> Self {
        PeerRegistry { model, commands }
    }

    /// Adds a peer or updates its addresses, region and zone; reputation, contact and latency are
    /// this node's own observations and stay. News of an older incarnation change nothing.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn register_peer(&self, peer: PeerInfo) -> Result<(), RegistryError> {
        let told = core::PeerInfo {
            id: peer.id,
            addresses: peer.addresses,
            region: peer.region,
            zone: peer.zone,
            incarnation: peer.incarnation,
        };
        self.change(peer.id, move |registry, now| Ok(registry.register(told, now).map(drop)?)).await
    }

    /// Removes a peer for good: it no longer counts for the quorum.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn deregister_peer(&self, id: &NodeId) -> Result<(), RegistryError> {
        let id = *id;
        self.change(id, move |registry, _| {
            registry.forget(&id).then_some(()).ok_or(RegistryError::UnknownPeer)
        })
        .await
    }

    /// Up to `k` peers, each equally likely, without those of low reputation.
    pub async fn get_random_peers(&self, k: usize) -> Vec<PeerInfo> {
        let mut rng = self.rng();
        self.choose(move |registry, into| registry.random(k, &mut rng, into)).await
    }

    /// Up to `k` peers with the smallest measured latency, without those of low reputation.
    pub async fn get_nearest_peers(&self, k: usize) -> Vec<PeerInfo> {
        self.choose(move |registry, into| registry.nearest(k, into)).await
    }

    /// Up to `k` peers, four fifths near and one fifth random, without duplicates.
    pub async fn get_hybrid_peers(&self, k: usize) -> Vec<PeerInfo> {
        let mut rng = self.rng();
        self.choose(move |registry, into| registry.hybrid(k, &mut rng, into)).await
    }

    /// All peers of a region.
    pub async fn get_peers_by_region(&self, region: &str) -> Vec<PeerInfo> {
        let region = region.to_owned();
        self.choose(move |registry, into| registry.by_region(&region, into)).await
    }

    /// Adds `delta` to the reputation of a peer and gives the new one, 0.0-1.0.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn update_reputation(&self, id: &NodeId, delta: f32) -> Result<f32, RegistryError> {
        self.observe(*id, move |registry, ix, _| registry.update_reputation(ix, delta)).await
    }

    /// Notes a contact with a peer now.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn touch_peer(&self, id: &NodeId) -> Result<(), RegistryError> {
        self.observe(*id, |registry, ix, now| registry.touch(ix, now).then_some(())).await
    }

    /// Drops the peers that were not heard for `timeout` and says how many; they still count for
    /// the quorum. 0 if the node stopped.
    pub async fn prune_stale_peers(&self, timeout: Duration) -> usize {
        let Some(commands) = self.commands.upgrade() else { return 0 };
        let pruned = ask(&commands, move |asked| {
            let pruned = asked.node.registry_mut().prune(asked.now.mono - timeout);
            asked.refresh_registry();
            pruned
        });
        pruned.await.unwrap_or(0)
    }

    /// One peer.
    #[must_use]
    pub fn get_peer(&self, id: &NodeId) -> Option<PeerInfo> {
        self.model.peers.get(id).map(|peer| peer.clone())
    }

    /// Every peer, in no particular order.
    #[must_use]
    pub fn get_all_peers(&self) -> Vec<PeerInfo> {
        self.model.peers.iter().map(|peer| peer.clone()).collect()
    }

    /// How many members must be heard before something counts as heard by the mesh: n - f, where
    /// f = (n - 1) / 3 rounded down may lie.
    #[must_use]
    pub fn quorum_size(&self) -> usize {
        self.model.quorum.load(Ordering::Relaxed)
    }

    /// Number of peers; the own node is not one.
    #[must_use]
    pub fn peer_count(&self) -> usize {
        self.model.peers.len()
    }

    /// Number of peers heard in the last 30 s.
    #[must_use]
    pub fn active_peer_count(&self) -> usize {
        self.model.peers.iter().filter(|peer| peer.last_seen.elapsed() <= ACTIVE).count()
    }

    /// Number of peers whose reputation is below the threshold.
    #[must_use]
    pub fn byzantine_peer_count(&self) -> usize {
        self.model.byzantine.load(Ordering::Relaxed)
    }

    fn rng(&self) -> Rng {
        Rng::new(self.model.draws.fetch_add(1, Ordering::Relaxed))
    }

    /// Changes what is known about `id`, here and in the copy.
    async fn change<R, F>(&self, id: NodeId, change: F) -> Result<R, RegistryError>
    where
        R: Send + 'static,
        F: FnOnce(&mut core::PeerRegistry, Time) -> Result<R, RegistryError> + Send + 'static,
    {
        let commands = self.commands.upgrade().ok_or(RegistryError::Stopped)?;
        let changed = ask(&commands, move |asked| {
            let changed = change(asked.node.registry_mut(), asked.now.mono);
            asked.refresh_peer(&id);
            changed
        });
        changed.await.unwrap_or(Err(RegistryError::Stopped))
    }

    async fn observe<R: Send + 'static>(
        &self,
        id: NodeId,
        note: impl FnOnce(&mut core::PeerRegistry, PeerIx, Time) -> Option<R> + Send + 'static,
    ) -> Result<R, RegistryError> {
        self.change(id, move |registry, now| {
            let noted = registry.by_id(&id).and_then(|ix| note(registry, ix, now));
            noted.ok_or(RegistryError::UnknownPeer)
        })
        .await
    }

    async fn choose(
        &self,
        choose: impl FnOnce(&mut core::PeerRegistry, &mut Vec<PeerIx>) + Send + 'static,
    ) -> Vec<PeerInfo> {
        let Some(commands) = self.commands.upgrade() else { return Vec::new() };
        let chosen = ask(&commands, move |asked| {
            let mut chosen = Vec::new();
            choose(asked.node.registry_mut(), &mut chosen);
            let registry = asked.node.registry();
            let views = chosen.into_iter().filter_map(|ix| registry.get(ix));
            views.map(|view| PeerInfo::of(&view, asked.clock)).collect()
        });
        chosen.await.unwrap_or_default()
    }
}

/// The task's end of the copy.
#[derive(Default)]
pub(crate) struct Mirror(Weak<Model>);

impl Mirror {
    /// The copy, made if there is none.
    pub(crate) fn open(&mut self, node: &Node, clock: &Clock, random: u64) -> Arc<Model> {
        if let Some(model) = self.0.upgrade() {
            return model;
        }
        let model = Arc::new(Model {
            peers: DashMap::new(),
            quorum: AtomicUsize::new(0),
            byzantine: AtomicUsize::new(0),
            draws: AtomicU64::new(random),
        });
        self.0 = Arc::downgrade(&model);
        self.refresh(node, clock);
        model
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Copies one peer.
    pub(crate) fn refresh_peer(&self, id: &NodeId, node: &Node, clock: &Clock) {
        let Some(model) = self.0.upgrade() else { return };
        let registry = node.registry();
        match registry.by_id(id).and_then(|ix| registry.get(ix)) {
            Some(view) => drop(model.peers.insert(*id, PeerInfo::of(&view, clock))),
            None => drop(model.peers.remove(id)),
        }
        model.count(registry);
    }

    /// Copies everything. O(n).
    pub(crate) fn refresh(&self, node: &Node, clock: &Clock) {
        let Some(model) = self.0.upgrade() else { return };
        let registry = node.registry();
        model.peers.retain(|id, _| registry.by_id(id).is_some());
        for view in registry.all().filter_map(|ix| registry.get(ix)) {
            model.peers.insert(view.id, PeerInfo::of(&view, clock));
        }
        model.count(registry);
    }
}

impl Model {
    fn count(&self, registry: &core::PeerRegistry) {
        self.quorum.store(registry.quorum(), Ordering::Relaxed);
        self.byzantine.store(registry.byzantine_count(), Ordering::Relaxed);
    }
}
