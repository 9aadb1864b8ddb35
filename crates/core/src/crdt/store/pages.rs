//! Pages: sixteen neighbouring slots of one author. An agent writes few slots and often the same,
//! so a frame touches few pages: they find a slot with one look at memory for all its neighbours,
//! and they are what the lattice hash adds up, at one change a page and not one a record
//! (docs/adr/0018).
//!
//! ```text
//!   (author, slot / 16) --table--> One(entry)               alone on its page: costs no page
//!                             `--> Many(page) [e e . e ..]  a lane for each slot
//!                                     `--> member: BLAKE3 over the ids of the sixteen lanes
//! ```
//!
//! A page of one record stands for itself: its member is the id of the record. Convictions are on
//! no page, and are members themselves.

use hashbrown::HashTable;
use slab::Slab;

use super::entry::{Entry, EntryIx, NONE};
use super::{Hash, Root, Slot};
use crate::digest::lthash::LtHash;
use crate::digest::{self, SLOTS_OF_PAGE};
use crate::rng::mix;

const LANES: usize = SLOTS_OF_PAGE as usize;

/// Which page of an author a slot is on, and its lane there.
const fn place_of(slot: Slot) -> (u16, usize) {
    (slot.0 / SLOTS_OF_PAGE, (slot.0 % SLOTS_OF_PAGE) as usize)
}

fn hash_of(author: u32, number: u16) -> u64 {
    mix((u64::from(author) << 16) | u64::from(number))
}

/// What a page holds.
#[derive(Clone, Copy)]
enum Place {
    One(EntryIx),
    Many(u32),
}

struct Page {
    author: u32,
    number: u16,
    /// Noted as changed since the last look.
    touched: bool,
    /// What the lattice hash holds for it.
    member: Hash,
    lanes: [EntryIx; LANES],
}

/// The slots of all authors and the lattice hash over their pages.
#[derive(Default)]
pub(super) struct Pages {
    table: HashTable<Place>,
    pages: Slab<Page>,
    set: LtHash,
}

/// The root over entries of which no pages are kept: for scopes of a few.
pub(super) fn root_of(entries: &Slab<Entry>) -> Root {
    let page = |e: &&Entry| (e.author, place_of(e.slot));
    let mut set = LtHash::default();
    let (markers, mut slots): (Vec<&Entry>, Vec<&Entry>) =
        entries.iter().map(|(_, e)| e).partition(|e| e.is_marker());
    markers.iter().for_each(|e| set.add(&e.id));
    slots.sort_unstable_by_key(page);
    for page in slots.chunk_by(|a, b| (page(a).0, page(a).1.0) == (page(b).0, page(b).1.0)) {
        let mut ids = [Hash::default(); LANES];
        page.iter().for_each(|e| ids[place_of(e.slot).1] = e.id);
        digest::page_members(&[ids], |_, member| set.add(member));
    }
    set.root()
}

impl Pages {
    fn place(&self, author: u32, number: u16, entries: &Slab<Entry>) -> Option<&Place> {
        let is = |place: &Place| match *place {
            Place::One(ix) => {
                let e = &entries[ix as usize];
                e.author == author && place_of(e.slot).0 == number
            }
            Place::Many(page) => {
                let page = &self.pages[page as usize];
                page.author == author && page.number == number
            }
        };
        self.table.find(hash_of(author, number), is)
    }

    /// The entry in a slot.
    pub(super) fn find(&self, author: u32, slot: Slot, entries: &Slab<Entry>) -> Option<EntryIx> {
        let (number, lane) = place_of(slot);
        match *self.place(author, number, entries)? {
            Place::One(ix) => Some(ix).filter(|&ix| entries[ix as usize].slot == slot),
            Place::Many(page) => {
                Some(self.pages[page as usize].lanes[lane]).filter(|&ix| ix != NONE)
            }
        }
    }

    /// The one entry beside which a new entry at `slot` would be, if it is alone on its page:
    /// before it gets company the digests have to know its newest id.
    pub(super) fn loner(&self, author: u32, slot: Slot, entries: &Slab<Entry>) -> Option<EntryIx> {
        match self.place(author, place_of(slot).0, entries) {
            Some(&Place::One(ix)) => Some(ix),
            _ => None,
        }
    }

