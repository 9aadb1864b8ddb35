//! One part of the world: every eighth machine, their queue, and what they send in a slot.
//!
//! ```text
//!   queue --event--> Node --effects--> Network: when --> outbox, by shard of the receiver
//! ```
//!
//! Shards share nothing while a slot runs, so it does not matter how many threads run them.

use std::sync::Arc;

use bytes::Bytes;
use knhk_mesh_core::error::StoreFault;
use knhk_mesh_core::frame::{Record, Sealed};
use knhk_mesh_core::identity::PeerIx;
use knhk_mesh_core::membership::Words;
use knhk_mesh_core::messages::{Input, Lane, Message, Persist};
use knhk_mesh_core::node::Checked;
use knhk_mesh_core::rng::{Rng, mix};
use knhk_mesh_core::time::Time;

use super::event::{Body, Content, Event, Slot};
use super::host::{Host, NEVER, Outcome};
use super::queue::{Queue, QueueKind};
use super::{SHARDS, Shared};
use crate::adversary::{Scene, Sending};

/// Nanoseconds of a slot.
const SLOT_NS: u64 = 1_000_000;
/// A message that would wait longer for its uplink is dropped, in microseconds.
const MAX_BACKLOG_US: u64 = 1_000_000;

/// Totals of what a shard did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Timers and deliveries handled.
    pub events: u64,
    /// Messages sent, one for each receiver.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Payload records received, duplicates included.
    pub copies: u64,
    /// Messages that a full uplink dropped.
    pub congested: u64,
    /// Honest machines that know what the run watches.
    pub informed: u64,
    /// Bytes of the longest message on the digest lane.
    pub longest_digest: u64,
}

/// A number that depends on everything in a record.
pub(crate) fn print_of(record: &Record<'_>) -> u64 {
    let fold = |print: u64, byte: &u8| mix(print ^ u64::from(*byte));
    record.head.encode(record.payload).iter().fold(0, fold)
}

/// What a shard asks of the world between two slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Request {
    Connect { from: usize, to: usize },
    Close { a: usize, b: usize },
}

pub(crate) struct Shard {
    number: usize,
    pub(crate) hosts: Vec<Host>,
    pub(crate) queue: Queue,
    /// What is sent in this slot, by shard of the receiver.
    pub(crate) outbox: Vec<Vec<(Slot, Event)>>,
    pub(crate) requests: Vec<Request>,
    pub(crate) outcome: Outcome,
    /// All prunes are one: a flood is answered by twenty of them a node.
    prune: Arc<Body>,
    seed: u64,
    pub(crate) trace: u64,
    pub(crate) tally: Tally,
}

impl Shard {
    pub(crate) fn new(number: usize, seed: u64, queue: QueueKind) -> Self {
        Shard {
            number,
            hosts: Vec::new(),
            queue: Queue::new(queue),
            outbox: (0..SHARDS).map(|_| Vec::new()).collect(),
            requests: Vec::new(),
            outcome: Outcome::default(),
            prune: Arc::new(Body::new(Lane::Control, Message::Prune, false)),
            seed,
            trace: number as u64,
            tally: Tally::default(),
        }
    }

    /// Runs everything that happens in `slot`.
    pub(crate) fn step(&mut self, slot: Slot, shared: &Shared) {
        if self.queue.next() != Some(slot) {
            return;
        }
        loop {
            let mut events = self.queue.take(slot);
            if events.is_empty() {
                return;
            }
            for event in events.drain(..) {
                self.happen(slot, event, shared);
            }
            self.queue.recycle(events);
        }
    }

    fn happen(&mut self, slot: Slot, event: Event, shared: &Shared) {
        let local = event.to() / SHARDS;
        let host = &mut self.hosts[local];
        if !host.up || host.boots != event.boots() {
            return;
        }
        let print = event.print();
        let from = event.from();
        if let Some(body) = event.into_body() {
            self.deliver(slot, local, from, &body, shared);
        } else {
            if host.wake != slot {
                return;
            }
            host.wake = NEVER;
            self.call(slot, local, shared, Input::Timeout);
            self.schedule(slot + 1, local, shared);
        }
        self.tally.events += 1;
        self.trace = mix(self.trace ^ slot ^ print);
    }

