//! Authors: who they are, which of their headers are kept, and which of their incarnations are
//! convicted.
//!
//! A fork convicts an incarnation: its records vanish, and with them those of the incarnations
//! before it, so that what is left does not depend on the order in which proof and records came.
//! Three convicted incarnations convict the identity.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::entry::Age;
use super::{EntryIx, NodeId, OnChange, Slot, Store};
use crate::digest::Position;
use crate::error::Refused;
use crate::frame::{Hash, SignedHeader};
use crate::identity::{Incarnation, MeshId};
use crate::rng::mix;

/// Convicted incarnations that convict the identity.
pub(super) const IDENTITY_AFTER: usize = 3;

pub(super) struct Author {
    /// The newest header, shared with its frame. When everything of the author is convicted, the
    /// one that was: it tells who the author is.
    newest: Arc<SignedHeader>,
    /// Where its slots stand in the digest tree.
    pub(super) salt: u64,
    /// Frames kept, by (incarnation, seq): those with live records and the newest eight.
    pub(super) frames: Vec<u32>,
    pub(super) rare: Option<Box<Rare>>,
}

/// What few authors have.
#[derive(Default)]
pub(super) struct Rare {
    /// At most [`IDENTITY_AFTER`] proofs, by incarnation.
    convictions: Vec<Conviction>,
    /// Nobody is here: the next new author takes the place.
    vacant: bool,
    /// It left, and nothing of it is to be kept for long.
    pub(super) departed: bool,
}

struct Conviction {
    incarnation: Incarnation,
    proof: [Arc<SignedHeader>; 2],
}

impl Author {
    fn new(newest: Arc<SignedHeader>) -> Self {
        let salt = crate::digest::author_salt(&newest.fields.author.0);
        Author { newest, salt, frames: Vec::new(), rare: None }
    }

    pub(super) fn id(&self) -> &NodeId {
        &self.newest.fields.author
    }

    /// What its newest header drops; nothing if none is kept.
    pub(super) fn floor(&self) -> Age {
        if self.frames.is_empty() { Age::default() } else { self.newest.fields.floor }
    }

    /// Puts the frame of `header` at `at` into the list of frames.
    pub(super) fn add_frame(&mut self, at: usize, frame: u32, header: &Arc<SignedHeader>) {
        if self.frames.is_empty() {
            self.newest = Arc::clone(header);
        }
        if self.frames.len() < 4 {
            self.frames.reserve_exact(1);
        }
        self.frames.insert(at, frame);
    }

    /// Why records of `incarnation` are not taken.
    pub(super) fn refuses(&self, incarnation: Incarnation) -> Option<Refused> {
        let convictions = &self.rare.as_ref()?.convictions;
        let identity = convictions.len() >= IDENTITY_AFTER;
        let latest = convictions.last().map(|c| c.incarnation);
        (identity || Some(incarnation) <= latest).then_some(Refused::Convicted)
    }

    /// The proofs against this author.
    pub(super) fn proofs(&self) -> impl Iterator<Item = &[Arc<SignedHeader>; 2]> {
        self.rare.iter().flat_map(|rare| rare.convictions.iter().map(|c| &c.proof))
    }

    /// The proofs behind the marker at `at`: of one incarnation, or of the identity.
    pub(super) fn proofs_at(&self, at: Position) -> impl Iterator<Item = &[Arc<SignedHeader>; 2]> {
        let (all, salt) = (self.identity_convicted(), self.salt);
        self.proofs().filter(move |p| all || position(salt, p[0].fields.incarnation) == at)
    }

    /// Incarnations of it that are convicted.
    pub(super) fn convicted(&self) -> usize {
        self.rare.as_ref().map_or(0, |rare| rare.convictions.len())
    }

    pub(super) fn is_vacant(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.vacant)
    }

    pub(super) fn is_departed(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.departed)
    }

    pub(super) fn identity_convicted(&self) -> bool {
        self.convicted() >= IDENTITY_AFTER
    }
}

