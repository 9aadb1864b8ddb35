//! The world: nodes, links between them, and the queue of what happens next.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use knhk_mesh_core::config::{Config, Settings};
use knhk_mesh_core::crdt::{Family, Op};
use knhk_mesh_core::digest::Root;
use knhk_mesh_core::error::{StoreFault, WriteError};
use knhk_mesh_core::frame::{Tag, verify};
use knhk_mesh_core::identity::{AgentNo, Incarnation, Keypair, NodeId, PeerIx, Signer as _};
use knhk_mesh_core::messages::sink::{OwnRecord, PersistId, WriteId};
use knhk_mesh_core::messages::{Close, Input, Lane, Message, Persist, Receipt, Sink};
use knhk_mesh_core::node::{Checked, Node, Restored};
use knhk_mesh_core::rng::{Rng, mix};
use knhk_mesh_core::telemetry::Event;
use knhk_mesh_core::time::{Now, Time, WallMs};

use crate::network::Network;

/// A node's place in the world.
pub type NodeIx = usize;

/// Wall clock of the world's first moment: 2026-01-01.
const EPOCH_MS: u64 = 1_767_225_600_000;

/// A world of nodes.
pub struct World {
    /// What the network does from now on.
    pub network: Network,
    hosts: Vec<Host>,
    /// Who answers to an id.
    ids: hashbrown::HashMap<NodeId, NodeIx, foldhash::fast::FixedState>,
    queue: BinaryHeap<Reverse<Due>>,
    links: BTreeSet<(NodeIx, NodeIx)>,
    now: Time,
    sequence: u64,
    rng: Rng,
    seed: u64,
    trace: u64,
    settings: Arc<Settings>,
}

struct Host {
    node: Node,
    key: [u8; 32],
    /// Its disk: newest record of each slot, and the incarnation.
    disk: Vec<OwnRecord>,
    incarnation: Option<Incarnation>,
    /// Outcomes of its writes.
    done: Vec<(WriteId, Result<Receipt, WriteError>)>,
    wake: Time,
    up: bool,
    /// Deliveries to an earlier process of it are void.
    boots: u32,
    events: Vec<Event>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Time,
    sequence: u64,
    what: What,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Deliver { from: NodeIx, to: NodeIx, boots: u32, lane: Lane, bytes: bytes::Bytes },
    LinkUp { a: NodeIx, b: NodeIx },
    DialFailed { at: NodeIx, node: NodeId },
    Wake { node: NodeIx, boots: u32 },
}

enum Effect {
    Send(Vec<PeerIx>, Lane, bytes::Bytes),
    Connect(NodeId),
    Disconnect(PeerIx),
    Persist(Persist),
}

#[derive(Default)]
struct Collect {
    effects: Vec<Effect>,
    done: Vec<(WriteId, Result<Receipt, WriteError>)>,
    events: Vec<Event>,
}

impl Sink for Collect {
    fn send(&mut self, to: &[PeerIx], lane: Lane, message: &Message) {
        self.effects.push(Effect::Send(to.to_vec(), lane, message.encode()));
    }
    fn persist(&mut self, batch: Persist) {
        self.effects.push(Effect::Persist(batch));
    }
    fn done(&mut self, id: WriteId, result: Result<Receipt, WriteError>) {
        self.done.push((id, result));
    }
    fn changed(&mut self, _: Family, _: &[u8]) {}
    fn connect(&mut self, node: NodeId) {
        self.effects.push(Effect::Connect(node));
    }
    fn disconnect(&mut self, peer: PeerIx, _: Close) {
        self.effects.push(Effect::Disconnect(peer));
    }
    fn emit(&mut self, event: Event) {
        if !matches!(event, Event::Round { .. }) {
            self.events.push(event);
        }
    }
}

impl World {
    /// `n` nodes of one configuration; node i starts knowing three earlier ones.
    ///
    /// # Panics
    /// If the configuration is out of range.
    #[must_use]
    pub fn new(n: usize, config: Config, network: Network, seed: u64) -> Self {
        let settings = Settings::new(config);
        assert!(settings.is_ok(), "the scenario's configuration is in range");
        let Ok(settings) = settings else { unreachable!() };
        let mut world = World {
            network,
            hosts: Vec::with_capacity(n),
            ids: hashbrown::HashMap::default(),
            queue: BinaryHeap::new(),
            links: BTreeSet::new(),
            now: Time::ZERO,
            sequence: 0,
            rng: Rng::new(seed),
            seed,
            trace: 0,
            settings,
        };
        for i in 0..n {
            world.add_host(i);
            for _ in 0..i.min(3) {
                let seed = world.rng.below(i as u32) as usize;
                world.dial(i, seed);
            }
        }
        world
    }

