//! Bodies of the control messages and their encodings.

use super::MAX_REFS;
use crate::codec::{Reader, Writer};
use crate::digest::{Position, Prefix, Root, Summary};
use crate::error::Refused;
use crate::frame::{Class, FrameRef};
use crate::identity::{Incarnation, NodeId, Seq};
use crate::time::WallMs;

/// A node's state in 47 bytes on the wire: compared to decide "equal?".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digest {
    /// Which scope.
    pub class: Class,
    /// This answers a digest, so that two nodes do not answer each other for ever.
    pub reply: bool,
    /// LtHash root over all records.
    pub root: Root,
    /// How many records.
    pub count: u32,
    /// The sender's clock, for mesh time.
    pub wall: WallMs,
}

impl Digest {
    pub(super) fn write(&self, w: &mut Writer) {
        w.u8(self.class as u8).u8(u8::from(self.reply)).bytes(&self.root.0);
        w.u32(self.count).u64(self.wall.0);
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Refused> {
        let class = Class::from_wire(r.u8()?)?;
        let reply = read_bool(r)?;
        let (root, count, wall) = (Root(r.array()?), r.u32()?, WallMs(r.u64()?));
        Ok(Digest { class, reply, root, count, wall })
    }
}

fn read_bool(r: &mut Reader<'_>) -> Result<bool, Refused> {
    match r.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Refused::Malformed),
    }
}

const REF_LEN: usize = 56;

pub(super) fn write_refs(w: &mut Writer, refs: &[FrameRef]) {
    assert!(refs.len() <= MAX_REFS, "the sender splits");
    w.u16(refs.len() as u16);
    for r in refs {
        w.bytes(&r.author.0).u64(r.incarnation.0).u64(r.seq_lo.0).u64(r.tag);
    }
}

pub(super) fn read_refs(r: &mut Reader<'_>) -> Result<Vec<FrameRef>, Refused> {
    let count = r.count(MAX_REFS, REF_LEN)?;
    let one = |_| {
        let (author, incarnation) = (NodeId(r.array()?), Incarnation(r.u64()?));
        Ok(FrameRef { author, incarnation, seq_lo: Seq(r.u64()?), tag: r.u64()? })
    };
    (0..count).map(one).collect()
}

/// One step of a session: what the sender holds in some ranges of the digest tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ranges {
    /// Which scope.
    pub class: Class,
    /// Chosen by the side that started.
    pub session: u32,
    /// 0 for the first message; each answer is one higher.
    pub step: u8,
    /// 0: digests of the maintained tree; else a recount under this salt.
    pub salt: u64,
    /// The ranges, in ascending order and disjoint.
    pub ranges: Vec<Range>,
}

/// What the sender holds in one range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Range {
    /// Which positions.
    pub prefix: Prefix,
    /// What is there.
    pub content: RangeContent,
}

/// A range's content: digests of its sixteenths, or the items themselves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RangeContent {
    /// Digest and count of each sixteenth.
    Branches(Box<[Summary; 16]>),
    /// Every item: position and first 8 bytes of the id; the receiver sends what is not in here
    /// and answers with its own list if `answer`.
    Items {
        /// Whether the receiver shall answer with its own items.
        answer: bool,
        /// In ascending order of position.
        items: Vec<(Position, u64)>,
    },
}

impl Ranges {
    /// Most ranges in one message.
    pub const MAX_RANGES: usize = 256;
    /// Most items in one range: what lies below deeper prefixes is listed in pieces.
    pub const MAX_ITEMS: usize = 1_024;
    /// Most bytes of one message.
    pub const MAX_LEN: usize = 64 * 1024;

    pub(super) fn write(&self, w: &mut Writer) {
        w.u8(self.class as u8).u32(self.session).u8(self.step).u64(self.salt);
        w.u16(self.ranges.len() as u16);
        for range in &self.ranges {
            w.u64(range.prefix.bits()).u8(range.prefix.depth());
            match &range.content {
                RangeContent::Branches(children) => {
                    w.u8(0);
                    for child in children.iter() {
                        w.bytes(&child.sum.to_le_bytes()).u32(child.count);
                    }
                }
                RangeContent::Items { answer, items } => {
                    w.u8(1 + u8::from(*answer)).u16(items.len() as u16);
                    for (at, tag) in items {
                        w.u64(at.0).u64(*tag);
                    }
                }
            }
        }
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Refused> {
        if r.remaining() > Self::MAX_LEN {
            return Err(Refused::Oversize);
        }
        let (class, session, step) = (Class::from_wire(r.u8()?)?, r.u32()?, r.u8()?);
        let salt = r.u64()?;
        let count = r.count(Self::MAX_RANGES, 12)?;
        let mut ranges: Vec<Range> = Vec::with_capacity(count);
        for _ in 0..count {
            let range = read_range(r)?;
            let overlaps = |last: &Range| {
                last.prefix.first() >= range.prefix.first()
                    || last.prefix.contains(range.prefix.first())
            };
            if ranges.last().is_some_and(overlaps) {
                return Err(Refused::Malformed);
            }
            ranges.push(range);
        }
        Ok(Ranges { class, session, step, salt, ranges })
    }
}

fn read_range(r: &mut Reader<'_>) -> Result<Range, Refused> {
    let prefix = Prefix::new(r.u64()?, r.u8()?).ok_or(Refused::Malformed)?;
    let content = match r.u8()? {
        0 => RangeContent::Branches(read_branches(r)?),
        kind @ (1 | 2) => RangeContent::Items { answer: kind == 2, items: read_items(r, prefix)? },
        _ => return Err(Refused::Malformed),
    };
    Ok(Range { prefix, content })
}

fn read_branches(r: &mut Reader<'_>) -> Result<Box<[Summary; 16]>, Refused> {
    let mut children = Box::new([Summary::default(); 16]);
    for child in children.iter_mut() {
        *child = Summary { sum: u128::from_le_bytes(r.array()?), count: r.u32()? };
    }
    Ok(children)
}

fn read_items(r: &mut Reader<'_>, prefix: Prefix) -> Result<Vec<(Position, u64)>, Refused> {
    let count = r.count(Ranges::MAX_ITEMS, 16)?;
    let mut items: Vec<(Position, u64)> = Vec::with_capacity(count);
    for _ in 0..count {
        let item = (Position(r.u64()?), r.u64()?);
        let ascends = items.last().is_none_or(|last| *last < item);
        if !ascends || !prefix.contains(item.0) {
            return Err(Refused::Malformed);
        }
        items.push(item);
    }
    Ok(items)
}
