//! Watching: which members are witnesses, heartbeats to all links, and the ways out of a partition.
//!
//! ```text
//!   every heartbeat   Alive(heard you) to each link
//!   every look        reachable? --> Partitioned | Recovering | Healed
//!   while cut off     4 lost members, rotating, every 500 ms, without back-off;
//!                     each that answers is followed by two more at once
//! ```

use core::time::Duration;

use super::clocks::Clocks;
use super::lost::Lost;
use super::{Membership, Scene};
use crate::config::Settings;
use crate::identity::PeerIx;
use crate::messages::{Lane, Message, Sink};
use crate::partition::{Census, Change, Detector, EXACT, PartitionStatus};
use crate::telemetry::Event;
use crate::time::Time;

/// Between two attempts to get out of a partition.
const RESCUE: Duration = Duration::from_millis(500);
/// Lost members dialled in each.
const RESCUED: usize = 4;
/// Lost members dialled after one of them answered.
const FOLLOWED: usize = 2;

/// What a node that notices partitions keeps.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) detector: Detector,
    clocks: Clocks,
    pub(super) lost: Lost,
    next_rescue: Time,
    /// The lost member that was dialled last.
    rescued: Option<PeerIx>,
    /// Of how many members the witnesses were drawn.
    drawn_from: u32,
}

impl Watch {
    pub(super) fn new(detector: Detector) -> Self {
        let (clocks, mut lost) = (Clocks::default(), Lost::default());
        // What came back from the disk.
        lost.accused.look_again = true;
        let (next_rescue, rescued, drawn_from) = (Time::ZERO, None, 0);
        Watch { detector, clocks, lost, next_rescue, rescued, drawn_from }
    }

    pub(super) fn next_timeout(&self) -> Time {
        let next = self.detector.next_timeout();
        if self.is_whole() { next } else { next.min(self.next_rescue) }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.detector.status() == PartitionStatus::Healthy
    }

    /// The next `count` lost members, in turn.
    fn next_lost(&mut self, count: usize) -> Vec<PeerIx> {
        let last = self.rescued;
        let mut lost: Vec<PeerIx> = self.detector.unlinked().collect();
        let behind = lost.iter().position(|&peer| Some(peer) > last).unwrap_or(0);
        lost.rotate_left(behind);
        lost.truncate(count);
        self.rescued = lost.last().copied().or(last);
        lost
    }
}

impl Membership {
    /// Whether this node is cut off.
    #[must_use]
    pub fn partition(&self) -> PartitionStatus {
        self.detector().map_or(PartitionStatus::Healthy, Detector::status)
    }

    /// The detector, if partitions are noticed here.
    #[must_use]
    pub fn detector(&self) -> Option<&Detector> {
        self.watch().map(|watch| &watch.detector)
    }

    /// Links that this node keeps dialled.
    #[must_use]
    pub fn wanted_links(&self, settings: &Settings) -> usize {
        self.detector().map_or_else(|| settings.wanted_links(), Detector::wanted)
    }

    fn detector_mut(&mut self) -> Option<&mut Detector> {
        self.watch_mut().map(|watch| &mut watch.detector)
    }

    /// Something came from `peer`.
    pub fn heard(&mut self, peer: PeerIx, now: Time) {
        if let Some(detector) = self.detector_mut() {
            detector.heard(peer, now);
        }
    }

    /// The clock of `peer` is so many milliseconds ahead of the own.
    pub fn heard_clock(&mut self, peer: PeerIx, ahead_ms: i64, now: Time) {
        if let Some(watch) = self.watch_mut()
            && watch.detector.is_witness(peer)
        {
            watch.clocks.hear(peer, ahead_ms, now);
        }
    }

    /// Milliseconds that mesh time is ahead of the own clock; zero where nobody is watched.
    #[must_use]
    pub fn clock_offset(&self) -> i64 {
        self.watch().map_or(0, |watch| watch.clocks.offset())
    }

    /// `peer` said whether it hears this node.
    pub fn told(&mut self, peer: PeerIx, hears_me: bool) {
        if let Some(detector) = self.detector_mut() {
            detector.told(peer, hears_me);
        }
    }

    /// A link ended.
    pub fn link_down(&mut self, peer: PeerIx) {
        if let Some(detector) = self.detector_mut() {
            detector.link_down(peer);
        }
    }

    /// A link came up; where one lost member is, others may be.
    pub fn link_up<S: Sink>(&mut self, scene: &mut Scene<'_, S>, peer: PeerIx) {
        let Some(watch) = self.watch_mut() else { return };
        let found = !watch.is_whole() && watch.detector.unlinked().any(|lost| lost == peer);
        watch.detector.link_up(peer, scene.now);
        if let Some(view) = scene.registry.get(peer) {
            watch.lost.meet(&view.id, scene.registry);
            watch.lost.accused.link_changed();
        }
        if watch.detector.is_witness(peer)
            && let Some(link) = scene.links.get_mut(peer)
        {
            link.set_chosen(true);
        }
        if found && scene.wanted > 0 {
            self.rescue(scene, FOLLOWED);
        }
    }

    /// Whether another link may join the tree: one with many links needs a few of them for it.
    #[must_use]
    pub fn tree_has_room(&self, eager: usize, usual: usize) -> bool {
        self.watch().is_none() || eager < 2 * usual
    }

