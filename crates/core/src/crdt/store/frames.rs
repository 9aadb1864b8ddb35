//! Frames as a replica keeps them: the header, who of its records is still live, and as much of
//! the Merkle tree as proofs of those need.
//!
//! A whole frame comes with all nodes of its tree. While most of its records live, they are kept
//! (64 bytes a record, shared with the message) and paths are read from them when repair asks. When
//! so few live that their paths are smaller, each of them gets its path and the tree goes: with its
//! share of the header at most 510 bytes of proof a record at 128 records a frame. Nothing is
//! hashed again: every frame comes to this point, and hashing was a quarter of a merge.

use std::sync::Arc;

use super::entry::Age;
use super::{EntryIx, Hash, Incarnation, Seq, SignedHeader, Store};
use crate::frame::merkle;

/// Headers kept of each author beside those of live records: to recognise forks.
pub(super) const NEWEST: usize = 8;

pub(super) struct FrameState {
    pub(super) header: Arc<SignedHeader>,
    live: Live,
    /// All nodes of the tree, while many of the records live.
    tree: Option<Arc<[Hash]>>,
    /// The whole frame was merged once: its like is a duplicate.
    pub(super) complete: bool,
}

/// The live records of a frame, position in it and entry, by position. One alone takes no
/// allocation: that is what most frames come to.
enum Live {
    One((u16, EntryIx)),
    Many(Vec<(u16, EntryIx)>),
}

impl Live {
    fn list(&self) -> &[(u16, EntryIx)] {
        match self {
            Live::One(live) => core::slice::from_ref(live),
            Live::Many(live) => live,
        }
    }

    /// Gives back what is reserved for more.
    fn shrink(&mut self) {
        if let Live::Many(live) = self {
            match live[..] {
                [only] => *self = Live::One(only),
                _ => live.shrink_to_fit(),
            }
        }
    }
}

impl FrameState {
    fn new(header: Arc<SignedHeader>) -> Self {
        FrameState { header, live: Live::Many(Vec::new()), tree: None, complete: false }
    }

    pub(super) fn key(&self) -> (Incarnation, Seq) {
        (self.header.fields.incarnation, self.header.fields.seq_lo)
    }

    /// Of the record at `index`.
    pub(super) fn age(&self, index: u16) -> Age {
        let (incarnation, first) = self.key();
        (incarnation, Seq(first.0 + u64::from(index)))
    }

    /// Entries that are live, in order of their position.
    pub(super) fn live(&self) -> Vec<EntryIx> {
        self.live.list().iter().map(|&(_, entry)| entry).collect()
    }

    pub(super) fn live_count(&self) -> usize {
        self.live.list().len()
    }

    pub(super) fn tree(&self) -> Option<&[Hash]> {
        self.tree.as_deref()
    }

    /// Makes room for `records` at once.
    pub(super) fn expect(&mut self, records: usize) {
        match &mut self.live {
            Live::Many(live) if live.len() + records > 1 => live.reserve_exact(records),
            _ => {}
        }
    }

    /// Bytes reserved for the list of live records.
    #[cfg(test)]
    pub(super) fn reserved(&self) -> usize {
        match &self.live {
            Live::One(_) => 0,
            Live::Many(live) => live.capacity() * size_of::<(u16, EntryIx)>(),
        }
    }

    pub(super) fn add(&mut self, index: u16, entry: EntryIx) {
        match &mut self.live {
            Live::One(live) if live.0 == index => live.1 = entry,
            Live::One(live) => {
                let mut both = vec![*live, (index, entry)];
                both.sort_unstable();
                self.live = Live::Many(both);
            }
            Live::Many(live) if live.capacity() == 0 => self.live = Live::One((index, entry)),
            Live::Many(live) => match live.binary_search_by_key(&index, |l| l.0) {
                Ok(at) => live[at].1 = entry,
                Err(at) => live.insert(at, (index, entry)),
            },
        }
    }

    pub(super) fn drop_live(&mut self, index: u16) {
        match &mut self.live {
            Live::One(live) if live.0 == index => self.live = Live::Many(Vec::new()),
            Live::One(_) => {}
            Live::Many(live) => {
                if let Ok(at) = live.binary_search_by_key(&index, |l| l.0) {
                    live.remove(at);
                    if 4 * live.len() <= live.capacity() {
                        self.live.shrink();
                    }
                }
            }
        }
    }

