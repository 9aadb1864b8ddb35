//! Names of regions and zones, each stored once and known by a number of 16 bits. A name that
//! nobody uses any more makes room, so that a stream of invented names cannot fill the table.

use core::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// Number of a name in use.
pub(super) type NameIx = u16;

#[derive(Clone, Debug)]
struct Name {
    text: Box<str>,
    uses: u32,
}

/// The table.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    names: Vec<Name>,
    free: Vec<NameIx>,
    by_text: HashTable<NameIx>,
}

impl Names {
    /// Most names at a time.
    const MAX: usize = 1 << 16;

    /// How many new names still fit.
    pub(super) fn room(&self) -> usize {
        Self::MAX - self.names.len() + self.free.len()
    }

    pub(super) fn find(&self, text: &str) -> Option<NameIx> {
        self.by_text.find(hash(text), |ix| &*self.names[usize::from(*ix)].text == text).copied()
    }

    /// The number of `text`, used once more. The caller has asked for [`Names::room`].
    pub(super) fn take(&mut self, text: &str) -> NameIx {
        if let Some(ix) = self.find(text) {
            self.names[usize::from(ix)].uses += 1;
            return ix;
        }
        let name = Name { text: text.into(), uses: 1 };
        let ix = if let Some(ix) = self.free.pop() {
            self.names[usize::from(ix)] = name;
            ix
        } else {
            assert!(self.names.len() < Self::MAX, "room was asked for");
            self.names.push(name);
            (self.names.len() - 1) as NameIx
        };
        let names = &self.names;
        self.by_text.insert_unique(hash(text), ix, |ix| hash(&names[usize::from(*ix)].text));
        ix
    }

    /// Used once less.
    pub(super) fn give_back(&mut self, ix: NameIx) {
        let name = &mut self.names[usize::from(ix)];
        name.uses -= 1;
        if name.uses > 0 {
            return;
        }
        let text = core::mem::take(&mut name.text);
        if let Ok(entry) = self.by_text.find_entry(hash(&text), |found| *found == ix) {
            entry.remove();
        }
        self.free.push(ix);
    }

    pub(super) fn text(&self, ix: NameIx) -> &str {
        &self.names[usize::from(ix)].text
    }
}

fn hash(text: &str) -> u64 {
    FixedState::default().hash_one(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_stored_once_and_makes_room_when_nobody_uses_it() {
        let mut names = Names::default();
        let (a, b) = (names.take("a"), names.take("b"));
        assert_eq!((names.take("a"), names.room()), (a, Names::MAX - 2));
        names.give_back(a);
        assert_eq!((names.find("a"), names.text(a)), (Some(a), "a"));
        names.give_back(a);
        assert_eq!((names.find("a"), names.room()), (None, Names::MAX - 1));
        assert_eq!(names.take("c"), a);
        assert_eq!((names.find("b"), names.find("c")), (Some(b), Some(a)));
    }

    #[test]
    fn invented_names_do_not_fill_the_table() {
        let mut names = Names::default();
        for n in 0..100_000 {
            let ix = names.take(&n.to_string());
            names.give_back(ix);
        }
        assert_eq!((names.names.len(), names.by_text.len()), (1, 0));
    }
}
