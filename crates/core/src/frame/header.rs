//! The signed part of a frame: who, which records, the root over them and what came before.
//! 216 bytes with the signature, then skippable extensions; docs/WIRE.md has the offsets.

use core::time::Duration;

use sha2::{Digest as _, Sha256};

use super::merkle::Hash;
use crate::codec::{Reader, Writer};
use crate::error::Refused;
use crate::hash;
use crate::identity::{Incarnation, MeshId, NodeId, Seq, Signer};
use crate::time::Hlc;

/// What the records of a frame are replicated together with. Signed, so that no relay can move a
/// record to another scope; cells split and merge without signing again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Class {
    /// Up to 2,000 nodes that replicate fully.
    #[default]
    Cell,
    /// The cells of one place.
    Region,
    /// Everyone.
    Global,
}

impl Class {
    pub(crate) fn from_wire(byte: u8) -> Result<Self, Refused> {
        match byte {
            0 => Ok(Class::Cell),
            1 => Ok(Class::Region),
            2 => Ok(Class::Global),
            _ => Err(Refused::Malformed),
        }
    }
}

/// The fields that the author signs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Scope class; sequence and chain run for each on its own.
    pub class: Class,
    /// Who signs.
    pub author: NodeId,
    /// Which start of the author's process.
    pub incarnation: Incarnation,
    /// Sequence number of the first record.
    pub seq_lo: Seq,
    /// Records, 1-256.
    pub count: u16,
    /// Bytes of all records together.
    pub body_len: u32,
    /// The latest stamp among the records.
    pub hlc_max: Hlc,
    /// Everything of this author below it is dead or has been published again.
    pub floor: (Incarnation, Seq),
    /// Root of the frame before; zero at sequence 0.
    pub prev_root: Hash,
    /// RFC 9162 root over the records.
    pub root: Hash,
}

/// Bytes of the fields in front of the signature.
pub const FIELDS_LEN: usize = 152;
/// Bytes of fields and signature.
pub const HEADER_LEN: usize = FIELDS_LEN + 64;
/// Most records of a frame.
pub const MAX_RECORDS: usize = 256;
/// Most bytes of all records together.
pub const MAX_BODY: usize = 256 * 1024;
/// Most bytes of extensions.
pub const MAX_EXTENSIONS: usize = 256;
/// Oldest mesh time lead at which a frame is forgotten.
pub const FUTURE: Duration = Duration::from_secs(5);
/// Lead up to which a frame is merged at once.
pub const EARLY: Duration = Duration::from_millis(500);

const DOMAIN: &[u8] = b"knhk-mesh frame v1\0";
const LEAF_DOMAIN: &[u8] = b"knhk-mesh leaf v1\0";

/// One header extension; types that a node does not know are carried along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extension<'a> {
    /// Its type; extensions stand in strictly ascending order of it.
    pub kind: u16,
    /// Its content.
    pub value: &'a [u8],
}

/// A header with its extensions and its signature. That the signature holds is known only inside a
/// [`super::Verified`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedHeader {
    /// The fields.
    pub fields: Header,
    signature: [u8; 64],
    extensions: Box<[u8]>,
}

