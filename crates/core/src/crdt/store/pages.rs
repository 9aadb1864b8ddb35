//! Pages: sixteen neighbouring slots of one author. An agent writes few slots and often the same,
//! so a frame touches few pages: they find a slot with one look at memory for all its neighbours,
//! and they are what the lattice hash adds up, at one change a page and not one a record
//! (docs/adr/0018).
//!
//! ```text
//!   (author, slot / 16) --table--> One(entry)              alone on its page: costs no page
//!                             `--> Many(page) [e e . e ..]  an entry for each slot
//!                                     `--> member: BLAKE3 over the ids of the sixteen slots
//! ```
//!
//! A page of one record stands for itself: its member is the id of the record. Convictions are on
//! no page, and are members themselves. The members of changed pages are computed when somebody
//! asks for the root.

use hashbrown::HashTable;
use slab::Slab;

use super::entry::{Entry, EntryIx, NONE};
use super::{Hash, Root, Slot};
use crate::digest::lthash::LtHash;
use crate::digest::{PageIds, SLOTS_OF_PAGE, page_members};
use crate::rng::mix;

const SLOTS: usize = SLOTS_OF_PAGE as usize;
/// Pages whose members are computed side by side.
const GROUP: usize = 16;

/// The page of an author that a slot is on, and where.
const fn split(slot: Slot) -> (u16, usize) {
    (slot.0 / SLOTS_OF_PAGE, (slot.0 % SLOTS_OF_PAGE) as usize)
}

/// What is known of a page.
#[derive(Clone, Copy)]
enum Held {
    One(EntryIx),
    Many(u32),
}

struct Page {
    author: u32,
    number: u16,
    /// Changed since its member was computed.
    touched: bool,
    /// What the lattice hash holds for it.
    member: Hash,
    entries: [EntryIx; SLOTS],
}

/// The slots of all authors, and the lattice hash over their pages.
pub(super) struct Pages {
    table: HashTable<Held>,
    pages: Slab<Page>,
    touched: Vec<u32>,
    set: LtHash,
    seed: u64,
}

/// The root over entries of which no pages are kept: for scopes of a few.
pub(super) fn root_of(entries: &Slab<Entry>) -> Root {
    let mut set = LtHash::default();
    let (markers, mut records): (Vec<&Entry>, Vec<&Entry>) =
        entries.iter().map(|(_, e)| e).partition(|e| e.is_marker());
    markers.iter().for_each(|e| set.add(&e.id));
    let page = |e: &Entry| (e.author, split(e.slot).0);
    records.sort_unstable_by_key(|e| page(e));
    for records in records.chunk_by(|a, b| page(a) == page(b)) {
        let mut ids = PageIds::default();
        records.iter().for_each(|e| ids[split(e.slot).1] = e.id);
        page_members(&[ids], |_, member| set.add(member));
    }
    set.root()
}

impl Pages {
    /// No slots yet. `seed` keys the table, so that nobody outside can choose collisions.
    pub(super) fn new(seed: u64) -> Self {
        let (table, pages, touched, set) = Default::default();
        Pages { table, pages, touched, set, seed }
    }

    fn hash(&self, author: u32, number: u16) -> u64 {
        mix(((u64::from(author) << 16) | u64::from(number)) ^ self.seed)
    }

    /// Whose page it is, and which.
    fn place(&self, held: Held, entries: &Slab<Entry>) -> (u32, u16) {
        match held {
            Held::One(ix) => (entries[ix as usize].author, split(entries[ix as usize].slot).0),
            Held::Many(page) => {
                let page = &self.pages[page as usize];
                (page.author, page.number)
            }
        }
    }

    fn held(&self, author: u32, number: u16, entries: &Slab<Entry>) -> Option<Held> {
        let is = |held: &Held| self.place(*held, entries) == (author, number);
        self.table.find(self.hash(author, number), is).copied()
    }

    /// The entry in a slot.
    pub(super) fn find(&self, author: u32, slot: Slot, entries: &Slab<Entry>) -> Option<EntryIx> {
        let (number, at) = split(slot);
        match self.held(author, number, entries)? {
            Held::One(ix) => Some(ix).filter(|&ix| entries[ix as usize].slot == slot),
            Held::Many(page) => {
                Some(self.pages[page as usize].entries[at]).filter(|&ix| ix != NONE)
            }
        }
    }

    /// The one entry beside which a new entry at `slot` would be, if it is alone on its page:
    /// before it gets company the lattice hash has to know its newest id.
    pub(super) fn loner(&self, author: u32, slot: Slot, entries: &Slab<Entry>) -> Option<EntryIx> {
        match self.held(author, split(slot).0, entries)? {
            Held::One(ix) => Some(ix),
            Held::Many(_) => None,
        }
    }

