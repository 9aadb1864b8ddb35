//! What makes a large scope fast: tables by author, page and key, the digest tree and the hash over
//! the pages. Built when a scope outgrows 16 entries. The digests are lazy: a change is noted with
//! the id that the digest still holds, and worked in when somebody asks for a root or a range, so
//! a slot overwritten ten times between two rounds costs one update.

use hashbrown::HashTable;
use slab::Slab;

use super::author::Author;
use super::entry::{Entry, EntryIx, NONE};
use super::pages::Pages;
use super::{Family, Hash, NodeId, Root, Store};
use crate::digest::Tree;
use crate::rng::mix;

/// Entries above which the index is built.
const BUILT_ABOVE: usize = 16;
/// Changes that wait at most between two merges.
pub(super) const MAX_DIRTY: usize = 4_096;

pub(super) struct Index {
    authors: HashTable<u32>,
    pub(super) pages: Pages,
    /// First entry of each key; the others hang behind it.
    keys: HashTable<EntryIx>,
    /// The next entry of the same key, for each entry.
    next: Vec<EntryIx>,
    pub(super) tree: Tree,
    /// Changed entries, each with the id that the digests hold for it.
    dirty: Vec<(EntryIx, Option<Hash>)>,
}

fn author_hash(id: &NodeId, seed: u64) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&id.0[..8]);
    mix(u64::from_le_bytes(first) ^ seed)
}

fn key_hash(family: Family, key: &[u8], seed: u64) -> u64 {
    use core::hash::{BuildHasher as _, Hasher as _};
    let mut hasher = foldhash::fast::FixedState::with_seed(seed).build_hasher();
    hasher.write_u8(family as u8);
    hasher.write(key);
    hasher.finish()
}

fn entry_key_hash(entry: &Entry, seed: u64) -> u64 {
    entry.key().map_or(0, |(family, key)| key_hash(family, key, seed))
}

impl Index {
    /// The entry behind `ix` in the list of its key.
    #[cfg(test)]
    pub(super) fn next_of(&self, ix: EntryIx) -> EntryIx {
        self.next[ix as usize]
    }

    /// Changes that wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.dirty.len()
    }

    pub(super) fn find_author(&self, id: &NodeId, authors: &[Author], seed: u64) -> Option<u32> {
        self.authors.find(author_hash(id, seed), |&a| authors[a as usize].id() == id).copied()
    }

    pub(super) fn add_author(&mut self, author: u32, authors: &[Author], seed: u64) {
        let hash = |a: &u32| author_hash(authors[*a as usize].id(), seed);
        self.authors.insert_unique(hash(&author), author, hash);
    }

    pub(super) fn remove_author(&mut self, author: u32, authors: &[Author], seed: u64) {
        let hash = author_hash(authors[author as usize].id(), seed);
        if let Ok(place) = self.authors.find_entry(hash, |&a| a == author) {
            place.remove();
        }
    }

    /// Notes that `entry` is about to change its id.
    pub(super) fn changes(&mut self, ix: EntryIx, entry: &mut Entry) {
        if !entry.dirty {
            entry.dirty = true;
            self.dirty.push((ix, Some(entry.id)));
        }
    }

    /// Works all changes into the digests: first into the tree, then into the lattice hash.
    fn flush(&mut self, entries: &mut Slab<Entry>, authors: &[Author]) {
        for (ix, old) in &self.dirty {
            let e = &mut entries[*ix as usize];
            e.dirty = false;
            let new = &e.id;
            let at = e.position(authors[e.author as usize].salt);
            match old {
                None => self.tree.insert(at, new, *ix),
                Some(old) => {
                    let found = self.tree.replace(at, old, new);
                    assert!(found, "the tree holds what the digest was told");
                }
            }
        }
        self.pages.changed(&self.dirty, entries);
        self.dirty.clear();
    }

    pub(super) fn root(&self) -> Root {
        self.pages.root()
    }
}

impl Store {
    /// Brings the digests up to date; the root and the ranges are read after it.
    pub fn flush(&mut self) {
        if let Some(index) = &mut self.index {
            index.flush(&mut self.entries, &self.authors);
        }
    }

