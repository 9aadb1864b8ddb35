//! Who is dead: a member that a quorum of its observers suspects, and that does not speak.
//!
//! ```text
//!   lists in slot 1 of all members --scan--> cases: how many appointed observers suspect this age?
//!        ^                                     |
//!        | own list, if this node observes     | a quorum, for 10 s       own id: refute, at once
//!        |                                     v                          (a new member record)
//!   suspected here (lost)             listed no more --an hour--> counts no more
//! ```
//!
//! Nobody believes it of a member that it has a link with, nor while it is cut off itself, but for
//! members that were dead for an hour and that this process never met: a newcomer that counted all
//! the dead of the past would never find its quorum. Who was
//! dead for an hour, by the word of a quorum that was whole, stops counting for the quorum: crashes
//! alone must not raise it for ever, and a minority, which is not whole, never lowers it.

use core::time::Duration;

use super::lost::{Lost, Missing, OWN_EYES, is_known};
use super::suspicion::{Age, Draw, Suspicion, seconds, short};
use super::{Membership, Scene};
use crate::identity::NodeId;
use crate::messages::Sink;
use crate::partition::EXACT;
use crate::peer_registry::PeerRegistry;
use crate::telemetry::Event;
use crate::time::Time;

/// How long a certificate stands before it is believed: the time to refute it.
const STANDING: Duration = Duration::from_secs(10);
/// A member that was dead for so long, in seconds, counts for the quorum no more.
const EXPIRY: u32 = 3_600;
/// At most so often the lists are read, the own one is written, and a refutation is made.
const SCAN: Duration = Duration::from_secs(2);
const SAY: Duration = Duration::from_secs(2);
const REFUTE: Duration = Duration::from_secs(5);

/// What this node has to sign about members.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// Its list of missing members changed to this.
    pub missing: Option<Vec<Suspicion>>,
    /// It is taken for dead: a new member record says that it is not.
    pub refute: bool,
}

/// What is said about a member being gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accusation {
    /// Its appointed observers that say so.
    pub observers: usize,
    /// With how many it is certified dead.
    pub quorum: usize,
    /// They are enough, and it did not refute them in time.
    pub certified: bool,
    /// This node looked for it itself, in vain.
    pub own_search: bool,
}

/// What the members' lists say.
#[derive(Debug, Default)]
pub(super) struct Accused {
    /// By node; members only.
    cases: Vec<Case>,
    /// Entries that this node says as observer, or as a hint.
    own: Vec<Suspicion>,
    /// Lists or members changed.
    pub(super) look_again: bool,
    next_scan: Time,
    next_say: Time,
    next_refute: Time,
}

/// What is said about one member.
#[derive(Debug)]
struct Case {
    node: NodeId,
    age: Age,
    /// Observers who suspect it.
    count: usize,
    quorum: usize,
    /// Since when, in seconds since 1970, a quorum of them did not reach it.
    since: u32,
    /// Since when the certificate stands here.
    standing: Option<Time>,
    /// This node is an observer, and has not made up its mind.
    to_look_for: bool,
    /// Who speaks of it, of others than this node; the least id.
    first: Option<NodeId>,
}

/// An entry and whose it is.
type Entry = (Suspicion, NodeId);

impl Accused {
    /// Moves the time from which certificates stand.
    pub(super) fn postpone(&mut self, later: impl Fn(Time) -> Time) {
        for case in &mut self.cases {
            case.standing = case.standing.map(&later);
        }
    }

    /// Reads the lists soon, if anybody was in one.
    pub(super) fn link_changed(&mut self) {
        self.look_again |= !self.cases.is_empty() || !self.own.is_empty();
    }

    fn case_of(&self, node: &NodeId) -> Option<&Case> {
        let at = self.cases.binary_search_by_key(&node, |case| &case.node).ok()?;
        self.cases.get(at)
    }

    /// Listed members that observers suspect, but too few of them.
    pub(super) fn in_vain(&self, registry: &PeerRegistry) -> Vec<NodeId> {
        let few = |case: &&Case| (1..case.quorum).contains(&case.count);
        let listed = |node: &NodeId| registry.by_id(node).is_some();
        self.cases.iter().filter(few).map(|case| case.node).filter(listed).collect()
    }

    /// How many members somebody accuses.
    pub(super) fn len(&self) -> usize {
        self.cases.len()
    }
}

impl Membership {
    /// A member spoke about itself: what was known against it is void.
    pub fn spoke(&mut self, node: &NodeId) {
        if let Some(watch) = self.watch_mut() {
            watch.lost.found(node);
            watch.lost.accused.look_again = true;
        }
    }

    /// A list of suspicions changed, or who counts as a member.
    pub fn suspicions_changed(&mut self) {
        if let Some(watch) = self.watch_mut() {
            watch.lost.accused.look_again = true;
        }
    }

