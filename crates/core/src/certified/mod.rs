//! What a quorum of the appointed committee signed: facts with a version, of which the highest
//! stands. Two different values of one version cannot both be certified unless more members lie
//! than the mesh was founded to bear, and then the two certificates name them. No node runs a
//! protocol for it: people or programs with a member's key vote, and certificates prove themselves.
//!
//! ```text
//!   fact ─┬─ member 1 signs ─► vote ─┐
//!         ├─ member 2 signs ─► vote ─┼─ 2f+1 ─► certificate ─check─► Certified ─► Facts
//!         └─ member 4 signs ─► vote ─┘                                            the highest
//!   one value of a version at most: Ballots        two that differ ─► Conflict: f+1 proven liars
//! ```

mod ballots;
mod certificate;
mod conflict;
mod facts;

pub use ballots::{Ballots, SignedOther};
pub use certificate::{Certificate, Certified, Vote};
pub use conflict::{Conflict, ConflictProof};
pub use facts::{Facts, Taken};

use sha2::{Digest as _, Sha256};

use crate::codec::{Reader, Writer};
use crate::error::Refused;
use crate::identity::{Committee, Incarnation, MeshId, NodeId};

const DOMAIN: &[u8] = b"knhk-mesh fact v1\0";
/// What the key of a void node begins with; the node id follows.
const VOID: &str = "void/";

/// Why something is not certified. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotCertified {
    /// The bytes or the text are no vote or certificate.
    #[error("this is no vote or certificate: it was cut or altered")]
    Malformed,
    /// The key is none.
    #[error("a key has 1 to {max} printable ASCII characters and no blank", max = Fact::MAX_KEY)]
    Key,
    /// The value is too long.
    #[error("a value has at most {max} bytes", max = Fact::MAX_VALUE)]
    Value,
    /// It looks like a void node and is none.
    #[error("behind `void/` stands a whole node id, and the value is empty")]
    Void,
    /// The signer was not appointed.
    #[error("{0} is not in the committee of this mesh")]
    Outsider(NodeId),
    /// One member counts once.
    #[error("two votes of {0}")]
    Twice(NodeId),
    /// Votes for different facts make no certificate.
    #[error("the votes are for different facts")]
    Different,
    /// A signature is not that of its member, over this fact, in this mesh.
    #[error("a signature does not hold for this fact and the committee of this mesh")]
    Signature,
    /// Another number than the quorum.
    #[error("{have} signatures, and it takes {need}")]
    Count {
        /// Those that are there.
        have: usize,
        /// 2f + 1.
        need: usize,
    },
    /// Both certificates may be true at once.
    #[error("the two certificates do not contradict each other")]
    NoConflict,
}

impl From<Refused> for NotCertified {
    fn from(_: Refused) -> Self {
        NotCertified::Malformed
    }
}

/// A statement that members may vote for. By itself it is nobody's word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fact {
    key: String,
    version: u64,
    value: Vec<u8>,
}

impl Fact {
    /// Longest key in bytes.
    pub const MAX_KEY: usize = 96;
    /// Longest value in bytes.
    pub const MAX_VALUE: usize = 1_024;
    /// Longest encoding in bytes.
    pub const MAX_LEN: usize = 8 + 1 + Self::MAX_KEY + 2 + Self::MAX_VALUE;

    /// That `key` has this value from this version on. A key that begins with `void/` names a node
    /// and has no value: [`Fact::void`].
    ///
    /// # Errors
    /// [`NotCertified`] says which bound does not hold.
    pub fn new(key: &str, version: u64, value: Vec<u8>) -> Result<Self, NotCertified> {
        let length = (1..=Self::MAX_KEY).contains(&key.len());
        if !length || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NotCertified::Key);
        }
        if value.len() > Self::MAX_VALUE {
            return Err(NotCertified::Value);
        }
        let fact = Fact { key: key.into(), version, value };
        if key.starts_with(VOID) && (fact.voids().is_none() || !fact.value.is_empty()) {
            return Err(NotCertified::Void);
        }
        Ok(fact)
    }

    /// That everything of `node` up to an incarnation is void:
    /// `u64::MAX`, above all of them, denies it. The incarnation is the version, so the word that
    /// reaches furthest stands.
    #[must_use]
    pub fn void(node: &NodeId, up_to: Incarnation) -> Self {
        Fact { key: void_key(node), version: up_to.0, value: Vec::new() }
    }

    /// What it is about: `config/gossip.fanout`.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The higher one stands.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What is so.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// SHA-256 of the value.
    #[must_use]
    pub fn value_hash(&self) -> [u8; 32] {
        Sha256::digest(&self.value).into()
    }

    /// The node that it makes void, and up to which incarnation.
    #[must_use]
    pub fn voids(&self) -> Option<(NodeId, Incarnation)> {
        let node = self.key.strip_prefix(VOID)?.parse().ok()?;
        Some((node, Incarnation(self.version)))
    }

    /// What a member signs: the value goes in by its hash, so that a key could be checked against
    /// what was signed before without the values.
    fn statement(&self, committee: &Committee, mesh: &MeshId) -> Vec<u8> {
        let mut w = Writer::with_capacity(256);
        w.bytes(DOMAIN).bytes(&mesh.0).bytes(&committee.hash()).u64(self.version);
        w.u8(self.key.len() as u8).bytes(self.key.as_bytes()).bytes(&self.value_hash());
        w.into_vec()
    }

    fn write(&self, w: &mut Writer) {
        w.u64(self.version).u8(self.key.len() as u8).bytes(self.key.as_bytes());
        w.u16(self.value.len() as u16).bytes(&self.value);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, NotCertified> {
        let version = r.u64()?;
        let length = usize::from(r.u8()?);
        let key = core::str::from_utf8(r.take(length)?).map_err(|_| NotCertified::Key)?;
        let length = usize::from(r.u16()?);
        if length > Self::MAX_VALUE {
            return Err(NotCertified::Value);
        }
        Fact::new(key, version, r.take(length)?.to_vec())
    }
}

fn void_key(node: &NodeId) -> String {
    format!("{VOID}{node}")
}

#[cfg(test)]
mod tests;
