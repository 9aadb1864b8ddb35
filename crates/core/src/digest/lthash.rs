//! A hash of a set that follows its changes: each member is expanded to 1,024 lanes of 16 bits and
//! the lanes are added up, so order does not matter and a member can be taken out again. To find
//! two sets with the same state is a short-integer-solution problem on a lattice, estimated at 200
//! bits (IACR 2019/227, lthash16). The estimate holds for sets: a member counts once.
//!
//! The expansion is the key stream of ChaCha8 under the member as key (docs/adr/0015). The estimate
//! needs lanes that nobody can steer. A member is a hash: who wants another key has to hash
//! another record, and so gets keys that are random to him, though he knows them; for random keys
//! no attack tells 8 rounds of ChaCha from noise (the best known reach 7, far above 2^128 steps).
//! Each member is a key of its own, so one nonce serves all, and 2 KiB are 32 blocks of one stream.
//!
//! A change costs one or two expansions (0.2-0.5 us each with AVX-512 or AVX2, about 1 us on a
//! plain machine), which is why owners collect changes and apply them once a round.

use chacha20::ChaCha8;
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _};

use super::{Id, Root};
use crate::hash::domain;

const LANES: usize = 1_024;
const BYTES: usize = 2 * LANES;
/// Spells the purpose: an id used as a ChaCha8 key elsewhere would give another stream.
const EXPAND: [u8; 12] = *b"mesh lthash1";
const FINISH: [u8; 32] = domain("knhk-mesh lthash root v1");

/// The state of 2 KiB and the number of members.
#[derive(Clone, PartialEq, Eq)]
pub struct LtHash {
    lanes: [u16; LANES],
    count: u64,
}

impl Default for LtHash {
    fn default() -> Self {
        LtHash { lanes: [0; LANES], count: 0 }
    }
}

impl core::fmt::Debug for LtHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "LtHash({} members, {})", self.count, self.root())
    }
}

impl LtHash {
    /// Takes `member` in. The caller knows that it is not a member yet.
    pub fn add(&mut self, member: &Id) {
        self.count += 1;
        self.apply(&expand(member), u16::wrapping_add);
    }

    /// Takes `member` out. The caller knows that it is a member: the hash cannot tell.
    ///
    /// # Panics
    /// If the set is empty.
    pub fn remove(&mut self, member: &Id) {
        assert!(self.count > 0, "nothing can leave an empty set");
        self.count -= 1;
        self.apply(&expand(member), u16::wrapping_sub);
    }

    /// Puts `new` in the place of `old`, in one pass over the state. The caller knows that `old` is
    /// a member and `new` is none.
    ///
    /// # Panics
    /// If the set is empty.
    pub fn replace(&mut self, old: &Id, new: &Id) {
        assert!(self.count > 0, "nothing can leave an empty set");
        let (old, new) = (expand(old), expand(new));
        let changes = old.as_chunks::<2>().0.iter().zip(new.as_chunks::<2>().0);
        for (lane, (old, new)) in self.lanes.iter_mut().zip(changes) {
            let change = u16::from_le_bytes(*new).wrapping_sub(u16::from_le_bytes(*old));
            *lane = lane.wrapping_add(change);
        }
    }

    /// The root of the set: [`Root::EMPTY`] without members, else a hash of state and count (1-2
    /// us).
    #[must_use]
    pub fn root(&self) -> Root {
        if self.count == 0 {
            return Root::EMPTY;
        }
        let mut state = [0; BYTES];
        for (bytes, lane) in state.as_chunks_mut::<2>().0.iter_mut().zip(&self.lanes) {
            *bytes = lane.to_le_bytes();
        }
        let mut hash = blake3::Hasher::new_keyed(&FINISH);
        hash.update(&state).update(&self.count.to_le_bytes());
        Root(hash.finalize().into())
    }

    fn apply(&mut self, stream: &[u8; BYTES], op: impl Fn(u16, u16) -> u16) {
        for (lane, bytes) in self.lanes.iter_mut().zip(stream.as_chunks::<2>().0) {
            *lane = op(*lane, u16::from_le_bytes(*bytes));
        }
    }
}

#[inline]
fn expand(member: &Id) -> [u8; BYTES] {
    let mut stream = [0; BYTES];
    ChaCha8::new(member.into(), &EXPAND.into()).apply_keystream(&mut stream);
    stream
}

#[cfg(test)]
impl<'a> FromIterator<&'a Id> for LtHash {
    fn from_iter<I: IntoIterator<Item = &'a Id>>(ids: I) -> Self {
        let mut hash = LtHash::default();
        ids.into_iter().for_each(|id| hash.add(id));
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_empty_set_has_its_own_root_again_after_every_member_left() {
        let mut hash = LtHash::default();
        assert_eq!(hash.root(), Root::EMPTY);
        hash.add(&[1; 32]);
        assert_ne!(hash.root(), Root::EMPTY);
        hash.remove(&[1; 32]);
        assert_eq!(hash, LtHash::default());
        assert_eq!(hash.root(), Root::EMPTY);
    }

    #[test]
    #[should_panic(expected = "empty set")]
    fn nothing_leaves_an_empty_set() {
        LtHash::default().remove(&[1; 32]);
    }

    #[test]
    fn the_root_is_fixed_for_ever() {
        // Other nodes compute the same: a change of this text is a change of the wire format.
        let hash: LtHash = [[1; 32], [2; 32]].iter().collect();
        assert_eq!(hash.root().to_string(), "95d2113e");
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_every_member_does(
            ids in proptest::collection::hash_set(any::<[u8; 32]>(), 1..20),
        ) {
            let forth: LtHash = ids.iter().collect();
            let mut sorted: Vec<_> = ids.iter().copied().collect();
            sorted.sort_unstable();
            let back: LtHash = sorted.iter().rev().collect();
            prop_assert_eq!(&forth, &back);
            prop_assert_eq!(forth.root(), back.root());
            let without: LtHash = sorted[1..].iter().collect();
            prop_assert_ne!(without.root(), forth.root());
            let mut shrunk = forth;
            shrunk.remove(&sorted[0]);
            prop_assert_eq!(shrunk.root(), without.root());
            if let [first, .., last] = &sorted[..] {
                shrunk.replace(last, first);
                prop_assert_eq!(shrunk, sorted[..sorted.len() - 1].iter().collect::<LtHash>());
            }
        }
    }
}
