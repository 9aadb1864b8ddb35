//! What a writer had seen when it wrote: for each other author of the key the latest stamp. With it
//! a view tells an overwrite from a concurrent write, on any replica and whatever part of the
//! records it holds.
//!
//! ```text
//!   A: a1 ----------------- a2 {B: b1}          a1 was seen by b1, b1 by a2: one value, a2
//!        \                 /
//!   B:    `-- b1 {A: a1} -'---- b2 {A: a1}      a2 and b2 did not see each other: both stay
//! ```
//!
//! Why stamps and not record hashes: an author's stamps for one key rise, so "A up to h" covers the
//! records of A that this replica never held, and a list stays as short as the number of writers.
//! Lists are carried on, so one record speaks for its whole history: what was overwritten once does
//! not rise again when the record that overwrote it is replaced or has not arrived yet.
//!
//! A member of a set is such a register with the values "there" and "gone", and is there if one of
//! its values is. That equals the observed-remove set: an add that no remove had seen either stands
//! itself or was seen by a later add that does. So a re-add may take the slot of its author's
//! remove.
//!
//! Why that is safe against liars: a claim counts only below the stamp of the record that makes it,
//! and stamps ahead of mesh time do not pass the gate. A liar can hide what is older than its own
//! write, as any writer may, and the next write of its victim is above it again.

use std::collections::BTreeMap;

use crate::codec::{Reader, Writer};
use crate::error::Refused;
use crate::identity::NodeId;
use crate::time::Hlc;

/// Most entries of a list.
pub const MAX_SEEN: usize = 64;
/// Entries up to which history is carried on beside what a write must name.
const CARRIED: usize = 32;
/// Bytes of an entry: author tag, stamp.
pub(super) const ENTRY_LEN: usize = 16;

/// An author in a list: the first 8 bytes of its [`NodeId`]. A second key with the same tag costs
/// 2^64 tries against a given author.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AuthorTag(pub [u8; 8]);

impl AuthorTag {
    /// The tag of `author`.
    #[must_use]
    pub fn of(author: &NodeId) -> Self {
        let mut tag = [0; 8];
        tag.copy_from_slice(&author.0[..8]);
        AuthorTag(tag)
    }
}

/// A list in the bytes of a payload: `u8` count, then for each author in ascending order its tag
/// and the latest stamp seen. Checked when read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen<'a>(&'a [u8]);

impl<'a> Seen<'a> {
    /// Reads a list and leaves the cursor behind it; allocates nothing.
    ///
    /// # Errors
    /// [`Refused::Oversize`] above [`MAX_SEEN`] entries, [`Refused::Malformed`] if they do not
    /// ascend, [`Refused::Truncated`].
    pub fn read(r: &mut Reader<'a>) -> Result<Self, Refused> {
        let count = usize::from(r.u8()?);
        if count > MAX_SEEN {
            return Err(Refused::Oversize);
        }
        let seen = Seen(r.take(count * ENTRY_LEN)?);
        if !seen.iter().is_sorted_by(|a, b| a.0 < b.0) {
            return Err(Refused::Malformed);
        }
        Ok(seen)
    }

    /// Appends the list.
    pub fn write(self, w: &mut Writer) {
        w.u8((self.0.len() / ENTRY_LEN) as u8).bytes(self.0);
    }

    /// Bytes that [`Seen::write`] appends.
    pub(super) const fn wire_len(self) -> usize {
        1 + self.0.len()
    }

    /// Author and stamp of each entry, by ascending tag.
    pub fn iter(self) -> impl Iterator<Item = (AuthorTag, Hlc)> + Clone + 'a {
        let mut r = Reader::new(self.0);
        core::iter::from_fn(move || Some((AuthorTag(r.array().ok()?), Hlc(r.u64().ok()?))))
    }

    /// The list in `entries`, which [`join`] wrote.
    pub(super) const fn of(entries: &'a [u8]) -> Self {
        Seen(entries)
    }
}

/// A record of one key (and member) as causality sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write<'a> {
    pub(super) author: AuthorTag,
    pub(super) hlc: Hlc,
    pub(super) seen: Seen<'a>,
}

impl Write<'_> {
    /// What it overwrites: the claims below its own stamp, and its author's earlier records.
    fn claims(&self) -> impl Iterator<Item = (AuthorTag, Hlc)> {
        let (author, hlc) = (self.author, self.hlc);
        let own = hlc.0.checked_sub(1).map(|below| (author, Hlc(below)));
        self.seen.iter().filter(move |&(tag, seen)| tag != author && seen < hlc).chain(own)
    }
}

/// How far each author of a set of writes is overwritten by the others.
pub(super) struct Overwritten(Vec<(AuthorTag, Option<Hlc>)>);

