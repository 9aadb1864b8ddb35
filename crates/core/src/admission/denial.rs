//! What the operator takes out of the mesh: nodes for ever, or what a node was up to some start of
//! its process. The list only grows: each entry is signed by itself, so lists of any age merge in
//! any order to the same one.
//!
//! ```text
//!   up to incarnation 7      its records of 7 and before are void; from 8 on it is a member
//!   up to the last there is  it is denied: no link, no membership, no records
//! ```

use std::collections::BTreeMap;

use super::{NotAdmitted, check_signature};
use crate::codec::{Reader, Writer};
use crate::identity::{Incarnation, MeshId, NodeId, Signer};
use crate::time::WallMs;

const DOMAIN: &[u8] = b"knhk-mesh denial v2\0";

/// The admission key's word that a node's incarnations up to one of them are void. It cannot be
/// taken back: a node that is denied for ever needs a new key to come again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Denial {
    /// Who is denied, or forgotten.
    pub node: NodeId,
    /// What it signed in this incarnation and before is void.
    pub up_to: Incarnation,
    /// When that was signed; for people.
    pub at: WallMs,
    signature: [u8; 64],
}

impl Denial {
    /// Bytes of one encoding.
    pub const LEN: usize = 32 + 8 + 8 + 64;
    /// Above every incarnation: the node is denied.
    pub const FOR_EVER: Incarnation = Incarnation(u64::MAX);

    /// Signs a denial for ever with the admission key of `mesh`.
    #[must_use]
    pub fn sign(admission_key: &impl Signer, mesh: &MeshId, node: NodeId, at: WallMs) -> Self {
        Self::up_to(admission_key, mesh, node, Self::FOR_EVER, at)
    }

    /// Signs that everything of `node` up to an incarnation is void.
    #[must_use]
    pub fn up_to(
        admission_key: &impl Signer,
        mesh: &MeshId,
        node: NodeId,
        up_to: Incarnation,
        at: WallMs,
    ) -> Self {
        let unsigned = Denial { node, up_to, at, signature: [0; 64] };
        Denial { signature: admission_key.sign(&unsigned.statement(mesh)), ..unsigned }
    }

    fn statement(&self, mesh: &MeshId) -> Vec<u8> {
        let mut w = Writer::with_capacity(96);
        w.bytes(DOMAIN).bytes(&mesh.0).bytes(&self.node.0).u64(self.up_to.0).u64(self.at.0);
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
        w.bytes(&self.node.0).u64(self.up_to.0).u64(self.at.0).bytes(&self.signature);
        w.into_vec()
    }

    /// Reads the bytes of a denial; whether it is a good one, [`Denial::check`] says.
    ///
    /// # Errors
    /// [`NotAdmitted::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, NotAdmitted> {
        let mut r = Reader::new(bytes);
        let (node, up_to, at) = (NodeId(r.array()?), Incarnation(r.u64()?), WallMs(r.u64()?));
        let denial = Denial { node, up_to, at, signature: r.array()? };
        r.end()?;
        Ok(denial)
    }

    /// Whether its node is no member any more, whatever it signs.
    #[must_use]
    pub fn is_for_ever(&self) -> bool {
        self.up_to == Self::FOR_EVER
    }

    /// Whether it says less than `other` about the same node: it reaches less far, or as far and
    /// was signed later.
    fn yields_to(&self, other: &Denial) -> bool {
        let strength = |d: &Denial| (core::cmp::Reverse(d.up_to), d.at, d.signature);
        strength(other) <= strength(self)
    }
}

/// All denials of a mesh, checked and sorted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Denials(BTreeMap<NodeId, Denial>);

impl Denials {
    /// Most entries. Only the admission key makes new ones.
    pub const MAX: usize = 2_048;

    /// Takes in a denial whose signature is good; false if nothing more is void by it, or the list
    /// is full. Of two denials of one node that reach as far the one that was signed first stays.
    pub fn insert(&mut self, denial: Denial) -> bool {
        if let Some(held) = self.0.get_mut(&denial.node) {
            let further = denial.up_to > held.up_to;
            if held.yields_to(&denial) {
                *held = denial;
            }
            return further;
        }
        self.0.len() < Self::MAX && self.0.insert(denial.node, denial).is_none()
    }

    /// Whether [`Denials::insert`] would change nothing, whatever the signature.
    #[must_use]
    pub fn needs_no_check(&self, denial: &Denial) -> bool {
        match self.0.get(&denial.node) {
            Some(held) => denial.yields_to(held),
            None => self.0.len() == Self::MAX,
        }
    }

    /// Whether `node` is denied for ever.
    #[must_use]
    pub fn denies(&self, node: &NodeId) -> bool {
        self.0.get(node).is_some_and(Denial::is_for_ever)
    }

    /// What is said about `node`.
    #[must_use]
    pub fn of(&self, node: &NodeId) -> Option<&Denial> {
        self.0.get(node)
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
            let (node, up_to, at) = (NodeId(node), Denial::FOR_EVER, WallMs(1));
            let denial = Denial { node, up_to, at, signature: [0; 64] };
            assert_eq!(list.insert(denial), n < Denials::MAX);
        }
        assert_eq!(list.len(), Denials::MAX);
    }

    #[test]
    fn the_word_that_reaches_furthest_stands_whatever_came_first() {
        let node = NodeId([3; 32]);
        let said = |up_to: u64, at: u64| {
            let (up_to, at) = (Incarnation(up_to), WallMs(at));
            Denial { node, up_to, at, signature: [0; 64] }
        };
        let all = [said(5, 1), said(9, 3), said(9, 2), said(7, 0)];
        for turn in 0..all.len() {
            let mut list = Denials::default();
            let order = all.iter().cycle().skip(turn).take(all.len());
            let news = order.filter(|denial| list.insert(**denial)).count();
            assert_eq!(list.of(&node), Some(&said(9, 2)), "turn {turn}");
            assert!((1..=3).contains(&news) && !list.denies(&node));
            assert!(all.iter().all(|denial| list.needs_no_check(denial)));
        }
        let mut list = Denials::default();
        assert!(list.insert(all[0]) && !list.needs_no_check(&said(u64::MAX, 9)));
        assert!(list.insert(said(u64::MAX, 9)) && list.denies(&node));
    }
}