impl SignedHeader {
    /// Signs `fields` and `extensions` for `mesh`.
    ///
    /// # Panics
    /// If the signer is not the author, or the extensions are out of order or too long.
    #[must_use]
    pub fn sign(
        fields: Header,
        extensions: &[Extension<'_>],
        mesh: &MeshId,
        signer: &(impl Signer + ?Sized),
    ) -> Self {
        assert_eq!(signer.node_id(), fields.author, "a header is signed by its author");
        let mut w = Writer::default();
        for e in extensions {
            w.u16(e.kind).u16(e.value.len() as u16).bytes(e.value);
        }
        let extensions = w.into_vec().into_boxed_slice();
        assert!(check_extensions(&extensions).is_ok(), "extensions ascend and are short");
        let mut header = SignedHeader { fields, signature: [0; 64], extensions };
        header.signature = signer.sign(&header.signed_bytes(mesh));
        header
    }

    /// Reads a header and its extensions and leaves the cursor behind them. The signature is not
    /// checked here.
    ///
    /// # Errors
    /// [`Refused`] says what is wrong; at most 256 bytes were allocated.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, Refused> {
        if r.u8()? != crate::WIRE_VERSION {
            return Err(Refused::Version);
        }
        let (flags, class, reserved) = (r.u8()?, Class::from_wire(r.u8()?)?, r.u8()?);
        let (count, ext_len, body_len, reserved2) = (r.u16()?, r.u16()?, r.u32()?, r.u32()?);
        if flags != 0 || reserved != 0 || reserved2 != 0 {
            return Err(Refused::Malformed);
        }
        if usize::from(count) > MAX_RECORDS
            || body_len as usize > MAX_BODY
            || usize::from(ext_len) > MAX_EXTENSIONS
        {
            return Err(Refused::Oversize);
        }
        let fields = Header {
            class,
            count,
            body_len,
            author: NodeId(r.array()?),
            incarnation: Incarnation(r.u64()?),
            seq_lo: Seq(r.u64()?),
            hlc_max: Hlc(r.u64()?),
            floor: (Incarnation(r.u64()?), Seq(r.u64()?)),
            prev_root: r.array()?,
            root: r.array()?,
        };
        fields.check()?;
        let signature = r.array()?;
        let extensions = r.take(usize::from(ext_len))?;
        check_extensions(extensions)?;
        Ok(SignedHeader { fields, signature, extensions: extensions.into() })
    }

    /// Appends fields, signature and extensions.
    pub fn write(&self, w: &mut Writer) {
        self.write_fields(w);
        w.bytes(&self.signature).bytes(&self.extensions);
    }

    fn write_fields(&self, w: &mut Writer) {
        let f = &self.fields;
        w.u8(crate::WIRE_VERSION).u8(0).u8(f.class as u8).u8(0);
        w.u16(f.count).u16(self.extensions.len() as u16).u32(f.body_len).u32(0);
        w.bytes(&f.author.0).u64(f.incarnation.0).u64(f.seq_lo.0).u64(f.hlc_max.0);
        w.u64(f.floor.0.0).u64(f.floor.1.0).bytes(&f.prev_root).bytes(&f.root);
    }

    /// Bytes that [`SignedHeader::write`] appends.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        HEADER_LEN + self.extensions.len()
    }

    /// What the signature covers: a domain, the mesh, the fields and the extensions.
    fn signed_bytes(&self, mesh: &MeshId) -> Vec<u8> {
        let mut w = Writer::with_capacity(DOMAIN.len() + 32 + FIELDS_LEN + self.extensions.len());
        w.bytes(DOMAIN).bytes(&mesh.0);
        self.write_fields(&mut w);
        w.bytes(&self.extensions);
        w.into_vec()
    }

    /// Checks the signature ([`NodeId::has_signed`]).
    ///
    /// # Errors
    /// [`Refused::Signature`].
    pub(super) fn check_signature(&self, mesh: &MeshId) -> Result<(), Refused> {
        let holds = self.fields.author.has_signed(&self.signed_bytes(mesh), &self.signature);
        if holds { Ok(()) } else { Err(Refused::Signature) }
    }

    /// The extensions in ascending order of their types.
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'_>> {
        let mut r = Reader::new(&self.extensions);
        core::iter::from_fn(move || read_extension(&mut r).ok())
    }

    /// The id under which the header stands in the digest as its author's HEAD: over the signed
    /// fields and extensions, not over the signature, so that signing twice changes nothing.
    #[must_use]
    pub fn id(&self, mesh: &MeshId) -> Hash {
        Sha256::digest(self.signed_bytes(mesh)).into()
    }

    /// Whether both say the same, whatever their signature bytes.
    #[must_use]
    pub fn same_content(&self, other: &SignedHeader) -> bool {
        self.fields == other.fields && self.extensions == other.extensions
    }

    /// Whether the two prove that their author forked: same mesh (both verified), scope class,
    /// author and incarnation, and either overlapping sequence ranges with different content, or
    /// adjacent ranges that do not chain. Gaps prove nothing.
    #[must_use]
    pub fn equivocates(&self, other: &SignedHeader) -> bool {
        let (a, b) = (&self.fields, &other.fields);
        if (a.class, a.author, a.incarnation) != (b.class, b.author, b.incarnation) {
            return false;
        }
        let overlap = a.seq_lo < b.seq_end() && b.seq_lo < a.seq_end();
        let broken = |first: &Header, then: &Header| {
            first.seq_end() == then.seq_lo && first.root != then.prev_root
        };
        (overlap && !self.same_content(other)) || broken(a, b) || broken(b, a)
    }
}

