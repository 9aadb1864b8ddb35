//! What stands in the payloads of application records. Each value has exactly one encoding; reading
//! allocates nothing. A record whose payload does not read is stored and forwarded like any other
//! and appears in no view.
//!
//! ```text
//!  all         u8 key length (1-255), key, then by kind:
//!  LWW         value (the rest)
//!  MULTI       seen, value (the rest)
//!  COUNTER     u64 sum of increments, u64 sum of decrements
//!  SET_ADD     u16 member length, member, seen
//!  SET_REMOVE  u16 member length, member, seen
//!  MAX, MIN    i64
//!
//!  seen        u8 count (at most 64), then by ascending tag: [u8; 8] author tag, u64 stamp
//! ```
//!
//! Integers are little-endian. A tombstone of LWW or MULTI is the same payload with an empty value;
//! the other kinds have none.

use super::seen::Seen;
use crate::codec::{Reader, Writer};
use crate::error::Refused;
use crate::frame::Kind;

/// Most bytes of a key.
pub const MAX_KEY: usize = 255;

/// The type of a key's value. One key may hold a value of each family; they do not meet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Family {
    /// Last-writer-wins register.
    Lww,
    /// Multi-value register.
    Multi,
    /// PN-counter.
    Counter,
    /// Add-wins set.
    Set,
    /// Greatest of the authors' candidates.
    Max,
    /// Least of the authors' candidates.
    Min,
}

impl Family {
    /// Every family.
    pub const ALL: [Family; 6] =
        [Family::Lww, Family::Multi, Family::Counter, Family::Set, Family::Max, Family::Min];

    /// The family of `kind`; `None` if it is no application kind that this version knows.
    #[must_use]
    pub const fn of(kind: Kind) -> Option<Family> {
        match kind {
            Kind::LWW => Some(Family::Lww),
            Kind::MULTI => Some(Family::Multi),
            Kind::COUNTER => Some(Family::Counter),
            Kind::SET_ADD | Kind::SET_REMOVE => Some(Family::Set),
            Kind::MAX => Some(Family::Max),
            Kind::MIN => Some(Family::Min),
            _ => None,
        }
    }
}

/// A payload as it stands in a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Payload<'a> {
    /// 1-255 bytes.
    pub key: &'a [u8],
    /// The rest.
    pub body: Body<'a>,
}

/// The part of a payload behind the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body<'a> {
    /// A value that replaces all before it.
    Lww(&'a [u8]),
    /// A value that replaces those that its writer had seen.
    Multi {
        /// What the writer had seen.
        seen: Seen<'a>,
        /// The value.
        value: &'a [u8],
    },
    /// The author's share of a counter.
    Counter {
        /// Sum of its increments.
        up: u64,
        /// Sum of its decrements.
        down: u64,
    },
    /// A member added.
    Add {
        /// The member.
        member: &'a [u8],
        /// What the writer had seen of this member.
        seen: Seen<'a>,
    },
    /// A member removed.
    Remove {
        /// The member.
        member: &'a [u8],
        /// What the writer had seen of this member.
        seen: Seen<'a>,
    },
    /// The author's candidate for the maximum.
    Max(i64),
    /// The author's candidate for the minimum.
    Min(i64),
}

impl Body<'_> {
    /// The kind of record that carries it.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Body::Lww(_) => Kind::LWW,
            Body::Multi { .. } => Kind::MULTI,
            Body::Counter { .. } => Kind::COUNTER,
            Body::Add { .. } => Kind::SET_ADD,
            Body::Remove { .. } => Kind::SET_REMOVE,
            Body::Max(_) => Kind::MAX,
            Body::Min(_) => Kind::MIN,
        }
    }

    /// Bytes of its encoding.
    pub(super) const fn len(&self) -> usize {
        match self {
            Body::Lww(value) => value.len(),
            Body::Multi { seen, value } => seen.wire_len() + value.len(),
            Body::Counter { .. } => 16,
            Body::Add { member, seen } | Body::Remove { member, seen } => {
                2 + member.len() + seen.wire_len()
            }
            Body::Max(_) | Body::Min(_) => 8,
        }
    }
}

impl<'a> Payload<'a> {
    /// Reads a whole payload of `kind`.
    ///
    /// # Errors
    /// [`Refused`] says what is wrong; [`Refused::Malformed`] also for a kind without a family.
    pub fn decode(kind: Kind, payload: &'a [u8]) -> Result<Self, Refused> {
        let mut r = Reader::new(payload);
        let key_len = usize::from(r.u8()?);
        if key_len == 0 {
            return Err(Refused::Malformed);
        }
        let key = r.take(key_len)?;
        let body = match kind {
            Kind::LWW => Body::Lww(r.rest()),
            Kind::MULTI => Body::Multi { seen: Seen::read(&mut r)?, value: r.rest() },
            Kind::COUNTER => Body::Counter { up: r.u64()?, down: r.u64()? },
            Kind::SET_ADD => Body::Add { member: read_member(&mut r)?, seen: Seen::read(&mut r)? },
            Kind::SET_REMOVE => {
                Body::Remove { member: read_member(&mut r)?, seen: Seen::read(&mut r)? }
            }
            Kind::MAX => Body::Max(r.i64()?),
            Kind::MIN => Body::Min(r.i64()?),
            _ => return Err(Refused::Malformed),
        };
        r.end()?;
        Ok(Payload { key, body })
    }

