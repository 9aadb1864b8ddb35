//! One signed fact. On the wire a record is 24 bytes of fields, 24 bytes of trace context if it is
//! sampled, and its payload; docs/WIRE.md has the offsets. A record of a kind that this version
//! does not know is stored and forwarded like any other.

use crate::codec::{Reader, Writer};
use crate::error::Refused;
use crate::identity::{AgentNo, Limits};
use crate::time::Hlc;

/// A place in which an author keeps one record at a time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot(pub u16);

impl Slot {
    /// The member record: who the author is and where it listens.
    pub const MEMBER: Slot = Slot(0);
    /// Members that the author does not reach.
    pub const MISSING: Slot = Slot(1);
    /// First slot of applications; those below are reserved.
    pub const FIRST_FREE: Slot = Slot(16);
    /// Not a slot on the wire: where a replica keeps an author's proof of equivocation.
    pub const CONVICTION: Slot = Slot(0xfffe);
    /// Not a slot on the wire: where a replica keeps an author's newest header.
    pub const HEAD: Slot = Slot(0xffff);
}

/// What a record means. Unknown kinds are stored and forwarded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Kind(pub u8);

impl Kind {
    /// A member of the mesh, in [`Slot::MEMBER`].
    pub const MEMBER: Kind = Kind(1);
    /// Members that the author does not reach, in [`Slot::MISSING`].
    pub const MISSING: Kind = Kind(2);
    /// A last-writer-wins register.
    pub const LWW: Kind = Kind(16);
    /// A multi-value register.
    pub const MULTI: Kind = Kind(17);
    /// One author's share of a PN-counter.
    pub const COUNTER: Kind = Kind(18);
    /// A member added to an add-wins set.
    pub const SET_ADD: Kind = Kind(19);
    /// Members of an add-wins set that the author saw and removed.
    pub const SET_REMOVE: Kind = Kind(20);
    /// One author's candidate for a maximum.
    pub const MAX: Kind = Kind(21);
    /// One author's candidate for a minimum.
    pub const MIN: Kind = Kind(22);
}

/// The fields in front of a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordHead {
    /// Where it is kept.
    pub slot: Slot,
    /// What it means.
    pub kind: Kind,
    /// The slot's content is deleted; the payload still says which key.
    pub tombstone: bool,
    /// May be dropped when its author is gone.
    pub ephemeral: bool,
    /// Which agent of the author acted.
    pub agent: AgentNo,
    /// When, by the author's hybrid clock.
    pub hlc: Hlc,
    /// Readers ignore it this many tenths of a second after `hlc`; 0 = never.
    pub ttl_ds: u32,
    /// Trace id and span id (W3C trace context) of a sampled record.
    pub trace: Option<[u8; 24]>,
}

const TOMBSTONE: u8 = 1;
const EPHEMERAL: u8 = 2;
const TRACE: u8 = 4;

/// Bytes in front of trace context and payload.
pub const RECORD_HEAD_LEN: usize = 24;

impl RecordHead {
    /// An ordinary record of `kind` in `slot`, stamped `hlc`, of the node itself.
    #[must_use]
    pub const fn new(slot: Slot, kind: Kind, hlc: Hlc) -> Self {
        let (tombstone, ephemeral, agent, ttl_ds, trace) = (false, false, AgentNo(0), 0, None);
        RecordHead { slot, kind, tombstone, ephemeral, agent, hlc, ttl_ds, trace }
    }

    /// The record's bytes.
    ///
    /// # Panics
    /// If the payload is longer than a length field can say.
    #[must_use]
    pub fn encode(&self, payload: &[u8]) -> Vec<u8> {
        assert!(payload.len() <= usize::from(u16::MAX), "a payload has a 16-bit length");
        let mut w = Writer::with_capacity(RECORD_HEAD_LEN + 24 + payload.len());
        let flags = u8::from(self.tombstone) * TOMBSTONE
            + u8::from(self.ephemeral) * EPHEMERAL
            + u8::from(self.trace.is_some()) * TRACE;
        w.u16(self.slot.0).u8(self.kind.0).u8(flags).u32(self.agent.0).u64(self.hlc.0);
        w.u32(self.ttl_ds).u16(payload.len() as u16).u16(0);
        if let Some(trace) = &self.trace {
            w.bytes(trace);
        }
        w.bytes(payload);
        w.into_vec()
    }
}

