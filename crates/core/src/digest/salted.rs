//! The second opinion of a reconciliation session. When the sums of two trees agree and the roots
//! do not, somebody has chosen records whose tags cancel out. Both sides then add up other tags of
//! the same records, keyed with a salt that did not exist when the records were made.

use super::{Id, Position, Prefix, Summary};
use crate::hash::domain;

const TAG: [u8; 32] = domain("knhk-mesh salted tag v1");

/// Summaries of the 16 children of `prefix`, with tags that are BLAKE3 of the id under a key with
/// `salt`. Ids outside of `prefix` are passed over, all of them if it is one whole position. One
/// hash of about 0.1 us an id inside.
pub fn salted_summary<'a>(
    salt: u64,
    prefix: Prefix,
    ids: impl IntoIterator<Item = (Position, &'a Id)>,
) -> [Summary; 16] {
    let mut children = [Summary::default(); 16];
    if prefix.depth() == Prefix::MAX_DEPTH {
        return children;
    }
    let mut key = TAG;
    key[24..].copy_from_slice(&salt.to_le_bytes());
    for (at, id) in ids {
        if prefix.contains(at) {
            let hash: Id = blake3::keyed_hash(&key, id).into();
            children[usize::from(at.nibble(prefix.depth()))] += Summary::one(super::tag(&hash));
        }
    }
    children
}

#[cfg(test)]
mod tests {
    use super::super::{lthash::LtHash, tree::Tree};
    use super::*;

    fn id(tag: u128) -> Id {
        let mut id = [0; 32];
        id[..16].copy_from_slice(&tag.to_le_bytes());
        id
    }

    fn tree(items: &[(Position, Id)]) -> Tree {
        let mut tree = Tree::default();
        (0..).zip(items).for_each(|(handle, (at, id))| tree.insert(*at, id, handle));
        tree
    }

    /// Two pairs of records with 1 + 4 = 2 + 3: what an attacker finds for real tags with the
    /// generalised birthday attack.
    fn colliding(at: [Position; 2]) -> [[(Position, Id); 2]; 2] {
        [[(at[0], id(1)), (at[1], id(4))], [(at[0], id(2)), (at[1], id(3))]]
    }

    fn recount(salt: u64, prefix: Prefix, items: &[(Position, Id)]) -> [Summary; 16] {
        salted_summary(salt, prefix, items.iter().map(|(at, id)| (*at, id)))
    }

    #[test]
    fn a_forged_collision_blinds_the_tree_but_neither_the_root_nor_the_recount() {
        let same_child = [Position(0x1234 << 48), Position(0x1235 << 48)];
        let [one, two] = colliding(same_child);
        let prefix = Prefix::new(0x123 << 52, 3).unwrap();
        for depth in 0..=3 {
            let prefix = Prefix::of(same_child[0], depth);
            assert_eq!(tree(&one).summary(prefix), tree(&two).summary(prefix));
        }
        // A session starts at the top and sees nothing to descend into.
        assert_eq!(tree(&one).children(Prefix::ROOT), tree(&two).children(Prefix::ROOT));
        let root =
            |items: &[(Position, Id)]| items.iter().map(|(_, id)| id).collect::<LtHash>().root();
        assert_ne!(root(&one), root(&two));
        for salt in 0..8 {
            let (ours, theirs) =
                (recount(salt, Prefix::ROOT, &one), recount(salt, Prefix::ROOT, &two));
            assert_ne!(ours[1], theirs[1]);
            assert_eq!(ours[1].count, 2);
            assert_ne!(recount(salt, prefix, &one)[4], recount(salt, prefix, &two)[4]);
        }
    }

    #[test]
    fn a_collision_at_one_position_is_seen_as_well() {
        let [one, two] = colliding([Position(7); 2]);
        for depth in 0..=16 {
            let prefix = Prefix::of(Position(7), depth);
            assert_eq!(tree(&one).summary(prefix), tree(&two).summary(prefix));
        }
        let deepest = Prefix::of(Position(7), 15);
        assert_ne!(recount(1, deepest, &one), recount(1, deepest, &two));
    }

    #[test]
    fn a_recount_depends_on_set_and_salt_only() {
        let items: Vec<_> = (0..40u64).map(|n| (Position(n << 58), id(n.into()))).collect();
        let backwards: Vec<_> = items.iter().rev().copied().collect();
        assert_eq!(recount(3, Prefix::ROOT, &items), recount(3, Prefix::ROOT, &backwards));
        assert_ne!(recount(3, Prefix::ROOT, &items), recount(4, Prefix::ROOT, &items));
        let inside = Prefix::new(0x1 << 60, 1).unwrap();
        let counts = recount(3, inside, &items).iter().map(|s| s.count).sum::<u32>();
        assert_eq!(counts, tree(&items).summary(inside).count);
        assert_eq!(recount(3, Prefix::of(Position(0), 16), &items), [Summary::default(); 16]);
    }
}
