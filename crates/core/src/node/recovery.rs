//! A key without its newest state (no disk, or an older copy of it): the own records are taken back
//! from peers before the first write, so that no counter starts anew and no incarnation is used
//! twice. Three seeds must have sent all they hold; if fewer answer, it takes what anybody linked
//! sends within 5 s. Without any peer it waits. Who started less than 5 s ago does not answer. Who
//! has not sent what it announced is asked again every 5 s.
//!
//! Only seeds end it early, which the driver dials of itself: liars that dial a node as it starts,
//! or whose names it hears first, can be the first to say that there is nothing.
//!
//! ```text
//!   Recover -->   <-- own records on the bulk lane, Recovered(how many)   --> done when all came
//! ```
//!
//! What came back is written to the disk together with the new incarnation: a start that finds an
//! incarnation there asks nobody, so whatever it does not find beside it would be written over.
//!
//! Only what answers is counted: other repair rests until then.

use core::time::Duration;

use super::{Node, Now, Phase};
use crate::crdt::store::EntryIx;
use crate::error::WriteError;
use crate::frame::{Sealed, Slot, Verified};
use crate::gossip::allowance::{Ask, RECOVERY};
use crate::identity::{Incarnation, NodeId, PeerIx};
use crate::messages::sink::OwnRecord;
use crate::messages::{Close, Lane, Message, Sink};
use crate::telemetry::Event;
use crate::time::Time;

/// Seeds that have to answer, and more than a third of those that are linked.
const ENOUGH: usize = 3;
/// Seeds, and others that answered, of which it takes note.
const MOST: usize = 64;
/// How long more than one is waited for, and how long one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of own records that a peer is sent.
const MAX_OWN: usize = 4 * 1024 * 1024;

#[derive(Default)]
pub(super) struct Recovery {
    asked: Vec<Asked>,
    /// Nodes, not links: one peer that comes and goes is one peer.
    done: Vec<NodeId>,
    seeds: Vec<NodeId>,
    records: u32,
    first_link: Option<Time>,
}

struct Asked {
    peer: PeerIx,
    node: NodeId,
    at: Time,
    came: u32,
    /// How many it said that it sent.
    sent: Option<u32>,
}

impl Recovery {
    pub(super) fn next_timeout(&self) -> Option<Time> {
        let fewer = self.first_link.filter(|_| !self.done.is_empty());
        let again = self.asked.iter().map(|asked| asked.at).min();
        Some(fewer.into_iter().chain(again).min()? + PATIENCE)
    }

    pub(super) fn forget(&mut self, peer: PeerIx) {
        self.asked.retain(|asked| asked.peer != peer);
    }

    /// The driver dialled `node` of itself.
    pub(super) fn is_seed(&mut self, node: &NodeId) {
        if self.seeds.len() < MOST && !self.seeds.contains(node) {
            self.seeds.push(*node);
        }
    }

    fn came(&mut self, peer: PeerIx) {
        if let Some(asked) = self.asked.iter_mut().find(|asked| asked.peer == peer) {
            asked.came += 1;
            self.records += 1;
        }
    }

    /// Moves the peers of which everything came.
    fn settle(&mut self) {
        let complete = |asked: &Asked| asked.sent.is_some_and(|sent| asked.came >= sent);
        for asked in self.asked.iter().filter(|asked| complete(asked)) {
            if self.done.len() < MOST || self.seeds.contains(&asked.node) {
                self.done.push(asked.node);
            }
        }
        self.asked.retain(|asked| !complete(asked));
    }

    /// Peers whose answer is overdue; the count begins anew.
    fn ask_again(&mut self, now: Time) -> Vec<PeerIx> {
        let overdue = self.asked.iter_mut().filter(|asked| now.since(asked.at) >= PATIENCE);
        let again = overdue.map(|asked| {
            (asked.at, asked.came, asked.sent) = (now, 0, None);
            asked.peer
        });
        again.collect()
    }

    fn enough(&self, now: Time) -> bool {
        let waited = self.first_link.is_some_and(|first| now.since(first) >= PATIENCE);
        let seeds = self.done.iter().filter(|node| self.seeds.contains(node)).count();
        (seeds >= ENOUGH && 3 * seeds > self.seeds.len()) || (waited && !self.done.is_empty())
    }
}

impl Node {
    /// A link came up while the own state is missing.
    pub(super) fn ask_for_own(
        &mut self,
        now: Now,
        peer: PeerIx,
        node: NodeId,
        is_seed: bool,
        sink: &mut impl Sink,
    ) {
        let Some(recovery) = &mut self.recovery else { return };
        if is_seed {
            recovery.is_seed(&node);
        }
        recovery.first_link.get_or_insert(now.mono);
        if !recovery.done.contains(&node) {
            recovery.asked.push(Asked { peer, node, at: now.mono, came: 0, sent: None });
            sink.send(&[peer], Lane::Control, &Message::Recover);
        }
    }

