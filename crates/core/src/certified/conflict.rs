//! Two certificates that cannot both be honest. Whoever signed both signed two values of one key
//! and version, which no honest member does: each is proven a liar by two of its own signatures.

use super::{Certificate, Certified, NotCertified};
use crate::codec::{Reader, Writer};
use crate::identity::{Committee, MeshId, NodeId};

/// Two certificates of one key and version with different values, as they arrived: nothing is
/// believed of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConflictProof {
    pub(super) lower: Certificate,
    pub(super) higher: Certificate,
}

impl ConflictProof {
    /// Longest encoding in bytes.
    pub const MAX_LEN: usize = 2 + 2 * Certificate::MAX_LEN;

    /// Whether both are certified and contradict each other.
    ///
    /// # Errors
    /// [`NotCertified`] says what is wrong.
    pub fn check(self, committee: &Committee, mesh: &MeshId) -> Result<Conflict, NotCertified> {
        let (lower, higher) = (&self.lower.fact, &self.higher.fact);
        let same = (lower.key(), lower.version()) == (higher.key(), higher.version());
        // The one with the lower hash comes first: one conflict, one encoding.
        if !same || lower.value_hash() >= higher.value_hash() {
            return Err(NotCertified::NoConflict);
        }
        let lower = self.lower.check(committee, mesh)?;
        Ok(Conflict { lower, higher: self.higher.check(committee, mesh)? })
    }

    /// The proof as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let first = self.lower.encode();
        let mut w = Writer::with_capacity(Self::MAX_LEN);
        w.u16(first.len() as u16).bytes(&first).bytes(&self.higher.encode());
        w.into_vec()
    }

    /// Reads the bytes of a proof.
    ///
    /// # Errors
    /// [`NotCertified`].
    pub fn decode(bytes: &[u8]) -> Result<Self, NotCertified> {
        let mut r = Reader::new(bytes);
        let length = usize::from(r.u16()?);
        let lower = Certificate::decode(r.take(length)?)?;
        Ok(ConflictProof { lower, higher: Certificate::decode(r.rest())? })
    }
}

/// A contradiction that was checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    lower: Certified,
    higher: Certified,
}

impl Conflict {
    /// The contradiction of two certificates; `None` if both may be true.
    #[must_use]
    pub fn between(one: &Certified, other: &Certified) -> Option<Self> {
        let place = |c: &Certified| (c.fact().key().to_owned(), c.fact().version());
        if place(one) != place(other) || one.value_hash() == other.value_hash() {
            return None;
        }
        let (one, other) = (one.clone(), other.clone());
        Some(match one.value_hash() < other.value_hash() {
            true => Conflict { lower: one, higher: other },
            false => Conflict { lower: other, higher: one },
        })
    }

    /// The one that stands, because the hash of its value is lower, and the one that does not.
    #[must_use]
    pub fn sides(&self) -> [&Certified; 2] {
        [&self.lower, &self.higher]
    }

    /// Who signed both, f + 1 members at least: each of them a proven liar. `committee` is the one
    /// that both were checked with.
    #[must_use]
    pub fn signers_of_both(&self, committee: &Committee) -> Vec<NodeId> {
        let other: Vec<_> = self.higher.signers(committee).collect();
        self.lower.signers(committee).filter(|signer| other.contains(signer)).copied().collect()
    }

    /// The proof for others.
    #[must_use]
    pub fn proof(&self) -> ConflictProof {
        ConflictProof {
            lower: self.lower.certificate().clone(),
            higher: self.higher.certificate().clone(),
        }
    }
}