    /// Its one encoding.
    ///
    /// # Panics
    /// If the key has not 1-255 bytes, or a member more than 65,535.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        assert!((1..=MAX_KEY).contains(&self.key.len()), "a key has 1 to 255 bytes");
        let mut w = Writer::with_capacity(1 + self.key.len() + self.body.len());
        w.u8(self.key.len() as u8).bytes(self.key);
        match self.body {
            Body::Lww(value) => {
                w.bytes(value);
            }
            Body::Multi { seen, value } => {
                seen.write(&mut w);
                w.bytes(value);
            }
            Body::Counter { up, down } => {
                w.u64(up).u64(down);
            }
            Body::Add { member, seen } | Body::Remove { member, seen } => {
                assert!(member.len() <= usize::from(u16::MAX), "a member has a 16-bit length");
                w.u16(member.len() as u16).bytes(member);
                seen.write(&mut w);
            }
            Body::Max(value) | Body::Min(value) => {
                w.i64(value);
            }
        }
        w.into_vec()
    }
}

fn read_member<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Refused> {
    let len = usize::from(r.u16()?);
    r.take(len)
}

/// Where a record belongs in an index of keys. `None` for kinds of no family and for payloads that
/// do not read: such records appear in no view. Allocates nothing.
#[must_use]
pub fn key_of(kind: Kind, payload: &[u8]) -> Option<(Family, &[u8])> {
    let family = Family::of(kind)?;
    Payload::decode(kind, payload).ok().map(|payload| (family, payload.key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_payload_survives_its_encoding(
            key in vec(any::<u8>(), 1..=MAX_KEY),
            text in vec(any::<u8>(), 0..300),
            seen in btree_map(any::<[u8; 8]>(), any::<u64>(), 0..=64),
            up: u64,
            down: u64,
            extreme: i64,
        ) {
            let mut w = Writer::default();
            seen.iter().for_each(|(tag, hlc)| { w.bytes(tag).u64(*hlc); });
            let entries = w.into_vec();
            let seen = Seen::of(&entries);
            let bodies = [
                Body::Lww(&text), Body::Multi { seen, value: &text }, Body::Counter { up, down },
                Body::Add { member: &text, seen }, Body::Remove { member: &text, seen },
                Body::Max(extreme), Body::Min(extreme),
            ];
            for body in bodies {
                let payload = Payload { key: &key, body };
                let bytes = payload.encode();
                prop_assert_eq!(Payload::decode(body.kind(), &bytes), Ok(payload));
                let family = Family::of(body.kind()).unwrap();
                prop_assert_eq!(key_of(body.kind(), &bytes), Some((family, &key[..])));
            }
        }

        #[test]
        fn bytes_that_read_are_the_only_encoding(
            kind in 14u8..25,
            key_len in 0u8..4,
            bytes in vec(prop_oneof![Just(0u8), Just(1u8), any::<u8>()], 0..60),
        ) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = key_len;
            }
            if let Ok(payload) = Payload::decode(Kind(kind), &bytes) {
                prop_assert_eq!(payload.body.kind(), Kind(kind));
                prop_assert_eq!(payload.encode(), bytes);
            }
        }

        #[test]
        fn a_shorter_or_longer_payload_of_fixed_length_is_refused(cut in 0usize..20) {
            let whole = Payload { key: b"k", body: Body::Counter { up: 1, down: 2 } }.encode();
            let mut other = whole.clone();
            other.resize(cut, 0);
            prop_assert_eq!(Payload::decode(Kind::COUNTER, &other).is_ok(), cut == whole.len());
        }
    }

    #[test]
    fn every_kind_of_value_is_of_a_family_that_is_listed() {
        let families: Vec<Family> = (0..=255).filter_map(|kind| Family::of(Kind(kind))).collect();
        assert!(families.iter().all(|family| Family::ALL.contains(family)));
        assert!(Family::ALL.iter().all(|family| families.contains(family)));
    }

    #[test]
    fn records_of_no_family_have_no_key() {
        assert_eq!(key_of(Kind(200), b"\x01k"), None);
        assert_eq!(key_of(Kind::MEMBER, b"\x01k"), None);
        assert_eq!(key_of(Kind::LWW, b""), None);
        assert_eq!(key_of(Kind::LWW, b"\0value"), None);
        assert_eq!(key_of(Kind::LWW, b"\x05key"), None);
        assert_eq!(key_of(Kind::LWW, b"\x03key"), Some((Family::Lww, &b"key"[..])));
    }
}
