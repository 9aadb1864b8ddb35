//! The own records: drafts become records, records frames, frames travel at once and are
//! acknowledged when the disk has them.
//!
//! A frame leaves at once unless one left less than 2 ms ago; then at 2 ms, or when it is full.
//! Records that wait for their frame are seen by the drafts behind them.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;

use super::floor::Floor;
use super::{Node, NodeId, Now, Phase};
use crate::config::Mode;
use crate::crdt::store::EntryIx;
use crate::crdt::{Clock, Contribution, Family, Key, Op, Store, draft, key_of};
use crate::error::{StoreFault, WriteError};
use crate::frame::header::{FUTURE, MAX_BODY};
use crate::frame::{Chain, Class, Hash, Kind, Record, RecordHead, Slot, Verified, merkle};
use crate::frame::{seal, write_proof};
use crate::identity::{AgentNo, Incarnation, Limits, Seq};
use crate::membership::{Member, Suspicion, Words};
use crate::messages::sink::{OwnRecord, PersistId, WriteId};
use crate::messages::{Persist, Receipt, Sink};
use crate::partition::{Detector, PartitionStatus};
use crate::time::{Hlc, Time, WallMs};

/// Writes that wait at most, for recovery or for the disk.
pub(super) const MAX_WAITING: usize = 1_024;
/// Time that a second frame waits behind the first.
const COALESCE: Duration = Duration::from_millis(2);
/// Pause before a disk that refused the incarnation is asked again.
const ASK_DISK_AGAIN: Duration = Duration::from_secs(1);
/// A slot whose record is deleted or expired is used again after this long.
const REUSE_AFTER_MS: u64 = 3_600_000;
/// When a write that a partition refused is worth another try: nodes that are cut off look for a
/// way out twice a second, and recovery takes a second at least.
const RETRY_PARTITIONED_MS: u32 = 2_000;
const RETRY_RECOVERING_MS: u32 = 500;

pub(super) struct Writer {
    pub(super) chain: Chain,
    pub(super) clock: Clock,
    pub(super) pending: Vec<Pending>,
    pub(super) floor: Floor,
    last_frame: Option<Time>,
    /// Writes that came before the node was ready.
    waiting: VecDeque<(WriteId, AgentNo, Op)>,
    /// Frames on their way to the disk, oldest first.
    storing: VecDeque<Storing>,
    next_persist: u64,
    /// The incarnation is on its way to the disk.
    announced: bool,
    /// It goes there from this time on.
    announce_from: Time,
    /// Own records from peers that go to the disk with the incarnation.
    pub(super) regained: Vec<OwnRecord>,
    next_slot: u16,
    /// When this process began to write.
    since: Time,
}

/// A record without a frame.
pub(super) struct Pending {
    pub(super) slot: Slot,
    pub(super) bytes: Vec<u8>,
    /// Nobody waits for the node's own member record, nor for what it publishes again.
    pub(super) write: Option<(WriteId, Key)>,
    pub(super) hlc: Hlc,
}

struct Storing {
    id: PersistId,
    writes: Vec<(WriteId, Receipt)>,
}

impl Writer {
    pub(super) fn new(store: &Store, me: &NodeId, last: Option<Incarnation>, now: Now) -> Self {
        let incarnation = Incarnation::after(last, now.wall);
        let mut writer = Writer {
            chain: Chain::start(Class::Cell, incarnation, Default::default()),
            clock: Clock::default(),
            pending: Vec::new(),
            floor: Floor::default(),
            last_frame: None,
            waiting: VecDeque::new(),
            storing: VecDeque::new(),
            next_persist: 0,
            announced: false,
            announce_from: Time::ZERO,
            regained: Vec::new(),
            next_slot: Slot::FIRST_FREE.0,
            since: now.mono,
        };
        writer.adopt(store, me);
        writer
    }

    /// Takes floor and clock over from the newest own header.
    fn adopt(&mut self, store: &Store, me: &NodeId) {
        if let Some(head) = store.head(me) {
            self.chain.floor = self.chain.floor.max(head.fields.floor);
            self.clock = Clock::after(self.clock.last().max(head.fields.hlc_max));
        }
    }

    /// Whether this process began to write less than `age` ago.
    pub(super) fn is_younger(&self, age: Duration, now: Time) -> bool {
        now.since(self.since) < age
    }

