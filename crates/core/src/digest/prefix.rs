//! Names of subtrees ([`Prefix`]) and what is known about one ([`Summary`]). Both travel in
//! reconciliation messages.

use core::fmt;
use core::ops::{AddAssign, SubAssign};

use super::Position;

/// All positions that begin with the same nibbles: a subtree of the radix-16 tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Prefix {
    bits: u64,
    depth: u8,
}

impl Prefix {
    /// Every position.
    pub const ROOT: Prefix = Prefix { bits: 0, depth: 0 };
    /// The depth at which a prefix is one whole position.
    pub const MAX_DEPTH: u8 = 16;

    /// The prefix of the highest `depth` nibbles of `bits`; `None` if `depth` exceeds 16 or bits
    /// below it are set, so that each prefix has one form.
    #[must_use]
    pub const fn new(bits: u64, depth: u8) -> Option<Self> {
        if depth > Self::MAX_DEPTH || bits & !mask(depth) != 0 {
            return None;
        }
        Some(Prefix { bits, depth })
    }

    /// The prefix of length `depth` that contains `at`.
    ///
    /// # Panics
    /// If `depth` exceeds 16.
    #[must_use]
    pub const fn of(at: Position, depth: u8) -> Self {
        assert!(depth <= Self::MAX_DEPTH, "a position has 16 nibbles");
        Prefix { bits: at.0 & mask(depth), depth }
    }

    /// The nibbles, from the highest down; zero below the depth.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.bits
    }

    /// How many nibbles are fixed, 0-16.
    #[must_use]
    pub const fn depth(self) -> u8 {
        self.depth
    }

    /// The lowest position inside.
    #[must_use]
    pub const fn first(self) -> Position {
        Position(self.bits)
    }

    /// One nibble further down; `None` below depth 16 or if `nibble` exceeds 15.
    #[must_use]
    pub const fn child(self, nibble: u8) -> Option<Self> {
        if self.depth >= Self::MAX_DEPTH || nibble > 15 {
            return None;
        }
        let bits = self.bits | ((nibble as u64) << (60 - 4 * self.depth));
        Some(Prefix { bits, depth: self.depth + 1 })
    }

    /// Whether `at` begins with this prefix.
    #[must_use]
    pub const fn contains(self, at: Position) -> bool {
        at.0 & mask(self.depth) == self.bits
    }
}

/// The bits that `depth` nibbles cover.
const fn mask(depth: u8) -> u64 {
    match u64::MAX.checked_shr(4 * depth as u32) {
        Some(below) => !below,
        None => u64::MAX,
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:016x}", self.bits);
        write!(f, "{}*", &digits[..usize::from(self.depth)])
    }
}

/// What a subtree holds: enough to see that two differ, never a proof that they are equal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Sum of the [`tag`](super::tag)s of its items, modulo 2^128.
    pub sum: u128,
    /// How many items.
    pub count: u32,
}

impl Summary {
    /// The summary of one item.
    #[must_use]
    pub const fn one(tag: u128) -> Self {
        Summary { sum: tag, count: 1 }
    }
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Summary) {
        self.sum = self.sum.wrapping_add(other.sum);
        self.count += other.count;
    }
}

impl SubAssign for Summary {
    fn sub_assign(&mut self, other: Summary) {
        self.sum = self.sum.wrapping_sub(other.sum);
        self.count -= other.count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_prefix_has_one_form() {
        assert_eq!(Prefix::new(0, 0), Some(Prefix::ROOT));
        assert_eq!(Prefix::new(1, 0), None);
        assert_eq!(Prefix::new(0xab00_0000_0000_0000, 1), None);
        assert!(Prefix::new(0xab00_0000_0000_0000, 2).is_some());
        assert!(Prefix::new(u64::MAX, 16).is_some());
        assert_eq!(Prefix::new(0, 17), None);
    }

    #[test]
    fn a_whole_position_has_no_children() {
        let leaf = Prefix::of(Position(5), 16);
        assert_eq!(leaf.child(0), None);
        assert_eq!(Prefix::ROOT.child(16), None);
        assert_eq!(format!("{:?}", Prefix::of(Position(0xab << 56), 2)), "ab*");
    }

    proptest! {
        #[test]
        fn a_position_is_in_exactly_one_child(at: u64, depth in 0u8..16) {
            let at = Position(at);
            let prefix = Prefix::of(at, depth);
            prop_assert!(prefix.contains(at) && prefix.contains(prefix.first()));
            prop_assert_eq!(Prefix::new(prefix.bits(), prefix.depth()), Some(prefix));
            for n in 0..16 {
                let child = prefix.child(n).unwrap();
                prop_assert_eq!(child.contains(at), n == at.nibble(depth));
            }
            prop_assert_eq!(prefix.child(at.nibble(depth)), Some(Prefix::of(at, depth + 1)));
        }
    }
}
