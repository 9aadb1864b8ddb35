//! Who is who. A node is its ed25519 public key ([`NodeId`]); each start of its process is an
//! [`Incarnation`]; inside one process a peer is a dense [`PeerIx`]. A mesh is the hash of its
//! [`Genesis`], and that hash is part of every signature, so two meshes never mix. What a mesh has
//! to agree on is signed by its [`Committee`].

mod committee;

use core::fmt;
use core::str::FromStr;

pub use committee::{Committee, NotACommittee};

use data_encoding::{BASE32_NOPAD, Specification};
use ed25519_dalek::{Signer as _, SigningKey, Verifier as _, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::codec::Writer;

/// A node: its ed25519 public key (RFC 8032). Text: 52 characters of lower-case base32.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 32]);

/// A text that is no [`NodeId`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a node id has 52 characters of lower-case base32 (a-z, 2-7)")]
pub struct NotANodeId;

impl NodeId {
    /// The key for checks; `None` if the bytes are no point of the curve or of small order, which
    /// anybody could sign for.
    #[must_use]
    pub fn verifying_key(&self) -> Option<VerifyingKey> {
        VerifyingKey::from_bytes(&self.0).ok().filter(|key| !key.is_weak())
    }

    /// Whether this node signed `message`: strict ed25519 (RFC 8032, no small-order keys), the one
    /// rule of the whole mesh.
    #[must_use]
    pub fn has_signed(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.verifying_key().is_some_and(|key| verify_strict(&key, message, signature))
    }

    /// The first eight characters: enough for people to tell nodes apart.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(8);
        text
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_base32(&self.0))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for NodeId {
    type Err = NotANodeId;
    fn from_str(text: &str) -> Result<Self, NotANodeId> {
        decode_base32(text).map(NodeId).ok_or(NotANodeId)
    }
}

fn decode_base32(text: &str) -> Option<[u8; 32]> {
    from_base32(text)?.try_into().ok()
}

/// Lower-case base32 without padding.
pub(crate) fn to_base32(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

/// Reads it; one text for each value.
pub(crate) fn from_base32(text: &str) -> Option<Vec<u8>> {
    let mut spec = Specification::new();
    spec.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    spec.encoding().ok()?.decode(text.as_bytes()).ok()
}

/// The points of small order, as ed25519 encodes them: no honest signature holds one.
const SMALL_ORDER: [[u8; 32]; 8] = {
    const fn point(first: u8, middle: u8, last: u8) -> [u8; 32] {
        let mut bytes = [middle; 32];
        (bytes[0], bytes[31]) = (first, last);
        bytes
    }
    const fn signed(mut point: [u8; 32]) -> [u8; 32] {
        point[31] |= 0x80;
        point
    }
    const ORDER_8: [[u8; 32]; 2] = [
        *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\
           \xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
        *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\
           \x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
    ];
    [
        point(1, 0, 0),
        point(0xec, 0xff, 0x7f),
        point(0, 0, 0),
        signed(point(0, 0, 0)),
        ORDER_8[0],
        signed(ORDER_8[0]),
        ORDER_8[1],
        signed(ORDER_8[1]),
    ]
};

/// Whether `signature` is one of `key`, which is not weak ([`NodeId::verifying_key`]): the verdict
/// of `VerifyingKey::verify_strict` an eighth faster. That function decodes the point R to see
/// whether its order is small; here R, which the plain check compares as bytes with a point in its
/// one encoding, is compared with the eight such points.
fn verify_strict(key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> bool {
    let (r, _) = signature.split_at(32);
    let signature = ed25519_dalek::Signature::from_bytes(signature);
    key.verify(message, &signature).is_ok() && SMALL_ORDER.iter().all(|point| point[..] != *r)
}

/// An agent attached to its node; 0 is the node itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct AgentNo(pub u32);

/// Who acts: the node that signs for it and its number there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AgentId {
    /// The node that signs.
    pub node: NodeId,
    /// The agent at that node.
    pub no: AgentNo,
}

/// One start of a process: never used twice by one key, always higher than the ones before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// The lowest incarnation that a process started at `wall` may take when the highest known
    /// before is `last`: seconds since 1970 shifted by 24 bits, with their fraction in those bits,
    /// and above `last` in any case.
    #[must_use]
    pub fn after(last: Option<Incarnation>, wall: crate::time::WallMs) -> Self {
        let by_clock = u64::try_from((u128::from(wall.0) << 24) / 1_000).unwrap_or(u64::MAX);
        Incarnation(last.map_or(by_clock, |last| by_clock.max(last.0.saturating_add(1))))
    }
}

/// Position of a record in the sequence of its author, scope class and incarnation; from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Seq(pub u64);

/// A peer inside this process: 24 bits of dense index, 8 bits of generation, so that a reused index
/// never answers for another peer. Never on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerIx(u32);

impl PeerIx {
    /// Most peers at a time.
    pub const MAX: usize = 1 << 24;

    /// The peer at `index` in its `generation`.
    ///
    /// # Panics
    /// If `index` has more than 24 bits.
    #[must_use]
    pub const fn new(index: usize, generation: u8) -> Self {
        assert!(index < Self::MAX, "a peer index has 24 bits");
        PeerIx(((generation as u32) << 24) | index as u32)
    }

    /// Position in dense tables.
    #[must_use]
    pub const fn index(self) -> usize {
        (self.0 & 0x00ff_ffff) as usize
    }

    /// How often the index was given to another peer before.
    #[must_use]
    pub const fn generation(self) -> u8 {
        (self.0 >> 24) as u8
    }
}

impl fmt::Debug for PeerIx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}.{}", self.index(), self.generation())
    }
}