/// A record as it stands in received or stored bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// Its fields.
    pub head: RecordHead,
    /// Its content; the kind says how to read it.
    pub payload: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads one record and leaves the cursor behind it.
    ///
    /// # Errors
    /// [`Refused`] says what is wrong with the bytes; nothing was allocated.
    pub fn read(r: &mut Reader<'a>, limits: &Limits) -> Result<Self, Refused> {
        let (slot, kind, flags) = (Slot(r.u16()?), Kind(r.u8()?), r.u8()?);
        let (agent, hlc, ttl_ds) = (AgentNo(r.u32()?), Hlc(r.u64()?), r.u32()?);
        let (len, reserved) = (usize::from(r.u16()?), r.u16()?);
        if flags & !(TOMBSTONE | EPHEMERAL | TRACE) != 0 || reserved != 0 {
            return Err(Refused::Malformed);
        }
        if slot.0 >= limits.max_slots {
            return Err(Refused::SlotLimit);
        }
        if len > max_payload(slot, limits) {
            return Err(Refused::Oversize);
        }
        let trace = if flags & TRACE == 0 { None } else { Some(r.array()?) };
        let (tombstone, ephemeral) = (flags & TOMBSTONE != 0, flags & EPHEMERAL != 0);
        let head = RecordHead { slot, kind, tombstone, ephemeral, agent, hlc, ttl_ds, trace };
        Ok(Record { head, payload: r.take(len)? })
    }

    /// Reads bytes that passed [`Record::read`] before: those of the own store.
    #[must_use]
    pub fn stored(bytes: &'a [u8]) -> Option<Self> {
        let any = Limits { max_slots: u16::MAX, max_payload: u16::MAX, max_authors: u32::MAX };
        Record::read(&mut Reader::new(bytes), &any).ok()
    }

    /// Whether readers ignore it at `now` because its time to live is over.
    #[must_use]
    pub fn expired(&self, now: crate::time::WallMs) -> bool {
        let ttl_ms = u64::from(self.head.ttl_ds) * 100;
        ttl_ms > 0 && self.head.hlc.wall().0.saturating_add(ttl_ms) <= now.0
    }
}

/// Most payload bytes in `slot`: reserved slots hold certificates and the like.
#[must_use]
pub fn max_payload(slot: Slot, limits: &Limits) -> usize {
    if slot < Slot::FIRST_FREE { 16_384 } else { usize::from(limits.max_payload) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::WallMs;
    use proptest::prelude::*;

    prop_compose! {
        fn any_head()(
            slot in 0u16..1_024, kind: u8, tombstone: bool, ephemeral: bool, agent: u32, hlc: u64,
            ttl_ds: u32, trace in proptest::option::of(proptest::array::uniform24(any::<u8>())),
        ) -> RecordHead {
            RecordHead {
                slot: Slot(slot), kind: Kind(kind), tombstone, ephemeral, agent: AgentNo(agent),
                hlc: Hlc(hlc), ttl_ds, trace,
            }
        }
    }

    proptest! {
        #[test]
        fn a_record_survives_its_encoding(
            head in any_head(),
            payload in proptest::collection::vec(any::<u8>(), 0..1_024),
        ) {
            let bytes = head.encode(&payload);
            let mut r = Reader::new(&bytes);
            let record = Record::read(&mut r, &Limits::default()).unwrap();
            prop_assert_eq!(record, Record { head, payload: &payload });
            prop_assert_eq!(r.end(), Ok(()));
        }

        #[test]
        fn bytes_that_read_are_the_only_encoding(
            bytes in proptest::collection::vec(any::<u8>(), 24..80),
        ) {
            let mut bytes = bytes;
            bytes[3] &= 15;
            bytes[20] %= 40;
            bytes[21] = 0;
            bytes[22] &= 1;
            bytes[23] = 0;
            let mut r = Reader::new(&bytes);
            if let Ok(record) = Record::read(&mut r, &Limits::default()) {
                let used = bytes.len() - r.remaining();
                prop_assert_eq!(record.head.encode(record.payload), &bytes[..used]);
            }
        }
    }

    #[test]
    fn limits_hold_per_slot() {
        let limits = Limits { max_slots: 20, max_payload: 10, ..Limits::default() };
        let read = |slot, len| {
            let bytes = RecordHead::new(Slot(slot), Kind::LWW, Hlc(0)).encode(&vec![0; len]);
            Record::read(&mut Reader::new(&bytes), &limits).map(|r| r.payload.len())
        };
        assert_eq!(read(19, 10), Ok(10));
        assert_eq!(read(20, 10), Err(Refused::SlotLimit));
        assert_eq!(read(16, 11), Err(Refused::Oversize));
        assert_eq!(read(15, 16_384), Ok(16_384));
        assert_eq!(read(15, 16_385), Err(Refused::Oversize));
    }

    #[test]
    fn time_to_live_is_a_rule_of_reading() {
        let mut head = RecordHead::new(Slot(16), Kind::LWW, Hlc::at(WallMs(1_000)));
        let forever = Record { head, payload: b"" };
        assert!(!forever.expired(WallMs(u64::MAX)));
        head.ttl_ds = 5;
        let brief = Record { head, payload: b"" };
        assert!(!brief.expired(WallMs(1_499)));
        assert!(brief.expired(WallMs(1_500)));
    }
}