    /// How many members are accused of being gone, by whomever.
    #[must_use]
    pub fn accused(&self) -> usize {
        self.watch().map_or(0, |watch| watch.lost.accused.len())
    }

    /// What is said about `node`, if anything.
    #[must_use]
    pub fn accusation(&self, node: &NodeId, now: Time) -> Option<Accusation> {
        let lost = &self.watch()?.lost;
        let own_search = lost.missing.iter().any(|m| m.node == *node && m.suspected);
        let case = lost.accused.case_of(node).filter(|case| case.count > 0);
        if case.is_none() && !own_search {
            return None;
        }
        let (observers, quorum) = case.map_or((0, 0), |case| (case.count, case.quorum));
        let standing = case.and_then(|case| case.standing);
        let certified = standing.is_some_and(|since| now.since(since) >= STANDING);
        Some(Accusation { observers, quorum, certified, own_search })
    }

    /// Reads what is said about members and acts on it.
    pub(super) fn judge_the_accused<S: Sink>(&mut self, scene: &mut Scene<'_, S>) -> Words {
        let Some(watch) = self.watch_mut() else { return Words::default() };
        let whole = watch.is_whole();
        let lost = &mut watch.lost;
        if lost.accused.look_again && scene.now >= lost.accused.next_scan {
            scan(lost, scene);
        }
        let long_ago = seconds(scene.mesh_time).saturating_sub(EXPIRY);
        for case in &mut lost.accused.cases {
            // Of the long dead a newcomer has to hear before it can be whole.
            let believes = whole || (case.since <= long_ago && !lost.met.contains(&case.node));
            let certified = believes && case.count >= case.quorum;
            case.standing = case.standing.or(Some(scene.now)).filter(|_| certified);
        }
        bury_the_dead(lost, scene);
        if whole {
            probe_as_observer(lost, scene);
        }
        speak(&mut lost.accused, scene)
    }
}

/// Reads all lists, and draws the observers of everybody who is in one.
fn scan<S: Sink>(lost: &mut Lost, scene: &mut Scene<'_, S>) {
    lost.accused.look_again = false;
    lost.accused.next_scan = scene.now + SCAN;
    let listed: Vec<NodeId> = scene.members().collect();
    let mut entries: Vec<Entry> = Vec::new();
    for accuser in &listed {
        entries.extend(scene.list_of(accuser).into_iter().map(|entry| (entry, *accuser)));
    }
    let own = own_evidence(lost, scene);
    entries.extend(own.iter().map(|entry| (*entry, scene.me)));
    entries.sort_unstable();
    // Who is dead cannot observe: a newcomer lists more of them than there may be living.
    let missing = lost.missing.iter().filter(|missing| missing.failed);
    let missing: Vec<u64> = missing.map(|missing| short(&missing.node)).collect();
    let ids = listed.iter().chain([&scene.me]).map(short).filter(|id| !missing.contains(id));
    let ids: Vec<u64> = ids.collect();
    let (mut cases, mut said, mut ranks) = (Vec::new(), Vec::new(), Vec::new());
    for of_one in entries.chunk_by(|a, b| a.0.node == b.0.node) {
        let node = of_one[0].0.node;
        let mine = of_one.iter().find(|entry| entry.1 == scene.me).map(|entry| entry.0);
        if node != scene.me && !is_known(scene.registry, &node) {
            // It counts no more; who comes new to the mesh still has to hear of it.
            said.extend(mine);
            continue;
        }
        let Some(age) = scene.age_of(&node) else { continue };
        let draw = Draw::new(&node, age, &ids, &mut ranks);
        let mut since: Vec<u32> = Vec::new();
        let of_age = || of_one.iter().filter(|entry| entry.0.age == age);
        for (entry, accuser) in of_age() {
            since.extend(draw.appoints(accuser).then_some(entry.since));
        }
        let first = of_age().map(|entry| entry.1).filter(|id| *id != scene.me).min();
        since.sort_unstable();
        let (count, quorum) = (since.len(), draw.quorum);
        let since = since.get(quorum - 1).copied().unwrap_or(u32::MAX);
        let observes = node != scene.me && draw.appoints(&scene.me);
        said.extend(mine.filter(|_| observes));
        let before = lost.accused.case_of(&node).filter(|case| case.age == age);
        let standing = before.and_then(|case| case.standing);
        let to_look_for = observes && mine.is_none();
        cases.push(Case { node, age, count, quorum, since, standing, to_look_for, first });
    }
    said.extend(hints(lost, scene, &cases));
    // The newest first: of too many the oldest go.
    said.sort_unstable_by_key(|entry| (core::cmp::Reverse(entry.since), entry.node));
    said.truncate(Suspicion::MAX);
    (lost.accused.cases, lost.accused.own) = (cases, said);
}