    /// Gives the slot of the entry `ix` to it. The lattice hash hears of it at the next
    /// [`Pages::changed`]; a [`Pages::loner`] it knows already.
    pub(super) fn insert(&mut self, ix: EntryIx, entries: &Slab<Entry>) {
        let e = &entries[ix as usize];
        let (author, (number, at)) = (e.author, split(e.slot));
        match self.held(author, number, entries) {
            Some(Held::Many(page)) => self.pages[page as usize].entries[at] = ix,
            Some(Held::One(loner)) => {
                let other = &entries[loner as usize];
                let mut both = [NONE; SLOTS];
                (both[split(other.slot).1], both[at]) = (loner, ix);
                let (touched, member) = (false, other.id);
                let page = Page { author, number, touched, member, entries: both };
                let page = Held::Many(self.pages.insert(page) as u32);
                let is = |held: &Held| matches!(*held, Held::One(one) if one == loner);
                match self.table.find_mut(self.hash(author, number), is) {
                    Some(held) => *held = page,
                    None => unreachable!("the loner was found there"),
                }
            }
            None => {
                let hash = self.hash(author, number);
                let mut table = core::mem::take(&mut self.table);
                table.insert_unique(hash, Held::One(ix), |held| {
                    let (author, number) = self.place(*held, entries);
                    self.hash(author, number)
                });
                self.table = table;
            }
        }
    }

    /// Takes the entry `ix` out, of which the lattice hash knows the newest id.
    pub(super) fn remove(&mut self, ix: EntryIx, entries: &Slab<Entry>) {
        let e = &entries[ix as usize];
        if e.is_marker() {
            return self.set.remove(&e.id);
        }
        let (number, at) = split(e.slot);
        match self.held(e.author, number, entries) {
            Some(Held::Many(page)) => {
                self.pages[page as usize].entries[at] = NONE;
                self.touch(page);
            }
            _ => {
                self.set.remove(&e.id);
                let is = |held: &Held| matches!(*held, Held::One(one) if one == ix);
                self.leave_table(e.author, number, is);
            }
        }
    }

    fn leave_table(&mut self, author: u32, number: u16, is: impl FnMut(&Held) -> bool) {
        match self.table.find_entry(self.hash(author, number), is) {
            Ok(place) => drop(place.remove()),
            Err(_) => unreachable!("every page has its place in the table"),
        }
    }

    fn touch(&mut self, page: u32) {
        if !core::mem::replace(&mut self.pages[page as usize].touched, true) {
            self.touched.push(page);
        }
    }

    /// Works changed entries into the lattice hash, each with the id that it holds for them.
    pub(super) fn changed(&mut self, changes: &[(EntryIx, Option<Hash>)], entries: &Slab<Entry>) {
        for (ix, old) in changes {
            let e = &entries[*ix as usize];
            let page = match self.held(e.author, split(e.slot).0, entries) {
                Some(Held::Many(page)) if !e.is_marker() => Some(page),
                _ => None,
            };
            match (page, old) {
                (Some(page), _) => self.touch(page),
                (None, Some(old)) => self.set.replace(old, &e.id),
                (None, None) => self.set.add(&e.id),
            }
        }
        let touched = core::mem::take(&mut self.touched);
        touched.chunks(GROUP).for_each(|group| self.refresh(group, entries));
    }

    /// Computes the members of at most [`GROUP`] pages; one that is empty goes.
    fn refresh(&mut self, group: &[u32], entries: &Slab<Entry>) {
        let mut ids = [PageIds::default(); GROUP];
        for (ids, &page) in ids.iter_mut().zip(group) {
            let held = self.pages[page as usize].entries.iter().zip(ids);
            held.filter(|(ix, _)| **ix != NONE).for_each(|(ix, id)| *id = entries[*ix as usize].id);
        }
        page_members(&ids[..group.len()], |n, member| {
            let page = &mut self.pages[group[n] as usize];
            page.touched = false;
            let before = core::mem::replace(&mut page.member, *member);
            if before != *member {
                self.set.replace(&before, member);
            }
        });
        for &page in group {
            if self.pages[page as usize].touched {
                let gone = self.pages.remove(page as usize);
                self.set.remove(&gone.member);
                let is = |held: &Held| matches!(*held, Held::Many(other) if other == page);
                self.leave_table(gone.author, gone.number, is);
            }
        }
    }

    /// The root over everything that [`Pages::changed`] was told.
    pub(super) fn root(&self) -> Root {
        self.set.root()
    }

    /// Asserts that nothing is lost, left over or out of date; nothing waits.
    #[cfg(test)]
    pub(super) fn check(&self, entries: &Slab<Entry>) {
        let records: Vec<&Entry> =
            entries.iter().map(|(_, e)| e).filter(|e| !e.is_marker()).collect();
        let mut places: Vec<_> = records.iter().map(|e| (e.author, split(e.slot).0)).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(self.table.len(), places.len(), "one place in the table a page");
        let many = self.table.iter().filter(|held| matches!(held, Held::Many(_))).count();
        assert_eq!((self.pages.len(), self.touched.len()), (many, 0));
        for (_, page) in &self.pages {
            assert!(!page.touched && page.entries.iter().any(|&ix| ix != NONE), "no empty page");
        }
    }
}
