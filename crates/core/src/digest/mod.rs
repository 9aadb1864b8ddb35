//! Short summaries of a set of records, and ways to find where two sets differ. Pure mathematics:
//! a record is nothing but its [`Id`] at a [`Position`].
//!
//! Two questions, two structures. "Are we equal?" is answered by a lattice hash
//! ([`lthash::LtHash`] over the pages of the records), because nobody can make two different sets
//! with the same [`Root`]. "Where do we differ?" is answered by a radix-16 tree of
//! sums ([`tree::Tree`]). Sums are cheap, and an attacker can make two sets collide in seconds; the
//! root then still differs, and [`salted::salted_summary`] recounts under a key that the attacker
//! could not know.
//!
//! ```text
//!            +--> page_members --> LtHash -- root() --> Root    equal?
//!  (pos, id) |
//!            +--> Tree ----- children() ---> Summary[16] where? descend until items()
//!                            salted_summary()            root differs, sums agree: recount
//! ```
//!
//! Sources: Lewi, Kim, Maykov, Weis, "Securing Update Propagation with Homomorphic Hashing" (IACR
//! 2019/227) for the lattice hash; Meyer, "Range-Based Set Reconciliation" (arXiv 2212.13567) for
//! the tree.

use core::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::{hash, rng};

pub mod lthash;
mod nodes;
pub mod prefix;
pub mod salted;
pub mod tree;

pub use prefix::{Prefix, Summary};
pub use tree::Tree;

/// The id of a record: a hash of what its author signed.
pub type Id = [u8; 32];

/// The 128 bits of an id that the tree adds up: its first 16 bytes, little-endian.
#[must_use]
pub const fn tag(id: &Id) -> u128 {
    let (head, _) = id.split_at(16);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(head);
    u128::from_le_bytes(bytes)
}

/// Where a record stands in the tree. It follows from author and slot, so a newer record of a slot
/// takes the place of the older one. Pages of sixteen slots are spread evenly, and the slots of one
/// stand side by side.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);

/// Slots of a page. Those of one page stand side by side in the tree, so that an author's writes
/// pass the same few nodes.
pub const SLOTS_OF_PAGE: u16 = 16;

impl Position {
    /// The position of `slot` of the author with this [`author_salt`]: 60 bits for the page and 4
    /// for the slot. Two slots of one author never share a position; slots of two authors may, and
    /// nothing relies on it that they do not.
    #[must_use]
    pub const fn of(author_salt: u64, slot: u16) -> Self {
        // Each step is a bijection of 60 bits, so the pages of an author stay apart.
        const BITS: u64 = (1 << 60) - 1;
        let page = (slot / SLOTS_OF_PAGE) as u64;
        let mut x = (rng::mix(author_salt) ^ page) & BITS;
        x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) & BITS;
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) & BITS;
        x ^= x >> 31;
        Position((x << 4) | (slot % SLOTS_OF_PAGE) as u64)
    }

    /// The 4 bits at `depth` (0 is the highest).
    ///
    /// # Panics
    /// If `depth` is 16 or more: a position has 16 nibbles.
    #[must_use]
    pub const fn nibble(self, depth: u8) -> u8 {
        assert!(depth < Prefix::MAX_DEPTH, "a position has 16 nibbles");
        ((self.0 >> (60 - 4 * depth)) & 0xf) as u8
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{:016x}", self.0)
    }
}

/// The part of a position that is the author's (public key in, eight bytes out): computed once an
/// author and kept beside it.
#[must_use]
pub fn author_salt(author: &[u8; 32]) -> u64 {
    let mut hash = Sha256::new();
    hash.update(b"knhk-mesh position v1\0");
    hash.update(author);
    let hash: [u8; 32] = hash.finalize().into();
    first_eight(&hash)
}

