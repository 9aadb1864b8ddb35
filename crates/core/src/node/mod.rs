//! A node: composes the rooms, and is the only one that knows them all. It is driven from outside
//! (shell, simulator, test): inputs go in with the time, effects come out of the sink.
//!
//! ```text
//!   packet   check --Job--> verify --Verified--> handle -> store.merge -> digest -> push, changed
//!   write    handle(Write) -> draft -> frame -> store.merge -> push, persist -> Persisted -> done
//!   timer    next_timeout -> handle(Timeout) -> rounds, links, held frames, recovery
//! ```
//!
//! ```text
//!   Starting --incarnation on disk--> Ready --leave--> Left
//!   Recovering --own records from 3 seeds--> Starting
//! ```

mod denied;
mod floor;
mod intake;
mod links;
mod recovery;
mod standing;
mod trust;
mod views;
mod writer;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::config::Settings;
use crate::crdt::Store;
use crate::digest::Root;
use crate::error::Refused;
use crate::frame::{Class, Job, Sealed, Slot, verify};
use crate::gossip::Gossip;
use crate::identity::{Incarnation, NodeId, PeerIx, Signer};
use crate::links::Links;
use crate::membership::{self, Member, Membership};
use crate::messages::{Close, Input, Lane, Message, Sink};
use crate::partition::PartitionStatus;
use crate::peer_registry::{Directory, PeerRegistry};
use crate::rng::Rng;
use crate::security;
pub use crate::security::Checked;
use crate::security::budget::Pace;
use crate::telemetry::Counters;
use crate::time::{Now, Time, WallMs};
use recovery::Recovery;
pub use standing::Standing;
use trust::Guard;
pub use views::Status;
use writer::Writer;

/// What the shell took back from disk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Restored {
    /// The highest incarnation that was ever persisted; `None` if there was no disk state.
    pub incarnation: Option<Incarnation>,
    /// Own records as persisted; each is verified again.
    pub records: Vec<Bytes>,
    /// They are an older copy of the disk, whatever is said of the key: peers may hold newer ones,
    /// which are taken back first.
    pub outdated: bool,
    /// The key was made in this start: there is nothing to take back from peers.
    pub new_key: bool,
}

/// How far a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Its own state was lost: it is taking it back from peers; writes wait.
    Recovering,
    /// Its incarnation is on the way to the disk; writes wait.
    Starting,
    /// Writes are sent.
    Ready,
    /// Others can prove that its key signed three forks: nobody takes anything of it any more.
    Convicted,
    /// The operator denied it: nobody takes anything of it any more.
    Denied,
    /// Another process with its key started later: this one gave way and signs nothing more.
    KeyInUse,
    /// It said goodbye.
    Left,
}

/// The protocol of one node as a state machine.
pub struct Node {
    settings: Arc<Settings>,
    signer: Box<dyn Signer + Send>,
    store: Store,
    registry: PeerRegistry,
    gossip: Gossip,
    membership: Membership,
    writer: Option<Box<Writer>>,
    recovery: Option<Box<Recovery>>,
    guard: Option<Box<Guard>>,
    counters: Box<Counters>,
    rng: Rng,
    phase: Phase,
    pace: Pace,
}

impl Node {
    /// A node with what it has from disk. Call [`Node::handle`] with [`Input::Timeout`] at once.
    /// `seed` fixes every choice that it will make.
    #[must_use]
    pub fn new(
        settings: Arc<Settings>,
        signer: Box<dyn Signer + Send>,
        restored: &Restored,
        seed: u64,
        now: Now,
    ) -> Self {
        let me = signer.node_id();
        let registry = PeerRegistry::new(me, (&**settings).into());
        let mut node = Self::with_registry(settings, signer, registry, seed, now);
        let lost = restored.incarnation.is_none() && !restored.new_key;
        for bytes in &restored.records {
            node.restore(bytes);
        }
        let last = restored.incarnation.max(node.store.head(&me).map(|h| h.fields.incarnation));
        node.writer = Some(Box::new(Writer::new(&node.store, &me, last, now)));
        node.phase = Phase::Starting;
        if lost || restored.outdated {
            node.phase = Phase::Recovering;
            node.recovery = Some(Box::default());
        }
        node
    }

