//! Who signs what needs agreement: 3f + 1 appointed keys of which f may lie. Any two groups of
//! 2f + 1 of them share f + 1, so one honest member at least is in both.

use sha2::{Digest as _, Sha256};

use super::NodeId;
use crate::codec::Writer;

const DOMAIN: &[u8] = b"knhk-mesh committee v1\0";

/// Why a list of nodes is no [`Committee`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotACommittee {
    /// It is not 3f + 1.
    #[error("a committee has 4, 7, 10, 13 or 16 members (3f + 1, of which f may lie), not {0}")]
    Size(usize),
    /// One key twice would be two votes.
    #[error("{0} is listed twice, and each member has one vote")]
    Twice(NodeId),
    /// Nobody or anybody could sign with it.
    #[error("{0} is no key that only its owner signs with")]
    Key(NodeId),
}

/// The appointed signers of a mesh: part of its genesis, sorted, all different.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Committee(Box<[NodeId]>);

impl Committee {
    /// Most members.
    pub const MAX: usize = 16;

    /// The committee of these members, in whatever order they come.
    ///
    /// # Errors
    /// [`NotACommittee`] says what is wrong with the list.
    pub fn new(mut members: Vec<NodeId>) -> Result<Self, NotACommittee> {
        if !(4..=Self::MAX).contains(&members.len()) || members.len() % 3 != 1 {
            return Err(NotACommittee::Size(members.len()));
        }
        members.sort_unstable();
        if let Some(pair) = members.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(NotACommittee::Twice(pair[0]));
        }
        if let Some(weak) = members.iter().find(|member| member.verifying_key().is_none()) {
            return Err(NotACommittee::Key(*weak));
        }
        Ok(Committee(members.into()))
    }

    /// All of them, sorted.
    #[must_use]
    pub fn members(&self) -> &[NodeId] {
        &self.0
    }

    /// How many may lie: f.
    #[must_use]
    pub fn faulty(&self) -> usize {
        (self.0.len() - 1) / 3
    }

    /// How many have to sign: 2f + 1.
    #[must_use]
    pub fn quorum(&self) -> usize {
        2 * self.faulty() + 1
    }

    /// Where `node` stands among [`Committee::members`].
    #[must_use]
    pub fn place(&self, node: &NodeId) -> Option<usize> {
        self.0.binary_search(node).ok()
    }

    /// SHA-256 over the members: part of whatever they sign.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let mut w = Writer::with_capacity(DOMAIN.len() + 1 + 32 * self.0.len());
        w.bytes(DOMAIN);
        self.write(&mut w);
        Sha256::digest(w.into_vec()).into()
    }

    pub(super) fn write(&self, w: &mut Writer) {
        w.u8(self.0.len() as u8);
        for member in &self.0 {
            w.bytes(&member.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Keypair, Signer};

    fn ids(count: u8) -> Vec<NodeId> {
        (1..=count).map(|n| Keypair::from_secret(&[n; 32]).node_id()).collect()
    }

    #[test]
    fn a_committee_is_3f_plus_1_and_any_two_quorums_share_an_honest_member() {
        for count in 0..=20 {
            let made = Committee::new(ids(count));
            let Ok(committee) = made else {
                assert_eq!(made, Err(NotACommittee::Size(count.into())));
                assert!(![4, 7, 10, 13, 16].contains(&count));
                continue;
            };
            let (n, f, quorum) = (usize::from(count), committee.faulty(), committee.quorum());
            assert_eq!((3 * f + 1, 2 * f + 1), (n, quorum));
            assert!(2 * quorum - n > f && quorum <= n - f);
        }
    }

    #[test]
    fn its_order_is_its_own_and_nobody_is_in_it_twice_or_with_a_key_of_everybody() {
        let (sorted, mut list) = (Committee::new(ids(7)).unwrap(), ids(7));
        list.reverse();
        let other = Committee::new(list.clone()).unwrap();
        assert_eq!((&other, other.hash()), (&sorted, sorted.hash()));
        assert_ne!(Committee::new(ids(4)).unwrap().hash(), sorted.hash());
        for (place, member) in sorted.members().iter().enumerate() {
            assert_eq!(sorted.place(member), Some(place));
        }
        assert_eq!(sorted.place(&ids(8)[7]), None);
        list[0] = list[6];
        assert_eq!(Committee::new(list.clone()), Err(NotACommittee::Twice(list[6])));
        list[0] = NodeId([0; 32]);
        assert_eq!(Committee::new(list), Err(NotACommittee::Key(NodeId([0; 32]))));
    }
}
