//! The world: machines, links between them, and what is done to them from outside. Everything here
//! happens between two slots, one after the other, so it is the same for any number of threads.
//!
//! ```text
//!   World --slot by slot--> Engine --requests--> links: dials, closed links --> LinkUp, LinkDown
//!     |-- write, fork, inject, slow_down ...                 here
//!     |-- dial, split, heal, unlink                          links
//!     |-- add, kill, restart, move_away                      processes; standing: all at once
//!     `-- purge, deny, accuse                                saying
//! ```

mod links;
mod processes;
mod saying;
mod standing;

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use hashbrown::HashMap;
use knhk_mesh_core::config::{Config, Settings};
use knhk_mesh_core::crdt::{Contribution, Op};
use knhk_mesh_core::digest::Root;
use knhk_mesh_core::error::WriteError;
use knhk_mesh_core::identity::{AgentNo, Incarnation, NodeId, PeerIx, Seq};
use knhk_mesh_core::messages::sink::WriteId;
use knhk_mesh_core::messages::{Input, Lane, Message, Receipt};
use knhk_mesh_core::node::Node;
use knhk_mesh_core::rng::Rng;
use knhk_mesh_core::telemetry::Event;
use knhk_mesh_core::time::{Now, Time};

use crate::adversary::{Conduct, Kind, forked};
pub use crate::engine::host::Change;
use crate::engine::{Engine, QueueKind, Shared, Slot, Tally, Who};
use crate::network::Network;
use links::Dial;

/// A machine's place in the world.
pub type NodeIx = usize;

/// How a world is run; none of it changes what happens, except `wire` in its cost.
#[derive(Clone, Copy, Debug)]
pub struct Drive {
    /// Worker threads, 1-8.
    pub threads: usize,
    /// The queue behind it.
    pub queue: QueueKind,
    /// Encode and decode every message.
    pub wire: bool,
}

impl Default for Drive {
    /// One thread, the wheel, every message encoded and decoded.
    fn default() -> Self {
        Drive { threads: 1, queue: QueueKind::Wheel, wire: true }
    }
}

/// A world of nodes that find each other.
pub struct World {
    engine: Engine,
    settings: Arc<Settings>,
    links: BTreeSet<(NodeIx, NodeIx)>,
    dials: BinaryHeap<Reverse<Dial>>,
    keys: Vec<[u8; 32]>,
    rng: Rng,
    seed: u64,
    order: u64,
}

impl World {
    /// `n` nodes of one configuration; node i starts knowing three earlier ones.
    ///
    /// # Panics
    /// If the configuration is out of range.
    #[must_use]
    pub fn new(n: usize, config: Config, network: Network, seed: u64) -> Self {
        Self::driven(n, config, network, seed, Drive::default())
    }

    /// The same, driven in a certain way.
    ///
    /// # Panics
    /// If the configuration is out of range.
    #[must_use]
    pub fn driven(n: usize, config: Config, network: Network, seed: u64, drive: Drive) -> Self {
        let mut world = Self::bare(config, network, seed, drive);
        for _ in 0..n {
            world.add();
        }
        world
    }

    fn bare(config: Config, network: Network, seed: u64, drive: Drive) -> Self {
        let settings = Settings::new(config);
        assert!(settings.is_ok(), "the scenario's configuration is in range");
        let Ok(settings) = settings else { unreachable!() };
        let who = Who::Known { ids: Vec::new(), machines: HashMap::default() };
        let shared = Shared::new(network, drive.wire, who);
        let mut world = World {
            engine: Engine::new(shared, seed, drive.queue, drive.threads),
            settings,
            links: BTreeSet::new(),
            dials: BinaryHeap::new(),
            keys: Vec::new(),
            rng: Rng::new(seed),
            seed,
            order: 0,
        };
        for shard in &mut world.engine.shards {
            shard.outcome.keeps_all = true;
        }
        world
    }

    /// What the network does from now on.
    pub const fn network(&mut self) -> &mut Network {
        &mut self.engine.shared.network
    }

    /// Both clocks now.
    #[must_use]
    pub fn clock(&self) -> Now {
        self.engine.shared.now(self.engine.now, 0)
    }

    /// Both clocks now as node `i` reads them.
    #[must_use]
    pub fn clock_of(&self, i: NodeIx) -> Now {
        self.engine.shared.now(self.engine.now, self.engine.host(i).clock_error())
    }

    /// From now on the wall clock of node `i` is so many milliseconds ahead; negative: behind.
    pub fn set_clock_error(&mut self, i: NodeIx, ahead_ms: i64) {
        self.engine.host_mut(i).own().clock_error = ahead_ms;
    }

    /// From now on everything takes node `i` so much longer.
    pub fn slow_down(&mut self, i: NodeIx, by: Duration) {
        let by = by.as_millis() as Slot;
        self.engine.host_mut(i).own().slowness = by;
        self.engine.shared.slow.insert(i, by);
        self.engine.shared.any_slow = true;
    }

