//! How updates spread. Two lanes share one set of links:
//!
//! ```text
//!   eager   a new frame goes to the tree links at once          about one copy a node
//!           duplicate -> prune the link; repaired -> graft it
//!   rounds  every interval: my root to `fanout` random links    the guarantee
//!           equal            nothing
//!           mine of before   "have" -> "want" -> frames         it is only behind
//!           unknown twice    a session over the digest tree     reconcile.rs
//! ```
//!
//! The tree makes it fast and cheap, the rounds make it true: with a third of the links silent and
//! the tree in pieces they alone meet the bounds. When roots agree the rounds back off, a change
//! wakes them at once. (Plumtree, Leitao et al., SRDS 2007; digests before payloads, Mercier et
//! al., arXiv 1709.00198.)

pub(crate) mod allowance;
pub mod convergence;
mod eager;
pub mod reconcile;
mod round;

use core::time::Duration;
use std::sync::Arc;

use crate::config::{Lanes, Settings};
use crate::crdt::Store;
use crate::crdt::store::EntryIx;
use crate::digest::Root;
use crate::identity::PeerIx;
use crate::links::Links;
use crate::messages::{Lane, Message, Sink};
use crate::rng::Rng;
use crate::telemetry::Counters;
use crate::time::{Now, Time};
use reconcile::Sessions;

/// Roots that a node remembers of itself.
pub const ROOTS: usize = 16;
/// Changes remembered in order, to tell a peer that is only behind what it lacks.
pub const RECENT: usize = 512;
/// Doublings of the interval while nothing happens.
const MAX_BACK_OFF: u8 = 4;
/// Doublings of the interval while timers come late.
const MAX_STRAIN: u8 = 4;
/// Rounds in time that take the first of them back; of the last, one does. So rounds settle where
/// one in five is late, and leave the rest of the CPU to what cannot wait; with one for one they
/// would fill it.
const RELIEF: u8 = 4;
/// Rounds without news before the interval doubles for the first time. Each of them reaches a node
/// that nobody told yet with a probability of more than 4 in 5, also if a third is silent: after
/// eight, one of a million is left.
const CALM: u8 = 8;

/// The gossip state of one scope.
#[derive(Debug, Default)]
pub struct Gossip {
    /// Links and what they said last.
    pub links: Links,
    roots: Vec<PastRoot>,
    recent: Vec<Recent>,
    /// Changes forgotten in front of `recent`, wrapping.
    forgotten: u32,
    sessions: Option<Box<Sessions>>,
    next_round: Time,
    /// Rounds in a row that found nothing different.
    calm: u8,
    /// Doublings of the interval, times [`RELIEF`], because this process gets too little CPU
    /// (Lifeguard's local health, arXiv 1707.00788): a busy machine is not helped by more messages.
    strain: u8,
    /// Whether anything changed since the last round.
    changed: bool,
}

/// A root of the past: peers that name it are only behind.
#[derive(Clone, Copy, Debug)]
struct PastRoot {
    /// First eight bytes of it: who finds a second root with them gains an offer of records.
    tag: u64,
    /// How many changes had happened when it was taken, wrapping.
    changes: u32,
    /// When it was seen first, in [`millis`].
    since: u32,
}

#[derive(Clone, Copy, Debug)]
struct Recent {
    entry: EntryIx,
    /// When, in [`millis`].
    at: u32,
}

impl Recent {
    fn age(self, now: Time) -> Duration {
        age(self.at, now)
    }
}

/// Milliseconds of the monotonic clock, wrapping after weeks.
fn millis(at: Time) -> u32 {
    (at.0 / 1_000_000) as u32
}

/// Time since `at`, which is of [`millis`].
fn age(at: u32, now: Time) -> Duration {
    Duration::from_millis(millis(now).wrapping_sub(at).into())
}

/// What the gossip room may touch for the length of one call.
pub struct Scene<'a, S: Sink> {
    /// The time of the call.
    pub now: Now,
    /// The node's settings.
    pub settings: &'a Arc<Settings>,
    /// The state.
    pub store: &'a mut Store,
    /// Randomness of the node.
    pub rng: &'a mut Rng,
    /// Counters of the node.
    pub counters: &'a mut Counters,
    /// The way out.
    pub sink: &'a mut S,
}

impl<S: Sink> Scene<'_, S> {
    fn send(&mut self, to: PeerIx, lane: Lane, message: &Message) {
        self.sink.send(&[to], lane, message);
    }

    fn send_signed(&mut self, to: PeerIx, lane: Lane, messages: Vec<bytes::Bytes>) -> u32 {
        let sent = messages.len() as u32;
        for message in messages {
            self.sink.send(&[to], lane, &Message::Signed(message));
        }
        self.counters.repairs += u64::from(sent);
        sent
    }
}