    /// A peer lost its state: it gets what is here of it. A process that just started may hold
    /// nothing yet; three such answers would end the recovery with nothing, so it says nothing and
    /// is asked again.
    pub(super) fn on_recover(&mut self, now: Now, from: PeerIx, sink: &mut impl Sink) {
        let Some(peer) = self.registry.get(from) else { return };
        let fresh =
            self.writer.as_ref().is_some_and(|writer| writer.is_younger(PATIENCE, now.mono));
        if fresh || !self.gossip.grants(from, Ask::Recovery, now.mono) {
            return;
        }
        self.gossip.charge(from, Ask::Recovery, RECOVERY, now.mono);
        let own = self.store.export(&self.store.entries_by(&peer.id), MAX_OWN);
        let sent = own.messages.len() as u32;
        for message in own.messages {
            sink.send(&[from], Lane::Bulk, &Message::Signed(message));
        }
        sink.send(&[from], Lane::Bulk, &Message::Recovered(sent));
    }

    pub(super) fn on_recovered(&mut self, now: Now, from: PeerIx, sent: u32, sink: &mut impl Sink) {
        if let Some(recovery) = &mut self.recovery
            && let Some(asked) = recovery.asked.iter_mut().find(|asked| asked.peer == from)
        {
            asked.sent = Some(sent);
            self.recover_or_wait(now, sink);
        }
    }

    /// A message of the own author came in: it may be one of those asked for.
    pub(super) fn own_record_came(
        &mut self,
        now: Now,
        via: PeerIx,
        lane: Lane,
        message: &Verified,
        sink: &mut impl Sink,
    ) {
        if let Some(recovery) = &mut self.recovery
            && lane == Lane::Bulk
        {
            recovery.came(via);
        }
        let fields = &message.header().fields;
        let now = Now { wall: self.mesh_time(now), ..now };
        if let Some(writer) = &mut self.writer
            && writer.is_overtaken(fields.incarnation, fields.seq_end())
        {
            match writer.is_rivalled(fields.hlc_max, now) {
                true => self.give_way(sink),
                false => self.start_above(fields.incarnation),
            }
        }
    }

    /// Another process uses the key of this node, and started later. Two that outdo each other's
    /// incarnations would end in forks, so the older one stops.
    fn give_way(&mut self, sink: &mut impl Sink) {
        if matches!(self.phase, Phase::Left | Phase::Convicted | Phase::Denied | Phase::KeyInUse) {
            return;
        }
        self.recovery = None;
        self.phase = Phase::KeyInUse;
        self.refuse_waiting(&WriteError::KeyInUse, sink);
        let links: Vec<_> = self.linked().collect();
        links.into_iter().for_each(|peer| self.end_link(peer, Close::Duplicate, sink));
    }

    /// Own records that came from peers, for the disk: the next start takes them from there. While
    /// others are missing the disk stays empty, else that start would not ask for them.
    pub(super) fn regained(&self, entries: &[EntryIx]) -> Vec<OwnRecord> {
        let head = self.store.entry_at(&self.id(), Slot::HEAD);
        let one = |&entry: &EntryIx| {
            let held = self.store.contribution(entry).map(|held| held.record.head.slot);
            let slot = held.or((head == Some(entry)).then_some(Slot::HEAD))?;
            let bytes = self.store.export(&[entry], MAX_OWN).messages.pop()?;
            Some(OwnRecord { slot, bytes })
        };
        entries.iter().filter_map(one).collect()
    }

    /// The own incarnation can be used no longer: writes wait until a higher one is on disk.
    pub(super) fn start_above(&mut self, last: Incarnation) {
        let me = self.id();
        if let Some(writer) = &mut self.writer {
            writer.start_above(&self.store, &me, last);
        }
        if self.phase == Phase::Ready {
            self.phase = Phase::Starting;
        }
    }

    /// Somebody signed a fork with the own key: what it signed up to there is void everywhere.
    pub(super) fn own_key_convicted(&mut self, incarnation: Incarnation, sink: &mut impl Sink) {
        if self.store.is_convicted(&self.id()) {
            self.recovery = None;
            self.phase = Phase::Convicted;
            self.refuse_waiting(&WriteError::Convicted, sink);
        } else {
            self.start_above(incarnation);
        }
    }

    pub(super) fn count_recovered(&mut self, via: PeerIx, lane: Lane, bytes: &bytes::Bytes) {
        if self.recovery.is_none() || lane != Lane::Bulk {
            return;
        }
        let me = self.id();
        let sealed = Sealed::read(bytes, &self.settings.genesis.limits);
        if sealed.is_ok_and(|sealed| sealed.header().fields.author == me)
            && let Some(recovery) = &mut self.recovery
        {
            recovery.came(via);
        }
    }

    /// Ends the recovery when enough peers answered.
    pub(super) fn recover_or_wait(&mut self, now: Now, sink: &mut impl Sink) {
        let Some(recovery) = &mut self.recovery else { return };
        recovery.settle();
        if !recovery.enough(now.mono) {
            let again = recovery.ask_again(now.mono);
            if !again.is_empty() {
                sink.send(&again, Lane::Control, &Message::Recover);
            }
            return;
        }
        let (peers, records) = (recovery.done.len() as u32, recovery.records);
        self.recovery = None;
        self.phase = Phase::Starting;
        let me = self.id();
        let regained = self.regained(&self.store.entries_by(&me));
        let store = &self.store;
        if let Some(writer) = &mut self.writer {
            let last = store.head(&me).map(|head| head.fields.incarnation);
            writer.start_above(store, &me, last.unwrap_or_default());
            writer.regained = regained;
        }
        sink.emit(Event::Recovered { peers, records });
    }
}
