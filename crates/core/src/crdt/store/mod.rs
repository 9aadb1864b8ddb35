//! The replicated state of one scope: for each author and slot the newest record, with what proves
//! it. Merge keeps the greatest (incarnation, seq, id) of a slot, so replicas that saw the same
//! records in any order hold the same state.
//!
//! ```text
//!   Verified --merge--> authors  who may write: floors, convictions, headers seen
//!                         |
//!                       frames   a header and what is left of its Merkle tree
//!                         |
//!                       entries  one per slot: bytes, id ----> index (above 16 entries)
//!                                                              pages, keys, tree, lattice hash
//!   repair  <--export-- entries + frames: whole frames or proofs
//!   views   <--read---- entries of a key
//! ```
//!
//! A scope of up to 16 entries is a few small lists; above, an index is kept. What a
//! signature does not cover is nowhere in here: acceptance depends on the record, the limits of
//! the mesh, floors and convictions only.

mod author;
mod departed;
mod entry;
mod export;
mod frames;
mod index;
mod pages;
mod read;

use std::sync::Arc;

use slab::Slab;

use crate::config::Settings;
use crate::crdt::Family;
use crate::digest::Root;
use crate::error::Refused;
use crate::frame::{Class, Hash, SignedHeader, Slot, Verified};
use crate::identity::{Incarnation, NodeId, Seq};
use author::Author;
use departed::departs;
pub use entry::EntryIx;
use entry::{Destination, Entry};
pub use export::Exported;
use frames::FrameState;
use index::Index;
pub use read::Known;

/// The records of one scope.
pub struct Store {
    settings: Arc<Settings>,
    class: Class,
    /// Keys the hash tables, so that nobody outside can choose collisions.
    hash_seed: u64,
    authors: Vec<Author>,
    /// Places in `authors` that do not count against the limit: free ones, and those of authors
    /// that left and of whom nothing is to be kept for long.
    uncounted: u32,
    frames: Slab<FrameState>,
    entries: Slab<Entry>,
    index: Option<Box<Index>>,
    root: Option<Root>,
}

/// What a merge did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Merged {
    /// Records that are now the newest of their slots.
    pub won: u32,
    /// Records that were not newer than what was there.
    pub stale: u32,
    /// A fork came to light: this incarnation of the author is convicted.
    pub convicted: Option<Incarnation>,
    /// Why the whole message was refused; nothing changed.
    pub refused: Option<Refused>,
}

/// Hears which views a merge may have changed.
pub type OnChange<'a> = &'a mut dyn FnMut(Family, &[u8]);

impl Store {
    /// An empty scope. `hash_seed` is the node's own secret.
    #[must_use]
    pub fn new(settings: Arc<Settings>, class: Class, hash_seed: u64) -> Self {
        Store {
            settings,
            class,
            hash_seed,
            authors: Vec::new(),
            uncounted: 0,
            frames: Slab::new(),
            entries: Slab::new(),
            index: None,
            root: None,
        }
    }

    /// Takes a verified message in. Entries that changed are appended to `won`.
    ///
    /// # Panics
    /// If the message is of another scope class: the node routes it.
    pub fn merge(&mut self, v: &Verified, won: &mut Vec<EntryIx>, on: OnChange<'_>) -> Merged {
        let fields = &v.header().fields;
        assert_eq!(fields.class, self.class, "a message goes to the store of its scope");
        let author = match self.author_for(v.header(), departs(v)) {
            Ok(author) => author,
            Err(why) => return Merged { refused: Some(why), ..Merged::default() },
        };
        let first = won.len();
        let merged = self.merge_of(author, v, won, on);
        if self.goes_for_lack_of_room(author, on) {
            won.truncate(first);
            return Merged { refused: Some(Refused::AuthorLimit), ..Merged::default() };
        }
        merged
    }

    fn merge_of(
        &mut self,
        author: u32,
        v: &Verified,
        won: &mut Vec<EntryIx>,
        on: OnChange<'_>,
    ) -> Merged {
        let fields = &v.header().fields;
        let mut merged = Merged::default();
        if let Some(other) = v.other() {
            let incarnation = other.fields.incarnation.max(fields.incarnation);
            if self.convict(author, incarnation, [v.header(), other], won, on) {
                merged.convicted = Some(incarnation);
            }
            return merged;
        }
        if let Some(why) = self.authors[author as usize].refuses(fields.incarnation) {
            return Merged { refused: Some(why), ..merged };
        }
        match self.note_header(author, v.header()) {
            Ok(frame) => {
                self.merge_records(v, author, frame, &mut merged, won, on);
                self.advance_head(author, won, on);
                self.trim_frames(author, frame);
                self.departure_of(author, v, on);
                self.bound_changes();
            }
            Err(known) => {
                let incarnation = fields.incarnation;
                self.convict(author, incarnation, [&known, v.header()], won, on);
                merged.convicted = Some(incarnation);
            }
        }
        merged
    }

    fn merge_records(
        &mut self,
        v: &Verified,
        author: u32,
        frame: u32,
        merged: &mut Merged,
        won: &mut Vec<EntryIx>,
        on: OnChange<'_>,
    ) {
        let floor = self.authors[author as usize].floor();
        let incarnation = v.header().fields.incarnation;
        self.frames[frame as usize].expect(v.leaves().len());
        let first = won.len();
        let destinations: Vec<Destination> =
            v.leaves().iter().map(|leaf| self.destination(author, v.record_bytes(leaf))).collect();
        // The newest first: what the frame itself overwrites never enters, so a frame cannot lose
        // its last live record, and be forgotten, while it is merged.
        for (leaf, destination) in v.leaves().iter().zip(destinations).rev() {
            let age = (incarnation, v.seq(leaf));
            let put = entry::Put { author, frame, leaf, age, bytes: v.record_bytes(leaf) };
            match (age >= floor).then(|| self.put(&put, destination, on)).flatten() {
                Some(entry) => {
                    merged.won += 1;
                    won.push(entry);
                }
                None => merged.stale += 1,
            }
        }
        won[first..].reverse();
        if let Some(tree) = v.tree() {
            self.frames[frame as usize].whole_frame_came(tree, merged.won > 0);
        }
        self.settle(frame);
    }

    /// Keeps the newest header as the entry HEAD and applies the floor that it signs.
    fn advance_head(&mut self, author: u32, won: &mut Vec<EntryIx>, on: OnChange<'_>) {
        let Some(&newest) = self.authors[author as usize].frames.last() else { return };
        let header = Arc::clone(&self.frames[newest as usize].header);
        let id = header.id(&self.settings.mesh);
        if let Some(entry) = self.put_head(author, newest, id) {
            won.push(entry);
            self.set_newest(author, header, on);
        }
    }

    /// The root over all entries: equal roots are equal states.
    pub fn root(&mut self) -> Root {
        if let Some(root) = self.root {
            return root;
        }
        self.flush();
        let root = match &self.index {
            Some(index) => index.root(),
            None => pages::root_of(&self.entries),
        };
        self.root = Some(root);
        root
    }

    /// Entries, heads and convictions included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Authors that something is known of. O(n).
    #[must_use]
    pub fn author_count(&self) -> usize {
        self.authors.iter().filter(|author| !author.is_vacant()).count()
    }

    /// The scope class.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }
}

#[cfg(test)]
mod tests;
