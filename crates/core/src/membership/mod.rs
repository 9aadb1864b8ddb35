//! Who is there: the member record in slot 0 of each author is the directory, replicated like any
//! other record. Links are kept to members chosen at random from it: to the detector's witnesses if
//! partitions are to be noticed, else to any.
//!
//! ```text
//!   member record --merge--> registry --random--> witnesses --dial--> link --> heard, or silent
//!        ^                                            |                             |
//!        `---- written by the node itself, only       `-- one replaced every 10 s   v
//!                                                         partition detector, rescue dials
//! ```

mod accused;
mod clocks;
mod dials;
mod lost;
mod member;
mod suspicion;
mod watch;

use core::time::Duration;
use std::sync::Arc;

use crate::admission::Denials;
use crate::config::{Detect, Settings};
use crate::crdt::Store;
use crate::frame::Slot;
use crate::identity::{Incarnation, NodeId, PeerIx};
use crate::links::{Link, Links};
use crate::messages::Sink;
use crate::partition::Detector;
use crate::peer_registry::PeerRegistry;
use crate::rng::Rng;
use crate::time::{Time, WallMs};
pub use accused::{Accusation, Words};
use dials::Dials;
pub use member::Member;
pub use suspicion::{Age, Suspicion};
use watch::Watch;

/// How often the links are looked after when nothing happens.
const CARE: Duration = Duration::from_millis(500);
/// How often one chosen link is replaced by another.
const ROTATION: Duration = Duration::from_secs(10);

/// Keeps the node linked.
#[derive(Debug, Default)]
pub struct Membership {
    /// What a node in a large simulation does without.
    rest: Option<Box<Rest>>,
    next_care: Time,
    next_rotation: Time,
}

/// While there is something in it.
#[derive(Debug, Default)]
struct Rest {
    dials: Dials,
    watch: Option<Watch>,
    /// Up to which incarnation the operator made nodes void, by node; at most [`Denials::MAX`].
    denied: Vec<(NodeId, Incarnation)>,
}

/// What the membership room may touch for the length of one call.
pub struct Scene<'a, S: Sink> {
    /// The time of the call.
    pub now: Time,
    /// The node's settings.
    pub settings: &'a Arc<Settings>,
    /// Links that the node wants to choose itself; none when it has left.
    pub wanted: usize,
    /// Whether the links agree with this node, as far as that matters.
    pub converged: bool,
    /// The own node.
    pub me: NodeId,
    /// What the clocks of the mesh show.
    pub mesh_time: WallMs,
    /// The replicated state: what members say about themselves and about each other.
    pub store: &'a Store,
    /// The members.
    pub registry: &'a mut PeerRegistry,
    /// The links.
    pub links: &'a mut Links,
    /// Randomness of the node.
    pub rng: &'a mut Rng,
    /// The way out.
    pub sink: &'a mut S,
}

impl<S: Sink> Scene<'_, S> {
    fn is_linked(&self, node: &NodeId) -> bool {
        self.registry.by_id(node).is_some_and(|peer| self.links.get(peer).is_some())
    }

    /// The other members that are listed; who only has a link is none.
    fn members(&self) -> impl Iterator<Item = NodeId> + '_ {
        let all = self.registry.all().filter_map(|peer| self.registry.get(peer));
        all.filter(|view| view.incarnation.0 > 0).map(|view| view.id)
    }

    /// When a member spoke last about itself; `None` if it never did, or left.
    fn age_of(&self, node: &NodeId) -> Option<Age> {
        let record = self.store.record(node, Slot::MEMBER)?;
        let member = Member::decode(record.record.payload).ok()?;
        (!member.left).then_some((record.incarnation, record.seq))
    }

    /// Whom a node does not reach, by its own word.
    fn list_of(&self, node: &NodeId) -> Vec<Suspicion> {
        let record = self.store.record(node, Slot::MISSING);
        record.and_then(|r| Suspicion::decode(r.record.payload).ok()).unwrap_or_default()
    }
}