fn conviction_id(mesh: &MeshId, author: &NodeId, incarnation: Option<Incarnation>) -> Hash {
    let mut hash = Sha256::new();
    hash.update(b"knhk-mesh conviction v1\0");
    hash.update(mesh.0);
    hash.update(author.0);
    // Nothing for the identity: no incarnation stands for all of them.
    if let Some(incarnation) = incarnation {
        hash.update(incarnation.0.to_le_bytes());
    }
    hash.finalize().into()
}

impl Store {
    pub(super) fn find_author(&self, id: &NodeId) -> Option<u32> {
        match &self.index {
            Some(index) => index.find_author(id, &self.authors, self.hash_seed),
            None => {
                let is = |a: &Author| !a.is_vacant() && a.id() == id;
                self.authors.iter().position(is).map(|i| i as u32)
            }
        }
    }

    /// The place of the author of `header`, made if there is room.
    pub(super) fn author_for(
        &mut self,
        header: &Arc<SignedHeader>,
        departs: bool,
    ) -> Result<u32, Refused> {
        if let Some(author) = self.find_author(&header.fields.author) {
            return Ok(author);
        }
        if !departs && !self.has_room_for_an_author() {
            return Err(Refused::AuthorLimit);
        }
        let new = Author::new(Arc::clone(header));
        let free = (self.uncounted > 0).then(|| self.authors.iter().position(Author::is_vacant));
        let author = free.flatten().unwrap_or(self.authors.len()) as u32;
        if let Some(free) = free.flatten() {
            self.uncounted -= 1;
            self.authors[free] = new;
        } else {
            if self.authors.len() < 4 {
                self.authors.reserve_exact(1);
            }
            self.authors.push(new);
        }
        if let Some(index) = &mut self.index {
            index.add_author(author, &self.authors, self.hash_seed);
        }
        Ok(author)
    }

    /// Whether one more author fits.
    pub(super) fn has_room_for_an_author(&self) -> bool {
        self.counted_authors() < self.settings.genesis.limits.max_authors as usize
    }

    pub(super) fn counted_authors(&self) -> usize {
        self.authors.len() - self.uncounted as usize
    }

    /// Convicts one incarnation; false if that was known or the identity is convicted already.
    pub(super) fn convict(
        &mut self,
        author: u32,
        incarnation: Incarnation,
        proof: [&Arc<SignedHeader>; 2],
        won: &mut Vec<EntryIx>,
        on: OnChange<'_>,
    ) -> bool {
        let who = &mut self.authors[author as usize];
        let convictions = &mut who.rare.get_or_insert_default().convictions;
        let known = convictions.iter().any(|c| c.incarnation == incarnation);
        if known || convictions.len() >= IDENTITY_AFTER {
            return false;
        }
        let proof = proof.map(Arc::clone);
        convictions.push(Conviction { incarnation, proof });
        convictions.sort_by_key(|c| c.incarnation);
        let identity = convictions.len() >= IDENTITY_AFTER;
        let dead: Vec<Incarnation> = convictions.iter().map(|c| c.incarnation).collect();
        let (id, salt) = (*who.id(), who.salt);
        self.root = None;
        self.drop_incarnations(author, if identity { None } else { dead.last().copied() }, on);
        let mesh = self.settings.mesh;
        if identity {
            let gone = dead.iter().filter(|i| **i != incarnation);
            gone.for_each(|i| self.remove_at(position(salt, *i), author));
            let at = Position::of(salt, Slot::CONVICTION.0);
            won.push(self.put_marker(author, at, conviction_id(&mesh, &id, None)));
        } else {
            let marker = conviction_id(&mesh, &id, Some(incarnation));
            won.push(self.put_marker(author, position(salt, incarnation), marker));
        }
        true
    }

    /// Drops what the author signed up to `incarnation`, everything if `None`.
    fn drop_incarnations(&mut self, author: u32, up_to: Option<Incarnation>, on: OnChange<'_>) {
        let dead: Vec<u32> = {
            let frames = &self.authors[author as usize].frames;
            let dead = |f: &&u32| {
                let incarnation = self.frames[**f as usize].header.fields.incarnation;
                up_to.is_none_or(|limit| incarnation <= limit)
            };
            frames.iter().filter(dead).copied().collect()
        };
        for frame in &dead {
            for entry in self.frames[*frame as usize].live() {
                self.remove_entry(entry, on);
            }
        }
        self.remove_head_of(author, &dead);
        // They stand in the order of incarnations, so the dead are the first.
        self.authors[author as usize].frames.drain(..dead.len());
        for frame in dead {
            self.frames.remove(frame as usize);
        }
    }