    /// Every node is known now; kept if one of the records is live and there is a tree at all.
    pub(super) fn whole_frame_came(&mut self, tree: &Arc<[Hash]>, useful: bool) {
        self.complete = true;
        if useful && self.header.fields.count > 1 {
            self.tree = Some(Arc::clone(tree));
        }
    }

    /// So few records live that their paths are smaller than the tree.
    fn wants_paths(&self) -> bool {
        let longest = merkle::siblings(0, usize::from(self.header.fields.count));
        self.tree.as_ref().is_some_and(|tree| self.live.list().len() * longest < tree.len())
    }
}

/// Where a header stands among those kept of its author.
pub(super) enum Place {
    /// It is kept: this frame.
    Kept(u32),
    /// It proves a fork together with the header of this frame.
    Forks(u32),
    /// It belongs here in the list of frames.
    Free(usize),
}

impl Store {
    /// Where `header` stands. Headers that are kept do not overlap, so looking at the two beside
    /// it is enough.
    pub(super) fn place_of(&self, author: u32, header: &SignedHeader) -> Place {
        let key = (header.fields.incarnation, header.fields.seq_lo);
        let list = &self.authors[author as usize].frames;
        let at = list.partition_point(|&f| self.frames[f as usize].key() < key);
        let neighbours = [at.checked_sub(1), Some(at)].into_iter().flatten();
        for &frame in neighbours.filter_map(|i| list.get(i)) {
            let known = &self.frames[frame as usize].header;
            if known.same_content(header) {
                return Place::Kept(frame);
            }
            if known.equivocates(header) {
                return Place::Forks(frame);
            }
        }
        Place::Free(at)
    }

    /// The place of `header` among its author's frames, made if new. `Err` holds a known header
    /// that proves a fork together with this one.
    pub(super) fn note_header(
        &mut self,
        author: u32,
        header: &Arc<SignedHeader>,
    ) -> Result<u32, Arc<SignedHeader>> {
        let at = match self.place_of(author, header) {
            Place::Kept(frame) => return Ok(frame),
            Place::Forks(frame) => return Err(Arc::clone(&self.frames[frame as usize].header)),
            Place::Free(at) => at,
        };
        if self.frames.capacity() < 8 {
            self.frames.reserve_exact(1);
        }
        let frame = self.frames.insert(FrameState::new(Arc::clone(header))) as u32;
        self.authors[author as usize].add_frame(at, frame, header);
        Ok(frame)
    }

    /// Forgets `merged` if nothing of it lives, and the frame that fell out of the newest eight.
    pub(super) fn trim_frames(&mut self, author: u32, merged: u32) {
        let list = &self.authors[author as usize].frames;
        let fallen = list.len().checked_sub(NEWEST + 1).map(|i| list[i]);
        for frame in [Some(merged), fallen].into_iter().flatten() {
            self.forget_if_dead(author, frame);
        }
    }

    /// Forgets a frame without live records, unless it is among its author's newest eight.
    fn forget_if_dead(&mut self, author: u32, frame: u32) {
        let Some(state) = self.frames.get(frame as usize) else { return };
        if state.live_count() > 0 {
            return;
        }
        let key = state.key();
        let list = &mut self.authors[author as usize].frames;
        let at = list.partition_point(|&f| self.frames[f as usize].key() < key);
        if at + NEWEST < list.len() && list.get(at) == Some(&frame) {
            list.remove(at);
            self.frames.remove(frame as usize);
        }
    }

    /// The record of `entry` no longer lives in its frame: forgets or shrinks the frame.
    pub(super) fn release(&mut self, entry: EntryIx) {
        let (author, frame, index) = {
            let e = &self.entries[entry as usize];
            (e.author, e.frame, e.index)
        };
        let state = &mut self.frames[frame as usize];
        state.drop_live(index);
        if state.wants_paths() {
            self.write_paths(frame);
        }
        self.forget_if_dead(author, frame);
    }

    /// Gives back what a merge reserved or brought and what its live records do not need.
    pub(super) fn settle(&mut self, frame: u32) {
        if self.frames[frame as usize].wants_paths() {
            self.write_paths(frame);
        }
        self.frames[frame as usize].live.shrink();
    }

    /// Gives each live record its path and lets the tree go.
    fn write_paths(&mut self, frame: u32) {
        let state = &mut self.frames[frame as usize];
        let Some(tree) = state.tree.take() else { return };
        let count = usize::from(state.header.fields.count);
        state.live.shrink();
        for &(index, entry) in state.live.list() {
            let path = merkle::path_in(&tree, count, index);
            self.entries[entry as usize].path = Some(path.into());
        }
    }
}
