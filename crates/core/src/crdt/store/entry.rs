//! Entries: the newest record of each slot, the newest header of each author, and convictions.

use super::{Hash, Incarnation, OnChange, Seq, SignedHeader, Slot, Store};
use crate::crdt::{Family, key_of};
use crate::digest::Position;
use crate::frame::record::RECORD_HEAD_LEN;
use crate::frame::{Leaf, Record};

/// Names an entry while it lives; may name another one later.
pub type EntryIx = u32;

/// No entry.
pub(super) const NONE: EntryIx = u32::MAX;

/// Which of two records of one slot is newer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Version {
    pub(super) incarnation: Incarnation,
    pub(super) seq: Seq,
    pub(super) id: Hash,
}

pub(super) struct Entry {
    pub(super) author: u32,
    pub(super) frame: u32,
    /// Next entry of the same key.
    pub(super) next: EntryIx,
    pub(super) slot: Slot,
    pub(super) index: u16,
    /// Its change is not in the digest yet.
    pub(super) dirty: bool,
    pub(super) version: Version,
    /// The record; empty for heads and convictions.
    pub(super) bytes: Box<[u8]>,
    /// Siblings up to the root, when the frame keeps no leaves.
    pub(super) path: Option<Box<[Hash]>>,
    /// Of a conviction; others follow from author and slot.
    marker: Option<Box<Position>>,
}

impl Entry {
    pub(super) fn position(&self, salt: u64) -> Position {
        self.marker.as_ref().map_or_else(|| Position::of(salt, self.slot.0), |at| **at)
    }

    /// Whether it is a conviction.
    pub(super) fn is_marker(&self) -> bool {
        self.marker.is_some()
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

/// A verified record on its way into its slot.
pub(super) struct Put<'a> {
    pub(super) author: u32,
    pub(super) frame: u32,
    pub(super) leaf: &'a Leaf,
    pub(super) version: Version,
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
            Some(index) => index.find_slot(author, slot, &self.entries),
            None => self.entries.iter().find(|(_, e)| is(e)).map(|(ix, _)| ix as EntryIx),
        }
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
            Some(entry) if put.version <= self.entries[entry as usize].version => return None,
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
            next: NONE,
            slot,
            index: put.leaf.index,
            dirty: false,
            version: put.version,
            bytes: put.bytes.into(),
            path: (!put.leaf.path.is_empty()).then(|| put.leaf.path.clone()),
            marker: None,
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
        e.version = put.version;
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
    pub(super) fn put_head(
        &mut self,
        author: u32,
        frame: u32,
        id: Hash,
        header: &SignedHeader,
    ) -> Option<EntryIx> {
        let (incarnation, seq) = (header.fields.incarnation, header.fields.seq_end());
        let version = Version { incarnation, seq, id };
        if let Some(entry) = self.find_slot(author, Slot::HEAD) {
            let e = &mut self.entries[entry as usize];
            if e.version.id == id {
                return None;
            }
            self.root = None;
            if let Some(index) = &mut self.index {
                index.changes(entry, e);
            }
            (e.version, e.frame) = (version, frame);
            return Some(entry);
        }
        Some(self.add_marker(author, frame, Slot::HEAD, version, None))
    }

    /// A conviction as an entry at `at`.
    pub(super) fn put_marker(&mut self, author: u32, at: Position, id: Hash) -> EntryIx {
        let version = Version { incarnation: Incarnation(0), seq: Seq(0), id };
        self.add_marker(author, NONE, Slot::CONVICTION, version, Some(Box::new(at)))
    }

    fn add_marker(
        &mut self,
        author: u32,
        frame: u32,
        slot: Slot,
        version: Version,
        marker: Option<Box<Position>>,
    ) -> EntryIx {
        let (next, index, dirty, bytes, path) = (NONE, 0, false, Box::default(), None);
        self.add_entry(Entry {
            author,
            frame,
            next,
            slot,
            index,
            dirty,
            version,
            bytes,
            path,
            marker,
        })
    }

    /// Takes the conviction at `at` out.
    pub(super) fn remove_at(&mut self, at: Position, author: u32) {
        let is = |e: &Entry| e.author == author && e.marker.as_deref() == Some(&at);
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
