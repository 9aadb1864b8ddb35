//! Authors that left: their member record says goodbye, and nothing else of them is to outlive it.
//! They do not count against `max_authors`, else a mesh of short lives would be full one day; as
//! many of them are kept beside the others, those whose goodbye is the latest.
//!
//! ```text
//!   goodbye, flagged "may go with its author" ──┐ nothing but such records
//!                                               v
//!   authors ── max_authors that count ── departed: as many of the latest ──> forgotten
//! ```
//!
//! The latest of all goodbyes are the same whatever came first, so replicas agree. A goodbye keeps
//! older records of its author out for as long as it is kept.

use super::{NodeId, OnChange, Slot, Store};
use crate::frame::{Record, Verified};
use crate::identity::Incarnation;
use crate::time::Hlc;

/// Whether a message says goodbye and holds nothing that is to outlive its author.
pub(super) fn departs(v: &Verified) -> bool {
    is_farewell(v.leaves().iter().filter_map(|leaf| Record::stored(v.record_bytes(leaf))))
}

/// The same of its records.
pub(super) fn is_farewell<'a>(records: impl Iterator<Item = Record<'a>>) -> bool {
    let mut goodbye = false;
    for record in records {
        if !record.head.ephemeral {
            return false;
        }
        goodbye |= record.head.slot == Slot::MEMBER;
    }
    goodbye
}

impl Store {
    /// Authors that left and of whom nothing is to be kept for long. O(n).
    #[must_use]
    pub fn departed_count(&self) -> usize {
        self.authors.iter().filter(|author| author.is_departed()).count()
    }

    /// After a merge: whether the author is gone now, or back.
    pub(super) fn departure_of(&mut self, author: u32, v: &Verified, on: OnChange<'_>) {
        let speaks = |bytes: &[u8]| bytes[..2] == Slot::MEMBER.0.to_le_bytes();
        let mut leaves = v.leaves().iter().map(|leaf| v.record_bytes(leaf));
        if self.authors[author as usize].is_departed() || leaves.any(speaks) {
            self.note_departure(author);
            self.forget_the_first(on);
        }
    }

    /// Whoever came in with a goodbye and is to be kept after all needs a place like everybody. If
    /// there is none, it goes; answers whether it did.
    pub(super) fn goes_for_lack_of_room(&mut self, author: u32, on: OnChange<'_>) -> bool {
        if self.authors[author as usize].is_departed() {
            self.note_departure(author);
        }
        if self.counted_authors() <= self.settings.genesis.limits.max_authors as usize {
            return false;
        }
        let id = *self.authors[author as usize].id();
        self.drop_up_to(&id, Incarnation(u64::MAX), on);
        true
    }

    pub(super) fn note_departure(&mut self, author: u32) {
        let gone = self.goodbye_of(author).is_some();
        let who = &mut self.authors[author as usize];
        match (who.is_departed(), gone) {
            (false, true) => self.uncounted += 1,
            (true, false) => self.uncounted -= 1,
            _ => return,
        }
        who.rare.get_or_insert_default().departed = gone;
    }

    /// When the author said goodbye, if nothing else of it is to be kept.
    fn goodbye_of(&self, author: u32) -> Option<(Hlc, NodeId, Incarnation)> {
        let flagged = |entry| {
            let held = self.contribution(entry)?;
            held.record.head.ephemeral.then_some((held.record.head.hlc, held.incarnation))
        };
        let (at, incarnation) = flagged(self.find_slot(author, Slot::MEMBER)?)?;
        let who = &self.authors[author as usize];
        let mut live = who.frames.iter().flat_map(|&frame| self.frames[frame as usize].live());
        let gone = who.convicted() == 0 && live.all(|entry| flagged(entry).is_some());
        gone.then_some((at, *who.id(), incarnation))
    }

    /// Of too many that left, those go that left first.
    fn forget_the_first(&mut self, on: OnChange<'_>) {
        let most = self.settings.genesis.limits.max_authors as usize;
        while self.uncounted as usize > most && self.departed_count() > most {
            let departed = (0..self.authors.len() as u32)
                .filter(|author| self.authors[*author as usize].is_departed());
            let first = departed.filter_map(|author| self.goodbye_of(author)).min();
            let Some((_, id, incarnation)) = first else { return };
            self.drop_up_to(&id, incarnation, on);
        }
    }
}