    /// Somebody holds own records that this process did not write.
    pub(super) fn is_overtaken(&self, incarnation: Incarnation, seq_end: Seq) -> bool {
        (incarnation, seq_end) > (self.chain.incarnation, self.chain.next)
    }

    /// Whether what overtook this process was signed while it was running: by another one, then.
    /// `now` has mesh time. A stamp from before the start is of an earlier life of this node, one
    /// ahead of the clock of a life whose clock was.
    pub(super) fn is_rivalled(&self, stamp: Hlc, now: Now) -> bool {
        let up = now.mono.since(self.since).saturating_sub(EARLIER_LIFE);
        let since = now.wall.0.saturating_sub(up.as_millis() as u64);
        stamp.wall().0 > since && stamp.ahead_of(now.wall) <= FUTURE && !up.is_zero()
    }

    /// Starts a new incarnation above `last`; records that wait go with it.
    pub(super) fn start_above(&mut self, store: &Store, me: &NodeId, last: Incarnation) {
        let next = Incarnation(self.chain.incarnation.0.max(last.0.saturating_add(1)));
        if next != self.chain.incarnation {
            self.chain = Chain::start(Class::Cell, next, self.chain.floor);
            self.announced = false;
        }
        self.adopt(store, me);
    }

    pub(super) const fn incarnation(&self) -> Incarnation {
        self.chain.incarnation
    }

    pub(super) fn next_timeout(&self, phase: Phase) -> Option<Time> {
        match phase {
            Phase::Starting if !self.announced => Some(self.announce_from),
            Phase::Ready | Phase::Left if !self.pending.is_empty() => {
                Some(self.last_frame.map_or(Time::ZERO, |last| last + COALESCE))
            }
            Phase::Ready => self.floor.next_timeout(),
            _ => None,
        }
    }

    fn next_persist_id(&mut self) -> PersistId {
        self.next_persist += 1;
        PersistId(self.next_persist)
    }

    /// How many of the records that wait fit into one frame.
    fn fitting(&self, batch: usize) -> usize {
        let mut body = 0;
        let fits = |p: &&Pending| {
            body += p.bytes.len();
            body <= MAX_BODY
        };
        self.pending.iter().take(batch).take_while(fits).count()
    }

    fn in_flight(&self) -> usize {
        let storing: usize = self.storing.iter().map(|s| s.writes.len()).sum();
        storing + self.pending.len() + self.waiting.len()
    }

    /// Writes that no frame has taken yet.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The records of `key` as if those that wait were in their slots already.
    fn contributions<'a>(
        &'a self,
        store: &'a Store,
        me: NodeId,
        key: &Key,
    ) -> Vec<Contribution<'a>> {
        let families = Family::ALL.into_iter();
        let mut all: Vec<Contribution<'a>> =
            families.flat_map(|family| store.contributions(family, key.as_bytes())).collect();
        let superseded = |c: &Contribution<'_>| {
            c.author == me && self.pending.iter().any(|p| p.slot == c.record.head.slot)
        };
        all.retain(|c| !superseded(c));
        for (i, p) in self.pending.iter().enumerate() {
            let newest = !self.pending[i + 1..].iter().any(|later| later.slot == p.slot);
            if let Some(record) = Record::stored(&p.bytes).filter(|_| newest)
                && key_of(record.head.kind, record.payload).is_some_and(|k| k.1 == key.as_bytes())
            {
                let (incarnation, seq) = (self.chain.incarnation, self.chain.next);
                all.push(Contribution { author: me, incarnation, seq, id: [0xff; 32], record });
            }
        }
        all
    }

    /// A slot that holds nothing any more.
    fn free_slot(
        &mut self,
        store: &Store,
        me: &NodeId,
        limits: &Limits,
        wall: WallMs,
    ) -> Result<Slot, WriteError> {
        let span = limits.max_slots - Slot::FIRST_FREE.0;
        for reuse in [false, true] {
            for step in 0..span {
                let offset = (self.next_slot - Slot::FIRST_FREE.0 + step) % span;
                let slot = Slot(Slot::FIRST_FREE.0 + offset);
                let taken = self.pending.iter().any(|p| p.slot == slot);
                let free = match store.record(me, slot) {
                    None => true,
                    Some(record) => reuse && reusable(store, &record, wall),
                };
                if free && !taken {
                    self.next_slot = Slot::FIRST_FREE.0 + (offset + 1) % span;
                    return Ok(slot);
                }
            }
        }
        Err(WriteError::QuotaExceeded { max: usize::from(span) })
    }
}

