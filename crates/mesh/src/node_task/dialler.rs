//! Whom to dial and when. Seeds are addresses whose keys are not known yet: they are dialled until
//! each has answered once, again when the link that answered is lost, and whenever the node has no
//! link at all: a seed that starts again may know nobody, and nobody may know it as a member. One
//! that gave way to another link is not lost. Members are dialled when the node asks, address by
//! address, and not again before their pause is over.
//!
//! ```text
//!   seed     dial ─ failed ─> pause 0.2 s .. 30 s ─> dial ...      for ever
//!            link ─ lost, or it left ─> pause ─> dial ...
//!   member   want ─> dial 1st address ─> 2nd ... ─> DialFailed     the next want waits its pause
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;

use knhk_mesh_core::identity::NodeId;
use knhk_mesh_core::messages::Close;
use tokio::time::Instant;

use crate::seeds::SeedStatus;
use crate::transport::backoff::Backoff;
use crate::transport::{DialError, Down, Link, LinkId, Target, Transport};

/// Members whose pauses are remembered at most.
const MAX_MEMBERS: usize = 1_024;
/// Seeds that are dialled at most.
pub(crate) const MAX_SEEDS: usize = 64;

#[cfg_attr(test, derive(Clone))]
pub(crate) struct Dialler {
    seeds: Vec<Seed>,
    /// In the order of ids: what is due at one moment is dialled in the same order each time.
    members: BTreeMap<NodeId, Member>,
    random: u64,
    ended: bool,
}

#[cfg_attr(test, derive(Clone))]
struct Seed {
    addr: SocketAddr,
    backoff: Backoff,
    state: State,
    /// The newest link with it.
    link: Option<LinkId>,
    /// Why the last dial led to no link; nothing once one did.
    failure: Option<DialError>,
}

#[cfg_attr(test, derive(Clone))]
struct Member {
    addresses: Vec<SocketAddr>,
    next: usize,
    backoff: Backoff,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Nothing to do. A member is not dialled again before this; a seed has answered once and is
    /// not needed while there are links.
    Resting(Instant),
    /// Dial at this time.
    Due(Instant),
    /// A dial is under way.
    Dialling,
}

impl Dialler {
    /// Dials every seed at once.
    pub(crate) fn new(seeds: &[SocketAddr], random: u64, now: Instant) -> Self {
        let mut dialler =
            Dialler { seeds: Vec::new(), members: BTreeMap::new(), random, ended: false };
        dialler.set_seeds(seeds, now);
        dialler
    }

    /// Replaces the seeds. One that was there keeps its pause, a new one is dialled at once.
    pub(crate) fn set_seeds(&mut self, seeds: &[SocketAddr], now: Instant) {
        self.seeds.retain(|seed| seeds.contains(&seed.addr));
        for &addr in seeds {
            if self.seeds.len() == MAX_SEEDS {
                return;
            }
            if self.seeds.iter().all(|seed| seed.addr != addr) {
                self.random = self.random.wrapping_add(1);
                let backoff = Backoff::new(self.random);
                let state = State::Due(now);
                self.seeds.push(Seed { addr, backoff, state, link: None, failure: None });
            }
        }
    }

    /// The node wants a link to this member.
    pub(crate) fn want(
        &mut self,
        node: NodeId,
        addresses: &[SocketAddr],
        now: Instant,
        transport: &Transport,
    ) {
        if self.ended {
            return;
        }
        self.make_room(now);
        self.random = self.random.wrapping_add(1);
        let random = self.random;
        let member = self.members.entry(node).or_insert_with(|| Member {
            addresses: Vec::new(),
            next: 0,
            backoff: Backoff::new(random),
            state: State::Resting(now),
        });
        let State::Resting(not_before) = member.state else { return };
        member.addresses = addresses.to_vec();
        member.next = 0;
        if not_before > now || member.addresses.is_empty() {
            member.state = State::Due(not_before.max(now));
        } else {
            member.dial(node, transport);
        }
    }

    /// A member that is wanted now, however often it failed to answer.
    pub(crate) fn end_pause(&mut self, node: &NodeId, now: Instant) {
        if let Some(member) = self.members.get_mut(node)
            && member.state != State::Dialling
        {
            member.state = State::Resting(now);
            member.backoff.reset();
        }
    }

    /// Dials what is due. Answers the members that cannot be dialled for want of an address.
    pub(crate) fn due(&mut self, now: Instant, transport: &Transport) -> Vec<NodeId> {
        if self.ended {
            return Vec::new();
        }
        for seed in &mut self.seeds {
            if matches!(seed.state, State::Due(at) if at <= now) {
                seed.state = State::Dialling;
                transport.dial(Target { node: None, addr: seed.addr });
            }
        }
        let mut failed = Vec::new();
        for (&node, member) in &mut self.members {
            if matches!(member.state, State::Due(at) if at <= now) && !member.dial(node, transport)
            {
                member.rest(now);
                failed.push(node);
            }
        }
        failed
    }

