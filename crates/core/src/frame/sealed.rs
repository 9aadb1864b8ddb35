//! Signed messages as they arrive: every length and range checked, nothing believed.

use core::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::header::SignedHeader;
use super::merkle::{self, Hash};
use super::record::Record;
use crate::codec::Reader;
use crate::error::Refused;
use crate::identity::{Limits, Seq};
use crate::time::Hlc;

/// First byte of a signed message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tag {
    /// Header and all its records.
    Frame = 1,
    /// Header and some of its records, each with its path to the root.
    Proof = 2,
    /// Header alone.
    Head = 3,
    /// Two headers that prove a fork.
    Conviction = 4,
}

impl Tag {
    /// The tag of a message, if it is a signed one.
    #[must_use]
    pub const fn of(bytes: &[u8]) -> Option<Tag> {
        match bytes.first() {
            Some(1) => Some(Tag::Frame),
            Some(2) => Some(Tag::Proof),
            Some(3) => Some(Tag::Head),
            Some(4) => Some(Tag::Conviction),
            _ => None,
        }
    }
}

/// A record inside a message: its place in the frame and in the message's bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Part {
    pub(super) index: u16,
    pub(super) bytes: Range<u32>,
    /// Where its path stands; empty in a whole frame.
    pub(super) path: Range<u32>,
}

/// A parsed signed message, not verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sealed {
    pub(super) tag: Tag,
    pub(super) header: Arc<SignedHeader>,
    /// The second header of a conviction.
    pub(super) other: Option<Arc<SignedHeader>>,
    pub(super) parts: Vec<Part>,
    pub(super) bytes: Bytes,
}

impl Sealed {
    /// Reads a whole signed message. Allocates at most 14 KiB beside the header, whatever the bytes
    /// say, and keeps `bytes` by reference.
    ///
    /// # Errors
    /// [`Refused`] says what is wrong with the bytes.
    pub fn read(bytes: &Bytes, limits: &Limits) -> Result<Self, Refused> {
        let tag = Tag::of(bytes).ok_or(Refused::Malformed)?;
        let mut r = Reader::new(bytes);
        r.u8()?;
        let header = Arc::new(SignedHeader::read(&mut r)?);
        let mut sealed =
            Sealed { tag, header, other: None, parts: Vec::new(), bytes: bytes.clone() };
        match tag {
            Tag::Frame => sealed.read_body(&mut r, limits)?,
            Tag::Proof => sealed.read_proofs(&mut r, limits)?,
            Tag::Head => {}
            Tag::Conviction => sealed.read_second_header(&mut r)?,
        }
        r.end()?;
        Ok(sealed)
    }

    fn read_body(&mut self, r: &mut Reader<'_>, limits: &Limits) -> Result<(), Refused> {
        let fields = &self.header.fields;
        if r.remaining() != fields.body_len as usize {
            return Err(Refused::Truncated);
        }
        self.parts.reserve_exact(usize::from(fields.count));
        let mut latest = Hlc::default();
        for index in 0..fields.count {
            let start = self.bytes.len() - r.remaining();
            latest = latest.max(Record::read(r, limits)?.head.hlc);
            let end = self.bytes.len() - r.remaining();
            self.parts.push(Part { index, bytes: start as u32..end as u32, path: 0..0 });
        }
        if latest == fields.hlc_max { Ok(()) } else { Err(Refused::Malformed) }
    }

    fn read_proofs(&mut self, r: &mut Reader<'_>, limits: &Limits) -> Result<(), Refused> {
        let count = usize::from(self.header.fields.count);
        let proven = r.count(count, 26)?;
        if proven == 0 {
            return Err(Refused::Malformed);
        }
        self.parts.reserve_exact(proven);
        for _ in 0..proven {
            let index = r.u16()?;
            let ascends = self.parts.last().is_none_or(|last| last.index < index);
            if !ascends || usize::from(index) >= count {
                return Err(Refused::Malformed);
            }
            let path = self.bytes.len() - r.remaining();
            r.take(32 * merkle::siblings(usize::from(index), count))?;
            let start = self.bytes.len() - r.remaining();
            if Record::read(r, limits)?.head.hlc > self.header.fields.hlc_max {
                return Err(Refused::Malformed);
            }
            let end = self.bytes.len() - r.remaining();
            let (bytes, path) = (start as u32..end as u32, path as u32..start as u32);
            self.parts.push(Part { index, bytes, path });
        }
        Ok(())
    }

    fn read_second_header(&mut self, r: &mut Reader<'_>) -> Result<(), Refused> {
        let other = SignedHeader::read(r)?;
        if !self.header.equivocates(&other) {
            return Err(Refused::Malformed);
        }
        self.other = Some(Arc::new(other));
        Ok(())
    }

    /// What kind of message it is.
    #[must_use]
    pub const fn tag(&self) -> Tag {
        self.tag
    }

    /// The header, not verified.
    #[must_use]
    pub fn header(&self) -> &Arc<SignedHeader> {
        &self.header
    }

    /// The records with their sequence numbers, not verified.
    pub fn records(&self) -> impl Iterator<Item = (Seq, Record<'_>)> {
        let seq_lo = self.header.fields.seq_lo.0;
        self.parts.iter().filter_map(move |part| {
            let record = Record::stored(self.slice(&part.bytes))?;
            Some((Seq(seq_lo + u64::from(part.index)), record))
        })
    }

    pub(super) fn slice(&self, range: &Range<u32>) -> &[u8] {
        &self.bytes[range.start as usize..range.end as usize]
    }

    pub(super) fn path(&self, part: &Part) -> Vec<Hash> {
        let bytes = self.slice(&part.path);
        bytes.as_chunks::<32>().0.to_vec()
    }
}