    /// A new entry enters the tables, but for the one of keys: see [`Store::link_key`].
    pub(super) fn index_new(&mut self, ix: EntryIx) {
        if self.index.is_none() {
            if self.entries.len() > BUILT_ABOVE {
                self.build_index(ix);
            }
            return;
        }
        let e = &self.entries[ix as usize];
        let marker = e.is_marker();
        let loner = self.index.as_ref().filter(|_| !marker);
        let loner = loner.and_then(|i| i.pages.loner(e.author, e.slot, &self.entries));
        if loner.is_some_and(|e| self.entries[e as usize].dirty) {
            self.flush();
        }
        let Some(index) = &mut self.index else { return };
        self.entries[ix as usize].dirty = true;
        index.dirty.push((ix, None));
        let places = index.next.len().max(ix as usize + 1);
        index.next.resize(places, NONE);
        if !marker {
            index.pages.insert(ix, &self.entries);
        }
    }

    /// Works the changes in if too many wait. After each merge, which makes a few hundred at most.
    pub(super) fn bound_changes(&mut self) {
        if self.index.as_ref().is_some_and(|index| index.dirty.len() >= MAX_DIRTY) {
            self.flush();
        }
    }

    /// Builds the tables of all entries; `newest` is linked to its key by who made it.
    fn build_index(&mut self, newest: EntryIx) {
        let (authors, keys, next, tree, dirty) = Default::default();
        let pages = Pages::new(self.hash_seed);
        self.index = Some(Box::new(Index { authors, pages, keys, next, tree, dirty }));
        let there = |author: &u32| !self.authors[*author as usize].is_vacant();
        let all: Vec<u32> = (0..self.authors.len() as u32).filter(there).collect();
        for author in all {
            if let Some(index) = &mut self.index {
                index.add_author(author, &self.authors, self.hash_seed);
            }
        }
        let all: Vec<EntryIx> = self.entries.iter().map(|(ix, _)| ix as EntryIx).collect();
        for entry in all {
            self.index_new(entry);
            if entry != newest {
                self.link_key(entry);
            }
        }
    }

    /// An entry leaves the tables and the digests.
    pub(super) fn index_gone(&mut self, ix: EntryIx) {
        if self.entries[ix as usize].dirty {
            self.flush();
        }
        let Some(index) = &mut self.index else { return };
        let e = &self.entries[ix as usize];
        let at = e.position(self.authors[e.author as usize].salt);
        index.tree.remove(at, &e.id);
        index.pages.remove(ix, &self.entries);
    }

    /// Hangs an entry that hangs nowhere in front of the list of its key.
    pub(super) fn link_key(&mut self, ix: EntryIx) {
        let Some(index) = &mut self.index else { return };
        let (entries, seed) = (&self.entries, self.hash_seed);
        let Some((family, key)) = entries[ix as usize].key() else { return };
        let hash = key_hash(family, key, seed);
        let same = |&first: &EntryIx| entries[first as usize].key() == Some((family, key));
        match index.keys.find_mut(hash, same) {
            Some(first) => {
                let behind = core::mem::replace(first, ix);
                index.next[ix as usize] = behind;
            }
            None => {
                let hash_of = |&e: &EntryIx| entry_key_hash(&entries[e as usize], seed);
                index.keys.insert_unique(hash, ix, hash_of);
            }
        }
    }

    /// Takes an entry out of the list of its key.
    pub(super) fn unlink_key(&mut self, ix: EntryIx) {
        let Some(index) = &mut self.index else { return };
        let (entries, seed) = (&self.entries, self.hash_seed);
        let Some((family, key)) = entries[ix as usize].key() else { return };
        let hash = key_hash(family, key, seed);
        let same = |&first: &EntryIx| entries[first as usize].key() == Some((family, key));
        let Ok(mut head) = index.keys.find_entry(hash, same) else { return };
        let next = index.next[ix as usize];
        let mut at = *head.get();
        if at == ix {
            if next == NONE {
                head.remove();
            } else {
                *head.get_mut() = next;
            }
        }
        while at != ix && at != NONE {
            let behind = index.next[at as usize];
            if behind == ix {
                index.next[at as usize] = next;
            }
            at = behind;
        }
        index.next[ix as usize] = NONE;
    }

    /// Entries of one key.
    pub(super) fn entries_of(&self, family: Family, key: &[u8]) -> Vec<EntryIx> {
        let is = |e: &Entry| e.key() == Some((family, key));
        let Some(index) = &self.index else {
            return self.entries.iter().filter(|(_, e)| is(e)).map(|(i, _)| i as u32).collect();
        };
        let hash = key_hash(family, key, self.hash_seed);
        let mut at = index.keys.find(hash, |&e| is(&self.entries[e as usize])).copied();
        let next = |ix: EntryIx| Some(index.next[ix as usize]).filter(|&n| n != NONE);
        let mut entries = Vec::new();
        while let Some(entry) = at {
            entries.push(entry);
            at = next(entry);
        }
        entries
    }
}