/// What is to be done after a look at links and members.
#[derive(Debug, Default)]
pub struct Due {
    /// Links that are dead.
    pub dead_links: Vec<PeerIx>,
    /// What this node has to say.
    pub words: Words,
}

impl Membership {
    /// A membership that knows nobody.
    #[must_use]
    pub fn new(settings: &Settings, rng: &mut Rng, now: Time) -> Self {
        if settings.detect == Detect::Off {
            return Membership::default();
        }
        let phase = rng.part_of(Duration::from_millis(50));
        let watch = Some(Watch::new(Detector::new(settings, now, phase)));
        let rest = Some(Box::new(Rest { watch, ..Rest::default() }));
        Membership { rest, ..Membership::default() }
    }

    /// When the links want to be looked after.
    #[must_use]
    pub fn next_timeout(&self) -> Time {
        self.watch().map_or(self.next_care, |watch| self.next_care.min(watch.next_timeout()))
    }

    /// Links or members changed: look soon.
    pub fn care_soon(&mut self, now: Time) {
        self.next_care = self.next_care.min(now + Duration::from_millis(5));
    }

    /// Looks after links and members if it is time.
    pub fn on_timeout<S: Sink>(&mut self, scene: &mut Scene<'_, S>) -> Due {
        self.keep_watch(scene);
        if scene.now < self.next_care {
            return Due::default();
        }
        let jitter = CARE / 4 * scene.rng.below(4);
        self.next_care = scene.now + CARE + jitter;
        self.tidy_dials(|dials| dials.expire(scene.now));
        self.recruit(scene);
        let mut words = Words::default();
        let missing = scene.wanted.saturating_sub(scene.links.chosen());
        if scene.wanted == 0 {
            // Nobody is there, or this node has left.
        } else if self.watch().is_some() {
            self.link_witnesses(scene);
            self.look_for_the_lost(scene);
            words = self.judge_the_accused(scene);
        } else if missing > 0 {
            self.choose(scene, missing);
        } else if self.rotation_is_due(scene) {
            self.rotate(scene);
        }
        let dead_links = self.watch().map(|watch| watch.detector.dead_links(scene.now));
        Due { dead_links: dead_links.unwrap_or_default(), words }
    }

    fn rotation_is_due<S: Sink>(&mut self, scene: &mut Scene<'_, S>) -> bool {
        if scene.now < self.next_rotation {
            return false;
        }
        let first = self.next_rotation == Time::ZERO;
        self.next_rotation = scene.now + ROTATION + ROTATION / 10 * scene.rng.below(4);
        !first
    }

    /// Chooses `missing` more members: links that stand already, or dials.
    fn choose<S: Sink>(&mut self, scene: &mut Scene<'_, S>, missing: usize) {
        let mut open = missing.saturating_sub(self.dials_under_way());
        let mut drawn = Vec::new();
        scene.registry.random(2 * missing, scene.rng, &mut drawn);
        for peer in drawn {
            if open == 0 {
                return;
            }
            match scene.links.get_mut(peer) {
                Some(link) if link.chosen() => {}
                Some(link) => {
                    link.set_chosen(true);
                    open -= 1;
                }
                None => open -= usize::from(self.dial(scene, peer)),
            }
        }
    }

    fn dial<S: Sink>(&mut self, scene: &mut Scene<'_, S>, peer: PeerIx) -> bool {
        let Some(member) = scene.registry.get(peer) else { return false };
        if member.addresses.is_empty() && self.watch().is_none() {
            return false;
        }
        let node = member.id;
        let fits = self.rest.get_or_insert_default().dials.start(node, scene.now);
        if fits {
            scene.sink.connect(node, false);
        }
        fits
    }

