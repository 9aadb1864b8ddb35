//! What an application sees of a key: a fold over the live records of all its authors. Every fold
//! is a function of the set of records (their order does not matter) and of `now`, in integers
//! only, so replicas with the same records show the same. Records of another family, and payloads
//! that do not read, are passed over.
//!
//! Time to live is a rule of reading. An expired record shows nothing and still overwrites what it
//! overwrote: otherwise an older value would rise when a newer one expires.

use super::seen::{AuthorTag, Overwritten, Seen, Write};
use super::value::{Body, Payload};
use crate::frame::header::EARLY;
use crate::frame::{Hash, Record};
use crate::identity::{AgentId, Incarnation, NodeId, Seq};
use crate::time::{Hlc, WallMs};

/// Most values that [`multi`] returns: the newest.
pub const MAX_SIBLINGS: usize = 64;

/// One author's live record of a key, as its slot holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contribution<'a> {
    /// Who signed it.
    pub author: NodeId,
    /// In which start of its process.
    pub incarnation: Incarnation,
    /// At which position.
    pub seq: Seq,
    /// The record's leaf hash.
    pub id: Hash,
    /// The record.
    pub record: Record<'a>,
}

impl<'a> Contribution<'a> {
    /// Total order of the records of a key: later stamp, then greater author, then newer record.
    fn rank(&self) -> (Hlc, NodeId, Incarnation, Seq, Hash) {
        (self.record.head.hlc, self.author, self.incarnation, self.seq, self.id)
    }

    pub(super) fn body(&self) -> Option<Body<'a>> {
        self.payload().map(|payload| payload.body)
    }

    pub(super) fn payload(&self) -> Option<Payload<'a>> {
        Payload::decode(self.record.head.kind, self.record.payload).ok()
    }

    /// The record in the causal order of its key, or of its member.
    pub(super) fn write(&self, seen: Seen<'a>) -> Write<'a> {
        Write { author: AuthorTag::of(&self.author), hlc: self.record.head.hlc, seen }
    }

    fn agent(&self) -> AgentId {
        AgentId { node: self.author, no: self.record.head.agent }
    }

    /// Whether it may be shown: neither deleted nor expired.
    fn shows(&self, now: WallMs) -> bool {
        !self.record.head.tombstone && !self.record.expired(now)
    }
}

/// What a last-writer-wins register holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lww<'a> {
    /// The value.
    pub value: &'a [u8],
    /// The node that signed it.
    pub author: NodeId,
    /// The agent that wrote it.
    pub agent: AgentId,
    /// When.
    pub hlc: Hlc,
    /// Another author wrote or deleted something else at most 500 ms earlier and that record is
    /// live. Clocks of a mesh may differ by that much, so which of the two came last is not known.
    /// Also true if the later writer had seen the other value: this type does not record it, the
    /// multi-value register does.
    pub concurrent: bool,
}

/// The value of a last-writer-wins register: that of the greatest stamp; among equal stamps of the
/// greatest author, then of the newest incarnation and sequence number. `None` if that record is a
/// tombstone or expired (older values of others do not rise again), or if there is none.
#[must_use]
pub fn lww<'a>(
    contributions: impl Iterator<Item = Contribution<'a>> + Clone,
    now: WallMs,
) -> Option<Lww<'a>> {
    let registers = contributions.filter_map(|c| match c.body()? {
        Body::Lww(value) => Some((c, value)),
        _ => None,
    });
    let (winner, value) = registers.clone().max_by_key(|(c, _)| c.rank())?;
    if !winner.shows(now) {
        return None;
    }
    let hlc = winner.record.head.hlc;
    let window = EARLY.as_millis() as u64;
    let concurrent = { registers }.any(|(c, other)| {
        let differs = c.record.head.tombstone || other != value;
        let close = hlc.wall().0 - c.record.head.hlc.wall().0 <= window;
        c.author != winner.author && differs && close && !c.record.expired(now)
    });
    Some(Lww { value, author: winner.author, agent: winner.agent(), hlc, concurrent })
}

