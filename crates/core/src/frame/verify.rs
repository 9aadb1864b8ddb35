//! The one signature check: pure, on any thread, and the only maker of [`Verified`].

use core::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::header::SignedHeader;
use super::merkle::{self, Hash};
use super::record::Record;
use super::sealed::{Sealed, Tag};
use crate::error::Refused;
use crate::identity::{MeshId, Seq};

/// A message that is worth a signature check. Made by the gate of the node, which knows what it has
/// already.
#[derive(Clone, Debug)]
pub struct Job {
    sealed: Sealed,
    mesh: MeshId,
    header_known: bool,
}

impl Job {
    /// A check of everything.
    #[must_use]
    pub const fn new(sealed: Sealed, mesh: MeshId) -> Self {
        Job { sealed, mesh, header_known: false }
    }

    /// A check of the records only: the node holds these very header bytes as verified. Inside the
    /// crate, because it is a promise.
    pub(crate) fn with_known_header(mut self, header: &Arc<SignedHeader>) -> Self {
        assert_eq!(**header, *self.sealed.header, "the known header is the same to the byte");
        self.sealed.header = Arc::clone(header);
        self.header_known = true;
        self
    }

    /// The message as it came.
    #[must_use]
    pub fn sealed(&self) -> &Sealed {
        &self.sealed
    }
}

/// One verified record: place, id and bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leaf {
    /// Position in its frame.
    pub index: u16,
    /// Its id: the leaf of the frame's tree.
    pub id: Hash,
    /// The siblings up to the root; empty in a whole frame, where they follow from the ids.
    pub path: Box<[Hash]>,
    bytes: Range<u32>,
}

/// A signed message whose signature and roots hold. No public constructor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    tag: Tag,
    header: Arc<SignedHeader>,
    other: Option<Arc<SignedHeader>>,
    leaves: Vec<Leaf>,
    /// Every node of a whole frame's tree, for the replica that will have to prove its records.
    tree: Option<Arc<[Hash]>>,
    bytes: Bytes,
}

/// Checks signature and root. The same bytes have the same verdict everywhere.
///
/// # Errors
/// [`Refused::Signature`] or [`Refused::Root`]; nothing else can be wrong any more.
pub fn verify(job: Job) -> Result<Verified, Refused> {
    let Job { sealed, mesh, header_known } = job;
    let (leaves, tree) = match sealed.tag {
        Tag::Frame => {
            let (leaves, tree) = frame_leaves(&sealed, &mesh)?;
            (leaves, Some(tree))
        }
        Tag::Proof => (proof_leaves(&sealed, &mesh)?, None),
        Tag::Head | Tag::Conviction => (Vec::new(), None),
    };
    if !header_known {
        sealed.header.check_signature(&mesh)?;
    }
    if let Some(other) = &sealed.other {
        other.check_signature(&mesh)?;
    }
    let Sealed { tag, header, other, bytes, .. } = sealed;
    Ok(Verified { tag, header, other, leaves, tree, bytes })
}

fn leaf_ids(sealed: &Sealed, mesh: &MeshId) -> Vec<Leaf> {
    let context = sealed.header.fields.leaf_context(mesh);
    let seq_lo = sealed.header.fields.seq_lo.0;
    let record = |part: &super::sealed::Part| {
        (Seq(seq_lo + u64::from(part.index)), sealed.slice(&part.bytes))
    };
    let ids = context.leaves(sealed.parts.iter().map(record));
    let leaf = |(part, id): (&super::sealed::Part, Hash)| Leaf {
        index: part.index,
        id,
        path: sealed.path(part).into(),
        bytes: part.bytes.clone(),
    };
    sealed.parts.iter().zip(ids).map(leaf).collect()
}

fn frame_leaves(sealed: &Sealed, mesh: &MeshId) -> Result<(Vec<Leaf>, Arc<[Hash]>), Refused> {
    let leaves = leaf_ids(sealed, mesh);
    let ids: Vec<Hash> = leaves.iter().map(|leaf| leaf.id).collect();
    let tree = merkle::tree(&ids);
    if tree.last() == Some(&sealed.header.fields.root) {
        Ok((leaves, tree.into()))
    } else {
        Err(Refused::Root)
    }
}

fn proof_leaves(sealed: &Sealed, mesh: &MeshId) -> Result<Vec<Leaf>, Refused> {
    let fields = &sealed.header.fields;
    let leaves = leaf_ids(sealed, mesh);
    let holds = |leaf: &Leaf| {
        let (index, count) = (usize::from(leaf.index), usize::from(fields.count));
        merkle::root_over(leaf.id, index, count, &leaf.path) == Some(fields.root)
    };
    if leaves.iter().all(holds) { Ok(leaves) } else { Err(Refused::Root) }
}

impl Verified {
    /// What an author made itself needs no check.
    pub(super) fn own(
        header: SignedHeader,
        leaves: Vec<(Hash, Range<u32>)>,
        tree: Vec<Hash>,
        bytes: Bytes,
    ) -> Self {
        let leaf = |(index, (id, bytes)): (usize, (Hash, Range<u32>))| Leaf {
            index: index as u16,
            id,
            path: Box::default(),
            bytes,
        };
        let leaves = leaves.into_iter().enumerate().map(leaf).collect();
        let (header, tree) = (Arc::new(header), Some(tree.into()));
        Verified { tag: Tag::Frame, header, other: None, leaves, tree, bytes }
    }

    /// What kind of message it is.
    #[must_use]
    pub const fn tag(&self) -> Tag {
        self.tag
    }

    /// The verified header.
    #[must_use]
    pub const fn header(&self) -> &Arc<SignedHeader> {
        &self.header
    }

    /// The second header of a conviction.
    #[must_use]
    pub const fn other(&self) -> Option<&Arc<SignedHeader>> {
        self.other.as_ref()
    }

    /// The verified records, in order of their index.
    #[must_use]
    pub fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    /// Every node of a whole frame's tree ([`merkle::tree`]).
    pub(crate) const fn tree(&self) -> Option<&Arc<[Hash]>> {
        self.tree.as_ref()
    }

    /// The record of a leaf of this message, as bytes.
    #[must_use]
    pub fn record_bytes(&self, leaf: &Leaf) -> &[u8] {
        &self.bytes[leaf.bytes.start as usize..leaf.bytes.end as usize]
    }

    /// The record of a leaf of this message.
    #[must_use]
    pub fn record(&self, leaf: &Leaf) -> Option<Record<'_>> {
        Record::stored(self.record_bytes(leaf))
    }

    /// Sequence number of a leaf.
    #[must_use]
    pub fn seq(&self, leaf: &Leaf) -> Seq {
        Seq(self.header.fields.seq_lo.0 + u64::from(leaf.index))
    }

    /// The message as it came: what is sent on.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}
