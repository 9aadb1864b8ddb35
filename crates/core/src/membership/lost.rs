//! Members that this node does not reach: looked for by itself, asked about, and then suspected. A
//! suspicion alone takes nobody out of a list; a certificate does (`accused`).
//!
//! ```text
//!   dials fail for 60 s, three at least --> small mesh: Ask every link "do you reach it?"
//!       half of them vouch for it      --> only the way between the two is broken
//!       fewer, or a large mesh         --> suspected: said aloud, if this node is an observer
//!   a large mesh, after 15-25 s        --> said aloud if nobody did: the observers look themselves
//!   an observer of an accused member   --> looks for it itself
//!   one absent member is dialled each round; the link that comes of it lists it again
//! ```
//!
//! Evidence that a node gathers while it is not well is none (Lifeguard): cut off, it starts anew;
//! when its timers were late, it waits ten times as much longer.

use core::time::Duration;
use std::collections::BTreeSet;

use super::accused::Accused;
use super::{Membership, Scene};
use crate::identity::{NodeId, PeerIx};
use crate::messages::{Lane, Message, Sink};
use crate::partition::EXACT;
use crate::peer_registry::PeerRegistry;
use crate::time::Time;

/// How long a member is looked for before it is suspected.
const SEARCH: Duration = Duration::from_secs(60);
/// Dials that failed in that time, at least.
const FAILURES: u8 = 3;
/// How long the others have to vouch.
const ANSWER: Duration = Duration::from_secs(2);
/// Members that are looked for at a time.
const MOST: usize = 256;
/// Between two dials to a member that is looked for, and to one that is suspected.
const TRY: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];
/// After this long a member that nobody speaks of is brought to its observers' notice.
const HINT: Duration = Duration::from_secs(15);
/// Who was suspected for so long is gone even if its observers do not say so.
pub(super) const OWN_EYES: Duration = Duration::from_secs(300);
/// One listed member without a link is dialled so often, in a mesh where most have none. Together
/// the members try each of them as often.
const SWEEP: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Lost {
    pub(super) missing: Vec<Missing>,
    pub(super) accused: Accused,
    next_sweep: Time,
    /// Members that this process had a link with.
    pub(super) met: BTreeSet<NodeId>,
    /// The absent member that was dialled last.
    former: Option<NodeId>,
}

/// A member that is looked for.
#[derive(Debug)]
pub(super) struct Missing {
    pub(super) node: NodeId,
    pub(super) since: Time,
    failures: u8,
    /// A dial failed since it is looked for, however often the search started anew.
    pub(super) failed: bool,
    next_try: Time,
    asked: Option<Asked>,
    /// Looked for in vain, and asked about.
    pub(super) suspected: bool,
    /// From when on it is spoken of if nobody does.
    hint: Time,
    /// That time has come.
    pub(super) hinted: bool,
}

/// The links were asked about it.
#[derive(Debug)]
struct Asked {
    at: Time,
    links: usize,
    vouched: Vec<PeerIx>,
}

impl Missing {
    fn start_again(&mut self, now: Time) {
        let (next_try, failed, hint) = (self.next_try, self.failed, now + 2 * HINT);
        *self = Missing { next_try, failed, ..Missing::new(self.node, hint, now) };
    }

    const fn new(node: NodeId, hint: Time, now: Time) -> Self {
        let (since, next_try, failures, asked) = (now, now, 0, None);
        let (failed, suspected, hinted) = (false, false, false);
        Missing { node, since, failures, failed, next_try, asked, suspected, hint, hinted }
    }

    /// Whether it was looked for long enough, in several tries.
    fn is_missed(&self, now: Time) -> bool {
        self.failures >= FAILURES && now.since(self.since) >= SEARCH
    }

    /// Whether it became time to speak of it, whatever will come of the search.
    fn is_worth_a_hint(&mut self, now: Time) -> bool {
        let due = !self.hinted && self.failures >= FAILURES && now >= self.hint;
        self.hinted |= due;
        due
    }
}