    /// From now on node `i` breaks the protocol; it aims at nobody.
    pub fn corrupt(&mut self, i: NodeIx, kind: Kind) {
        self.corrupt_against(i, kind, &[]);
    }

    /// The same; a censor hides what `targets` sign, an eclipse surrounds them.
    pub fn corrupt_against(&mut self, i: NodeIx, kind: Kind, targets: &[NodeIx]) {
        let targets = targets.iter().map(|&target| self.id(target)).collect();
        let conduct = Conduct::new(kind).against(targets).signing_with(self.keys[i]);
        self.engine.host_mut(i).own().conduct = Some(conduct);
        if kind == Kind::TimeShift {
            self.set_clock_error(i, 3_600_000);
        }
        if kind == Kind::Eclipse {
            self.ally();
        }
    }

    /// How node `i` breaks the protocol, if it does.
    #[must_use]
    pub fn conduct(&self, i: NodeIx) -> Option<Kind> {
        self.engine.host(i).own.as_ref()?.conduct.as_ref().map(|conduct| conduct.kind)
    }

    /// Node `i` signs two frames for one place in its chain, one for each half of its peers. Who
    /// was shown which.
    pub fn fork(&mut self, i: NodeIx) -> [Vec<NodeIx>; 2] {
        let now = self.engine.now;
        let [heads, tails] = forked(&self.settings, &self.keys[i], self.clock_of(i).wall);
        let (shard, local, shared) = self.engine.place(i);
        let peers: Vec<_> = shard.hosts[local].node.linked().collect();
        let halves = peers.split_at(peers.len() / 2);
        for (to, frame) in [(halves.0, heads), (halves.1, tails)] {
            shard.send(now, local, to, Lane::Delta, Message::Signed(frame), shared);
        }
        let shown = |peers: &[PeerIx]| {
            let ids = peers.iter().filter_map(|&peer| self.node(i).registry().get(peer));
            ids.filter_map(|view| self.by_id(&view.id)).collect()
        };
        let shown = [shown(halves.0), shown(halves.1)];
        self.engine.carry_mail();
        shown
    }

    /// Whether a process of node `i` signed this record: its incarnation, its place in the chain,
    /// and every byte of it. Superseded records of a frame are not remembered.
    #[must_use]
    pub fn signed(&self, i: NodeIx, held: &Contribution<'_>) -> bool {
        self.engine.host(i).signed(held)
    }

    /// Whether a process of node `i` signed a frame that ends before `seq_end`.
    #[must_use]
    pub fn signed_up_to(&self, i: NodeIx, incarnation: Incarnation, seq_end: Seq) -> bool {
        self.engine.host(i).signed_up_to(incarnation, seq_end)
    }

    /// Bytes that node `i` sent so far.
    #[must_use]
    pub fn sent(&self, i: NodeIx) -> u64 {
        self.engine.host(i).own.as_ref().map_or(0, |own| own.sent)
    }

    /// The node with this id.
    #[must_use]
    pub fn by_id(&self, id: &NodeId) -> Option<NodeIx> {
        match &self.engine.shared.who {
            Who::Known { machines, .. } => machines.get(id).copied(),
            Who::Listed => None,
        }
    }

    /// Whether node `i` keeps to the protocol.
    #[must_use]
    pub fn is_honest(&self, i: NodeIx) -> bool {
        self.engine.host(i).is_honest()
    }

    /// The views of node `i` that changed since the last call; the first call starts the list.
    pub fn take_changes(&mut self, i: NodeIx) -> Vec<Change> {
        self.engine.host_mut(i).own().changes.replace(Vec::new()).unwrap_or_default()
    }

    /// The node at `i`.
    #[must_use]
    pub fn node(&self, i: NodeIx) -> &Node {
        &self.engine.host(i).node
    }

    /// The node at `i`, to take its root or status.
    pub fn node_mut(&mut self, i: NodeIx) -> &mut Node {
        &mut self.engine.host_mut(i).node
    }

    /// What node `i` told, rounds left out.
    #[must_use]
    pub fn events(&self, i: NodeIx) -> &[Event] {
        self.engine.host(i).own.as_ref().map_or(&[], |own| &own.events)
    }

    /// The same; what is taken is told no more.
    pub fn take_events(&mut self, i: NodeIx) -> Vec<Event> {
        let own = self.engine.host_mut(i).own.as_mut();
        own.map(|own| core::mem::take(&mut own.events)).unwrap_or_default()
    }

    /// Whether node `i` runs.
    #[must_use]
    pub fn is_up(&self, i: NodeIx) -> bool {
        self.engine.host(i).up
    }

