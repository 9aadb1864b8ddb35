//! Entries: the newest record of each slot, the newest header of each author, and convictions.

use super::{Hash, Incarnation, OnChange, Seq, Slot, Store};
use crate::crdt::{Family, key_of};
use crate::digest::Position;
use crate::frame::record::RECORD_HEAD_LEN;
use crate::frame::{Leaf, Record};

/// Names an entry while it lives; may name another one later.
pub type EntryIx = u32;

/// No entry.
pub(super) const NONE: EntryIx = u32::MAX;

/// A replicated record, header or conviction. Which incarnation and sequence number a record has
/// follows from its frame: see [`Store::age`].
pub(super) struct Entry {
    pub(super) author: u32,
    pub(super) frame: u32,
    pub(super) slot: Slot,
    pub(super) index: u16,
    /// Its change is not in the digest yet.
    pub(super) dirty: bool,
    pub(super) id: Hash,
    /// The record; nothing for heads, and for convictions the position in the digest tree.
    pub(super) bytes: Box<[u8]>,
    /// Siblings up to the root, when the frame keeps no leaves.
    pub(super) path: Option<Box<[Hash]>>,
}

impl Entry {
    pub(super) fn position(&self, salt: u64) -> Position {
        match <[u8; 8]>::try_from(&*self.bytes) {
            Ok(at) if self.is_marker() => Position(u64::from_le_bytes(at)),
            _ => Position::of(salt, self.slot.0),
        }
    }

    /// Whether it is a conviction.
    pub(super) fn is_marker(&self) -> bool {
        self.slot == Slot::CONVICTION
    }

    /// Family and key of the view that shows it.
    pub(super) fn key(&self) -> Option<(Family, &[u8])> {
        key_in(&self.bytes)
    }
}

/// Family and key of the view that shows the record `bytes`. Records without trace context have
/// their payload right behind the fields: no full decode on the hot path.
fn key_in(bytes: &[u8]) -> Option<(Family, &[u8])> {
    let (head, payload) = bytes.split_at_checked(RECORD_HEAD_LEN)?;
    if head[3] & 4 != 0 {
        let record = Record::stored(bytes)?;
        return key_of(record.head.kind, record.payload);
    }
    key_of(crate::frame::Kind(head[2]), payload)
}

/// Incarnation and sequence number: of two records of one slot the later one stands, and where an
/// author signed two of one age, the one with the greater id.
pub(super) type Age = (Incarnation, Seq);

/// A verified record on its way into its slot.
pub(super) struct Put<'a> {
    pub(super) author: u32,
    pub(super) frame: u32,
    pub(super) leaf: &'a Leaf,
    pub(super) age: Age,
    pub(super) bytes: &'a [u8],
}

/// Where a record goes, looked up before the records of its message are put: the look-ups wait for
/// memory, and without writes between them the processor lets them wait together.
#[derive(Clone, Copy)]
pub(super) struct Destination {
    slot: Slot,
    entry: Option<EntryIx>,
    /// The entry is of the same view. It stays so until the record is put, because a message puts
    /// at most one record, its newest, into a slot.
    same_key: bool,
}

impl Store {
    /// Where the record `bytes` of `author` goes.
    pub(super) fn destination(&self, author: u32, bytes: &[u8]) -> Destination {
        let slot = Slot(u16::from_le_bytes([bytes[0], bytes[1]]));
        let entry = self.find_slot(author, slot);
        let same = |ix: EntryIx| self.entries[ix as usize].key() == key_in(bytes);
        Destination { slot, entry, same_key: entry.is_some_and(same) }
    }

    pub(super) fn find_slot(&self, author: u32, slot: Slot) -> Option<EntryIx> {
        let is = |e: &Entry| e.author == author && e.slot == slot && !e.is_marker();
        match &self.index {
            Some(index) => index.pages.find(author, slot, &self.entries),
            None => self.entries.iter().find(|(_, e)| is(e)).map(|(ix, _)| ix as EntryIx),
        }
    }

    /// The age of a record that lives in its frame.
    pub(super) fn age(&self, record: &Entry) -> Age {
        self.frames[record.frame as usize].age(record.index)
    }

    fn is_newer(&self, put: &Put<'_>, there: &Entry) -> bool {
        (put.age, &put.leaf.id) > (self.age(there), &there.id)
    }