    /// One more link; the one that it replaces goes when the new one stands.
    fn rotate<S: Sink>(&mut self, scene: &mut Scene<'_, S>) {
        let mut drawn = Vec::new();
        scene.registry.random(4, scene.rng, &mut drawn);
        let unlinked = drawn.into_iter().find(|&peer| scene.links.get(peer).is_none());
        if let Some(peer) = unlinked {
            self.dial(scene, peer);
        }
    }

    /// A link with `node` came up; whether this room had asked for it. Seeds are dialled unasked.
    pub fn dial_answered(&mut self, node: &NodeId, now: Time) -> bool {
        let dials = self.rest.as_mut().map(|rest| &mut rest.dials);
        dials.is_some_and(|dials| dials.answered(node, now))
    }

    fn dials_under_way(&self) -> usize {
        self.rest.as_ref().map_or(0, |rest| rest.dials.under_way())
    }

    fn tidy_dials(&mut self, tidy: impl FnOnce(&mut Dials)) {
        if let Some(rest) = &mut self.rest {
            tidy(&mut rest.dials);
        }
        self.rest.take_if(|rest| {
            rest.dials.is_empty() && rest.watch.is_none() && rest.denied.is_empty()
        });
    }

    /// Whether the operator denied `node` for ever.
    #[must_use]
    pub fn is_denied(&self, node: &NodeId) -> bool {
        self.voids(node, Incarnation(u64::MAX))
    }

    /// Whether the operator made void what `node` signs in `incarnation`.
    #[must_use]
    pub fn voids(&self, node: &NodeId, incarnation: Incarnation) -> bool {
        self.rest.as_ref().is_some_and(|rest| {
            let found = rest.denied.binary_search_by_key(node, |denied| denied.0);
            found.is_ok_and(|at| incarnation <= rest.denied[at].1)
        })
    }

    /// Whom the operator denied or forgot.
    pub fn denied(&self) -> impl Iterator<Item = &NodeId> {
        self.rest.iter().flat_map(|rest| rest.denied.iter().map(|(node, _)| node))
    }

    /// The last incarnation of `node` that the operator made void, if any.
    #[must_use]
    pub fn void_up_to(&self, node: &NodeId) -> Option<Incarnation> {
        let denied = &self.rest.as_ref()?.denied;
        let at = denied.binary_search_by_key(node, |denied| denied.0).ok()?;
        Some(denied[at].1)
    }

    /// Takes a denial in; false if it says nothing new or there is no room.
    pub fn deny(&mut self, node: &NodeId, up_to: Incarnation) -> bool {
        let denied = &mut self.rest.get_or_insert_default().denied;
        match denied.binary_search_by_key(node, |denied| denied.0) {
            Ok(at) if denied[at].1 < up_to => denied[at].1 = up_to,
            Err(place) if denied.len() < Denials::MAX => denied.insert(place, (*node, up_to)),
            _ => return false,
        }
        true
    }

    fn watch(&self) -> Option<&Watch> {
        self.rest.as_ref()?.watch.as_ref()
    }

    fn watch_mut(&mut self) -> Option<&mut Watch> {
        self.rest.as_mut()?.watch.as_mut()
    }

    /// The link to end when one of its own choice came up and is one too many: no witness, and
    /// outside of the tree if possible.
    pub fn surplus<S: Sink>(&self, scene: &mut Scene<'_, S>, newest: PeerIx) -> Option<PeerIx> {
        if scene.links.chosen() <= scene.wanted {
            return None;
        }
        let is_witness = |peer| self.watch().is_some_and(|watch| watch.detector.is_witness(peer));
        let candidates = |eager: bool| {
            let fits = |l: &&Link| l.chosen() && l.eager() == eager && l.peer != newest;
            let of_these = scene.links.iter().filter(fits).map(|l| l.peer);
            of_these.filter(|&peer| !is_witness(peer)).collect::<Vec<_>>()
        };
        let mut from = candidates(false);
        if from.is_empty() {
            from = candidates(true);
        }
        let count = u32::try_from(from.len()).ok().filter(|&n| n > 0)?;
        Some(from[scene.rng.below(count) as usize])
    }
}
