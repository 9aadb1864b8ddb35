//! A replica reduced to what the views need: slots in which the newest record wins, and records
//! that travel one by one in any order. `histories` runs random histories of three of them against
//! models that keep whole causal pasts; `folds` feeds the views arbitrary records; `writes` holds
//! the rules of single operations.

mod folds;
mod histories;
mod writes;

use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;
use crate::error::WriteError;
use crate::frame::{Hash, Kind, Record, RecordHead, Slot};
use crate::identity::{Incarnation, Limits, NodeId, Seq};
use crate::time::{Hlc, WallMs};

#[derive(Clone, Debug)]
struct Stored {
    author: NodeId,
    incarnation: Incarnation,
    seq: Seq,
    id: Hash,
    bytes: Vec<u8>,
}

impl Stored {
    fn contribution(&self) -> Contribution<'_> {
        Contribution {
            author: self.author,
            incarnation: self.incarnation,
            seq: self.seq,
            id: self.id,
            record: Record::stored(&self.bytes).unwrap(),
        }
    }
}

#[derive(Clone)]
struct Replica {
    me: NodeId,
    clock: Clock,
    next: (Incarnation, Seq),
    slots: BTreeMap<(NodeId, Slot), Stored>,
    limits: Limits,
}

impl Replica {
    fn new(n: u8) -> Self {
        let (clock, limits) = (Clock::default(), Limits::default());
        let next = (Incarnation(1), Seq(0));
        Replica { me: NodeId([n; 32]), clock, next, slots: BTreeMap::new(), limits }
    }

    /// A new process with the same slots and nothing else.
    fn restart(&mut self) {
        self.clock = Clock::default();
        self.next = (Incarnation(self.next.0.0 + 1), Seq(0));
    }

    fn draft(&mut self, op: &Op, wall: WallMs) -> Result<Option<Draft>, WriteError> {
        let held: Vec<_> = self.slots.values().map(Stored::contribution).collect();
        draft(op, self.me, &held, &self.limits, &mut self.clock, wall)
    }

    /// Writes `op` and calls the record `id`; whether there was something to do.
    fn write(&mut self, op: &Op, wall: u64, id: Hash) -> Result<bool, WriteError> {
        let Some(draft) = self.draft(op, WallMs(wall))? else { return Ok(false) };
        let used = self.slots.keys().filter(|(author, _)| *author == self.me).count() as u16;
        let slot = draft.replaces.unwrap_or(Slot(Slot::FIRST_FREE.0 + used));
        let mut head = RecordHead::new(slot, draft.kind, draft.hlc);
        (head.tombstone, head.ttl_ds) = (draft.tombstone, draft.ttl_ds);
        let (incarnation, seq) = self.next;
        self.next.1 = Seq(seq.0 + 1);
        let bytes = head.encode(&draft.payload);
        self.merge(&Stored { author: self.me, incarnation, seq, id, bytes });
        Ok(true)
    }

    fn merge(&mut self, new: &Stored) {
        let place = (new.author, new.contribution().record.head.slot);
        let age = |stored: &Stored| (stored.incarnation, stored.seq);
        if self.slots.get(&place).is_none_or(|held| age(held) < age(new)) {
            self.slots.insert(place, new.clone());
        }
    }

    fn merge_all(&mut self, other: &Replica) {
        other.slots.values().for_each(|stored| self.merge(stored));
    }

    /// The records of `key`.
    fn of(&self, key: &Key) -> std::vec::IntoIter<Contribution<'_>> {
        let of_key = |c: &Contribution<'_>| {
            key_of(c.record.head.kind, c.record.payload).is_some_and(|(_, of)| of == key.as_bytes())
        };
        self.slots.values().map(Stored::contribution).filter(of_key).collect::<Vec<_>>().into_iter()
    }

    fn lww(&self, key: &Key, now: u64) -> Option<Lww<'_>> {
        view::lww(self.of(key), WallMs(now))
    }

    fn multi(&self, key: &Key) -> Vec<Vec<u8>> {
        let siblings = view::multi(self.of(key), NOW);
        siblings.iter().map(|sibling| sibling.value.to_vec()).collect()
    }

    fn set(&self, key: &Key) -> Vec<Vec<u8>> {
        view::set(self.of(key), NOW).into_iter().map(<[u8]>::to_vec).collect()
    }
}

/// When views are read that hold nothing with a time to live.
const NOW: WallMs = WallMs(2_000_000);
/// The name of records that no model follows.
const NO_ID: Hash = [0; 32];

fn key(text: &str) -> Key {
    text.try_into().unwrap()
}

fn put(key: &Key, value: &[u8]) -> Op {
    Op::Put { key: key.clone(), value: Bytes::copy_from_slice(value) }
}

fn set(key: &Key, value: &[u8], ttl: Option<core::time::Duration>) -> Op {
    Op::Set { key: key.clone(), value: Bytes::copy_from_slice(value), ttl }
}

fn add(key: &Key, member: &[u8]) -> Op {
    Op::Add { key: key.clone(), member: Bytes::copy_from_slice(member) }
}

fn remove(key: &Key, member: &[u8]) -> Op {
    Op::Remove { key: key.clone(), member: Bytes::copy_from_slice(member) }
}
