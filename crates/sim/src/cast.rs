//! Who breaks the protocol in a crowd: how many nodes of each kind, then which ones.
//!
//! ```text
//!   shares as they were given --sum by kind, in the order of kinds--> parts --seed--> nodes
//! ```
//!
//! Only the sums count, so that a printed command gives the same cast as the flags behind it.

use std::collections::BTreeMap;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use knhk_mesh_core::rng::{Rng, mix};

use crate::adversary::Kind;
use crate::spread::SpreadError;
use crate::world::NodeIx;

/// The adversaries of one kind.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Part {
    pub(crate) kind: Kind,
    /// What was asked for, 0-1.
    pub(crate) share: f64,
    /// What this is of the nodes, at least one.
    pub(crate) nodes: u32,
}

/// The parts of `agents` nodes that `shares` (each 0-1) stand for, by kind. Shares of 0 are none.
///
/// # Errors
/// [`SpreadError`] if a share is less than half a node, or nobody honest is left.
pub(crate) fn parts(agents: u32, shares: &[(Kind, f64)]) -> Result<Vec<Part>, SpreadError> {
    let mut sums: BTreeMap<Kind, f64> = BTreeMap::new();
    for (kind, share) in shares.iter().filter(|(_, share)| *share > 0.0) {
        *sums.entry(*kind).or_default() += share;
    }
    let part = |(kind, share): (Kind, f64)| match (share * f64::from(agents)).round() as u32 {
        0 => Err(SpreadError::NoNode { kind, share: share.to_string(), agents }),
        nodes => Ok(Part { kind, share, nodes }),
    };
    let parts: Vec<Part> = sums.into_iter().map(part).collect::<Result<_, _>>()?;
    let liars = parts.iter().fold(0u32, |sum, part| sum.saturating_add(part.nodes));
    if liars >= agents {
        return Err(SpreadError::NobodyHonest { liars, agents });
    }
    Ok(parts)
}

/// Adversaries by index.
pub(crate) type Corrupt = HashMap<NodeIx, Kind, FixedState>;

/// Draws who plays the parts, and `writers` honest nodes, some perhaps twice.
pub(crate) fn cast(n: u32, seed: u64, parts: &[Part], writers: usize) -> (Corrupt, Vec<NodeIx>) {
    let liars: u32 = parts.iter().map(|part| part.nodes).sum();
    assert!(liars < n, "somebody honest is left to write");
    let mut rng = Rng::new(mix(seed ^ 0x6361_7374));
    let (mut corrupt, mut drawn) = (Corrupt::default(), Vec::new());
    for part in parts {
        let mut open = part.nodes;
        while open > 0 {
            let i = rng.below(n) as NodeIx;
            if !corrupt.contains_key(&i) {
                corrupt.insert(i, part.kind);
                open -= 1;
            }
        }
    }
    while drawn.len() < writers {
        let i = rng.below(n) as NodeIx;
        if !corrupt.contains_key(&i) {
            drawn.push(i);
        }
    }
    (corrupt, drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_and_the_number_of_flags_do_not_matter() {
        let one = [(Kind::Forge, 0.1), (Kind::Silent, 0.2)];
        let other =
            [(Kind::Silent, 0.1), (Kind::Omit, 0.0), (Kind::Forge, 0.1), (Kind::Silent, 0.1)];
        let [one, other] = [&one[..], &other].map(|shares| parts(50, shares).unwrap());
        assert_eq!(one, other);
        let played: Vec<_> = one.iter().map(|part| (part.kind, part.nodes)).collect();
        assert_eq!(played, [(Kind::Silent, 10), (Kind::Forge, 5)]);
        let (corrupt, writers) = cast(50, 7, &one, 2);
        assert_eq!((corrupt.len(), writers.len()), (15, 2));
        assert!(writers.iter().all(|i| !corrupt.contains_key(i)));
    }

    #[test]
    fn somebody_is_honest_and_no_kind_is_nobody() {
        // Each rounds to one node; the sum of the shares does not round to both.
        let both = parts(2, &[(Kind::Silent, 0.25), (Kind::Forge, 0.25)]);
        assert_eq!(both, Err(SpreadError::NobodyHonest { liars: 2, agents: 2 }));
        let none = parts(10, &[(Kind::Forge, 0.04)]).map_err(|why| why.to_string());
        assert!(none.is_err_and(|why| why.contains("forge=0.04 of 10")));
    }
}