    fn deliver(&mut self, slot: Slot, local: usize, from: usize, body: &Body, shared: &Shared) {
        let Some(via) = shared.peer(&self.hosts[local].node, from) else { return };
        if !self.hosts[local].node.has_link(via) {
            return;
        }
        match &body.content {
            Content::Signed(bytes) => {
                self.tally.copies += u64::from(body.records);
                self.signed(slot, local, via, body.lane, bytes, shared);
            }
            Content::Control(message) => {
                self.call(slot, local, shared, Input::Control(via, message));
            }
            Content::Encoded(bytes) => match Message::decode(bytes) {
                Ok(message) => self.call(slot, local, shared, Input::Control(via, &message)),
                Err(why) => self.call(slot, local, shared, Input::Refused(via, why)),
            },
        }
        self.schedule(slot, local, shared);
    }

    /// Gives machine `local` signed bytes as if they had just come over the link `via`.
    pub(crate) fn signed(
        &mut self,
        slot: Slot,
        local: usize,
        via: PeerIx,
        lane: Lane,
        bytes: &Bytes,
        shared: &Shared,
    ) {
        let host = &mut self.hosts[local];
        let now = shared.now(slot, host.clock_error());
        match host.node.check(now, via, lane, bytes) {
            Checked::Duplicate => {
                host.node.handle(now, Input::Duplicate(via, lane, bytes), &mut self.outcome);
            }
            Checked::Refused(why) => {
                host.node.handle(now, Input::Refused(via, why), &mut self.outcome);
            }
            Checked::Verify(job) => {
                let verdict = shared.verdicts.of(bytes, *job);
                let input = match &*verdict {
                    Ok(verified) => Input::Verified(via, lane, verified),
                    Err(why) => Input::Refused(via, *why),
                };
                host.node.handle(now, input, &mut self.outcome);
            }
        }
        self.settle(slot, local, shared);
    }

    /// Gives machine `local` an input and carries out what comes of it, timers excepted.
    pub(crate) fn call(&mut self, slot: Slot, local: usize, shared: &Shared, input: Input<'_>) {
        let host = &mut self.hosts[local];
        let now = shared.now(slot, host.clock_error());
        host.node.handle(now, input, &mut self.outcome);
        self.settle(slot, local, shared);
    }

    /// Lets the node of machine `local` say something about members without reason.
    pub(crate) fn say(&mut self, slot: Slot, local: usize, shared: &Shared, words: Words) {
        let host = &mut self.hosts[local];
        let now = shared.now(slot, host.clock_error());
        host.node.say(now, words, &mut self.outcome);
        self.settle(slot, local, shared);
    }

    /// Sets the timer of a machine to what its process wants now, not before `earliest`.
    pub(crate) fn schedule(&mut self, earliest: Slot, local: usize, shared: &Shared) {
        let host = &mut self.hosts[local];
        let Time(next) = host.node.next_timeout();
        if next == u64::MAX {
            return;
        }
        let late =
            if shared.any_slow { host.own.as_ref().map_or(0, |own| own.slowness) } else { 0 };
        let slot = next.div_ceil(SLOT_NS).saturating_add(late).max(earliest);
        if slot < host.wake {
            host.wake = slot;
            self.queue.push(slot, Event::timer(local * SHARDS + self.number, host.boots));
        }
    }