    /// Gives the slot of the entry `ix` to it. The lattice hash hears of it at the next
    /// [`Pages::changed`]; a [`Pages::loner`] it knows already.
    pub(super) fn insert(&mut self, ix: EntryIx, entries: &Slab<Entry>) {
        let e = &entries[ix as usize];
        let (number, lane) = place_of(e.slot);
        match self.place(e.author, number, entries) {
            Some(&Place::Many(page)) => self.pages[page as usize].lanes[lane] = ix,
            Some(&Place::One(loner)) => {
                let other = &entries[loner as usize];
                let mut lanes = [NONE; LANES];
                (lanes[place_of(other.slot).1], lanes[lane]) = (loner, ix);
                let (author, touched, member) = (e.author, false, other.id);
                let page = Page { author, number, touched, member, lanes };
                let page = Place::Many(self.pages.insert(page) as u32);
                let is = |place: &Place| matches!(*place, Place::One(one) if one == loner);
                if let Some(place) = self.table.find_mut(hash_of(author, number), is) {
                    *place = page;
                }
            }
            None => {
                let hash = |place: &Place| match *place {
                    Place::One(ix) => {
                        let e = &entries[ix as usize];
                        hash_of(e.author, place_of(e.slot).0)
                    }
                    Place::Many(page) => {
                        let page = &self.pages[page as usize];
                        hash_of(page.author, page.number)
                    }
                };
                self.table.insert_unique(hash_of(e.author, number), Place::One(ix), hash);
            }
        }
    }

    /// Works changed entries into the lattice hash, each with the id that it holds for them.
    pub(super) fn changed(&mut self, changes: &[(EntryIx, Option<Hash>)], entries: &Slab<Entry>) {
        let mut touched: Vec<u32> = Vec::new();
        for (ix, old) in changes {
            let e = &entries[*ix as usize];
            match self.place(e.author, place_of(e.slot).0, entries) {
                Some(&Place::Many(page)) if !e.is_marker() => {
                    let known = &mut self.pages[page as usize].touched;
                    if !core::mem::replace(known, true) {
                        touched.push(page);
                    }
                }
                _ => match old {
                    Some(old) => self.set.replace(old, &e.id),
                    None => self.set.add(&e.id),
                },
            }
        }
        let ids: Vec<_> = touched.iter().map(|&page| self.ids(page, entries)).collect();
        digest::page_members(&ids, |n, member| {
            let page = &mut self.pages[touched[n] as usize];
            page.touched = false;
            let before = core::mem::replace(&mut page.member, *member);
            self.set.replace(&before, member);
        });
    }

    /// The ids on a page, zero where nothing is.
    fn ids(&self, page: u32, entries: &Slab<Entry>) -> [Hash; LANES] {
        let id = |ix: EntryIx| if ix == NONE { Hash::default() } else { entries[ix as usize].id };
        self.pages[page as usize].lanes.map(id)
    }

    /// Takes the entry `ix` out, of which the lattice hash knows the newest id.
    pub(super) fn remove(&mut self, ix: EntryIx, entries: &Slab<Entry>) {
        let e = &entries[ix as usize];
        let (number, lane) = place_of(e.slot);
        let page = match self.place(e.author, number, entries) {
            Some(&Place::Many(page)) if !e.is_marker() => page,
            _ => {
                self.set.remove(&e.id);
                let is = |place: &Place| matches!(*place, Place::One(one) if one == ix);
                if let Ok(place) = self.table.find_entry(hash_of(e.author, number), is) {
                    place.remove();
                }
                return;
            }
        };
        let lanes = &mut self.pages[page as usize].lanes;
        lanes[lane] = NONE;
        if lanes.iter().any(|&ix| ix != NONE) {
            self.changed_page(page, entries);
            return;
        }
        let gone = self.pages.remove(page as usize);
        self.set.remove(&gone.member);
        let is = |place: &Place| matches!(*place, Place::Many(other) if other == page);
        if let Ok(place) = self.table.find_entry(hash_of(gone.author, number), is) {
            place.remove();
        }
    }

    fn changed_page(&mut self, page: u32, entries: &Slab<Entry>) {
        let ids = self.ids(page, entries);
        digest::page_members(&[ids], |_, member| {
            let before = core::mem::replace(&mut self.pages[page as usize].member, *member);
            self.set.replace(&before, member);
        });
    }

    /// The root over everything that [`Pages::changed`] was told.
    pub(super) fn root(&self) -> Root {
        self.set.root()
    }
}