/// A mesh: SHA-256 over its [`Genesis`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeshId(pub [u8; 32]);

impl fmt::Display for MeshId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_base32(&self.0))
    }
}

/// A text that is no [`MeshId`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a mesh id has 52 characters of lower-case base32 (a-z, 2-7)")]
pub struct NotAMeshId;

impl FromStr for MeshId {
    type Err = NotAMeshId;
    fn from_str(text: &str) -> Result<Self, NotAMeshId> {
        decode_base32(text).map(MeshId).ok_or(NotAMeshId)
    }
}

impl fmt::Debug for MeshId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mesh-{}", &self.to_string()[..8])
    }
}

/// What all members of a mesh agreed on before the first of them started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Genesis {
    /// Name for people; also keeps meshes with equal limits apart. At most 64 bytes count.
    pub name: String,
    /// The key that admits members; `None` is an open mesh.
    pub admission_key: Option<NodeId>,
    /// Who signs what needs agreement, denials included; `None` leaves them to the admission key.
    pub committee: Option<Committee>,
    /// The limits that decide acceptance everywhere alike.
    pub limits: Limits,
    /// The wire version that the mesh was founded with.
    pub wire_version: u8,
}

/// Limits of a mesh: part of its id, so that no replica drops what another keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Slots of one author, reserved ones included (default 1,024; at most 65,000).
    pub max_slots: u16,
    /// Bytes of one record's payload in an ordinary slot (default 1,024; at most 16,384).
    pub max_payload: u16,
    /// Authors in one scope (default 4,096).
    pub max_authors: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_slots: 1_024, max_payload: 1_024, max_authors: 4_096 }
    }
}

impl Default for Genesis {
    fn default() -> Self {
        Genesis {
            name: "default".into(),
            admission_key: None,
            committee: None,
            limits: Limits::default(),
            wire_version: crate::WIRE_VERSION,
        }
    }
}

impl Genesis {
    /// The id of this mesh.
    #[must_use]
    pub fn mesh_id(&self) -> MeshId {
        let mut w = Writer::with_capacity(160);
        w.bytes(b"knhk-mesh genesis v1\0");
        w.u8(self.wire_version);
        w.u16(self.limits.max_slots).u16(self.limits.max_payload).u32(self.limits.max_authors);
        match &self.admission_key {
            None => w.u8(0),
            Some(key) => w.u8(1).bytes(&key.0),
        };
        w.u64(self.name.len() as u64).bytes(self.name.as_bytes());
        // Behind the rest, and nothing without one: older meshes keep their id.
        if let Some(committee) = &self.committee {
            committee.write(&mut w);
        }
        MeshId(Sha256::digest(w.into_vec()).into())
    }
}

/// Whatever holds the node's private key.
pub trait Signer {
    /// The public half.
    fn node_id(&self) -> NodeId;
    /// An ed25519 signature over `message`.
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// A private key in memory; wiped when dropped, never printed.
pub struct Keypair(SigningKey);

impl Keypair {
    /// The pair of a 32-byte secret. The secret comes from the operating system's randomness in
    /// production and from a seed in the simulator.
    #[must_use]
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Keypair(SigningKey::from_bytes(secret))
    }

    /// The secret, for the key file.
    #[must_use]
    pub fn secret(&self) -> [u8; 32] {
        self.0.to_bytes()
    }
}

impl Signer for Keypair {
    fn node_id(&self) -> NodeId {
        NodeId(self.0.verifying_key().to_bytes())
    }
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl<S: Signer + ?Sized> Signer for std::sync::Arc<S> {
    fn node_id(&self) -> NodeId {
        (**self).node_id()
    }
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        (**self).sign(message)
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keypair({})", self.node_id().short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::WallMs;

    #[test]
    fn a_node_id_survives_its_text_and_nothing_else_parses() {
        let id = Keypair::from_secret(&[7; 32]).node_id();
        let text = id.to_string();
        assert_eq!(text.len(), 52);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.to_uppercase().parse::<NodeId>(), Err(NotANodeId));
        assert_eq!(text[1..].parse::<NodeId>(), Err(NotANodeId));
        assert_eq!("".parse::<NodeId>(), Err(NotANodeId));
    }