    fn add_host(&mut self, i: NodeIx) {
        let mut key = [0; 32];
        for (at, chunk) in key.chunks_mut(8).enumerate() {
            chunk.copy_from_slice(&mix(self.seed ^ ((i as u64) << 8) ^ at as u64).to_le_bytes());
        }
        let restored = Restored { new_key: true, ..Restored::default() };
        let node = self.make_node(i, &key, &restored);
        self.ids.insert(node.id(), i);
        let (disk, done, events) = (Vec::new(), Vec::new(), Vec::new());
        let (incarnation, wake, up, boots) = (None, Time(u64::MAX), true, 0);
        self.hosts.push(Host { node, key, disk, incarnation, done, wake, up, boots, events });
        self.schedule_wake(i, self.now);
    }

    fn make_node(&self, i: NodeIx, key: &[u8; 32], restored: &Restored) -> Node {
        // Each node listens at an address of its own; the world routes by id.
        let mut config = (**self.settings).clone();
        let port = 10_000 + (i % 50_000) as u16;
        config.addresses = vec![std::net::SocketAddr::from(([127, 0, 0, 1], port))];
        let settings = Settings::new(config);
        let Ok(settings) = settings else { unreachable!() };
        let signer = Box::new(Keypair::from_secret(key));
        let seed = mix(self.seed ^ (i as u64 + 1));
        Node::new(settings, signer, restored, seed, self.clock())
    }

    /// Both clocks now.
    #[must_use]
    pub fn clock(&self) -> Now {
        Now { mono: self.now, wall: WallMs(EPOCH_MS + self.now.0 / 1_000_000) }
    }

    /// The node at `i`.
    #[must_use]
    pub fn node(&self, i: NodeIx) -> &Node {
        &self.hosts[i].node
    }

    /// The node at `i`, to take its root or status.
    pub fn node_mut(&mut self, i: NodeIx) -> &mut Node {
        &mut self.hosts[i].node
    }

    /// What node `i` told, rounds left out.
    #[must_use]
    pub fn events(&self, i: NodeIx) -> &[Event] {
        &self.hosts[i].events
    }

    /// Nodes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// No nodes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// A number that depends on everything that happened: equal runs have equal traces.
    #[must_use]
    pub const fn trace(&self) -> u64 {
        self.trace
    }

    /// Node `i` writes; the outcome is taken with [`World::outcome`].
    pub fn write(&mut self, i: NodeIx, op: &Op) -> WriteId {
        self.sequence += 1;
        let id = WriteId(self.sequence);
        self.handle(i, |_| Some(Input::Write(id, AgentNo(0), op)));
        id
    }

    /// What became of a write, once it is known.
    #[must_use]
    pub fn outcome(&self, i: NodeIx, id: WriteId) -> Option<&Result<Receipt, WriteError>> {
        self.hosts[i].done.iter().find(|(done, _)| *done == id).map(|(_, result)| result)
    }

    /// A link between two nodes, if the network allows it.
    pub fn dial(&mut self, a: NodeIx, b: NodeIx) {
        let node = self.hosts[b].node.id();
        let (reachable, delay) = (self.network.connects(a, b), self.network.latency * 3);
        let what = if reachable && self.hosts[b].up && a != b {
            What::LinkUp { a, b }
        } else {
            What::DialFailed { at: a, node }
        };
        self.push(self.now + delay, what);
    }

    /// Cuts the world: links across the cut end on both sides.
    pub fn split(&mut self, at: NodeIx) {
        self.network.split_at = Some(at);
        let cut: Vec<_> =
            self.links.iter().filter(|(a, b)| (*a < at) != (*b < at)).copied().collect();
        for (a, b) in cut {
            self.unlink(a, b);
        }
    }

    /// Mends the cut; each node of the smaller world dials one of the other.
    pub fn heal(&mut self, dials: usize) {
        let Some(at) = self.network.split_at.take() else { return };
        for i in 0..dials.min(at) {
            let other = at + self.rng.below((self.len() - at) as u32) as usize;
            self.dial(i, other);
        }
    }