/// A deleted or expired record whose slot may be used for another key: an hour old, and nobody
/// else has a record of the key that would rise again.
pub(super) fn reusable(store: &Store, own: &Contribution<'_>, wall: WallMs) -> bool {
    let head = &own.record.head;
    let old = head.hlc.wall().0.saturating_add(REUSE_AFTER_MS) < wall.0;
    let gone = head.tombstone || own.record.expired(WallMs(wall.0.saturating_sub(REUSE_AFTER_MS)));
    old && gone
        && key_of(head.kind, own.record.payload)
            .is_some_and(|(family, key)| store.contributions(family, key).len() == 1)
}

/// Clocks of two lives of a node may differ by so much.
const EARLIER_LIFE: Duration = Duration::from_secs(10);

impl Node {
    pub(super) fn on_write(
        &mut self,
        now: Now,
        id: WriteId,
        agent: AgentNo,
        op: &Op,
        sink: &mut impl Sink,
    ) {
        let me = self.id();
        let writer =
            self.writer.get_or_insert_with(|| Box::new(Writer::new(&self.store, &me, None, now)));
        if self.phase == Phase::Left {
            sink.done(id, Err(WriteError::Left));
        } else if self.phase == Phase::Convicted {
            sink.done(id, Err(WriteError::Convicted));
        } else if self.phase == Phase::Denied {
            sink.done(id, Err(WriteError::Denied));
        } else if self.phase == Phase::KeyInUse {
            sink.done(id, Err(WriteError::KeyInUse));
        } else if writer.in_flight() >= MAX_WAITING {
            sink.done(id, Err(WriteError::Busy { waiting: writer.in_flight() }));
        } else if self.phase != Phase::Ready {
            writer.waiting.push_back((id, agent, op.clone()));
        } else if let Err(why) = self.write(now, id, agent, op, sink) {
            sink.done(id, Err(why));
        }
    }

    /// Whether the mode allows writes of the application now.
    fn may_write(&self) -> Result<(), WriteError> {
        let recovering = match self.membership.partition() {
            PartitionStatus::Healthy => return Ok(()),
            PartitionStatus::Recovering => true,
            PartitionStatus::Partitioned { .. } => false,
        };
        let counted = self.membership.detector().map(Detector::counted);
        let Some((reachable, required)) = counted.filter(|_| self.settings.mode == Mode::ReadOnly)
        else {
            return Ok(());
        };
        let retry_after_ms = if recovering { RETRY_RECOVERING_MS } else { RETRY_PARTITIONED_MS };
        Err(WriteError::Partitioned { recovering, reachable, required, retry_after_ms })
    }

    fn write(
        &mut self,
        now: Now,
        id: WriteId,
        agent: AgentNo,
        op: &Op,
        sink: &mut impl Sink,
    ) -> Result<(), WriteError> {
        self.may_write()?;
        let (me, wall) = (self.id(), self.mesh_time(now));
        let Node { writer: Some(writer), store, settings, .. } = self else { return Ok(()) };
        let limits = &settings.genesis.limits;
        let mut clock = writer.clock.clone();
        let drafted = {
            let contributions = writer.contributions(store, me, op.key());
            draft(op, me, &contributions, limits, &mut clock, wall)?
        };
        writer.clock = clock;
        let Some(draft) = drafted else {
            let (incarnation, hlc) = (writer.chain.incarnation, writer.clock.last());
            let receipt = Receipt { key: op.key().clone(), incarnation, seq: None, hlc };
            sink.done(id, Ok(receipt));
            return Ok(());
        };
        let slot = match draft.replaces {
            Some(slot) => slot,
            None => writer.free_slot(store, &me, limits, wall)?,
        };
        let head = RecordHead {
            tombstone: draft.tombstone,
            agent,
            ttl_ds: draft.ttl_ds,
            ..RecordHead::new(slot, draft.kind, draft.hlc)
        };
        let write = Some((id, op.key().clone()));
        let bytes = head.encode(&draft.payload);
        writer.pending.push(Pending { slot, bytes, write, hlc: draft.hlc });
        self.flush_if_due(now, sink);
        Ok(())
    }