/// One of the values of a multi-value register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sibling<'a> {
    /// The value.
    pub value: &'a [u8],
    /// The node that signed it.
    pub author: NodeId,
    /// The agent that wrote it.
    pub agent: AgentId,
    /// When.
    pub hlc: Hlc,
}

/// The values of a multi-value register: those that nobody overwrote, newest first (by stamp, then
/// author), at most [`MAX_SIBLINGS`]. More than one means that their writers did not know of each
/// other. Tombstones overwrite and are not shown: a value written without knowing of a delete
/// stays.
#[must_use]
pub fn multi<'a>(
    contributions: impl Iterator<Item = Contribution<'a>> + Clone,
    now: WallMs,
) -> Vec<Sibling<'a>> {
    let registers = contributions.filter_map(|c| match c.body()? {
        Body::Multi { seen, value } => Some((c, c.write(seen), value)),
        _ => None,
    });
    let overwritten = Overwritten::by(registers.clone().map(|(_, write, _)| write));
    let mut shown: Vec<_> = registers
        .filter(|(c, write, _)| c.shows(now) && !overwritten.covers(write))
        .map(|(c, _, value)| (c, value))
        .collect();
    shown.sort_unstable_by_key(|(c, _)| core::cmp::Reverse(c.rank()));
    shown.truncate(MAX_SIBLINGS);
    let sibling = |(c, value): (Contribution<'a>, &'a [u8])| {
        let (author, agent, hlc) = (c.author, c.agent(), c.record.head.hlc);
        Sibling { value, author, agent, hlc }
    };
    shown.into_iter().map(sibling).collect()
}

/// The value of a PN-counter: all increments less all decrements, exactly. 0 without records.
#[must_use]
pub fn counter<'a>(contributions: impl Iterator<Item = Contribution<'a>>, now: WallMs) -> i128 {
    let share = |c: Contribution<'a>| match c.body()? {
        Body::Counter { up, down } if c.shows(now) => Some(i128::from(up) - i128::from(down)),
        _ => None,
    };
    contributions.filter_map(share).sum()
}

/// The members of an add-wins set, in ascending order: those with an add that no later add or
/// remove had seen. An add and a remove that did not know of each other leave the member there.
#[must_use]
pub fn set<'a>(
    contributions: impl Iterator<Item = Contribution<'a>>,
    now: WallMs,
) -> Vec<&'a [u8]> {
    let mut writes: Vec<_> = contributions
        .filter_map(|c| match c.body()? {
            Body::Add { member, seen } => Some((member, c.write(seen), c.shows(now))),
            Body::Remove { member, seen } => Some((member, c.write(seen), false)),
            _ => None,
        })
        .collect();
    writes.sort_unstable_by_key(|&(member, ..)| member);
    let mut members = Vec::new();
    for of_one in writes.chunk_by(|a, b| a.0 == b.0) {
        let overwritten = Overwritten::by(of_one.iter().map(|&(_, write, _)| write));
        if of_one.iter().any(|(_, write, adds)| *adds && !overwritten.covers(write)) {
            members.push(of_one[0].0);
        }
    }
    members
}

/// The greatest candidate; `None` without one.
#[must_use]
pub fn max<'a>(contributions: impl Iterator<Item = Contribution<'a>>, now: WallMs) -> Option<i64> {
    let candidate = |c: Contribution<'a>| match c.body()? {
        Body::Max(value) if c.shows(now) => Some(value),
        _ => None,
    };
    contributions.filter_map(candidate).max()
}

/// The least candidate; `None` without one.
#[must_use]
pub fn min<'a>(contributions: impl Iterator<Item = Contribution<'a>>, now: WallMs) -> Option<i64> {
    let candidate = |c: Contribution<'a>| match c.body()? {
        Body::Min(value) if c.shows(now) => Some(value),
        _ => None,
    };
    contributions.filter_map(candidate).min()
}