    /// A node over a directory that many nodes of one simulator share. It announces nothing about
    /// itself and holds nothing of its own until it writes.
    #[must_use]
    pub fn over_snapshot(
        settings: Arc<Settings>,
        signer: Box<dyn Signer + Send>,
        directory: Arc<Directory>,
        seed: u64,
        now: Now,
    ) -> Self {
        let registry = PeerRegistry::from_snapshot(directory, signer.node_id());
        Self::with_registry(settings, signer, registry, seed, now)
    }

    fn with_registry(
        settings: Arc<Settings>,
        signer: Box<dyn Signer + Send>,
        registry: PeerRegistry,
        seed: u64,
        now: Now,
    ) -> Self {
        let mut rng = Rng::new(seed);
        Node {
            store: Store::new(Arc::clone(&settings), Class::Cell, rng.next_u64()),
            gossip: Gossip::new(&settings, &mut rng, now),
            membership: Membership::new(&settings, &mut rng, now.mono),
            writer: None,
            recovery: None,
            guard: None,
            pace: Pace::default(),
            counters: Box::default(),
            phase: Phase::Ready,
            settings,
            signer,
            registry,
            rng,
        }
    }

    fn restore(&mut self, bytes: &Bytes) {
        let sealed = Sealed::read(bytes, &self.settings.genesis.limits);
        match sealed.and_then(|sealed| verify(Job::new(sealed, self.settings.mesh))) {
            Ok(verified) if verified.header().fields.class == self.store.class() => {
                self.store.merge(&verified, &mut Vec::new(), &mut |_, _| ());
            }
            Ok(_) => self.counters.refuse(Refused::Scope),
            Err(why) => self.counters.refuse(why),
        }
    }

    /// The gate for signed messages: cheap, and without effect. `via` is the link it came on, by
    /// `lane`.
    #[must_use]
    pub fn check(&self, now: Now, via: PeerIx, lane: Lane, bytes: &Bytes) -> Checked {
        if self.gossip.links.get(via).is_none() {
            return Checked::Refused(Refused::UnknownPeer);
        }
        if !self.allows(via, trust::signed(lane), now) {
            return Checked::Refused(Refused::Rate);
        }
        let mesh_time = self.mesh_time(now);
        match security::check(&self.settings, &self.store, &self.id(), mesh_time, bytes) {
            Checked::Verify(job) => match self.made_void(&job.sealed().header().fields) {
                Some(why) => Checked::Refused(why),
                None => Checked::Verify(job),
            },
            checked => checked,
        }
    }

    /// Something happened. Never fails and never blocks.
    pub fn handle(&mut self, now: Now, input: Input<'_>, sink: &mut impl Sink) {
        if let Some(via) = input.came_over() {
            self.membership.heard(via, now.mono);
            if !self.has_tokens(now, via, &input) {
                return self.on_refused(now, via, Refused::Rate, sink);
            }
        }
        match input {
            Input::Verified(via, lane, message) => {
                self.on_verified(now, via, lane, message, sink);
            }
            Input::Duplicate(via, lane, bytes) => self.on_duplicate(now, via, lane, bytes, sink),
            Input::Refused(via, why) => self.on_refused(now, via, why, sink),
            Input::Control(via, message) => self.on_control(now, via, message, sink),
            Input::Write(id, agent, op) => self.on_write(now, id, agent, op, sink),
            Input::Persisted(id, result) => self.on_persisted(now, id, &result, sink),
            Input::Congested(..) => {
                self.counters.congested = self.counters.congested.saturating_add(1);
            }
            Input::LinkUp { node, chosen } => self.on_link_up(now, node, chosen, sink),
            Input::LinkDown(peer) => self.on_link_down(now, peer),
            // The next regular look at the links chooses somebody else: a partition must not become
            // a storm of dials.
            Input::DialFailed(node) => {
                let (membership, mut scene) = self.membership_scene(now, sink);
                membership.dial_failed(&mut scene, &node);
            }
            Input::Rtt(peer, rtt) => {
                self.registry.observe_rtt(peer, rtt);
            }
            Input::Denied(node, up_to) => self.on_denied(&node, up_to, sink),
            Input::Leave { purge } => self.on_leave(now, purge, sink),
            Input::Timeout => self.on_timeout(now, sink),
        }
    }

