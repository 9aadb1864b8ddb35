//! Links between machines: dials that the network answers, cuts that end what they cross, and what
//! nodes ask for.
//!
//! ```text
//!   dial --three ways later--> answer --both up, not cut, not lost thrice, within 3 s--> LinkUp
//!   split, end_cut_links, a node's request ----> unlink ----> LinkDown at both ends
//! ```

use core::cmp::Reverse;

use knhk_mesh_core::messages::Input;
use knhk_mesh_core::rng::{Rng, mix};

use super::{NodeIx, World};
use crate::engine::Slot;
use crate::engine::shard::Request;
use crate::network::Group;

/// Ways of a handshake.
const WAYS: Slot = 3;
/// Milliseconds after which a handshake has failed, as of a real link.
const HANDSHAKE: Slot = 3_000;
/// How often a handshake is tried in that time when its packets are lost.
const TRIES: usize = 3;

/// A dial that is answered at `slot`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Dial {
    pub(super) slot: Slot,
    order: u64,
    from: NodeIx,
    to: NodeIx,
}

impl World {
    /// The links that stand, each with the smaller end first.
    pub fn links(&self) -> impl Iterator<Item = (NodeIx, NodeIx)> + '_ {
        self.links.iter().copied()
    }

    /// Node `a` dials node `b`; the network decides whether a link comes of it.
    pub fn dial(&mut self, a: NodeIx, b: NodeIx) {
        self.order += 1;
        let slot = self.engine.now + self.handshake(a, b).min(HANDSHAKE);
        self.dials.push(Reverse(Dial { slot, order: self.order, from: a, to: b }));
    }

    /// Milliseconds of a handshake: so slow can the way be, or one of the two, that it fails.
    fn handshake(&self, a: NodeIx, b: NodeIx) -> Slot {
        let shared = &self.engine.shared;
        let way = shared.network.latency.least_ms(a, b).max(shared.network.latency.least_ms(b, a));
        WAYS * (way + shared.slowness(a) + shared.slowness(b))
    }

    /// Whether the network, as it is when the answer is due, lets the handshake through.
    fn connects(&self, Dial { order, from, to, .. }: &Dial) -> bool {
        let network = &self.engine.shared.network;
        let arrives = (1.0 - network.losing(*from, *to)) * (1.0 - network.losing(*to, *from));
        let mut rng = Rng::new(mix(self.seed ^ mix(*order)));
        network.connects(*from, *to)
            && self.handshake(*from, *to) <= HANDSHAKE
            && (0..TRIES).any(|_| !rng.chance(1.0 - arrives))
    }

    /// Cuts the world: links across the cut end on both sides.
    pub fn split(&mut self, at: NodeIx) {
        self.network().split(at);
        self.end_cut_links();
    }

    /// Ends the links that the network does not carry any more, both ends at once.
    pub fn end_cut_links(&mut self) {
        let network = &self.engine.shared.network;
        let cut: Vec<_> =
            self.links.iter().filter(|(a, b)| !network.connects(*a, *b)).copied().collect();
        for (a, b) in cut {
            self.unlink(a, b);
        }
    }

    /// Mends every cut; after a split the first `dials` nodes dial one of the other side.
    pub fn heal(&mut self, dials: usize) {
        let cuts = core::mem::take(&mut self.network().cuts);
        let at = cuts.iter().find_map(|cut| match cut.from {
            Group::Range(0, at) if at < self.len() => Some(at),
            _ => None,
        });
        let Some(at) = at else { return };
        for i in 0..dials.min(at) {
            let other = at + self.rng.below((self.len() - at) as u32) as usize;
            self.dial(i, other);
        }
    }

    /// Ends the link between two nodes.
    pub fn unlink(&mut self, a: NodeIx, b: NodeIx) {
        self.links.remove(&(a.min(b), a.max(b)));
        for (me, other) in [(a, b), (b, a)] {
            let other = self.engine.host(other).node.id();
            if self.engine.host(me).up
                && let Some(peer) = self.engine.host(me).node.peer(&other)
            {
                self.handle(me, Input::LinkDown(peer));
            }
        }
    }

    /// What nodes asked for in the last slot or call; granting may lead to more.
    pub(super) fn grant_requests(&mut self) {
        loop {
            let requests = self.engine.take_requests();
            if requests.is_empty() {
                return;
            }
            for request in requests {
                match request {
                    Request::Connect { from, to } => self.dial(from, to),
                    Request::Close { a, b } => self.unlink(a, b),
                }
            }
        }
    }

    pub(super) fn answer(&mut self, dial: Dial) {
        let Dial { from, to, .. } = dial;
        let both = from != to && self.is_up(from) && self.is_up(to);
        let ids = [from, to].map(|i| self.engine.host(i).node.id());
        if !both || !self.connects(&dial) {
            if self.is_up(from) {
                self.handle(from, Input::DialFailed(ids[1]));
            }
            return;
        }
        self.links.insert((from.min(to), from.max(to)));
        self.handle(from, Input::LinkUp { node: ids[1], chosen: true });
        self.handle(to, Input::LinkUp { node: ids[0], chosen: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Cut, Network};
    use knhk_mesh_core::config::Config;
    use knhk_mesh_core::time::Time;

    /// How many of a hundred dials from node 0 to node 1 become links.
    fn linked(network: Network, slow_ms: u64) -> usize {
        let mut world = World::new(2, Config::default(), network, 3);
        world.slow_down(1, core::time::Duration::from_millis(slow_ms));
        world.run_until(Time::from_ms(20), |_| false);
        let mut linked = 0;
        for _ in 0..100 {
            world.unlink(0, 1);
            world.dial(0, 1);
            let end = world.now() + core::time::Duration::from_millis(HANDSHAKE);
            linked += usize::from(world.run_until(end, |world| world.links().next().is_some()));
        }
        linked
    }

    #[test]
    fn a_dial_is_lost_as_messages_are_and_fails_when_it_takes_too_long() {
        let half = (Cut { from: Group::Range(0, 1), to: Group::Range(1, 2) }, 0.8);
        let lossy = Network { lossy: vec![half], ..Network::default() };
        assert_eq!(linked(Network::default(), 0), 100);
        assert_eq!(linked(Network::default(), 900), 100);
        assert_eq!(linked(Network::default(), 2_000), 0);
        // 0.8^3 fail. The node itself dials as well.
        assert!((30..100).contains(&linked(lossy, 0)));
    }
}
