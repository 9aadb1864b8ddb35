//! What others read: the gate (is this new?), reconciliation (what is in this range?), views (who
//! wrote this key?) and the writer (which slots are mine?).

use std::sync::Arc;

use super::author::Author;
use super::departed::is_farewell;
use super::entry::{Entry, EntryIx};
use super::frames::{NEWEST, Place};
use super::{Family, NodeId, SignedHeader, Slot, Store};
use crate::crdt::Contribution;
use crate::digest::salted::salted_summary;
use crate::digest::{Position, Prefix, Summary, Tree};
use crate::error::Refused;
use crate::frame::{FrameRef, Record, Sealed, Tag};

/// What a replica knows of a message before it checks the signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Known {
    /// Nothing in it is new.
    Duplicate,
    /// The header is verified already; the records are not.
    Header(Arc<SignedHeader>),
    /// It has to be checked whole.
    Nothing,
}

impl Store {
    /// What is known of `sealed`.
    ///
    /// # Errors
    /// Why it would not be merged, whatever its signature.
    pub fn knows(&self, sealed: &Sealed) -> Result<Known, Refused> {
        let header = sealed.header();
        let fields = &header.fields;
        let Some(author) = self.find_author(&fields.author) else {
            let departs = is_farewell(sealed.records().map(|(_, record)| record));
            let room = departs || self.has_room_for_an_author();
            return if room { Ok(Known::Nothing) } else { Err(Refused::AuthorLimit) };
        };
        let who = &self.authors[author as usize];
        if sealed.tag() == Tag::Conviction {
            let known = who.identity_convicted() || who.refuses(fields.incarnation).is_some();
            let exact = who.proofs().any(|p| p[0].fields.incarnation == fields.incarnation);
            return Ok(if known && (exact || who.identity_convicted()) {
                Known::Duplicate
            } else {
                Known::Nothing
            });
        }
        if let Some(why) = who.refuses(fields.incarnation) {
            return Err(why);
        }
        let floor = who.floor();
        if (fields.incarnation, fields.seq_end()) <= floor {
            return Err(Refused::Floored);
        }
        let nothing_new = sealed.records().all(|(seq, record)| {
            let entry = self.find_slot(author, record.head.slot);
            let age = (fields.incarnation, seq);
            let there = |ix: EntryIx| self.age(&self.entries[ix as usize]);
            age < floor || entry.is_some_and(|ix| there(ix) >= age)
        });
        match self.place_of(author, header) {
            Place::Kept(frame) if *self.frames[frame as usize].header == **header => {
                let state = &self.frames[frame as usize];
                let complete = sealed.tag() == Tag::Frame && state.complete;
                let duplicate = nothing_new || complete;
                let known = Arc::clone(&state.header);
                Ok(if duplicate { Known::Duplicate } else { Known::Header(known) })
            }
            // Other bytes of the same signature, or a fork.
            Place::Kept(_) | Place::Forks(_) => Ok(Known::Nothing),
            Place::Free(at) => {
                // It would be merged and forgotten at once.
                let old = at + NEWEST <= who.frames.len();
                Ok(if old && nothing_new { Known::Duplicate } else { Known::Nothing })
            }
        }
    }

    pub(super) fn find_frame(&self, wanted: &FrameRef) -> Option<u32> {
        let author = self.find_author(&wanted.author)?;
        let frames = &self.authors[author as usize].frames;
        let key_of = |f: &u32| self.frames[*f as usize].key();
        let at = frames.binary_search_by_key(&(wanted.incarnation, wanted.seq_lo), key_of).ok()?;
        let frame = frames[at];
        let named = FrameRef::of(&self.frames[frame as usize].header.fields) == *wanted;
        named.then_some(frame)
    }

    /// Whether the whole frame was merged before.
    #[must_use]
    pub fn has_frame(&self, wanted: &FrameRef) -> bool {
        self.find_frame(wanted).is_some_and(|f| self.frames[f as usize].complete)
            || self.author_is_past(wanted)
    }

    /// Whether a frame is older than what is kept, begins below the floor, or has a convicted
    /// author: not worth asking for; repair brings what may live of it.
    fn author_is_past(&self, wanted: &FrameRef) -> bool {
        let Some(author) = self.find_author(&wanted.author) else { return false };
        let who = &self.authors[author as usize];
        let oldest = who.frames.first().map(|&f| &self.frames[f as usize].header.fields);
        let past = |o: &crate::frame::Header| {
            who.frames.len() >= NEWEST
                && (wanted.incarnation, wanted.seq_lo) < (o.incarnation, o.seq_lo)
        };
        let floored = (wanted.incarnation, wanted.seq_lo) < who.floor();
        floored || who.refuses(wanted.incarnation).is_some() || oldest.is_some_and(past)
    }