impl Header {
    /// One above the last sequence number.
    #[must_use]
    pub const fn seq_end(&self) -> Seq {
        Seq(self.seq_lo.0.saturating_add(self.count as u64))
    }

    fn check(&self) -> Result<(), Refused> {
        let first = self.seq_lo.0 == 0;
        let overflows = self.seq_lo.0.checked_add(u64::from(self.count)).is_none();
        if self.count == 0 || overflows || first != (self.prev_root == [0; 32]) {
            return Err(Refused::Malformed);
        }
        // A frame may say that earlier ones are dead, not that it is dead itself.
        if self.floor > (self.incarnation, self.seq_lo) {
            return Err(Refused::Malformed);
        }
        Ok(())
    }

    /// What all leaves of this frame commit to beside sequence number and record.
    #[must_use]
    pub fn leaf_context(&self, mesh: &MeshId) -> LeafContext {
        let mut hash = Sha256::new();
        hash.update(LEAF_DOMAIN);
        hash.update(mesh.0);
        hash.update([self.class as u8]);
        hash.update(self.author.0);
        hash.update(self.incarnation.0.to_le_bytes());
        LeafContext(hash.finalize().into())
    }
}

/// Names one frame: 56 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FrameRef {
    /// Its author.
    pub author: NodeId,
    /// Its author's incarnation.
    pub incarnation: Incarnation,
    /// Its first sequence number.
    pub seq_lo: Seq,
    /// First eight bytes of its root.
    pub tag: u64,
}

impl FrameRef {
    /// The name of the frame with these fields.
    #[must_use]
    pub fn of(fields: &Header) -> Self {
        let mut tag = [0; 8];
        tag.copy_from_slice(&fields.root[..8]);
        FrameRef {
            author: fields.author,
            incarnation: fields.incarnation,
            seq_lo: fields.seq_lo,
            tag: u64::from_le_bytes(tag),
        }
    }
}

/// Mesh, scope class, author and incarnation, hashed once a frame: the key of its leaves.
#[derive(Clone, Copy)]
pub struct LeafContext(Hash);

impl LeafContext {
    /// The leaves of records, each with its sequence number, in their order. A leaf is the id of
    /// its record in whatever frame or proof it travels.
    #[must_use]
    pub fn leaves<'a>(&self, records: impl Iterator<Item = (Seq, &'a [u8])>) -> Vec<Hash> {
        let parts = |(seq, bytes): (Seq, &'a [u8])| {
            let mut head = [0; hash::PREFIX];
            head[..8].copy_from_slice(&seq.0.to_le_bytes());
            head[8..].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
            (head, bytes)
        };
        hash::padded(&self.0, &records.map(parts).collect::<Vec<_>>())
    }
}

fn read_extension<'a>(r: &mut Reader<'a>) -> Result<Extension<'a>, Refused> {
    let (kind, len) = (r.u16()?, r.u16()?);
    Ok(Extension { kind, value: r.take(usize::from(len))? })
}

fn check_extensions(bytes: &[u8]) -> Result<(), Refused> {
    if bytes.len() > MAX_EXTENSIONS {
        return Err(Refused::Oversize);
    }
    let (mut r, mut last) = (Reader::new(bytes), None);
    while r.remaining() > 0 {
        let kind = Some(read_extension(&mut r)?.kind);
        if kind <= last {
            return Err(Refused::Malformed);
        }
        last = kind;
    }
    Ok(())
}