    /// Nodes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.engine.len()
    }

    /// No nodes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A number that depends on everything that happened: equal runs have equal traces.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.engine.trace()
    }

    /// What happened so far, in figures.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.engine.tally()
    }

    /// Events that wait in the queues.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.engine.shards.iter().map(|shard| shard.queue.len()).sum()
    }

    /// Node `i` writes; the outcome is taken with [`World::outcome`].
    pub fn write(&mut self, i: NodeIx, op: &Op) -> WriteId {
        self.order += 1;
        let id = WriteId(self.order);
        self.handle(i, Input::Write(id, AgentNo(0), op));
        id
    }

    /// Node `i` leaves the mesh; its process goes on.
    pub fn leave(&mut self, i: NodeIx) {
        self.handle(i, Input::Leave { purge: false });
    }

    /// What became of a write, once it is known.
    #[must_use]
    pub fn outcome(&self, i: NodeIx, id: WriteId) -> Option<&Result<Receipt, WriteError>> {
        let done = &self.engine.host(i).own.as_ref()?.done;
        done.iter().find(|(done, _)| *done == id).map(|(_, result)| result)
    }

    /// The writes of node `i` that ended since the last call.
    pub fn take_outcomes(&mut self, i: NodeIx) -> Vec<(WriteId, Result<Receipt, WriteError>)> {
        let own = self.engine.host_mut(i).own.as_mut();
        own.map(|own| core::mem::take(&mut own.done)).unwrap_or_default()
    }

    /// Every write of node `i` that ended, with what became of it.
    pub fn outcomes(&self, i: NodeIx) -> &[(WriteId, Result<Receipt, WriteError>)] {
        self.engine.host(i).own.as_ref().map_or(&[], |own| &own.done)
    }

    fn schedule(&mut self, i: NodeIx) {
        let now = self.engine.now;
        let (shard, local, shared) = self.engine.place(i);
        shard.schedule(now, local, shared);
    }

    /// Runs for `span` of virtual time.
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now() + span, |_| false);
    }

    /// Runs until `done` says so after some slot, or until `deadline`; whether it was `done`.
    pub fn run_until(&mut self, deadline: Time, mut done: impl FnMut(&mut World) -> bool) -> bool {
        let last = deadline.0 / 1_000_000;
        while let Some(slot) = self.next_slot().filter(|&slot| slot <= last) {
            self.step(slot);
            if done(self) {
                return true;
            }
        }
        self.engine.now = self.engine.now.max(last);
        false
    }

    fn next_slot(&self) -> Option<Slot> {
        let dial = self.dials.peek().map(|Reverse(dial)| dial.slot);
        [dial, self.engine.next()].into_iter().flatten().min()
    }

    fn step(&mut self, slot: Slot) {
        self.engine.now = slot;
        while let Some(Reverse(dial)) = self.dials.peek().copied()
            && dial.slot <= slot
        {
            self.dials.pop();
            self.answer(dial);
        }
        self.engine.step(slot);
        self.grant_requests();
    }

    /// Virtual time since the start.
    #[must_use]
    pub const fn now(&self) -> Time {
        Time::from_ms(self.engine.now)
    }

    /// Gives node `to` bytes as if they came from `from` on `lane`, at once.
    pub fn inject(&mut self, from: NodeIx, to: NodeIx, lane: Lane, bytes: &bytes::Bytes) {
        let id = self.engine.host(from).node.id();
        let Some(via) = self.engine.host(to).node.peer(&id) else { return };
        if knhk_mesh_core::frame::Tag::of(bytes).is_none() {
            match Message::decode(bytes) {
                Ok(message) => self.handle(to, Input::Control(via, &message)),
                Err(why) => self.handle(to, Input::Refused(via, why)),
            }
            return;
        }
        let now = self.engine.now;
        let (shard, local, shared) = self.engine.place(to);
        shard.signed(now, local, via, lane, bytes, shared);
        self.after_call(to);
    }

    fn handle(&mut self, i: NodeIx, input: Input<'_>) {
        let now = self.engine.now;
        let (shard, local, shared) = self.engine.place(i);
        shard.call(now, local, shared, input);
        self.after_call(i);
    }

    fn after_call(&mut self, i: NodeIx) {
        self.schedule(i);
        self.engine.carry_mail();
        self.grant_requests();
    }

    /// Roots of the nodes `which`.
    pub fn roots(&mut self, which: impl IntoIterator<Item = NodeIx>) -> Vec<Root> {
        which.into_iter().map(|i| self.engine.host_mut(i).node.root()).collect()
    }

    /// Whether all honest nodes that are up have one root.
    pub fn agrees(&mut self) -> bool {
        let up: Vec<NodeIx> =
            (0..self.len()).filter(|&i| self.is_up(i) && self.is_honest(i)).collect();
        let roots = self.roots(up);
        roots.windows(2).all(|pair| pair[0] == pair[1])
    }

    /// The id of node `i`.
    #[must_use]
    pub fn id(&self, i: NodeIx) -> NodeId {
        self.engine.host(i).node.id()
    }

    /// The secret of node `i`, for tests that play its evil twin.
    #[must_use]
    pub fn secret(&self, i: NodeIx) -> [u8; 32] {
        self.keys[i]
    }
}
