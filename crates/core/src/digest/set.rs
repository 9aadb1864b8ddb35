//! The root of a set of any size at the memory price of its size: a set of up to 16 members is
//! hashed from the members themselves (they are its owner's, who passes them when a root is asked
//! for), a larger one carries the state of 2 KiB of an [`LtHash`]. A million simulated nodes with
//! one record each pay 16 bytes for it and not 2 KiB.
//!
//! ```text
//!            above 16: grow(ids)
//!   small  ----------------------->  large        same root either way
//!  16 bytes <----------------------- + 2 KiB
//!            below 8, in replace()
//! ```

use super::{Id, Root, lthash::LtHash};

/// Most members that are hashed anew for each root.
const SMALL: u32 = 16;
/// Below this many members the state is given up; the gap to [`SMALL`] keeps a set that grows and
/// shrinks by one from building it again and again.
const GIVE_UP: u32 = 8;

/// The hash of a set; see the module.
#[derive(Clone, Debug, Default)]
pub struct SetHash {
    state: Option<Box<LtHash>>,
    count: u32,
}

impl SetHash {
    /// One change of the set: `old` leaves, `new` enters, either may be absent. The caller knows
    /// that `old` is a member and `new` is none. When [`SetHash::wants_growth`] afterwards, the
    /// owner calls [`SetHash::grow`] at its next leisure; until then roots are right but dear.
    ///
    /// # Panics
    /// If something leaves an empty set.
    pub fn replace(&mut self, old: Option<&Id>, new: Option<&Id>) {
        if old == new {
            return;
        }
        assert!(old.is_none() || self.count > 0, "nothing can leave an empty set");
        self.count = self.count - u32::from(old.is_some()) + u32::from(new.is_some());
        if self.count < GIVE_UP {
            self.state = None;
        }
        if let Some(state) = &mut self.state {
            match (old, new) {
                (Some(old), Some(new)) => state.replace(old, new),
                (Some(old), None) => state.remove(old),
                (None, Some(new)) => state.add(new),
                (None, None) => {}
            }
        }
    }

    /// Whether the set has outgrown its small form.
    #[must_use]
    pub const fn wants_growth(&self) -> bool {
        self.state.is_none() && self.count > SMALL
    }

    /// Builds the state of a set that outgrew its small form; nothing otherwise. `ids` are all its
    /// members, in any order.
    ///
    /// # Panics
    /// If `ids` is not as long as the set: the owner lost count.
    pub fn grow<'a>(&mut self, ids: impl IntoIterator<Item = &'a Id>) {
        if self.wants_growth() {
            self.state = Some(Box::new(self.rebuilt(ids)));
        }
    }

    /// The root. `ids` are all members, in any order; they are read only while the set is small.
    ///
    /// # Panics
    /// If `ids` is read and not as long as the set: the owner lost count.
    #[must_use]
    pub fn root<'a>(&self, ids: impl IntoIterator<Item = &'a Id>) -> Root {
        match &self.state {
            _ if self.count == 0 => Root::EMPTY,
            Some(state) => state.root(),
            None => self.rebuilt(ids).root(),
        }
    }

    /// Number of members.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    fn rebuilt<'a>(&self, ids: impl IntoIterator<Item = &'a Id>) -> LtHash {
        let hash: LtHash = ids.into_iter().collect();
        assert!(hash.count() == u64::from(self.count), "the ids are the members of the set");
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(n: u8) -> Id {
        [n; 32]
    }

    #[test]
    fn it_is_as_small_as_promised() {
        assert!(size_of::<SetHash>() <= 16);
    }

    #[test]
    fn the_state_comes_above_16_and_goes_below_8() {
        let mut set = SetHash::default();
        let ids: Vec<Id> = (0..17).map(id).collect();
        for (i, new) in ids.iter().enumerate() {
            assert!(!set.wants_growth());
            set.replace(None, Some(new));
            assert_eq!(set.wants_growth(), i == 16);
        }
        let dear = set.root(&ids);
        set.grow(&ids);
        assert!(set.state.is_some() && !set.wants_growth());
        assert_eq!(set.root([]), dear);
        for left in (8..17).rev() {
            set.replace(Some(&ids[left]), None);
        }
        assert!(set.count() == 8 && set.state.is_some());
        set.replace(Some(&ids[7]), None);
        assert!(set.count() == 7 && set.state.is_none());
        set.grow(&ids[..7]);
        assert!(set.state.is_none(), "a small set stays small");
    }

    #[test]
    #[should_panic(expected = "members of the set")]
    fn an_owner_that_lost_count_is_told() {
        let mut set = SetHash::default();
        set.replace(None, Some(&id(1)));
        let _ = set.root(&[id(1), id(2)]);
    }

    proptest! {
        #[test]
        fn the_root_is_the_one_of_the_set_rebuilt(
            // (old, new, whether the owner grows the set at once)
            changes in proptest::collection::vec((0u8..30, 0u8..30, any::<bool>()), 0..80),
        ) {
            let mut set = SetHash::default();
            let mut members = std::collections::BTreeSet::new();
            for (old, new, grows) in changes {
                let (old, new) = (id(old), id(new));
                let old = members.remove(&old).then_some(old);
                let new = members.insert(new).then_some(new);
                set.replace(old.as_ref(), new.as_ref());
                if grows {
                    set.grow(&members);
                }
                prop_assert_eq!(set.count() as usize, members.len());
            }
            let rebuilt: LtHash = members.iter().collect();
            prop_assert_eq!(set.root(&members), rebuilt.root());
        }
    }
}