    /// The author's newest header.
    #[must_use]
    pub fn head(&self, author: &NodeId) -> Option<&Arc<SignedHeader>> {
        let author = self.find_author(author)?;
        let newest = self.authors[author as usize].frames.last()?;
        Some(&self.frames[*newest as usize].header)
    }

    /// Digests of the sixteenths of `prefix`: of the kept tree for salt 0, else a recount.
    #[must_use]
    pub fn children(&mut self, prefix: Prefix, salt: u64) -> [Summary; 16] {
        if salt == 0 {
            return self.with_tree(|tree| tree.children(prefix));
        }
        // Only what lies below: a message names hundreds of prefixes.
        let below = self.with_tree(|tree| {
            let mut below = Vec::new();
            tree.items(prefix, |at, entry| below.push((at, entry)));
            below
        });
        let id = |&(at, entry): &(Position, u32)| (at, &self.entries[entry as usize].id);
        salted_summary(salt, prefix, below.iter().map(id))
    }

    /// Items of `prefix`: position, first 8 bytes of the id, entry; by position and id.
    #[must_use]
    pub fn items(&mut self, prefix: Prefix) -> Vec<(Position, u64, EntryIx)> {
        let mut items = self.with_tree(|tree| {
            let mut items = Vec::new();
            tree.items(prefix, |at, entry| items.push((at, 0, entry)));
            items
        });
        for (_, tag, entry) in &mut items {
            *tag = crate::digest::tag(&self.entries[*entry as usize].id) as u64;
        }
        items.sort_unstable();
        items
    }

    fn with_tree<T>(&mut self, read: impl FnOnce(&Tree) -> T) -> T {
        self.flush();
        if let Some(index) = &self.index {
            return read(&index.tree);
        }
        let mut tree = Tree::default();
        for (ix, e) in &self.entries {
            tree.insert(self.position(e), &e.id, ix as EntryIx);
        }
        read(&tree)
    }

    pub(super) fn position(&self, entry: &Entry) -> Position {
        entry.position(self.authors[entry.author as usize].salt)
    }

    /// Live records of one key, in no particular order.
    #[must_use]
    pub fn contributions(&self, family: Family, key: &[u8]) -> Vec<Contribution<'_>> {
        let entries = self.entries_of(family, key);
        entries.into_iter().filter_map(|ix| self.contribution(ix)).collect()
    }

    /// The record of one entry; `None` for heads and convictions.
    #[must_use]
    pub fn contribution(&self, ix: EntryIx) -> Option<Contribution<'_>> {
        let e = self.entries.get(ix as usize)?;
        let record = Record::stored(&e.bytes)?;
        let (incarnation, seq) = self.age(e);
        let author = *self.authors[e.author as usize].id();
        Some(Contribution { author, incarnation, seq, id: e.id, record })
    }

    /// The record in a slot.
    #[must_use]
    pub fn record(&self, author: &NodeId, slot: Slot) -> Option<Contribution<'_>> {
        self.contribution(self.entry_at(author, slot)?)
    }

    /// The entry of a slot, [`Slot::HEAD`] included.
    #[must_use]
    pub fn entry_at(&self, author: &NodeId, slot: Slot) -> Option<EntryIx> {
        self.find_slot(self.find_author(author)?, slot)
    }

    /// Every entry of one author: records and head.
    #[must_use]
    pub fn entries_by(&self, author: &NodeId) -> Vec<EntryIx> {
        let Some(author) = self.find_author(author) else { return Vec::new() };
        let who = &self.authors[author as usize];
        let records = who.frames.iter().flat_map(|&f| self.frames[f as usize].live());
        records.chain(self.find_slot(author, Slot::HEAD)).collect()
    }

    /// Every entry of a scope that has not more than `max` of them; for the first hello.
    pub fn all_entries(&self) -> impl Iterator<Item = EntryIx> + '_ {
        self.entries.iter().map(|(ix, _)| ix as EntryIx)
    }

    /// Authors with their member records, in order of their arrival.
    pub fn authors(&self) -> impl Iterator<Item = &NodeId> {
        self.authors.iter().filter(|a| !a.is_vacant()).map(Author::id)
    }
}