const fn first_eight(bytes: &[u8; 32]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *bytes;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// The key of pages.
const PAGE: [u8; 32] = hash::domain("knhk-mesh page v1");

/// The ids of the sixteen slots of a page, zero where nothing is.
pub type PageIds = [Id; SLOTS_OF_PAGE as usize];

/// Shows `visit` what the lattice hash takes for each of `pages`, nothing for an empty one: the id
/// of a record that is alone on its page, else a hash over the ids of all slots. Nobody can make
/// two different pages with one member: ids name their slot, and are hashes of other purposes than
/// that of pages.
pub fn page_members(pages: &[PageIds], mut visit: impl FnMut(usize, &Id)) {
    let live = |page: &PageIds| page.iter().filter(|id| **id != [0; 32]).count();
    let mut hashes = Vec::new();
    if pages.iter().any(|page| live(page) > 1) {
        let (bytes, _) = pages.as_flattened().as_flattened().as_chunks();
        hash::equally_long::<{ size_of::<PageIds>() }>(&PAGE, bytes, &mut hashes);
    }
    for (n, page) in pages.iter().enumerate() {
        match (live(page), page.iter().find(|id| **id != [0; 32])) {
            (0, _) => {}
            (1, Some(alone)) => visit(n, alone),
            _ => visit(n, &hashes[n]),
        }
    }
}

/// What a whole set hashes to. Equal roots mean equal sets, also against an attacker who chooses
/// the records. Text: the first eight hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Root(pub [u8; 32]);

impl Root {
    /// The root of the empty set.
    pub const EMPTY: Root = Root([0; 32]);

    /// The first eight bytes, little-endian: to find a root in a short memory of roots.
    #[must_use]
    pub const fn tag(&self) -> u64 {
        first_eight(&self.0)
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0[..4]))
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_one_author_never_meet_and_spread_evenly() {
        let salt = author_salt(&[9; 32]);
        let mut all: Vec<_> = (0..=u16::MAX).map(|slot| Position::of(salt, slot)).collect();
        let mut by_nibble = [0u32; 16];
        all.iter().for_each(|p| by_nibble[usize::from(p.nibble(0))] += 1);
        // 256 pages of 16 slots expected; six standard deviations are 93 pages.
        assert!(by_nibble.iter().all(|n| (163 * 16..349 * 16).contains(n)), "{by_nibble:?}");
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 65_536);
    }

    #[test]
    fn positions_are_fixed_for_ever() {
        // Other nodes compute the same: a change of these figures is a change of the wire format.
        assert_eq!(author_salt(&[0; 32]), 0xbb3d_8420_db71_fdb5);
        assert_eq!(Position::of(author_salt(&[0; 32]), 7), Position(0x98c5_5b78_6f55_3ac7));
    }

    #[test]
    fn a_page_stands_side_by_side_and_its_neighbour_elsewhere() {
        let at = |slot| Position::of(author_salt(&[3; 32]), slot);
        assert!((32..48).all(|slot| at(slot).0 == at(32).0 + u64::from(slot - 32)));
        assert_ne!(at(32).0 >> 4, at(48).0 >> 4);
    }

    #[test]
    fn a_page_of_one_record_stands_for_itself_and_others_differ_in_every_lane() {
        let member = |ids: &[(usize, u8)]| {
            let mut page = [[0; 32]; 16];
            ids.iter().for_each(|&(lane, id)| page[lane] = [id; 32]);
            let mut members = Vec::new();
            page_members(&[[[9; 32]; 16], page, [[0; 32]; 16]], |n, m| members.push((n, *m)));
            assert_eq!(members[0].0, 0);
            members.get(1).copied()
        };
        assert_eq!(member(&[]), None, "an empty page is no member");
        assert_eq!(member(&[(3, 7)]), Some((1, [7; 32])));
        let two = member(&[(3, 7), (4, 8)]);
        assert!(two.is_some());
        assert_ne!(two, member(&[(3, 8), (4, 7)]));
        assert_ne!(two, member(&[(3, 7), (5, 8)]));
    }

    #[test]
    fn a_nibble_is_a_hexadecimal_digit() {
        let p = Position(0x0123_4567_89ab_cdef);
        assert!((0..16).all(|depth| p.nibble(depth) == depth));
        assert_eq!(format!("{p:?}"), "@0123456789abcdef");
    }

    #[test]
    fn a_tag_and_a_root_read_their_first_bytes_in_little_endian() {
        let mut bytes = [0; 32];
        (bytes[0], bytes[7], bytes[15], bytes[16]) = (1, 2, 3, 4);
        assert_eq!(tag(&bytes), 1 | (2 << 56) | (3 << 120));
        assert_eq!(Root(bytes).tag(), 1 | (2 << 56));
        assert_eq!(Root(bytes).to_string(), "01000000");
    }
}