impl Overwritten {
    /// Collects the claims of `writes`. Memory: one entry per author of them.
    pub(super) fn by<'a>(writes: impl Iterator<Item = Write<'a>> + Clone) -> Self {
        let mut authors: Vec<_> = writes.clone().map(|w| (w.author, None)).collect();
        authors.sort_unstable();
        authors.dedup();
        for write in writes {
            for (tag, seen) in write.claims() {
                if let Ok(at) = authors.binary_search_by_key(&tag, |&(author, _)| author) {
                    authors[at].1 = authors[at].1.max(Some(seen));
                }
            }
        }
        Overwritten(authors)
    }

    /// Whether a write of the set had seen `write` or a later one of its author.
    pub(super) fn covers(&self, write: &Write<'_>) -> bool {
        self.0
            .binary_search_by_key(&write.author, |&(author, _)| author)
            .is_ok_and(|at| Some(write.hlc) <= self.0[at].1)
    }
}

/// The entries of a new write of `me` over `writes`, encoded. Named first are those that only this
/// write overwrites; history fills up to 32 entries, newest first, as far as there is room.
///
/// # Errors
/// How many entries are needed, if that is more than `room` or [`MAX_SEEN`].
pub(super) fn join(me: AuthorTag, writes: &[Write<'_>], room: usize) -> Result<Vec<u8>, usize> {
    let others = writes.iter().filter(|w| w.author != me).copied();
    let overwritten = Overwritten::by(others.clone());
    let mut latest: BTreeMap<AuthorTag, (bool, Hlc)> = BTreeMap::new();
    let mut note = |author, needed: bool, hlc: Hlc| {
        let entry = latest.entry(author).or_insert((needed, hlc));
        *entry = (entry.0 || needed, entry.1.max(hlc));
    };
    others.for_each(|w| note(w.author, !overwritten.covers(&w), w.hlc));
    for write in writes {
        let foreign = write.claims().filter(|&(author, _)| author != me && author != write.author);
        foreign.for_each(|(author, hlc)| note(author, false, hlc));
    }
    let needed = latest.values().filter(|(needed, _)| *needed).count();
    if needed > room.min(MAX_SEEN) {
        return Err(needed);
    }
    let mut entries: Vec<_> = latest.into_iter().collect();
    entries.sort_by_key(|&(_, rank)| core::cmp::Reverse(rank));
    entries.truncate(needed.max(CARRIED.min(room)));
    entries.sort_unstable_by_key(|&(author, _)| author);
    let mut w = Writer::with_capacity(entries.len() * ENTRY_LEN);
    for (author, (_, hlc)) in entries {
        w.bytes(&author.0).u64(hlc.0);
    }
    Ok(w.into_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(author: u8, hlc: u64, seen: &[u8]) -> Write<'_> {
        Write { author: AuthorTag([author; 8]), hlc: Hlc(hlc), seen: Seen::of(seen) }
    }

    fn entries(list: &[(u8, u64)]) -> Vec<u8> {
        let mut w = Writer::default();
        list.iter().for_each(|&(author, hlc)| {
            w.bytes(&[author; 8]).u64(hlc);
        });
        w.into_vec()
    }

    #[test]
    fn a_claim_counts_only_below_its_own_stamp() {
        let (honest, liar) = (entries(&[(1, 10)]), entries(&[(1, u64::MAX)]));
        let victim = write(1, 10, &[]);
        let covered =
            |seen: &[u8]| Overwritten::by([victim, write(2, 11, seen)].into_iter()).covers(&victim);
        assert!(covered(&honest));
        assert!(!covered(&liar));
        assert!(!covered(&[]));
    }

    #[test]
    fn history_is_dropped_before_what_a_write_must_name() {
        let history: Vec<_> = (10..70).map(|n| (n as u8, n)).collect();
        let history = entries(&history);
        let writes = [write(2, 100, &history), write(3, 5, &[]), write(1, 99, &[])];
        let own = AuthorTag([1; 8]);
        let tags = |room| {
            let list = join(own, &writes, room).unwrap();
            Seen::of(&list).iter().map(|(tag, hlc)| (tag.0[0], hlc.0)).collect::<Vec<_>>()
        };
        assert_eq!(tags(2), [(2, 100), (3, 5)]);
        assert_eq!(tags(4), [(2, 100), (3, 5), (68, 68), (69, 69)]);
        assert_eq!(tags(60).len(), CARRIED);
        assert_eq!(join(own, &writes, 1), Err(2));
    }

    #[test]
    fn what_only_the_own_old_record_overwrote_is_named_again() {
        // There is room for one entry: not for author 3, of whom no record is held.
        let seen = entries(&[(2, 5), (3, 8)]);
        let list = join(AuthorTag([1; 8]), &[write(1, 9, &seen), write(2, 5, &[])], 1).unwrap();
        assert_eq!(list, entries(&[(2, 5)]));
    }

    #[test]
    fn a_list_out_of_order_is_refused() {
        for list in [&[(2, 1), (1, 1)][..], &[(1, 1), (1, 2)][..]] {
            let mut bytes = vec![2];
            bytes.extend(entries(list));
            assert_eq!(Seen::read(&mut Reader::new(&bytes)), Err(Refused::Malformed));
        }
        assert_eq!(Seen::read(&mut Reader::new(&[65; 2_000])), Err(Refused::Oversize));
        assert_eq!(Seen::read(&mut Reader::new(&[2; 20])), Err(Refused::Truncated));
    }
}