/// What this node knows itself: who is suspected here, and what it said before of members that did
/// not speak since.
fn own_evidence<S: Sink>(lost: &Lost, scene: &Scene<'_, S>) -> Vec<Suspicion> {
    let mut own = scene.list_of(&scene.me);
    let fresh = lost.missing.iter().filter(|missing| missing.suspected);
    for missing in fresh {
        if let Some(entry) = entry(missing.node, missing.since, scene)
            && !own.iter().any(|said| said.node == entry.node && said.age == entry.age)
        {
            own.push(entry);
        }
    }
    // What is still looked for was said as a hint only.
    let hinted = |node: &NodeId| lost.missing.iter().any(|m| m.node == *node && !m.suspected);
    own.retain(|said| {
        let current = scene.age_of(&said.node) == Some(said.age);
        current && !scene.is_linked(&said.node) && !hinted(&said.node)
    });
    own
}

/// In a large mesh: members that nobody speaks of.
fn hints<S: Sink>(lost: &Lost, scene: &Scene<'_, S>, cases: &[Case]) -> Vec<Suspicion> {
    let exact = scene.registry.members() <= EXACT;
    let unheard = |node: &NodeId| {
        let case = cases.iter().find(|case| case.node == *node);
        case.is_none_or(|case| case.count == 0 && case.first.is_none_or(|id| id > scene.me))
    };
    let missing = lost.missing.iter().filter(|m| !exact && m.hinted && unheard(&m.node));
    let said = scene.list_of(&scene.me);
    let again = |node: &NodeId| said.iter().find(|s| s.node == *node).copied();
    let one = |m: &Missing| again(&m.node).or_else(|| entry(m.node, m.since, scene));
    missing.filter_map(one).filter(|s| scene.age_of(&s.node) == Some(s.age)).collect()
}

fn entry<S: Sink>(node: NodeId, since: Time, scene: &Scene<'_, S>) -> Option<Suspicion> {
    let ago = scene.now.since(since).as_secs() as u32;
    let since = seconds(scene.mesh_time).saturating_sub(ago);
    Some(Suspicion { node, age: scene.age_of(&node)?, since })
}

/// Takes out of the list whose certificate stood for long enough, and who was suspected here for
/// very long; stops counting those that are dead for an hour.
fn bury_the_dead<S: Sink>(lost: &mut Lost, scene: &mut Scene<'_, S>) {
    let long_ago = seconds(scene.mesh_time).saturating_sub(EXPIRY);
    let stood =
        |case: &&Case| case.standing.is_some_and(|since| scene.now.since(since) >= STANDING);
    let certified = lost.accused.cases.iter().filter(stood).map(|case| (case.node, case.since));
    let seen = lost.missing.iter().filter(|m| m.suspected);
    let seen = seen.filter(|m| scene.now.since(m.since) >= OWN_EYES);
    let dead: Vec<(NodeId, u32)> = certified.chain(seen.map(|m| (m.node, u32::MAX))).collect();
    for (node, since) in dead {
        if scene.is_linked(&node) {
            continue;
        }
        if let Some(peer) = scene.registry.by_id(&node) {
            scene.registry.bury(peer);
            scene.sink.emit(Event::MemberLost(node));
        } else if since > long_ago || !scene.registry.forget(&node) {
            continue;
        }
        lost.found(&node);
        lost.accused.look_again = true;
    }
}

/// Looks for members that this node observes and others do not reach.
fn probe_as_observer<S: Sink>(lost: &mut Lost, scene: &mut Scene<'_, S>) {
    let due = |case: &&Case| case.to_look_for && !scene.is_linked(&case.node);
    let nodes: Vec<NodeId> = lost.accused.cases.iter().filter(due).map(|case| case.node).collect();
    for node in nodes {
        let delay = scene.rng.part_of(SCAN);
        lost.look_for(node, delay, scene.now);
    }
}

/// The own list if it changed, and whether to refute.
fn speak<S: Sink>(accused: &mut Accused, scene: &Scene<'_, S>) -> Words {
    let mut words = Words::default();
    let me = accused.case_of(&scene.me);
    // Early: others, who know of other members and other dead, may count more.
    let is_close = |case: &Case| case.count > 0 && case.count >= case.quorum - case.quorum / 4;
    if me.is_some_and(is_close) && scene.now >= accused.next_refute {
        accused.next_refute = scene.now + REFUTE;
        words.refute = true;
    }
    if scene.now >= accused.next_say {
        let said = scene.list_of(&scene.me);
        if said != accused.own {
            accused.next_say = scene.now + SAY;
            words.missing = Some(accused.own.clone());
        }
    }
    words
}