impl Lost {
    /// A link came up.
    pub(super) fn meet(&mut self, node: &NodeId, registry: &PeerRegistry) {
        self.found(node);
        self.met.insert(*node);
        if self.met.len() > 2 * (registry.members() + MOST) {
            self.met.retain(|node| is_known(registry, node));
        }
    }

    /// It is not missing.
    pub(super) fn found(&mut self, node: &NodeId) {
        self.missing.retain(|missing| missing.node != *node);
    }

    /// This process did not run for `span`: what it did not hear in it, and shortly after, says
    /// nothing about others.
    pub(super) fn forgive(&mut self, span: Duration, now: Time) {
        let later = |since: Time| now.min(since + 10 * span);
        self.missing.iter_mut().for_each(|missing| missing.since = later(missing.since));
        self.accused.postpone(later);
    }

    /// Starts to look for `node`, if there is room.
    pub(super) fn look_for(&mut self, node: NodeId, delay: Duration, now: Time) {
        let known = self.missing.iter().any(|missing| missing.node == node);
        if known || self.missing.len() >= MOST {
            return;
        }
        let missing = Missing::new(node, now + HINT + 2 * delay, now);
        self.missing.push(Missing { next_try: now + delay, ..missing });
    }

    fn dial_failed(&mut self, node: &NodeId) {
        if let Some(missing) = self.missing.iter_mut().find(|missing| missing.node == *node) {
            missing.failures = missing.failures.saturating_add(1);
            missing.failed = true;
        }
    }

    fn vouched(&mut self, node: &NodeId, by: PeerIx) {
        let missing = self.missing.iter_mut().find(|missing| missing.node == *node);
        if let Some(asked) = missing.and_then(|missing| missing.asked.as_mut())
            && !asked.vouched.contains(&by)
        {
            asked.vouched.push(by);
        }
    }

    /// The member whose turn it is to be dialled.
    fn next_try(&mut self, now: Time) -> Option<NodeId> {
        let due = self.missing.iter_mut().filter(|missing| missing.next_try <= now);
        let missing = due.min_by_key(|missing| missing.next_try)?;
        missing.next_try = now + TRY[usize::from(missing.suspected)];
        Some(missing.node)
    }
}

/// Whether `node` counts as a member.
pub(super) fn is_known(registry: &PeerRegistry, node: &NodeId) -> bool {
    registry.by_id(node).is_some() || registry.is_absent(node)
}

impl Membership {
    /// A dial did not succeed.
    pub fn dial_failed<S: Sink>(&mut self, scene: &mut Scene<'_, S>, node: &NodeId) {
        self.tidy_dials(|dials| dials.failed(node));
        let delay = scene.rng.part_of(TRY[0]);
        if let Some(watch) = self.watch_mut()
            && !scene.is_linked(node)
        {
            let member = scene.registry.by_id(node).and_then(|peer| scene.registry.get(peer));
            if member.is_some_and(|member| member.incarnation.0 > 0) {
                watch.lost.look_for(*node, delay, scene.now);
            }
            watch.lost.dial_failed(node);
        }
    }

    /// `from` asks whether this node reaches `about`.
    pub fn asked<S: Sink>(&mut self, scene: &mut Scene<'_, S>, from: PeerIx, about: &NodeId) {
        let reaches = scene.registry.by_id(about).zip(self.detector());
        if reaches.is_some_and(|(peer, detector)| detector.reaches(peer, scene.now)) {
            scene.sink.send(&[from], Lane::Control, &Message::Vouch(*about));
        }
    }

    /// `from` reaches `about`. Whoever was not asked is not counted, nor is one of no own choice.
    pub fn vouched(&mut self, from: PeerIx, about: &NodeId) {
        if let Some(watch) = self.watch_mut()
            && watch.detector.is_witness(from)
        {
            watch.lost.vouched(about, from);
        }
    }