    pub(super) fn write_timeout(&mut self, now: Now, sink: &mut impl Sink) {
        let phase = self.phase;
        let Some(writer) = &mut self.writer else { return };
        if phase == Phase::Starting && !writer.announced && now.mono >= writer.announce_from {
            writer.announced = true;
            let (id, incarnation) = (writer.next_persist_id(), writer.chain.incarnation);
            writer.storing.push_back(Storing { id, writes: Vec::new() });
            let records = writer.regained.clone();
            sink.persist(Persist { id, incarnation, records });
        }
        self.flush_if_due(now, sink);
    }

    fn flush_if_due(&mut self, now: Now, sink: &mut impl Sink) {
        let batch = self.settings.batch_size;
        let Some(writer) = &self.writer else { return };
        let quiet = writer.last_frame.is_none_or(|last| now.mono.since(last) >= COALESCE);
        let due = quiet || writer.pending.len() >= batch;
        let may = matches!(self.phase, Phase::Ready | Phase::Left);
        if may && due && !writer.pending.is_empty() {
            self.flush(now, sink);
        }
    }

    /// Seals what waits into a frame and sends it.
    fn flush(&mut self, now: Now, sink: &mut impl Sink) {
        let Some(writer) = &mut self.writer else { return };
        let batch = writer.fitting(self.settings.batch_size);
        let pending: Vec<Pending> = writer.pending.drain(..batch).collect();
        writer.last_frame = Some(now.mono);
        let (mut records, mut writes) = (Vec::new(), Vec::new());
        for (seq, p) in (writer.chain.next.0..).zip(pending) {
            let (incarnation, seq) = (writer.chain.incarnation, Some(Seq(seq)));
            if let Some((id, key)) = p.write {
                writes.push((id, Receipt { key, incarnation, seq, hlc: p.hlc }));
            }
            records.push(p.bytes);
        }
        let frame = seal(&mut writer.chain, &records, &[], &self.settings.mesh, &*self.signer);
        let (id, incarnation) = (writer.next_persist_id(), writer.chain.incarnation);
        writer.storing.push_back(Storing { id, writes });

        let mut won = Vec::new();
        self.store.merge(&frame, &mut won, &mut |f, key| sink.changed(f, key));
        let me = self.id();
        let (gossip, mut scene) = self.gossip_scene(now, sink);
        gossip.push(&mut scene, &frame, None);
        self.after_merge(now, &me, &won, frame.header().fields.hlc_max, sink);
        sink.persist(Persist { id, incarnation, records: own_records(&frame) });
    }

    pub(super) fn on_persisted(
        &mut self,
        now: Now,
        id: PersistId,
        result: &Result<(), StoreFault>,
        sink: &mut impl Sink,
    ) {
        let Some(writer) = &mut self.writer else { return };
        while writer.storing.front().is_some_and(|s| s.id <= id) {
            let Some(stored) = writer.storing.pop_front() else { break };
            for (write, receipt) in stored.writes {
                let outcome = result.clone().map(|()| receipt).map_err(WriteError::NotStored);
                sink.done(write, outcome);
            }
        }
        let started = writer.announced && self.phase == Phase::Starting;
        if !started || !writer.storing.is_empty() {
            return;
        }
        if result.is_err() {
            // Without its incarnation on disk the node must not sign: ask again.
            writer.announced = false;
            writer.announce_from = now.mono + ASK_DISK_AGAIN;
            return;
        }
        writer.regained = Vec::new();
        self.phase = Phase::Ready;
        self.announce(now, false, sink);
        self.write_waiting(now, sink);
    }

    /// Own records that this process did not have came from a peer: they go to the disk like those
    /// that it writes itself.
    pub(super) fn keep_regained(&mut self, won: &[EntryIx], sink: &mut impl Sink) {
        if !matches!(self.phase, Phase::Starting | Phase::Ready) {
            return;
        }
        let records = self.regained(won);
        let Some(writer) = self.writer.as_mut().filter(|_| !records.is_empty()) else { return };
        let (id, incarnation) = (writer.next_persist_id(), writer.chain.incarnation);
        writer.storing.push_back(Storing { id, writes: Vec::new() });
        sink.persist(Persist { id, incarnation, records });
    }

