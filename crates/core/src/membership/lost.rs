//! Members that nobody reaches are listed no more, and are looked for for ever.
//!
//! ```text
//!   dials fail for 60 s, three at least --> Ask every link "do you reach it?"
//!       half of them vouch for it      --> it stays: only the way between the two is broken
//!       fewer                          --> out of the list; it still counts for the quorum
//!   one absent member is dialled each round; the link that comes of it lists it again
//! ```
//!
//! The own dials decide first, so nobody can be talked out of the list of a node that reaches
//! him, and a third of liars can neither keep a dead member in it nor get a live one out. In a mesh
//! too large to be fully linked hardly any link could vouch, and the own dials decide alone. A node
//! that is cut off looks for an hour.

use core::time::Duration;

use super::{Membership, Scene};
use crate::identity::{NodeId, PeerIx};
use crate::messages::{Lane, Message, Sink};
use crate::partition::EXACT;
use crate::telemetry::Event;
use crate::time::Time;

/// How long a member is looked for before the others are asked.
const SEARCH: Duration = Duration::from_secs(60);
/// The same while this node is cut off: who is missing then is probably well.
const SEARCH_CUT_OFF: Duration = Duration::from_secs(3_600);
/// Dials that failed in that time, at least.
const FAILURES: u8 = 3;
/// How long the others have to vouch.
const ANSWER: Duration = Duration::from_secs(2);
/// Members that are looked for at a time.
const MOST: usize = 64;
/// One listed member without a link is dialled so often, in a mesh where most have none.
const SWEEP: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Lost {
    missing: Vec<Missing>,
    next_sweep: Time,
    swept: Option<PeerIx>,
    /// The absent member that was dialled last.
    former: Option<NodeId>,
}

/// A member whose dials fail.
#[derive(Debug)]
struct Missing {
    peer: PeerIx,
    since: Time,
    failures: u8,
    asked: Option<Asked>,
}

/// The links were asked about it.
#[derive(Debug)]
struct Asked {
    at: Time,
    links: usize,
    vouched: Vec<PeerIx>,
}

impl Lost {
    /// A link came up.
    pub(super) fn found(&mut self, peer: PeerIx) {
        self.missing.retain(|missing| missing.peer != peer);
    }

    fn dial_failed(&mut self, peer: PeerIx, now: Time) {
        if let Some(missing) = self.missing.iter_mut().find(|missing| missing.peer == peer) {
            missing.failures = missing.failures.saturating_add(1);
        } else if self.missing.len() < MOST {
            self.missing.push(Missing { peer, since: now, failures: 1, asked: None });
        }
    }

    fn vouched(&mut self, peer: PeerIx, by: PeerIx) {
        let missing = self.missing.iter_mut().find(|missing| missing.peer == peer);
        if let Some(asked) = missing.and_then(|missing| missing.asked.as_mut())
            && !asked.vouched.contains(&by)
        {
            asked.vouched.push(by);
        }
    }
}

impl Membership {
    /// A dial did not succeed.
    pub fn dial_failed<S: Sink>(&mut self, scene: &mut Scene<'_, S>, node: &NodeId) {
        self.dial_ended(node);
        if let Some(watch) = self.watch_mut()
            && let Some(peer) = scene.registry.by_id(node)
            && scene.links.get(peer).is_none()
        {
            watch.lost.dial_failed(peer, scene.now);
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
    pub fn vouched<S: Sink>(&mut self, scene: &mut Scene<'_, S>, from: PeerIx, about: &NodeId) {
        if let Some(watch) = self.watch_mut()
            && watch.detector.is_witness(from)
            && let Some(peer) = scene.registry.by_id(about)
        {
            watch.lost.vouched(peer, from);
        }
    }

    /// Asks about members that are missing for long, takes out those that nobody reaches, and
    /// dials one that was taken out.
    pub(super) fn look_for_the_lost<S: Sink>(&mut self, scene: &mut Scene<'_, S>) {
        let Some(watch) = self.watch_mut() else { return };
        let search = if watch.is_whole() { SEARCH } else { SEARCH_CUT_OFF };
        let exact = scene.registry.members() <= EXACT;
        let links = &*scene.links;
        let registry = &*scene.registry;
        let gone = |peer| registry.get(peer).is_none() || links.get(peer).is_some();
        watch.lost.missing.retain(|missing| !gone(missing.peer));
        let mut buried = Vec::new();
        for missing in &mut watch.lost.missing {
            if missing.failures < FAILURES || scene.now.since(missing.since) < search {
                continue;
            }
            match &missing.asked {
                None if exact => {
                    let to: Vec<PeerIx> = links.iter().map(|link| link.peer).collect();
                    if let Some(view) = registry.get(missing.peer) {
                        scene.sink.send(&to, Lane::Control, &Message::Ask(view.id));
                    }
                    let (at, vouched) = (scene.now, Vec::new());
                    missing.asked = Some(Asked { at, links: to.len(), vouched });
                }
                Some(asked) if scene.now.since(asked.at) < ANSWER => {}
                Some(asked) if 2 * asked.vouched.len() >= asked.links => {
                    (missing.since, missing.failures, missing.asked) = (scene.now, 0, None);
                }
                _ => buried.push(missing.peer),
            }
        }
        for peer in buried {
            let id = scene.registry.get(peer).map(|view| view.id);
            if let Some(id) = id.filter(|_| scene.registry.bury(peer)) {
                scene.sink.emit(Event::MemberLost(id));
            }
        }
        self.try_a_former_member(scene);
        if !exact {
            self.sweep(scene);
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

    /// In turn, every member that has no link: only a dial tells whether it is there.
    fn sweep<S: Sink>(&mut self, scene: &mut Scene<'_, S>) {
        let Some(watch) = self.watch_mut().filter(|w| scene.now >= w.lost.next_sweep) else {
            return;
        };
        watch.lost.next_sweep = scene.now + SWEEP;
        let unlinked = |peer: &PeerIx| scene.links.get(*peer).is_none();
        let last = watch.lost.swept;
        let missing: Vec<PeerIx> = watch.lost.missing.iter().map(|missing| missing.peer).collect();
        let behind = scene.registry.all().filter(|peer| Some(*peer) > last).filter(unlinked);
        let next = behind.min();
        watch.lost.swept = next;
        // Who is missing is tried again together with the next.
        let again =
            missing.first().map(|_| missing[scene.rng.below(missing.len() as u32) as usize]);
        for peer in next.into_iter().chain(again) {
            self.dial(scene, peer);
        }
    }
}