    /// Drops what `author` signed up to an incarnation, the proofs against those included; the
    /// caller takes nothing of them from now on. Who has nothing left is no author any more, and
    /// its place is free.
    pub fn drop_up_to(&mut self, id: &NodeId, up_to: Incarnation, on: OnChange<'_>) {
        let Some(author) = self.find_author(id) else { return };
        self.drop_incarnations(author, Some(up_to), on);
        let is = |e: &super::entry::Entry| e.author == author && e.is_marker();
        let markers = self.entries.iter().filter(|(_, e)| is(e)).map(|(ix, _)| ix as EntryIx);
        for marker in markers.collect::<Vec<_>>() {
            self.remove_entry(marker, on);
        }
        let who = &mut self.authors[author as usize];
        if let Some(rare) = &mut who.rare {
            rare.convictions.retain(|conviction| conviction.incarnation > up_to);
        }
        // One or two that are left convict their incarnations, no identity.
        let salt = who.salt;
        let left: Vec<Incarnation> = who.proofs().map(|p| p[0].fields.incarnation).collect();
        let mesh = self.settings.mesh;
        if left.len() >= IDENTITY_AFTER {
            let at = Position::of(salt, Slot::CONVICTION.0);
            self.put_marker(author, at, conviction_id(&mesh, id, None));
        } else {
            for incarnation in left {
                let marker = conviction_id(&mesh, id, Some(incarnation));
                self.put_marker(author, position(salt, incarnation), marker);
            }
        }
        self.note_departure(author);
        self.vacate(author);
    }

    /// Makes the place of an author free of whom nothing is left.
    fn vacate(&mut self, author: u32) {
        let who = &self.authors[author as usize];
        if who.is_vacant() || !who.frames.is_empty() || who.convicted() > 0 {
            return;
        }
        if let Some(index) = &mut self.index {
            index.remove_author(author, &self.authors, self.hash_seed);
        }
        self.authors[author as usize].rare.get_or_insert_default().vacant = true;
        self.uncounted += 1;
    }

    /// `header` is the newest now: applies its floor. An honest author's floor never falls; where
    /// one does, what it dropped may come back, or replicas would differ by what they heard first.
    pub(super) fn set_newest(&mut self, author: u32, header: Arc<SignedHeader>, on: OnChange<'_>) {
        let who = &mut self.authors[author as usize];
        let (before, floor) = (who.floor(), header.fields.floor);
        who.newest = header;
        if floor == before {
            return;
        }
        for frame in self.authors[author as usize].frames.clone() {
            if floor < before {
                self.frames[frame as usize].complete = false;
                continue;
            }
            for entry in self.frames[frame as usize].live() {
                if self.age(&self.entries[entry as usize]) < floor {
                    self.release(entry);
                    self.remove_entry(entry, on);
                }
            }
        }
    }

    /// Whether the author's identity is convicted: nothing of it is taken any more.
    #[must_use]
    pub fn is_convicted(&self, author: &NodeId) -> bool {
        let author = self.find_author(author);
        author.is_some_and(|author| self.authors[author as usize].identity_convicted())
    }

    /// How many incarnations of the author are convicted.
    #[must_use]
    pub fn convictions_of(&self, author: &NodeId) -> usize {
        self.find_author(author).map_or(0, |author| self.authors[author as usize].convicted())
    }

    /// Authors whose identity or some incarnation is convicted.
    pub fn convicted(&self) -> impl Iterator<Item = &NodeId> {
        self.authors.iter().filter(|a| a.convicted() > 0).map(Author::id)
    }
}

/// Where the conviction of one incarnation stands in the digest tree.
fn position(salt: u64, incarnation: Incarnation) -> Position {
    Position::of(salt ^ mix(incarnation.0), Slot::CONVICTION.0)
}