    /// Heartbeats, looks and ways out, as they are due.
    pub(super) fn keep_watch<S: Sink>(&mut self, scene: &mut Scene<'_, S>) {
        let Some(watch) = self.watch_mut() else { return };
        let jitter = scene.rng.part_of(watch.detector.interval() / 10);
        let beat = watch.detector.beat(scene.now, jitter);
        for (to, heard) in beat.into_iter().flatten().zip([true, false]) {
            if !to.is_empty() {
                scene.sink.send(&to, Lane::Digest, &Message::Alive(heard));
            }
        }
        if watch.detector.is_due(scene.now) {
            let census = census(scene);
            let change = watch.detector.look(scene.now, census, scene.converged);
            if let Some(late) = watch.detector.stalled() {
                watch.lost.forgive(late, scene.now);
            }
            if let Some(change) = change {
                scene.sink.emit(event(change));
            }
        }
        if !watch.is_whole() && scene.now >= watch.next_rescue {
            watch.next_rescue = scene.now + RESCUE;
            if scene.wanted > 0 {
                self.rescue(scene, RESCUED);
            }
        }
    }

    fn rescue<S: Sink>(&mut self, scene: &mut Scene<'_, S>, count: usize) {
        let Some(rest) = &mut self.rest else { return };
        let Some(watch) = &mut rest.watch else { return };
        rest.dials.expire(scene.now);
        for peer in watch.next_lost(count) {
            if let Some(member) = scene.registry.get(peer)
                && rest.dials.start_rescue(member.id, scene.now)
            {
                scene.sink.connect(member.id, true);
            }
        }
    }

    /// Brings the witnesses in line with the members: all of a small mesh, a uniform sample of a
    /// large one. A sample is not drawn anew because somebody is silent, else the silent would
    /// drop out of it; but when the mesh grew, a part of it gives way to newcomers, so that those
    /// who were met first do not stay for ever (reservoir sampling, Vitter 1985).
    pub(super) fn recruit<S: Sink>(&mut self, scene: &mut Scene<'_, S>) {
        let turn = self.watch().is_some_and(Watch::is_whole) && self.rotation_is_due(scene);
        if let Some(Watch { detector, clocks, .. }) = self.watch_mut() {
            clocks.settle(detector.wanted(), scene.now, |peer| detector.is_witness(peer));
        }
        let Some(Watch { detector, drawn_from, .. }) = self.watch_mut() else { return };
        let members = scene.registry.members();
        let drawn_from = core::mem::replace(drawn_from, members as u32);
        detector.set_members(scene.settings, members, scene.now);
        let registry = &*scene.registry;
        let is_member = |peer| registry.get(peer).is_some_and(|view| view.incarnation.0 > 0);
        detector.retain_witnesses(is_member);
        if members <= EXACT {
            for peer in registry.all().filter(|&peer| is_member(peer)) {
                detector.add_witness(peer, scene.now);
            }
            return;
        }
        let wanted = detector.wanted();
        let mut all: Vec<PeerIx> = detector.witnesses().collect();
        let surplus = (all.len() + usize::from(turn)).saturating_sub(wanted);
        for _ in 0..surplus.min(all.len()) {
            all.swap_remove(scene.rng.below(all.len() as u32) as usize);
        }
        let grew = drawn_from < members as u32;
        all.retain(|_| !grew || scene.rng.below(members as u32) < drawn_from);
        all.sort_unstable();
        detector.retain_witnesses(|peer| all.binary_search(&peer).is_ok());
        let mut drawn = Vec::new();
        registry.random(wanted + wanted / 4, scene.rng, &mut drawn);
        let fresh = drawn.into_iter().filter(|peer| all.binary_search(peer).is_err());
        for peer in fresh.filter(|&peer| is_member(peer)).take(wanted - all.len()) {
            detector.add_witness(peer, scene.now);
        }
    }

    /// Keeps the links with witnesses, and dials those that have none.
    pub(super) fn link_witnesses<S: Sink>(&mut self, scene: &mut Scene<'_, S>) {
        let Some(detector) = self.detector() else { return };
        let mut unlinked: Vec<PeerIx> = detector.unlinked().collect();
        let linked: Vec<PeerIx> = detector.witnesses().collect();
        for peer in linked {
            if let Some(link) = scene.links.get_mut(peer) {
                link.set_chosen(true);
            }
        }
        // Who answered just now and has no link has ended it, or this node has.
        let dials = self.rest.as_ref().map(|rest| &rest.dials);
        let rests = |peer: &PeerIx| {
            let node = scene.registry.get(*peer).map(|view| view.id);
            node.is_some_and(|node| dials.is_some_and(|dials| dials.rests(&node)))
        };
        unlinked.retain(|peer| !rests(peer));
        while !unlinked.is_empty() {
            let at = scene.rng.below(unlinked.len() as u32) as usize;
            if !self.dial(scene, unlinked.swap_remove(at)) {
                return;
            }
        }
    }
}

fn census<S: Sink>(scene: &Scene<'_, S>) -> Census {
    let registry = &scene.registry;
    let listed = 1 + registry.count();
    let mut members = registry.members();
    if members <= 2 * EXACT {
        // Who has a link and no member record is none: it came just now, or it has left.
        let is_stranger = |peer| registry.get(peer).is_some_and(|view| view.incarnation.0 == 0);
        let strangers = scene.links.iter().filter(|link| is_stranger(link.peer)).count();
        let expected = scene.settings.expected_members;
        members = members.saturating_sub(strangers).max(expected).max(1);
    }
    Census { members, listed, quorum: members - (members - 1) / 3 }
}

fn event(change: Change) -> Event {
    match change {
        Change::Partitioned { reachable, required } => Event::Partitioned { reachable, required },
        Change::Recovering => Event::Recovering,
        Change::Healed(after) => {
            let recovery_ms = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
            Event::Healed { recovery_ms }
        }
    }
}