    /// Carries out what a call left in `outcome`.
    fn settle(&mut self, slot: Slot, local: usize, shared: &Shared) {
        if self.outcome.informed {
            self.outcome.informed = false;
            let host = &mut self.hosts[local];
            if host.informed == NEVER && host.is_honest() {
                host.informed = slot;
                self.tally.informed += 1;
            }
        }
        if !self.outcome.sends.is_empty() {
            self.send_all(slot, local, shared);
        }
        self.pass_on_rare(slot, local, shared);
        while !self.outcome.persists.is_empty() {
            let batch = self.outcome.persists.remove(0);
            self.persist(slot, local, batch, shared);
        }
    }

    /// Everything but sends and disk, which most calls do not have.
    fn pass_on_rare(&mut self, slot: Slot, local: usize, shared: &Shared) {
        let from = local * SHARDS + self.number;
        let Shard { hosts, outcome, requests, .. } = self;
        let host = &mut hosts[local];
        if !outcome.done.is_empty() {
            host.own().done.append(&mut outcome.done);
        }
        if !outcome.events.is_empty() {
            host.own().events.append(&mut outcome.events);
        }
        if !outcome.changes.is_empty() {
            let changes = host.own.as_mut().and_then(|own| own.changes.as_mut());
            match changes {
                Some(changes) => changes.append(&mut outcome.changes),
                None => outcome.changes.clear(),
            }
        }
        for node in outcome.connects.drain(..) {
            match shared.index_of(&node) {
                Some(to) => requests.push(Request::Connect { from, to }),
                None => debug_assert!(false, "a node dials members of its world at {slot}"),
            }
        }
        for peer in outcome.closes.drain(..) {
            if let Some(b) = shared.behind(host, peer) {
                requests.push(Request::Close { a: from, b });
            }
        }
    }

    fn persist(&mut self, slot: Slot, local: usize, batch: Persist, shared: &Shared) {
        let host = &mut self.hosts[local];
        let limits = host.node.settings().genesis.limits;
        let own = host.own();
        own.incarnation = Some(batch.incarnation);
        for record in &batch.records {
            let Ok(sealed) = Sealed::read(&record.bytes, &limits) else { continue };
            let incarnation = sealed.header().fields.incarnation;
            let prints = sealed.records().map(|(seq, r)| ((incarnation, seq), print_of(&r)));
            own.signed.extend(prints);
        }
        for record in batch.records {
            own.disk.retain(|old| old.slot != record.slot);
            own.disk.push(record);
        }
        let stored: Result<(), StoreFault> = Ok(());
        self.call(slot, local, shared, Input::Persisted(batch.id, stored));
    }

    /// A stream for one thing that machine `local` does: a function of the run's seed, the machine
    /// and a number of its own, so that no machine's luck depends on what others do.
    fn draw(&mut self, local: usize) -> Rng {
        let machine = (local * SHARDS + self.number) as u64;
        let host = &mut self.hosts[local];
        host.draws = host.draws.wrapping_add(1);
        Rng::new(mix(self.seed ^ mix(machine << 32 | u64::from(host.draws))))
    }

    fn send_all(&mut self, slot: Slot, local: usize, shared: &Shared) {
        let mut sends = core::mem::take(&mut self.outcome.sends);
        let mut to = core::mem::take(&mut self.outcome.to);
        let mut first = 0;
        for (count, lane, message) in sends.drain(..) {
            let receivers = first..first + count;
            first += count;
            if self.hosts[local].is_honest() {
                self.send(slot, local, &to[receivers], lane, message, shared);
                continue;
            }
            let (sending, mut rng) = ((to[receivers].to_vec(), lane, message), self.draw(local));
            for (to, lane, message) in self.bent(slot, local, sending, &mut rng) {
                self.send(slot, local, &to, lane, message, shared);
            }
        }
        to.clear();
        (self.outcome.sends, self.outcome.to) = (sends, to);
    }

    /// What the machine sends instead, if it is a liar's.
    fn bent(&mut self, slot: Slot, local: usize, sending: Sending, rng: &mut Rng) -> Vec<Sending> {
        let Host { node, own, .. } = &mut self.hosts[local];
        let who = |peer| node.registry().get(peer).map(|view| view.id);
        let mut scene = Scene { slot, mesh: &node.settings().mesh, who: &who, rng };
        let conduct = own.as_mut().and_then(|own| own.conduct.as_mut());
        conduct.map(|conduct| conduct.bend(sending, &mut scene)).unwrap_or_default()
    }