    fn on_control(&mut self, now: Now, via: PeerIx, message: &Message, sink: &mut impl Sink) {
        if self.gossip.links.get(via).is_none() {
            self.counters.refuse(Refused::UnknownPeer);
            return;
        }
        if let Message::Digest(digest) = message {
            let ahead = digest.wall.0.wrapping_sub(now.wall.0).cast_signed();
            self.membership.heard_clock(via, ahead, now.mono);
        }
        let recovering = self.recovery.is_some();
        let (gossip, mut scene) = self.gossip_scene(now, sink);
        match message {
            // What comes back while the own state is missing has to be counted: no other repair.
            Message::Digest(_) | Message::Have(_) | Message::Ranges(_) if recovering => {}
            Message::Digest(digest) => gossip.on_digest(&mut scene, via, digest),
            Message::Have(refs) => gossip.on_have(&mut scene, via, refs),
            Message::Want(refs) => gossip.on_want(&mut scene, via, refs),
            Message::Prune => gossip.on_prune(via),
            Message::Ranges(ranges) => {
                if let Err(why) = gossip.on_ranges(&mut scene, via, ranges) {
                    self.on_refused(now, via, why, sink);
                }
            }
            Message::Recover => self.on_recover(now, via, sink),
            Message::Recovered(sent) => self.on_recovered(now, via, *sent, sink),
            Message::Alive(heard) => self.membership.told(via, *heard),
            Message::Ask(node) => {
                let (membership, mut scene) = self.membership_scene(now, sink);
                membership.asked(&mut scene, via, node);
            }
            Message::Vouch(node) => self.membership.vouched(via, node),
            Message::Signed(_) => self.on_refused(now, via, Refused::Malformed, sink),
        }
    }

    /// When to call [`Node::handle`] with [`Input::Timeout`] next.
    #[must_use]
    pub fn next_timeout(&self) -> Time {
        let writer = self.writer.as_ref().and_then(|w| w.next_timeout(self.phase));
        let recovery = self.recovery.as_ref().and_then(|r| r.next_timeout());
        let guard = self.guard.as_ref().and_then(|guard| guard.next_timeout());
        let rooms = self.gossip.next_timeout().min(self.membership.next_timeout());
        [writer, recovery, guard].into_iter().flatten().fold(rooms, Time::min)
    }

    fn on_timeout(&mut self, now: Now, sink: &mut impl Sink) {
        self.release_held(now, sink);
        self.recover_or_wait(now, sink);
        self.write_timeout(now, sink);
        self.floor_timeout(now, sink);
        self.mend_reputations(now);
        let (gossip, mut scene) = self.gossip_scene(now, sink);
        gossip.on_timeout(&mut scene);
        let (membership, mut scene) = self.membership_scene(now, sink);
        let due = membership.on_timeout(&mut scene);
        for dead in due.dead_links {
            self.end_link(dead, Close::Silent, sink);
        }
        self.say(now, due.words, sink);
    }