    /// When [`Dialler::due`] has something to do.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        let states = self.seeds.iter().map(|seed| seed.state);
        let states = states.chain(self.members.values().map(|member| member.state));
        let due = |state| if let State::Due(at) = state { Some(at) } else { None };
        states.filter_map(due).min()
    }

    /// A link stands, whoever dialled it.
    pub(crate) fn up(&mut self, link: &Link) {
        self.members.remove(&link.node());
        if let Some(seed) = self.seeds.iter_mut().find(|seed| seed.addr == link.addr()) {
            seed.reached();
            seed.link = Some(link.id());
        }
    }

    /// A link ended.
    pub(crate) fn down(&mut self, link: LinkId, why: Down, now: Instant) {
        let Some(seed) = self.seeds.iter_mut().find(|seed| seed.link == Some(link)) else { return };
        seed.link = None;
        let lost = match why {
            Down::Silent | Down::Stalled | Down::Lost => true,
            Down::There(close) => matches!(close, None | Some(Close::Leaving)),
            Down::Here(_) | Down::Protocol(_) => false,
        };
        if lost && matches!(seed.state, State::Resting(_)) {
            seed.state = State::Due(now + seed.backoff.next_pause());
        }
    }

    /// A dial failed. `Some` if a dial that the node asked for has ended with it.
    ///
    /// A peer may say that it is linked with this node already: that is the link of the process
    /// before this one, if this one has none (`linked`). The peer lets go of it after some seconds.
    pub(crate) fn failed(
        &mut self,
        target: Target,
        why: &DialError,
        linked: bool,
        now: Instant,
    ) -> Option<NodeId> {
        let reached = match why {
            DialError::Myself => true,
            DialError::AlreadyLinked => linked,
            _ => false,
        };
        let Some(node) = target.node else {
            let seed = self.seeds.iter_mut().find(|seed| seed.addr == target.addr)?;
            if reached {
                seed.reached();
            } else {
                seed.state = State::Due(now + seed.backoff.next_pause());
                // These say nothing about the seed.
                if !matches!(why, DialError::AlreadyLinked | DialError::AlreadyDialling) {
                    seed.failure = Some(why.clone());
                }
            }
            return None;
        };
        if reached {
            self.members.remove(&node);
            // The link that stands may be about to end: every dial is followed by a word.
            return Some(node);
        }
        let member = self.members.get_mut(&node)?;
        member.state = State::Due(now);
        if member.next < member.addresses.len() {
            return None;
        }
        member.rest(now);
        Some(node)
    }

    /// Dials nobody any more: nobody takes the node in.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// The seeds, and which of them are not reached.
    pub(crate) fn seeds(&self) -> Vec<SeedStatus> {
        let status = |seed: &Seed| SeedStatus { addr: seed.addr, failure: seed.failure.clone() };
        self.seeds.iter().map(status).collect()
    }

    /// No link is left, or too few: every seed is worth a dial again.
    pub(crate) fn alone(&mut self, now: Instant) {
        for seed in &mut self.seeds {
            if matches!(seed.state, State::Resting(_)) {
                seed.state = State::Due(now + seed.backoff.next_pause());
            }
        }
    }

    /// Forgets members whose pause is over and that nobody wants.
    fn make_room(&mut self, now: Instant) {
        if self.members.len() < MAX_MEMBERS {
            return;
        }
        self.members.retain(|_, member| !matches!(member.state, State::Resting(at) if at <= now));
        if self.members.len() >= MAX_MEMBERS {
            self.members.retain(|_, member| !matches!(member.state, State::Resting(_)));
        }
    }
}

impl Seed {
    fn reached(&mut self) {
        self.backoff.reset();
        self.failure = None;
        self.state = State::Resting(Instant::now());
    }
}

impl Member {
    /// Dials the next address; `false` if there is none.
    fn dial(&mut self, node: NodeId, transport: &Transport) -> bool {
        let Some(&addr) = self.addresses.get(self.next) else { return false };
        self.next += 1;
        self.state = State::Dialling;
        transport.dial(Target { node: Some(node), addr });
        true
    }

    fn rest(&mut self, now: Instant) {
        self.state = State::Resting(now + self.backoff.next_pause());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[tokio::test(start_paused = true)]
    async fn new_seeds_are_due_at_once_and_known_ones_keep_their_pause() {
        let now = Instant::now();
        let mut dialler = Dialler::new(&[addr(1), addr(2)], 7, now);
        let target = Target { node: None, addr: addr(1) };
        dialler.failed(target, &DialError::TimedOut, false, now);
        let failures = |dialler: &Dialler| dialler.seeds().into_iter().map(|seed| seed.failure);
        assert!(failures(&dialler).eq([Some(DialError::TimedOut), None]));
        let mut answered = dialler.clone();
        answered.failed(target, &DialError::AlreadyLinked, false, now);
        assert!(failures(&answered).eq([Some(DialError::TimedOut), None]));
        answered.failed(target, &DialError::Myself, false, now);
        assert!(failures(&answered).eq([None, None]));
        let pause = dialler.seeds[0].state;
        assert!(matches!(pause, State::Due(at) if at > now));
        let refused = |dialler: &mut Dialler, linked| {
            dialler.failed(target, &DialError::AlreadyLinked, linked, now);
            matches!(dialler.seeds[0].state, State::Due(_))
        };
        assert!(!refused(&mut dialler.clone(), true), "the seed is reached");
        assert!(refused(&mut dialler.clone(), false), "the peer means an earlier process");
        let member = NodeId([7; 32]);
        let linked = Target { node: Some(member), addr: addr(9) };
        let ended = dialler.failed(linked, &DialError::AlreadyLinked, true, now);
        assert_eq!(ended, Some(member), "who asked for the dial hears of its end");
        dialler.set_seeds(&[addr(1), addr(3), addr(3)], now);
        assert_eq!(dialler.seeds.len(), 2, "one is gone, one came once");
        assert!(dialler.seeds[0].state == pause && dialler.next_due() == Some(now));
        let mut ended = dialler.clone();
        ended.end();
        assert_eq!(ended.next_due(), None);
        let many: Vec<_> = (1..=1_000).map(addr).collect();
        dialler.set_seeds(&many, now);
        assert_eq!(dialler.seeds.len(), MAX_SEEDS);
    }
}