    /// Puts a record into its slot if it is newer than what is there.
    pub(super) fn put(
        &mut self,
        put: &Put<'_>,
        place: Destination,
        on: OnChange<'_>,
    ) -> Option<EntryIx> {
        // A slot that was free may have been filled by a newer record of the same message.
        let there = place.entry.or_else(|| self.find_slot(put.author, place.slot));
        let entry = match there {
            Some(entry) if !self.is_newer(put, &self.entries[entry as usize]) => return None,
            Some(entry) => {
                // Before it leaves its old frame: if that is this one, it must not look dead.
                self.frames[put.frame as usize].add(put.leaf.index, entry);
                self.supersede(entry, put, place.same_key, on);
                entry
            }
            None => {
                let entry = self.add_entry(Self::fresh(put, place.slot));
                self.link_key(entry);
                self.frames[put.frame as usize].add(put.leaf.index, entry);
                entry
            }
        };
        self.root = None;
        if let Some((family, key)) = key_in(put.bytes) {
            on(family, key);
        }
        Some(entry)
    }

    fn fresh(put: &Put<'_>, slot: Slot) -> Entry {
        Entry {
            author: put.author,
            frame: put.frame,
            slot,
            index: put.leaf.index,
            dirty: false,
            id: put.leaf.id,
            bytes: put.bytes.into(),
            path: (!put.leaf.path.is_empty()).then(|| put.leaf.path.clone()),
        }
    }

    fn supersede(&mut self, entry: EntryIx, put: &Put<'_>, same_key: bool, on: OnChange<'_>) {
        self.release(entry);
        if !same_key {
            if let Some((family, key)) = self.entries[entry as usize].key() {
                on(family, key);
            }
            self.unlink_key(entry);
        }
        self.overwrite(entry, put);
        if !same_key {
            self.link_key(entry);
        }
    }

    fn overwrite(&mut self, entry: EntryIx, put: &Put<'_>) {
        let e = &mut self.entries[entry as usize];
        if let Some(index) = &mut self.index {
            index.changes(entry, e);
        }
        e.id = put.leaf.id;
        (e.frame, e.index) = (put.frame, put.leaf.index);
        if e.bytes.len() == put.bytes.len() {
            e.bytes.copy_from_slice(put.bytes);
        } else {
            e.bytes = put.bytes.into();
        }
        e.path = (!put.leaf.path.is_empty()).then(|| put.leaf.path.clone());
    }

    fn add_entry(&mut self, entry: Entry) -> EntryIx {
        if self.entries.capacity() < 8 {
            self.entries.reserve_exact(1);
        }
        let ix = self.entries.insert(entry) as EntryIx;
        self.root = None;
        self.index_new(ix);
        ix
    }

    /// The author's newest header as its entry HEAD; `None` if it is that already.
    pub(super) fn put_head(&mut self, author: u32, frame: u32, id: Hash) -> Option<EntryIx> {
        if let Some(entry) = self.find_slot(author, Slot::HEAD) {
            let e = &mut self.entries[entry as usize];
            if e.id == id {
                return None;
            }
            self.root = None;
            if let Some(index) = &mut self.index {
                index.changes(entry, e);
            }
            (e.id, e.frame) = (id, frame);
            return Some(entry);
        }
        Some(self.add_marker(author, frame, Slot::HEAD, id, Box::default()))
    }

    /// A conviction as an entry at `at`.
    pub(super) fn put_marker(&mut self, author: u32, at: Position, id: Hash) -> EntryIx {
        self.add_marker(author, NONE, Slot::CONVICTION, id, Box::new(at.0.to_le_bytes()))
    }

    fn add_marker(
        &mut self,
        author: u32,
        frame: u32,
        slot: Slot,
        id: Hash,
        bytes: Box<[u8]>,
    ) -> EntryIx {
        let (index, dirty, path) = (0, false, None);
        self.add_entry(Entry { author, frame, slot, index, dirty, id, bytes, path })
    }

    /// Takes the conviction at `at` out.
    pub(super) fn remove_at(&mut self, at: Position, author: u32) {
        let salt = self.authors[author as usize].salt;
        let is = |e: &Entry| e.author == author && e.is_marker() && e.position(salt) == at;
        let found = self.entries.iter().find(|(_, e)| is(e)).map(|(ix, _)| ix as EntryIx);
        if let Some(entry) = found {
            self.remove_entry(entry, &mut |_, _| ());
        }
    }

    /// Takes the author's HEAD out if it is one of `frames`.
    pub(super) fn remove_head_of(&mut self, author: u32, frames: &[u32]) {
        if let Some(entry) = self.find_slot(author, Slot::HEAD)
            && frames.contains(&self.entries[entry as usize].frame)
        {
            self.remove_entry(entry, &mut |_, _| ());
        }
    }

    /// Takes an entry out of every list but its frame's.
    pub(super) fn remove_entry(&mut self, entry: EntryIx, on: OnChange<'_>) {
        self.root = None;
        if let Some((family, key)) = self.entries[entry as usize].key() {
            on(family, key);
        }
        self.unlink_key(entry);
        self.index_gone(entry);
        self.entries.remove(entry as usize);
    }
}