    /// Sends a message of machine `local` to some of its peers.
    pub(crate) fn send(
        &mut self,
        slot: Slot,
        local: usize,
        to: &[PeerIx],
        lane: Lane,
        message: Message,
        shared: &Shared,
    ) {
        let from = local * SHARDS + self.number;
        let body = match message {
            Message::Prune if !shared.wire => Arc::clone(&self.prune),
            message => Arc::new(Body::new(lane, message, shared.wire)),
        };
        if lane == Lane::Digest {
            self.tally.longest_digest = self.tally.longest_digest.max(u64::from(body.len));
        }
        let mut crowded = Vec::new();
        for &peer in to {
            let Some(to) = shared.behind(&mut self.hosts[local], peer) else { continue };
            let Some(wait) = self.uplink(slot, local, body.len, shared) else {
                crowded.push(peer);
                continue;
            };
            self.tally.messages += 1;
            self.tally.bytes += u64::from(body.len);
            if self.outcome.keeps_all {
                self.hosts[local].own().sent += u64::from(body.len);
            }
            let slow = wait + shared.slowness(from) + shared.slowness(to);
            let mut rng = self.draw(local);
            for delay in shared.network.fate(from, to, &mut rng).into_iter().flatten() {
                let event = Event::delivery(from, to, shared.boots[to], Arc::clone(&body));
                self.outbox[to % SHARDS].push((slot + delay + slow, event));
            }
        }
        for peer in crowded {
            self.tally.congested += 1;
            self.call(slot, local, shared, Input::Congested(peer, lane));
        }
    }

    /// How many slots a message waits for the uplink; `None` if that is too long.
    fn uplink(&mut self, slot: Slot, local: usize, len: u32, shared: &Shared) -> Option<Slot> {
        let Some(bandwidth) = shared.network.bandwidth else { return Some(0) };
        let own = self.hosts[local].own();
        let now = slot * 1_000;
        let backlog = own.uplink_busy.saturating_sub(now);
        if backlog > MAX_BACKLOG_US {
            return None;
        }
        own.uplink_busy = now + backlog + u64::from(len) * 1_000_000 / bandwidth.max(1);
        Some(backlog / 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crowd::{Crowd, Plan};
    use crate::network::Network;
    use crate::world::Drive;
    use knhk_mesh_core::config::{Config, Settings};

    /// When the messages of machine 0 arrive if machine 8, of the same shard, sends `before` it.
    fn arrivals(before: usize) -> Vec<(Slot, usize)> {
        let network =
            Network { latency: "1-500ms".parse().unwrap(), loss: 0.5, ..Network::default() };
        let mut crowd = Crowd::new(
            &Plan {
                settings: Settings::new(Config::default()).unwrap(),
                network,
                nodes: 16,
                seed: 1,
                drive: Drive::default(),
                corrupt: Default::default(),
                writers: Vec::new(),
            },
            |_| (),
        );
        let (shard, _, shared) = crowd.engine.place(0);
        let to: Vec<PeerIx> = (1..8).map(|i| PeerIx::new(i, 0)).collect();
        for local in core::iter::repeat_n(1, before).chain([0]) {
            shard.send(5, local, &to, Lane::Control, Message::Recover, shared);
        }
        let mail = shard.outbox.iter().flatten().filter(|(_, event)| event.from() == 0);
        mail.map(|(slot, event)| (*slot, event.to())).collect()
    }

    #[test]
    fn the_luck_of_a_machine_does_not_depend_on_what_others_send() {
        assert!((1..7).contains(&arrivals(0).len()), "some are lost");
        assert_eq!(arrivals(0), arrivals(1));
        assert_eq!(arrivals(0), arrivals(5));
    }
}