impl Gossip {
    /// A scope without links. The first round comes at a random moment of the first interval, so
    /// that nodes started together do not speak together.
    pub fn new(settings: &Settings, rng: &mut Rng, now: Now) -> Self {
        let next_round = now.mono + rng.part_of(settings.interval);
        Gossip { next_round, ..Gossip::default() }
    }

    /// When the next timer fires.
    #[must_use]
    pub fn next_timeout(&self) -> Time {
        let sessions = self.sessions.as_ref().and_then(|s| s.next_timeout());
        sessions.map_or(self.next_round, |at| at.min(self.next_round))
    }

    /// The interval as backed off.
    #[must_use]
    pub fn effective_interval(&self, settings: &Settings) -> Duration {
        settings.interval * (1 << self.back_off())
    }

    fn back_off(&self) -> u8 {
        self.calm.saturating_sub(CALM).max(self.doublings())
    }

    /// Of the interval, because timers come late.
    fn doublings(&self) -> u8 {
        self.strain.div_ceil(RELIEF)
    }

    /// Entries changed: the next round comes within one interval, and peers that are behind can be
    /// told what they lack.
    pub fn note_changes<S: Sink>(&mut self, scene: &mut Scene<'_, S>, entries: &[EntryIx]) {
        let at = millis(scene.now.mono);
        if self.recent.len() < 4 {
            self.recent.reserve_exact(entries.len());
        }
        self.recent.extend(entries.iter().map(|&entry| Recent { entry, at }));
        if self.recent.len() > 2 * RECENT {
            let excess = self.recent.len() - RECENT;
            self.recent.drain(..excess);
            self.forgotten = self.forgotten.wrapping_add(excess as u32);
        }
        self.changed = true;
        match scene.settings.lanes {
            Lanes::All => self.wake_behind_tree(scene),
            Lanes::Repair => self.wake(scene),
        }
    }

    /// Something differs that the tree did not bring: rounds at full rate until it is calm again.
    fn wake<S: Sink>(&mut self, scene: &mut Scene<'_, S>) {
        self.calm = 0;
        let soon = scene.rng.part_of(self.effective_interval(scene.settings));
        self.next_round = self.next_round.min(scene.now.mono + soon);
    }

    /// Something changed: one round within the interval, when the tree had half of it.
    fn wake_behind_tree<S: Sink>(&mut self, scene: &mut Scene<'_, S>) {
        self.calm = self.calm.min(CALM);
        let half = self.effective_interval(scene.settings) / 2;
        let soon = half + scene.rng.part_of(half);
        self.next_round = self.next_round.min(scene.now.mono + soon);
    }

    /// The own root now, remembered.
    pub fn current_root(&mut self, store: &mut Store, now: Time) -> Root {
        let root = store.root();
        let tag = root.tag();
        if self.roots.last().is_none_or(|last| last.tag != tag) {
            if self.roots.len() == ROOTS {
                self.roots.remove(0);
            }
            if self.roots.len() < 4 {
                self.roots.reserve_exact(1);
            }
            let changes = self.forgotten.wrapping_add(self.recent.len() as u32);
            self.roots.push(PastRoot { tag, changes, since: millis(now) });
        }
        root
    }

    /// Entries changed since `root` was the own one, newest first, without those younger than
    /// `grace`; `None` if that is too long ago to know.
    fn changes_since(&self, root: &Root, grace: Duration, now: Time) -> Option<Vec<EntryIx>> {
        let past = self.roots.iter().rev().find(|past| past.tag == root.tag())?;
        // Changes that are forgotten wrap to far behind the end.
        let skip = past.changes.wrapping_sub(self.forgotten) as usize;
        let settled = |r: &&Recent| r.age(now) >= grace;
        let mut entries: Vec<EntryIx> =
            self.recent.get(skip..)?.iter().filter(settled).map(|r| r.entry).collect();
        entries.sort_unstable();
        entries.dedup();
        Some(entries)
    }

    /// `entries` without those that changed so lately that the tree is still bringing them.
    fn settled<S: Sink>(&self, scene: &Scene<'_, S>, entries: Vec<EntryIx>) -> Vec<EntryIx> {
        let (grace, now) = (Self::grace(scene.settings), scene.now.mono);
        let young = |r: &&Recent| r.age(now) < grace;
        let mut hot: Vec<EntryIx> =
            self.recent.iter().rev().take_while(young).map(|r| r.entry).collect();
        hot.sort_unstable();
        entries.into_iter().filter(|entry| hot.binary_search(entry).is_err()).collect()
    }

    /// How long the tree gets before the rounds do its work.
    fn grace(settings: &Settings) -> Duration {
        match settings.lanes {
            Lanes::All => settings.interval / 2,
            Lanes::Repair => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests;
