//! Writes of applications, and the record that each becomes. A write reads what this replica holds
//! of its key, is stamped above it, and replaces the own record of that key (in sets: of that key
//! and member).
//!
//! Deleting is for registers. A counter, a maximum or a set has no delete: what other authors add
//! at the same time must not be lost, so undo counters with [`Op::Incr`] and sets with
//! [`Op::Remove`].

use core::fmt;
use core::time::Duration;
use std::borrow::Borrow;

use bytes::Bytes;

use super::hlc::Clock;
use super::seen::{AuthorTag, ENTRY_LEN, Seen, join};
use super::value::{Body, Family, MAX_KEY, Payload};
use super::view::{self, Contribution};
use crate::error::WriteError;
use crate::frame::{Kind, Slot};
use crate::identity::{Limits, NodeId};
use crate::time::{Hlc, WallMs};

/// A key of the shared state: 1-255 bytes, by custom UTF-8 with `/` between its parts. Cheap to
/// clone. Shown with replacement characters where it is not UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Bytes);

impl Key {
    /// The key `bytes`.
    ///
    /// # Errors
    /// [`WriteError::KeyLength`] unless it has 1-255 bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, WriteError> {
        let bytes = bytes.into();
        let len = bytes.len();
        if (1..=MAX_KEY).contains(&len) {
            return Ok(Key(bytes));
        }
        Err(WriteError::KeyLength { len, max: MAX_KEY })
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<&str> for Key {
    type Error = WriteError;
    fn try_from(text: &str) -> Result<Self, WriteError> {
        Key::new(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl TryFrom<String> for Key {
    type Error = WriteError;
    fn try_from(text: String) -> Result<Self, WriteError> {
        Key::new(text)
    }
}

impl TryFrom<&[u8]> for Key {
    type Error = WriteError;
    fn try_from(bytes: &[u8]) -> Result<Self, WriteError> {
        Key::new(Bytes::copy_from_slice(bytes))
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", String::from_utf8_lossy(&self.0))
    }
}

/// A write to the shared state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// Sets a last-writer-wins register.
    Set {
        /// The register.
        key: Key,
        /// Its value from now on.
        value: Bytes,
        /// Readers ignore the value this long after the write: rounded up to 100 ms, at most 13
        /// years. `None`: no end.
        ttl: Option<Duration>,
    },
    /// Empties a register: the last-writer-wins register `key` if it shows a value, else the
    /// multi-value register `key`. Who used one key for both repeats it until nothing is to do.
    Delete {
        /// The register.
        key: Key,
    },
    /// Puts a value into a multi-value register, in place of all that this replica shows.
    Put {
        /// The register.
        key: Key,
        /// Its value from now on.
        value: Bytes,
    },
    /// Adds to a counter. Adding 0 is nothing to do.
    Incr {
        /// The counter.
        key: Key,
        /// May be negative.
        by: i64,
    },
    /// Adds a member to a set. Written even if the member is there: it must outlive a remove that
    /// somebody makes now without knowing of it.
    Add {
        /// The set.
        key: Key,
        /// The member.
        member: Bytes,
    },
    /// Removes a member from a set; nothing to do if this replica does not show it.
    Remove {
        /// The set.
        key: Key,
        /// The member.
        member: Bytes,
    },
    /// Raises a maximum; nothing to do if the own candidate is as great. (Not if another's is: its
    /// author may leave or be convicted.)
    Max {
        /// The maximum.
        key: Key,
        /// The candidate.
        value: i64,
    },
    /// Lowers a minimum; nothing to do if the own candidate is as small.
    Min {
        /// The minimum.
        key: Key,
        /// The candidate.
        value: i64,
    },
}

impl Op {
    /// The key it writes.
    #[must_use]
    pub const fn key(&self) -> &Key {
        match self {
            Op::Set { key, .. }
            | Op::Delete { key }
            | Op::Put { key, .. }
            | Op::Incr { key, .. }
            | Op::Add { key, .. }
            | Op::Remove { key, .. }
            | Op::Max { key, .. }
            | Op::Min { key, .. } => key,
        }
    }
}

/// A record of this node that only lacks its slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// What it means.
    pub kind: Kind,
    /// It deletes the register.
    pub tombstone: bool,
    /// Its content.
    pub payload: Vec<u8>,
    /// Its stamp.
    pub hlc: Hlc,
    /// Time to live in tenths of a second; 0 = no end.
    pub ttl_ds: u32,
    /// The slot of the own record that it replaces; `None`: it needs a free one.
    pub replaces: Option<Slot>,
}

/// Drafts the record of `op`, written by `me` over `contributions`: the live records of the key in
/// any order (those of other keys are passed over). `None`: there is nothing to do. The stamp lies
/// above those of the records that it replaces or overwrites.
///
/// # Errors
/// [`WriteError::TooLarge`] if the payload exceeds the mesh's limit, or more than 64 concurrent
/// writes would have to be named; [`WriteError::Overflow`] if the own share of a counter would
/// leave its 64 bits. Nothing changed but the clock, which may have advanced.
pub fn draft(
    op: &Op,
    me: NodeId,
    contributions: &[Contribution<'_>],
    limits: &Limits,
    clock: &mut Clock,
    wall: WallMs,
) -> Result<Option<Draft>, WriteError> {
    let key = op.key().as_bytes();
    let max = usize::from(limits.max_payload);
    match op {
        Op::Set { value, ttl, .. } => {
            let scene = Scene::new(key, Family::Lww, None, me, contributions);
            let mut draft = scene.draft(Body::Lww(value), max, clock, wall)?;
            draft.ttl_ds = ttl.map_or(0, tenths);
            Ok(Some(draft))
        }
        Op::Delete { .. } => delete(key, me, contributions, max, clock, wall),
        Op::Put { value, .. } => {
            let scene = Scene::new(key, Family::Multi, None, me, contributions);
            let seen = scene.seen(value.len(), max)?;
            let body = Body::Multi { seen: Seen::of(&seen), value };
            scene.draft(body, max, clock, wall).map(Some)
        }
        Op::Incr { by: 0, .. } => Ok(None),
        Op::Incr { by, .. } => {
            let scene = Scene::new(key, Family::Counter, None, me, contributions);
            scene.draft(scene.share(*by)?, max, clock, wall).map(Some)
        }
        Op::Add { member, .. } => {
            let scene = Scene::new(key, Family::Set, Some(member), me, contributions);
            let seen = scene.seen(2 + member.len(), max)?;
            let body = Body::Add { member, seen: Seen::of(&seen) };
            scene.draft(body, max, clock, wall).map(Some)
        }
        Op::Remove { member, .. } => {
            let scene = Scene::new(key, Family::Set, Some(member), me, contributions);
            if view::set(scene.records.iter().copied(), wall).is_empty() {
                return Ok(None);
            }
            let seen = scene.seen(2 + member.len(), max)?;
            let body = Body::Remove { member, seen: Seen::of(&seen) };
            scene.draft(body, max, clock, wall).map(Some)
        }
        Op::Max { value, .. } => {
            let scene = Scene::new(key, Family::Max, None, me, contributions);
            let own = view::max(scene.own().into_iter(), wall);
            if own >= Some(*value) {
                return Ok(None);
            }
            scene.draft(Body::Max(*value), max, clock, wall).map(Some)
        }
        Op::Min { value, .. } => {
            let scene = Scene::new(key, Family::Min, None, me, contributions);
            let own = view::min(scene.own().into_iter(), wall);
            if own.is_some_and(|own| own <= *value) {
                return Ok(None);
            }
            scene.draft(Body::Min(*value), max, clock, wall).map(Some)
        }
    }
}

fn delete(
    key: &[u8],
    me: NodeId,
    contributions: &[Contribution<'_>],
    max: usize,
    clock: &mut Clock,
    wall: WallMs,
) -> Result<Option<Draft>, WriteError> {
    let register = Scene::new(key, Family::Lww, None, me, contributions);
    let siblings = Scene::new(key, Family::Multi, None, me, contributions);
    let mut draft = if view::lww(register.records.iter().copied(), wall).is_some() {
        register.draft(Body::Lww(b""), max, clock, wall)?
    } else if !view::multi(siblings.records.iter().copied(), wall).is_empty() {
        let seen = siblings.seen(0, max)?;
        siblings.draft(Body::Multi { seen: Seen::of(&seen), value: b"" }, max, clock, wall)?
    } else {
        return Ok(None);
    };
    draft.tombstone = true;
    Ok(Some(draft))
}

/// What this replica holds of one key and family, and in sets of one member.
struct Scene<'a> {
    key: &'a [u8],
    me: NodeId,
    records: Vec<Contribution<'a>>,
}

impl<'a> Scene<'a> {
    fn new(
        key: &'a [u8],
        family: Family,
        member: Option<&[u8]>,
        me: NodeId,
        contributions: &[Contribution<'a>],
    ) -> Self {
        let belongs = |c: &&Contribution<'_>| {
            c.payload().is_some_and(|payload| {
                let of_member = match payload.body {
                    Body::Add { member: m, .. } | Body::Remove { member: m, .. } => Some(m),
                    _ => None,
                };
                payload.key == key
                    && Family::of(c.record.head.kind) == Some(family)
                    && of_member == member
            })
        };
        Scene { key, me, records: contributions.iter().filter(belongs).copied().collect() }
    }

    fn own(&self) -> Option<Contribution<'a>> {
        let own = self.records.iter().filter(|c| c.author == self.me);
        own.max_by_key(|c| (c.incarnation, c.seq)).copied()
    }

    /// The own share of a counter after adding `by`.
    fn share(&self, by: i64) -> Result<Body<'static>, WriteError> {
        let (up, down) = match self.own().and_then(|c| c.body()) {
            Some(Body::Counter { up, down }) => (up, down),
            _ => (0, 0),
        };
        let more = |sum: u64| sum.checked_add(by.unsigned_abs()).ok_or(WriteError::Overflow);
        Ok(if by > 0 {
            Body::Counter { up: more(up)?, down }
        } else {
            Body::Counter { up, down: more(down)? }
        })
    }

    /// What a write now has seen, for a payload with `content` more bytes behind the key.
    fn seen(&self, content: usize, max: usize) -> Result<Vec<u8>, WriteError> {
        let fixed = 1 + self.key.len() + content + 1;
        let writes: Vec<_> = self
            .records
            .iter()
            .filter_map(|c| match c.body()? {
                Body::Multi { seen, .. } | Body::Add { seen, .. } | Body::Remove { seen, .. } => {
                    Some(c.write(seen))
                }
                _ => None,
            })
            .collect();
        join(AuthorTag::of(&self.me), &writes, max.saturating_sub(fixed) / ENTRY_LEN)
            .map_err(|needed| WriteError::TooLarge { len: fixed + needed * ENTRY_LEN, max })
    }

    fn draft(
        &self,
        body: Body<'_>,
        max: usize,
        clock: &mut Clock,
        wall: WallMs,
    ) -> Result<Draft, WriteError> {
        // Before anything is encoded: a member longer than its length field has no encoding.
        let len = 1 + self.key.len() + body.len();
        if len > max {
            return Err(WriteError::TooLarge { len, max });
        }
        let payload = Payload { key: self.key, body }.encode();
        let above = self.records.iter().map(|c| c.record.head.hlc).max().unwrap_or_default();
        Ok(Draft {
            kind: body.kind(),
            tombstone: false,
            payload,
            hlc: clock.stamp(wall, above),
            ttl_ds: 0,
            replaces: self.own().map(|c| c.record.head.slot),
        })
    }
}

/// A time to live in tenths of a second, rounded up and never 0, which means "no end".
fn tenths(ttl: Duration) -> u32 {
    u32::try_from(ttl.as_millis().div_ceil(100)).unwrap_or(u32::MAX).max(1)
}