    fn write_waiting(&mut self, now: Now, sink: &mut impl Sink) {
        let waiting = self.writer.as_mut().map(|w| core::mem::take(&mut w.waiting));
        for (id, agent, op) in waiting.into_iter().flatten() {
            if let Err(why) = self.write(now, id, agent, &op, sink) {
                sink.done(id, Err(why));
            }
        }
    }

    pub(super) fn flush_all(&mut self, now: Now, sink: &mut impl Sink) {
        while self.writer.as_ref().is_some_and(|w| !w.pending.is_empty()) {
            self.flush(now, sink);
        }
    }

    /// Writes the own member record.
    pub(super) fn announce(&mut self, now: Now, left: bool, sink: &mut impl Sink) {
        let config = &self.settings;
        let member = Member {
            left,
            wire_version: crate::WIRE_VERSION,
            region: config.region.clone(),
            zone: config.zone.clone(),
            addresses: config.addresses.clone(),
        };
        let mut head = RecordHead::new(Slot::MEMBER, Kind::MEMBER, Hlc::default());
        // A goodbye may go, in time.
        head.ephemeral = left;
        self.put(now, head, &member.encode(), sink);
    }

    /// Writes a record of the node itself.
    fn put(&mut self, now: Now, head: RecordHead, payload: &[u8], sink: &mut impl Sink) {
        let wall = self.mesh_time(now);
        let Some(writer) = &mut self.writer else { return };
        let hlc = writer.clock.stamp(wall, Hlc::default());
        let bytes = RecordHead { hlc, ..head }.encode(payload);
        let slot = head.slot;
        writer.pending.push(Pending { slot, bytes, write: None, hlc });
        self.flush_if_due(now, sink);
    }

    /// Signs what the membership room has to say: whom it does not reach, and that this node is
    /// there itself. Public for simulated liars, who say it without reason.
    pub fn say(&mut self, now: Now, words: Words, sink: &mut impl Sink) {
        if self.phase != Phase::Ready {
            return;
        }
        if words.refute {
            self.announce(now, false, sink);
        }
        if let Some(missing) = words.missing {
            let mut head = RecordHead::new(Slot::MISSING, Kind::MISSING, Hlc::default());
            head.ephemeral = true;
            self.put(now, head, &Suspicion::encode(&missing), sink);
        }
    }

    /// Says goodbye; writes that wait for a frame go with it. To purge is to say goodbye with a
    /// floor under it: everything before is dead, everywhere and for good.
    pub(super) fn on_leave(&mut self, now: Now, purge: bool, sink: &mut impl Sink) {
        if self.phase == Phase::Ready {
            if purge {
                self.flush_all(now, sink);
            }
            if let Some(writer) = self.writer.as_mut().filter(|_| purge) {
                writer.chain.floor = (writer.chain.incarnation, writer.chain.next);
            }
            self.announce(now, true, sink);
            self.flush_all(now, sink);
        }
        self.refuse_waiting(&WriteError::Left, sink);
        self.phase = Phase::Left;
    }

    /// Ends the writes that wait for a start that does not come.
    pub(super) fn refuse_waiting(&mut self, why: &WriteError, sink: &mut impl Sink) {
        let Some(writer) = &mut self.writer else { return };
        let unsigned = core::mem::take(&mut writer.pending);
        let ids = unsigned.into_iter().filter_map(|p| Some(p.write?.0));
        let waiting = core::mem::take(&mut writer.waiting);
        for id in ids.chain(waiting.into_iter().map(|(id, ..)| id)) {
            sink.done(id, Err(why.clone()));
        }
    }
}

/// The records of an own frame as proofs, the newest of each slot.
fn own_records(frame: &Verified) -> Vec<OwnRecord> {
    let leaves = frame.leaves();
    let ids: Vec<Hash> = leaves.iter().map(|leaf| leaf.id).collect();
    let indexes: Vec<u16> = leaves.iter().map(|leaf| leaf.index).collect();
    let paths = merkle::paths(&ids, &indexes);
    let mut records: Vec<OwnRecord> = Vec::with_capacity(leaves.len());
    for (leaf, path) in leaves.iter().zip(&paths) {
        let bytes = frame.record_bytes(leaf);
        let slot = Slot(u16::from_le_bytes([bytes[0], bytes[1]]));
        let proof: Bytes = write_proof(frame.header(), &[(leaf.index, path, bytes)]);
        records.retain(|older| older.slot != slot);
        records.push(OwnRecord { slot, bytes: proof });
    }
    records
}
