//! The author's side: records become a signed frame, and what a replica holds becomes a proof.

use bytes::Bytes;

use super::header::{Class, Extension, Header, MAX_BODY, MAX_RECORDS, SignedHeader};
use super::merkle::{self, Hash};
use super::record::Record;
use super::sealed::Tag;
use super::verify::Verified;
use crate::codec::Writer;
use crate::identity::{Incarnation, MeshId, Seq, Signer};
use crate::time::Hlc;

/// Where an author stands in one scope class and incarnation: each frame continues it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    /// The scope class.
    pub class: Class,
    /// The start of the process.
    pub incarnation: Incarnation,
    /// Sequence number of the next record.
    pub next: Seq,
    /// Root of the last frame; zero before the first.
    pub last_root: Hash,
    /// Everything of this author below it is dead or has been published again.
    pub floor: (Incarnation, Seq),
}

impl Chain {
    /// The start of a new incarnation.
    #[must_use]
    pub const fn start(class: Class, incarnation: Incarnation, floor: (Incarnation, Seq)) -> Self {
        Chain { class, incarnation, next: Seq(0), last_root: [0; 32], floor }
    }
}

/// Signs `records` (encoded, in order) as the next frame of `chain`.
///
/// # Panics
/// If there are no records, more than 256, or more bytes than a body holds: the caller batches.
#[must_use]
pub fn seal(
    chain: &mut Chain,
    records: &[Vec<u8>],
    extensions: &[Extension<'_>],
    mesh: &MeshId,
    signer: &(impl Signer + ?Sized),
) -> Verified {
    assert!(!records.is_empty() && records.len() <= MAX_RECORDS, "a frame has 1-256 records");
    let body_len: usize = records.iter().map(Vec::len).sum();
    assert!(body_len <= MAX_BODY, "a body has at most {MAX_BODY} bytes");
    let hlc_max = records.iter().filter_map(|r| Record::stored(r)).map(|r| r.head.hlc).max();
    let mut fields = Header {
        class: chain.class,
        author: signer.node_id(),
        incarnation: chain.incarnation,
        seq_lo: chain.next,
        count: records.len() as u16,
        body_len: body_len as u32,
        hlc_max: hlc_max.unwrap_or(Hlc(0)),
        floor: chain.floor,
        prev_root: chain.last_root,
        root: [0; 32],
    };
    let context = fields.leaf_context(mesh);
    let seqs = (chain.next.0..).map(Seq);
    let ids = context.leaves(seqs.zip(records.iter().map(Vec::as_slice)));
    let tree = merkle::tree(&ids);
    fields.root = tree[tree.len() - 1];
    chain.last_root = fields.root;
    chain.next = fields.seq_end();

    let header = SignedHeader::sign(fields, extensions, mesh, signer);
    let mut w = Writer::with_capacity(1 + header.wire_len() + body_len);
    w.u8(Tag::Frame as u8);
    header.write(&mut w);
    let mut leaves = Vec::with_capacity(records.len());
    for (id, record) in ids.into_iter().zip(records) {
        let start = w.len() as u32;
        w.bytes(record);
        leaves.push((id, start..w.len() as u32));
    }
    Verified::own(header, leaves, tree, Bytes::from(w.into_vec()))
}

/// A proof message: `header` and records, each with index, path and bytes, in ascending order of
/// their indexes.
///
/// # Panics
/// If there are no records.
#[must_use]
pub fn write_proof<'a>(header: &SignedHeader, records: &[(u16, &'a [Hash], &'a [u8])]) -> Bytes {
    assert!(!records.is_empty(), "a proof proves something");
    let room: usize =
        records.iter().map(|(_, path, bytes)| 2 + 32 * path.len() + bytes.len()).sum();
    let mut w = Writer::with_capacity(3 + header.wire_len() + room);
    w.u8(Tag::Proof as u8);
    header.write(&mut w);
    w.u16(records.len() as u16);
    for (index, path, bytes) in records {
        w.u16(*index).bytes(path.as_flattened()).bytes(bytes);
    }
    Bytes::from(w.into_vec())
}

/// A message of one header ([`Tag::Head`]), or of two that prove a fork ([`Tag::Conviction`]).
#[must_use]
pub fn write_head(header: &SignedHeader, other: Option<&SignedHeader>) -> Bytes {
    let mut w = Writer::with_capacity(1 + 2 * header.wire_len());
    w.u8(if other.is_some() { Tag::Conviction as u8 } else { Tag::Head as u8 });
    header.write(&mut w);
    if let Some(other) = other {
        other.write(&mut w);
    }
    Bytes::from(w.into_vec())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
