//! Which members may be selected, as a difference to the shared list of all of them. Think of that
//! list with the excluded members swapped behind the end: a draw below `len - excluded` is always
//! eligible, in one step. Only the swaps are stored, so a node that distrusts nobody stores
//! nothing, and one that distrusts ten of a million stores at most forty numbers.
//!
//! ```text
//!   members (shared)   a b c d e f        c distrusted: index 2 -> place 5, index 5 -> place 2
//!   by index           a b f d e | c      eligible are the indexes 0..5
//! ```

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// A permutation of places that is the identity wherever it says nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Eligible {
    /// Index -> place in the list, where they differ.
    places: HashMap<usize, usize, FixedState>,
    /// The inverse.
    indexes: HashMap<usize, usize, FixedState>,
    excluded: usize,
    /// A bit for each index in `places`, by its last bits, and some left over: a clear bit saves
    /// the look-up. A power of two of words, one bit in sixteen set at most; empty while nothing
    /// moved.
    touched: Vec<u64>,
}

/// Bits of the filter for each moved index.
const BITS_EACH: usize = 16;

impl Eligible {
    /// How many members are excluded; they have the highest indexes.
    pub(super) fn excluded(&self) -> usize {
        self.excluded
    }

    /// The place of the member at `index`.
    #[inline]
    pub(super) fn place(&self, index: usize) -> usize {
        if !self.may_have_moved(index) {
            return index;
        }
        self.places.get(&index).copied().unwrap_or(index)
    }

    #[inline]
    fn may_have_moved(&self, index: usize) -> bool {
        let last = self.touched.len().wrapping_sub(1);
        let word = self.touched.get((index / 64) & last);
        word.is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    fn note_moved(&mut self, index: usize) {
        if self.places.len() * BITS_EACH > self.touched.len() * 64 {
            let words = (self.places.len() * 2 * BITS_EACH / 64).next_power_of_two();
            self.touched = vec![0; words];
            for moved in self.places.keys() {
                self.touched[(moved / 64) & (words - 1)] |= 1 << (moved % 64);
            }
        }
        let last = self.touched.len() - 1;
        self.touched[(index / 64) & last] |= 1 << (index % 64);
    }

    fn index(&self, place: usize) -> usize {
        self.indexes.get(&place).copied().unwrap_or(place)
    }

    /// The eligible member at `place`, of `len`, is not eligible any more.
    pub(super) fn exclude(&mut self, place: usize, len: usize) {
        let last = len - self.excluded - 1;
        assert!(self.index(place) <= last, "it was eligible");
        self.swap(self.index(place), last);
        self.excluded += 1;
    }

    /// The excluded member at `place`, of `len`, is eligible again.
    pub(super) fn include(&mut self, place: usize, len: usize) {
        let first_excluded = len - self.excluded;
        assert!(self.index(place) >= first_excluded, "it was excluded");
        self.swap(self.index(place), first_excluded);
        self.excluded -= 1;
        self.forget_if_all_eligible();
    }

    /// A member was appended to the list, at `place`: it is eligible.
    pub(super) fn appended(&mut self, place: usize) {
        if self.excluded > 0 {
            self.swap(place, place - self.excluded);
        }
    }

    /// The member at `place` is about to leave the list of `len`, and the last takes its place.
    pub(super) fn swap_removed(&mut self, place: usize, len: usize) {
        if self.excluded == 0 {
            return;
        }
        // First behind the last eligible, then to the very end.
        let eligible = len - self.excluded;
        if self.index(place) < eligible {
            self.swap(self.index(place), eligible - 1);
        } else {
            self.excluded -= 1;
        }
        self.swap(self.index(place), len - 1);
        // The end is cut off; whatever pointed at the last place follows its member.
        let index_of_last = self.index(len - 1);
        self.places.remove(&(len - 1));
        self.indexes.remove(&(len - 1));
        if index_of_last != len - 1 {
            self.link(index_of_last, place);
        }
        self.forget_if_all_eligible();
    }

    fn swap(&mut self, a: usize, b: usize) {
        let (place_a, place_b) = (self.place(a), self.place(b));
        self.link(a, place_b);
        self.link(b, place_a);
    }

    fn link(&mut self, index: usize, place: usize) {
        if index == place {
            self.places.remove(&index);
            self.indexes.remove(&place);
        } else {
            self.places.insert(index, place);
            self.note_moved(index);
            self.indexes.insert(place, index);
        }
    }

    /// Any order of eligible members is as good as the list's own.
    fn forget_if_all_eligible(&mut self) {
        if self.excluded == 0 {
            self.touched = Vec::new();
            self.places.clear();
            self.indexes.clear();
        }
    }
}