    #[test]
    fn weak_keys_are_no_keys() {
        let mut small_order = [0; 32];
        small_order[0] = 1;
        assert!(NodeId(small_order).verifying_key().is_none());
        assert!(Keypair::from_secret(&[7; 32]).node_id().verifying_key().is_some());
    }

    #[test]
    fn eight_points_have_a_small_order() {
        for (i, point) in SMALL_ORDER.iter().enumerate() {
            assert!(VerifyingKey::from_bytes(point).unwrap().is_weak(), "{point:?}");
            assert!(!SMALL_ORDER[..i].contains(point), "they differ");
        }
    }

    #[test]
    fn the_strict_check_is_the_one_of_the_library() {
        use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
        use curve25519_dalek::scalar::Scalar;
        use sha2::Sha512;
        let library = |key: &VerifyingKey, message: &[u8], signature: &[u8; 64]| {
            key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
        };
        let pair = Keypair::from_secret(&[7; 32]);
        let key = pair.node_id().verifying_key().unwrap();
        let good = pair.sign(b"message");
        assert!(verify_strict(&key, b"message", &good));
        for bit in 0..512 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify_strict(&key, b"message", &bad) && !library(&key, b"message", &bad));
        }
        // What only a liar makes: a key with a part of order 8, and signatures that satisfy the
        // equation with R of small order.
        let torsion = CompressedEdwardsY(SMALL_ORDER[4]).decompress().unwrap();
        let mixed = EdwardsPoint::mul_base(&pair.0.to_scalar()) + torsion;
        let key = NodeId(mixed.compress().0).verifying_key().unwrap();
        for r in SMALL_ORDER {
            let forge = |n: u8| {
                let hash = Sha512::new().chain_update(r).chain_update(key.as_bytes());
                let k = Scalar::from_hash(hash.chain_update([n]));
                let mut signature = [0; 64];
                signature[..32].copy_from_slice(&r);
                signature[32..].copy_from_slice((k * pair.0.to_scalar()).as_bytes());
                signature
            };
            let mut plain = 0;
            for n in 0..64 {
                let forged = forge(n);
                let parsed = ed25519_dalek::Signature::from_bytes(&forged);
                plain += u32::from(key.verify(&[n], &parsed).is_ok());
                assert!(!verify_strict(&key, &[n], &forged) && !library(&key, &[n], &forged));
            }
            assert!(plain > 0, "the plain check takes one in eight");
        }
    }

    #[test]
    fn a_start_is_above_the_last_even_if_the_clock_went_back() {
        let now = WallMs(1_000_000_000_000);
        let first = Incarnation::after(None, now);
        let second = Incarnation::after(Some(first), WallMs(5));
        assert!(second > first);
        let a_second_later = Incarnation::after(Some(first), WallMs(now.0 + 1_000));
        assert_eq!(a_second_later.0, first.0 + (1 << 24));
        // A key that lost its state twice within a second must not use one incarnation twice.
        assert!(Incarnation::after(None, WallMs(now.0 + 1)) > first);
    }

    #[test]
    fn every_field_of_the_genesis_makes_another_mesh() {
        let base = Genesis::default();
        let mut ids = vec![base.mesh_id()];
        ids.push(Genesis { name: "other".into(), ..base.clone() }.mesh_id());
        ids.push(Genesis { admission_key: Some(NodeId([1; 32])), ..base.clone() }.mesh_id());
        ids.push(Genesis { wire_version: 9, ..base.clone() }.mesh_id());
        let signers = |from: u8| {
            let signer = |n: u8| Keypair::from_secret(&[n; 32]).node_id();
            Committee::new((from..from + 4).map(signer).collect()).ok()
        };
        ids.push(Genesis { committee: signers(1), ..base.clone() }.mesh_id());
        ids.push(Genesis { committee: signers(2), ..base.clone() }.mesh_id());
        for limits in [
            Limits { max_slots: 9, ..Limits::default() },
            Limits { max_payload: 9, ..Limits::default() },
            Limits { max_authors: 9, ..Limits::default() },
        ] {
            ids.push(Genesis { limits, ..base.clone() }.mesh_id());
        }
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }

    #[test]
    fn a_mesh_without_a_committee_has_the_id_that_it_always_had() {
        let id = Genesis::default().mesh_id().to_string();
        assert_eq!(id, "bumkpal7ybghqggfpy2wqh5maenve3vgciduflfazfvgk4qyafoa");
    }

    #[test]
    fn a_peer_index_keeps_its_parts() {
        let ix = PeerIx::new(1_000_000, 255);
        assert_eq!((ix.index(), ix.generation()), (1_000_000, 255));
    }
}