    /// Kills the process of node `i`.
    pub fn kill(&mut self, i: NodeIx) {
        self.hosts[i].up = false;
        self.hosts[i].boots += 1;
        let cut: Vec<_> = self.links.iter().filter(|(a, b)| *a == i || *b == i).copied().collect();
        for (a, b) in cut {
            self.unlink(a, b);
        }
    }

    /// Starts node `i` again, with its disk or without.
    pub fn restart(&mut self, i: NodeIx, with_disk: bool, seeds: &[NodeIx]) {
        if !with_disk {
            self.hosts[i].disk.clear();
            self.hosts[i].incarnation = None;
        }
        let restored = Restored {
            incarnation: self.hosts[i].incarnation,
            records: self.hosts[i].disk.iter().map(|r| r.bytes.clone()).collect(),
            new_key: false,
        };
        let key = self.hosts[i].key;
        let node = self.make_node(i, &key, &restored);
        let host = &mut self.hosts[i];
        (host.node, host.up, host.wake) = (node, true, Time(u64::MAX));
        self.schedule_wake(i, self.now);
        seeds.iter().for_each(|&seed| self.dial(i, seed));
    }

    fn unlink(&mut self, a: NodeIx, b: NodeIx) {
        self.links.remove(&(a.min(b), a.max(b)));
        for (me, other) in [(a, b), (b, a)] {
            let other = self.hosts[other].node.id();
            if self.hosts[me].up {
                self.handle(me, |node| node.peer(&other).map(Input::LinkDown));
            }
        }
    }

    fn push(&mut self, at: Time, what: What) {
        self.sequence += 1;
        self.queue.push(Reverse(Due { at, sequence: self.sequence, what }));
    }

    fn schedule_wake(&mut self, i: NodeIx, at: Time) {
        let at = at.max(self.now);
        if at < self.hosts[i].wake {
            self.hosts[i].wake = at;
            let boots = self.hosts[i].boots;
            self.push(at, What::Wake { node: i, boots });
        }
    }

