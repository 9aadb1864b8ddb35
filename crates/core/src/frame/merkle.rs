//! Merkle trees of the shape of RFC 9162 section 2.1, over BLAKE3. Leaves and inner nodes are
//! hashed under different keys; a node without a sibling rises unchanged.

use crate::hash;
pub use crate::hash::Hash;

/// The key of inner nodes. Those of leaves are hashes themselves: see
/// [`super::header::LeafContext`].
const NODE: Hash = hash::domain("knhk-mesh node v1");

/// Longest path: the depth of a tree of 256 leaves.
pub const MAX_PATH: usize = 8;

fn parent(left: &Hash, right: &Hash) -> Hash {
    let mut pair = [0; hash::BLOCK];
    pair[..32].copy_from_slice(left);
    pair[32..].copy_from_slice(right);
    blake3::keyed_hash(&NODE, &pair).into()
}

/// Every node over `leaves`, level by level: the leaves first, the root last. At most twice as many
/// as there are leaves, and a few.
///
/// # Panics
/// If there are none: a frame has at least one record.
#[must_use]
pub fn tree(leaves: &[Hash]) -> Vec<Hash> {
    assert!(!leaves.is_empty(), "a tree has at least one leaf");
    let mut nodes = Vec::with_capacity(2 * leaves.len() + MAX_PATH);
    nodes.extend_from_slice(leaves);
    let mut level = Vec::with_capacity(leaves.len() / 2);
    let (mut start, mut len) = (0, leaves.len());
    while len > 1 {
        let (pairs, alone) = nodes[start..].as_flattened().as_chunks::<{ hash::BLOCK }>();
        let alone: Option<Hash> = alone.try_into().ok();
        hash::equally_long(&NODE, pairs, &mut level);
        nodes.append(&mut level);
        nodes.extend(alone);
        (start, len) = (start + len, len.div_ceil(2));
    }
    nodes
}

/// The root over `leaves`.
///
/// # Panics
/// If there are none: a frame has at least one record.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    let nodes = tree(leaves);
    nodes[nodes.len() - 1]
}

/// The siblings from leaf `index` of `count` up to the root, read from the [`tree`] over them.
///
/// # Panics
/// If there is no such leaf, or `nodes` is no tree over `count` leaves.
#[must_use]
pub fn path_in(nodes: &[Hash], count: usize, index: u16) -> Vec<Hash> {
    let mut index = usize::from(index);
    assert!(index < count, "no such leaf");
    let mut path = Vec::with_capacity(siblings(index, count));
    let (mut start, mut len) = (0, count);
    while len > 1 {
        if (index ^ 1) < len {
            path.push(nodes[start + (index ^ 1)]);
        }
        index /= 2;
        (start, len) = (start + len, len.div_ceil(2));
    }
    path
}

/// The siblings from each of the leaves `wanted` up to the root.
///
/// # Panics
/// If an index lies outside `leaves`.
#[must_use]
pub fn paths(leaves: &[Hash], wanted: &[u16]) -> Vec<Vec<Hash>> {
    let nodes = tree(leaves);
    wanted.iter().map(|&index| path_in(&nodes, leaves.len(), index)).collect()
}

/// How many siblings the path of leaf `index` has in a tree of `count` leaves: it follows from the
/// two, so a proof needs no length and has one encoding.
#[must_use]
pub fn siblings(mut index: usize, mut count: usize) -> usize {
    let mut len = 0;
    while count > 1 {
        len += usize::from((index ^ 1) < count);
        index /= 2;
        count = count.div_ceil(2);
    }
    len
}

/// The root that `leaf` at `index` of `count` leads to over `path`; `None` if the path has not
/// exactly [`siblings`] hashes.
#[must_use]
pub fn root_over(leaf: Hash, index: usize, count: usize, path: &[Hash]) -> Option<Hash> {
    if index >= count {
        return None;
    }
    let (mut node, mut index, mut count, mut path) = (leaf, index, count, path.iter());
    while count > 1 {
        if (index ^ 1) < count {
            let sibling = path.next()?;
            node = if index % 2 == 0 { parent(&node, sibling) } else { parent(sibling, &node) };
        }
        index /= 2;
        count = count.div_ceil(2);
    }
    path.next().is_none().then_some(node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha2::{Digest as _, Sha256};

    fn leaves(n: usize) -> Vec<Hash> {
        (0..n).map(|i| Sha256::digest([0, i as u8, (i >> 8) as u8]).into()).collect()
    }

    /// The recursive definition of RFC 9162, word for word.
    fn rfc_root(leaves: &[Hash]) -> Hash {
        if leaves.len() == 1 {
            return leaves[0];
        }
        let split = leaves.len().next_power_of_two() / 2;
        parent(&rfc_root(&leaves[..split]), &rfc_root(&leaves[split..]))
    }

    #[test]
    fn the_root_is_the_one_of_the_rfc() {
        for n in 1..=256 {
            assert_eq!(root(&leaves(n)), rfc_root(&leaves(n)), "{n} leaves");
        }
    }

    proptest! {
        #[test]
        fn a_path_proves_its_leaf_and_no_other(
            n in 1usize..=256, a in 0usize..256, b in 0usize..256,
        ) {
            let (a, b) = (a % n, b % n);
            let leaves = leaves(n);
            let path = &paths(&leaves, &[a as u16])[0];
            prop_assert_eq!(path.len(), siblings(a, n));
            prop_assert!(path.len() <= MAX_PATH);
            prop_assert_eq!(root_over(leaves[a], a, n, path), Some(root(&leaves)));
            if a != b {
                prop_assert_ne!(root_over(leaves[b], a, n, path), Some(root(&leaves)));
                prop_assert_ne!(root_over(leaves[a], b, n, path), Some(root(&leaves)));
            }
            let mut longer = path.clone();
            longer.push([0; 32]);
            prop_assert_eq!(root_over(leaves[a], a, n, &longer), None);
            prop_assert_eq!(root_over(leaves[a], n, n, path), None);
        }
    }
}