    /// What the gossip room needs, borrowed apart from it.
    fn gossip_scene<'a, S: Sink>(
        &'a mut self,
        now: Now,
        sink: &'a mut S,
    ) -> (&'a mut Gossip, crate::gossip::Scene<'a, S>) {
        let Node { settings, store, rng, counters, gossip, .. } = self;
        (gossip, crate::gossip::Scene { now, settings, store, rng, counters, sink })
    }

    fn membership_scene<'a, S: Sink>(
        &'a mut self,
        now: Now,
        sink: &'a mut S,
    ) -> (&'a mut Membership, membership::Scene<'a, S>) {
        let (me, mesh_time) = (self.id(), self.mesh_time(now));
        let Node { settings, registry, gossip, rng, membership, phase, store, .. } = self;
        let gone =
            matches!(phase, Phase::Left | Phase::Convicted | Phase::Denied | Phase::KeyInUse);
        let members = if gone { 0 } else { registry.members().saturating_sub(1) };
        let wanted = membership.wanted_links(settings).min(members);
        let converged = membership.partition() == PartitionStatus::Recovering
            && gossip.converged_at(now.mono, settings);
        let (now, links) = (now.mono, &mut gossip.links);
        let scene = membership::Scene {
            now,
            settings,
            wanted,
            converged,
            me,
            mesh_time,
            store,
            registry,
            links,
            rng,
            sink,
        };
        (membership, scene)
    }

    /// Where others say, or said before they were lost, that `node` is reached.
    #[must_use]
    pub fn addresses_of(&self, node: &NodeId) -> Vec<SocketAddr> {
        let listed = self.registry.by_id(node).and_then(|ix| self.registry.get(ix));
        if let Some(view) = listed {
            return view.addresses.to_vec();
        }
        let record = self.store.record(node, Slot::MEMBER);
        let member = record.and_then(|record| Member::decode(record.record.payload).ok());
        member.map(|member| member.addresses).unwrap_or_default()
    }

    /// What the clocks of the mesh show, as far as this node knows: its own wall clock, moved to
    /// the median of its witnesses'. Stamps are made and judged by it.
    #[must_use]
    pub fn mesh_time(&self, now: Now) -> WallMs {
        WallMs(now.wall.0.saturating_add_signed(self.membership.clock_offset()))
    }

    /// The node's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.signer.node_id()
    }

    /// The index of a node that has a link or is a member.
    #[must_use]
    pub fn peer(&self, node: &NodeId) -> Option<PeerIx> {
        self.registry.by_id(node)
    }

    /// Whether a link with `peer` stands.
    #[must_use]
    pub fn has_link(&self, peer: PeerIx) -> bool {
        self.gossip.links.get(peer).is_some()
    }

    /// The peers that a link stands with.
    pub fn linked(&self) -> impl Iterator<Item = PeerIx> + '_ {
        self.gossip.links.iter().map(|link| link.peer)
    }

    /// The peers as this node sees them.
    #[must_use]
    pub const fn registry(&self) -> &PeerRegistry {
        &self.registry
    }

    /// The peers, for the operations of the specification that change them.
    pub const fn registry_mut(&mut self) -> &mut PeerRegistry {
        &mut self.registry
    }

    /// How many members are accused of being gone, by whomever.
    #[must_use]
    pub fn accused(&self) -> usize {
        self.membership.accused()
    }

    /// Whether this node is cut off from its quorum.
    #[must_use]
    pub fn partition(&self) -> PartitionStatus {
        self.membership.partition()
    }

    /// The links that stand.
    #[must_use]
    pub const fn links(&self) -> &Links {
        &self.gossip.links
    }

    /// The settings it runs under.
    #[must_use]
    pub const fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// The replicated state.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The root over the whole state: equal roots are equal states.
    pub fn root(&mut self) -> Root {
        self.store.root()
    }

    /// Messages that came before their time and wait for it, and how many may.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        (self.guard.as_ref().map_or(0, |guard| guard.held.len()), intake::MAX_HELD)
    }

    /// Writes that wait for a frame, and how many may.
    #[must_use]
    pub fn waiting_writes(&self) -> (usize, usize) {
        (self.writer.as_ref().map_or(0, |writer| writer.waiting()), writer::MAX_WAITING)
    }

    /// Counters since the start.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Makes room for exactly this many links.
    pub fn reserve_links(&mut self, links: usize) {
        self.gossip.links.reserve(links);
    }
}