    /// Runs for `span` of virtual time.
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now + span, |_| false);
    }

    /// Runs until `done` says so after some event, or until `deadline`; whether it was `done`.
    pub fn run_until(&mut self, deadline: Time, mut done: impl FnMut(&mut World) -> bool) -> bool {
        while let Some(Reverse(due)) = self.queue.peek() {
            if due.at > deadline {
                break;
            }
            let Some(Reverse(Due { at, what, .. })) = self.queue.pop() else { break };
            self.now = at;
            self.step(what);
            if done(self) {
                return true;
            }
        }
        self.now = self.now.max(deadline);
        false
    }

    /// Virtual time since the start.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    fn step(&mut self, what: What) {
        self.trace = mix(self.trace ^ self.now.0);
        match what {
            What::Deliver { from, to, boots, lane, bytes } => {
                if self.hosts[to].up && self.hosts[to].boots == boots {
                    self.trace = mix(self.trace ^ ((from as u64) << 32 | to as u64));
                    self.deliver(from, to, lane, &bytes);
                }
            }
            What::LinkUp { a, b } => self.link_up(a, b),
            What::DialFailed { at, node } => self.handle(at, |_| Some(Input::DialFailed(node))),
            What::Wake { node, boots } => {
                let host = &mut self.hosts[node];
                if host.boots == boots && host.up {
                    host.wake = Time(u64::MAX);
                    self.handle(node, |_| Some(Input::Timeout));
                }
            }
        }
    }

    fn link_up(&mut self, a: NodeIx, b: NodeIx) {
        let both = self.hosts[a].up && self.hosts[b].up && self.network.connects(a, b);
        let ids = [self.hosts[a].node.id(), self.hosts[b].node.id()];
        if !both {
            self.handle(a, |_| Some(Input::DialFailed(ids[1])));
            return;
        }
        self.links.insert((a.min(b), a.max(b)));
        self.handle(a, |_| Some(Input::LinkUp { node: ids[1], chosen: true }));
        self.handle(b, |_| Some(Input::LinkUp { node: ids[0], chosen: false }));
    }

    fn deliver(&mut self, from: NodeIx, to: NodeIx, lane: Lane, bytes: &bytes::Bytes) {
        let id = self.hosts[from].node.id();
        let Some(via) = self.hosts[to].node.peer(&id) else { return };
        if Tag::of(bytes).is_none() {
            match Message::decode(bytes) {
                Ok(message) => self.handle(to, |_| Some(Input::Control(via, &message))),
                Err(why) => self.handle(to, |_| Some(Input::Refused(via, why))),
            }
            return;
        }
        match self.hosts[to].node.check(self.clock(), via, bytes) {
            Checked::Duplicate => self.handle(to, |_| Some(Input::Duplicate(via, lane, bytes))),
            Checked::Refused(why) => self.handle(to, |_| Some(Input::Refused(via, why))),
            Checked::Verify(job) => match verify(*job) {
                Ok(v) => self.handle(to, |_| Some(Input::Verified(via, lane, &v))),
                Err(why) => self.handle(to, |_| Some(Input::Refused(via, why))),
            },
        }
    }

    /// Gives node `to` bytes as if they came from `from` on `lane`, at once.
    pub fn inject(&mut self, from: NodeIx, to: NodeIx, lane: Lane, bytes: &bytes::Bytes) {
        self.deliver(from, to, lane, bytes);
    }

    fn handle<'a>(&mut self, i: NodeIx, input: impl FnOnce(&Node) -> Option<Input<'a>>) {
        let (now, mut sink) = (self.clock(), Collect::default());
        let host = &mut self.hosts[i];
        let Some(input) = input(&host.node) else { return };
        host.node.handle(now, input, &mut sink);
        let Collect { effects, done, events } = sink;
        host.done.extend(done);
        host.events.extend(events);
        for effect in effects {
            self.apply(i, effect);
        }
        let next = self.hosts[i].node.next_timeout();
        self.schedule_wake(i, next);
    }

    fn apply(&mut self, i: NodeIx, effect: Effect) {
        match effect {
            Effect::Send(to, lane, bytes) => {
                let silent = i + self.network.silent >= self.hosts.len();
                for peer in to.into_iter().filter(|_| !silent) {
                    self.send(i, peer, lane, &bytes);
                }
            }
            Effect::Connect(node) => {
                if let Some(&other) = self.ids.get(&node) {
                    self.dial(i, other);
                }
            }
            Effect::Disconnect(peer) => {
                let other = self.hosts[i].node.registry().get(peer).map(|p| p.id);
                if let Some(&other) = other.and_then(|id| self.ids.get(&id)) {
                    self.unlink(i, other);
                }
            }
            Effect::Persist(batch) => self.persist(i, batch),
        }
    }

    fn send(&mut self, from: NodeIx, to: PeerIx, lane: Lane, bytes: &bytes::Bytes) {
        let Some(id) = self.hosts[from].node.registry().get(to).map(|p| p.id) else { return };
        let Some(&to) = self.ids.get(&id) else { return };
        if !self.links.contains(&(from.min(to), from.max(to))) {
            return;
        }
        if let Some(delay) = self.network.deliver(from, to, &mut self.rng) {
            let (boots, bytes) = (self.hosts[to].boots, bytes.clone());
            self.push(self.now + delay, What::Deliver { from, to, boots, lane, bytes });
        }
    }

    fn persist(&mut self, i: NodeIx, batch: Persist) {
        let host = &mut self.hosts[i];
        host.incarnation = Some(batch.incarnation);
        for record in batch.records {
            host.disk.retain(|old| old.slot != record.slot);
            host.disk.push(record);
        }
        let id: PersistId = batch.id;
        let stored: Result<(), StoreFault> = Ok(());
        self.handle(i, |_| Some(Input::Persisted(id, stored)));
    }

    /// Roots of the nodes `which`.
    pub fn roots(&mut self, which: impl IntoIterator<Item = NodeIx>) -> Vec<Root> {
        which.into_iter().map(|i| self.hosts[i].node.root()).collect()
    }

    /// Whether all nodes that are up and answer have one root.
    pub fn agrees(&mut self) -> bool {
        let honest = self.hosts.len() - self.network.silent;
        let up: Vec<NodeIx> = (0..honest).filter(|&i| self.hosts[i].up).collect();
        let roots = self.roots(up);
        roots.windows(2).all(|pair| pair[0] == pair[1])
    }

    /// The id of node `i`.
    #[must_use]
    pub fn id(&self, i: NodeIx) -> NodeId {
        Keypair::from_secret(&self.hosts[i].key).node_id()
    }

    /// The secret of node `i`, for tests that play its evil twin.
    #[must_use]
    pub fn secret(&self, i: NodeIx) -> [u8; 32] {
        self.hosts[i].key
    }
}