    /// Looks for members that are missing, suspects those that were looked for in vain, and dials
    /// one that is listed no more.
    pub(super) fn look_for_the_lost<S: Sink>(&mut self, scene: &mut Scene<'_, S>) {
        let Some(watch) = self.watch_mut() else { return };
        let whole = watch.is_whole();
        let Lost { missing, accused, .. } = &mut watch.lost;
        missing.retain(|m| is_known(scene.registry, &m.node) && !scene.is_linked(&m.node));
        let exact = scene.registry.members() <= EXACT;
        for missing in missing {
            if !whole {
                missing.start_again(scene.now);
            } else if missing.suspected {
                continue;
            } else if !missing.is_missed(scene.now) {
                accused.look_again |= !exact && missing.is_worth_a_hint(scene.now);
                continue;
            } else if exact {
                ask_about(missing, scene);
            } else {
                missing.suspected = true;
            }
            accused.look_again |= missing.suspected;
        }
        if !exact {
            self.sweep(scene);
        }
        self.try_the_missing(scene);
        self.try_a_former_member(scene);
    }

    fn try_the_missing<S: Sink>(&mut self, scene: &mut Scene<'_, S>) {
        let Some(rest) = &mut self.rest else { return };
        let Some(watch) = &mut rest.watch else { return };
        if let Some(missing) = watch.lost.next_try(scene.now)
            && rest.dials.start_rescue(missing, scene.now)
        {
            scene.sink.connect(missing, true);
        }
    }

    fn try_a_former_member<S: Sink>(&mut self, scene: &mut Scene<'_, S>) {
        let Some(rest) = &mut self.rest else { return };
        let Some(watch) = &mut rest.watch else { return };
        let after = watch.lost.former.unwrap_or(NodeId([0; 32]));
        watch.lost.former = scene.registry.next_absent(&after);
        if let Some(former) = watch.lost.former
            && rest.dials.start_rescue(former, scene.now)
        {
            scene.sink.connect(former, true);
        }
    }

    /// A random member that has no link: only a dial tells whether it is there. Every other time
    /// one that is accused in vain: where liars keep a certificate from the dead, own eyes decide.
    fn sweep<S: Sink>(&mut self, scene: &mut Scene<'_, S>) {
        let Some(watch) = self.watch_mut().filter(|w| scene.now >= w.lost.next_sweep) else {
            return;
        };
        watch.lost.next_sweep = scene.now + SWEEP / 2 + scene.rng.part_of(SWEEP);
        let accused = watch.lost.accused.in_vain(scene.registry);
        let count = accused.len() as u32;
        if count > 0 && scene.rng.chance(0.5) {
            let node = accused[scene.rng.below(count) as usize];
            watch.lost.look_for(node, Duration::ZERO, scene.now);
            return;
        }
        let mut drawn = Vec::new();
        scene.registry.random(8, scene.rng, &mut drawn);
        if let Some(peer) = drawn.into_iter().find(|peer| scene.links.get(*peer).is_none()) {
            self.dial(scene, peer);
        }
    }
}

/// One step of the question whether others reach it.
fn ask_about<S: Sink>(missing: &mut Missing, scene: &mut Scene<'_, S>) {
    match &missing.asked {
        None => {
            let to: Vec<PeerIx> = scene.links.iter().map(|link| link.peer).collect();
            scene.sink.send(&to, Lane::Control, &Message::Ask(missing.node));
            let (at, vouched) = (scene.now, Vec::new());
            missing.asked = Some(Asked { at, links: to.len(), vouched });
        }
        Some(asked) if scene.now.since(asked.at) < ANSWER => {}
        Some(asked) if 2 * asked.vouched.len() >= asked.links => missing.start_again(scene.now),
        Some(_) => missing.suspected = true,
    }
}
