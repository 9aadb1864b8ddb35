//! The list of those who may no longer be members. It only grows: each entry is signed by itself,
//! so lists of any age merge in any order to the same one.

use std::collections::BTreeMap;

use super::{NotAdmitted, check_signature};
use crate::codec::{Reader, Writer};
use crate::identity::{MeshId, NodeId, Signer};
use crate::time::WallMs;

const DOMAIN: &[u8] = b"knhk-mesh denial v1\0";

/// The admission key's word that a node is no member any more. It cannot be taken back: a machine
/// that shall come again gets a new key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Denial {
    /// Who is denied.
    pub node: NodeId,
    /// When that was signed; for people.
    pub at: WallMs,
    signature: [u8; 64],
}

impl Denial {
    /// Bytes of one encoding.
    pub const LEN: usize = 32 + 8 + 64;

    /// Signs a denial with the admission key of `mesh`.
    #[must_use]
    pub fn sign(admission_key: &impl Signer, mesh: &MeshId, node: NodeId, at: WallMs) -> Self {
        let unsigned = Denial { node, at, signature: [0; 64] };
        Denial { signature: admission_key.sign(&unsigned.statement(mesh)), ..unsigned }
    }

    fn statement(&self, mesh: &MeshId) -> Vec<u8> {
        let mut w = Writer::with_capacity(96);
        w.bytes(DOMAIN).bytes(&mesh.0).bytes(&self.node.0).u64(self.at.0);
        w.into_vec()
    }

    /// Whether the admission key of `mesh` signed it.
    ///
    /// # Errors
    /// [`NotAdmitted::Signature`].
    pub fn check(&self, admission_key: &NodeId, mesh: &MeshId) -> Result<(), NotAdmitted> {
        check_signature(admission_key, &self.statement(mesh), &self.signature)
    }

    /// The denial as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(Self::LEN);
        w.bytes(&self.node.0).u64(self.at.0).bytes(&self.signature);
        w.into_vec()
    }

    /// Reads the bytes of a denial; whether it is a good one, [`Denial::check`] says.
    ///
    /// # Errors
    /// [`NotAdmitted::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, NotAdmitted> {
        let mut r = Reader::new(bytes);
        let (node, at) = (NodeId(r.array()?), WallMs(r.u64()?));
        let denial = Denial { node, at, signature: r.array()? };
        r.end()?;
        Ok(denial)
    }
}

/// All denials of a mesh, checked and sorted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Denials(BTreeMap<NodeId, Denial>);

impl Denials {
    /// Most entries. Only the admission key makes new ones.
    pub const MAX: usize = 2_048;

    /// Takes in a denial whose signature is good; false if its node was denied before or the list
    /// is full. Of two denials of one node the one that was signed first stays.
    pub fn insert(&mut self, denial: Denial) -> bool {
        if let Some(held) = self.0.get_mut(&denial.node) {
            if (denial.at, denial.signature) < (held.at, held.signature) {
                *held = denial;
            }
            return false;
        }
        self.0.len() < Self::MAX && self.0.insert(denial.node, denial).is_none()
    }

    /// Whether [`Denials::insert`] would change nothing, whatever the signature.
    #[must_use]
    pub fn needs_no_check(&self, denial: &Denial) -> bool {
        match self.0.get(&denial.node) {
            Some(held) => (denial.at, denial.signature) >= (held.at, held.signature),
            None => self.0.len() == Self::MAX,
        }
    }

    /// Whether `node` is denied.
    #[must_use]
    pub fn denies(&self, node: &NodeId) -> bool {
        self.0.contains_key(node)
    }

    /// All of them, by node.
    pub fn iter(&self) -> impl Iterator<Item = &Denial> {
        self.0.values()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody is denied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_bounded() {
        let mut list = Denials::default();
        for n in 0..=Denials::MAX {
            let mut node = [0; 32];
            node[..8].copy_from_slice(&n.to_le_bytes());
            let denial = Denial { node: NodeId(node), at: WallMs(1), signature: [0; 64] };
            assert_eq!(list.insert(denial), n < Denials::MAX);
        }
        assert_eq!(list.len(), Denials::MAX);
    }
}
