//! Merkle trees as in RFC 9162 section 2.1, over SHA-256. Leaves are hashed with a leading 0,
//! inner nodes with a leading 1; a node without a sibling rises unchanged.

use sha2::{Digest as _, Sha256};

/// A hash of a leaf or of an inner node.
pub type Hash = [u8; 32];

/// Longest path: the depth of a tree of 256 leaves.
pub const MAX_PATH: usize = 8;

fn parent(left: &Hash, right: &Hash) -> Hash {
    let mut input = [0u8; 65];
    input[0] = 1;
    input[1..33].copy_from_slice(left);
    input[33..].copy_from_slice(right);
    Sha256::digest(input).into()
}

/// Replaces a level by the one above it.
fn rise(level: &mut Vec<Hash>) {
    let pairs = level.len() / 2;
    for i in 0..pairs {
        level[i] = parent(&level[2 * i], &level[2 * i + 1]);
    }
    if level.len() % 2 == 1 {
        level[pairs] = level[level.len() - 1];
    }
    level.truncate(level.len().div_ceil(2));
}

/// The root over `leaves`.
///
/// # Panics
/// If there are none: a frame has at least one record.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    assert!(!leaves.is_empty(), "a tree has at least one leaf");
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        rise(&mut level);
    }
    level[0]
}

/// The siblings from each of the leaves `wanted` up to the root, in one climb.
///
/// # Panics
/// If an index lies outside `leaves`.
#[must_use]
pub fn paths(leaves: &[Hash], wanted: &[u16]) -> Vec<Vec<Hash>> {
    assert!(wanted.iter().all(|&i| usize::from(i) < leaves.len()), "no such leaf");
    let mut out: Vec<Vec<Hash>> =
        wanted.iter().map(|_| Vec::with_capacity(path_len(leaves.len()))).collect();
    let mut level = leaves.to_vec();
    let mut height = 0;
    while level.len() > 1 {
        for (path, &index) in out.iter_mut().zip(wanted) {
            if let Some(sibling) = level.get((usize::from(index) >> height) ^ 1) {
                path.push(*sibling);
            }
        }
        rise(&mut level);
        height += 1;
    }
    out
}

fn path_len(count: usize) -> usize {
    count.next_power_of_two().trailing_zeros() as usize
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
