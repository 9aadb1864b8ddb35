//! Links between machines: dials that the network answers, cuts that end what they cross, and what
//! nodes ask for.
//!
//! ```text
//!   dial --three ways later--> answer --both up, connected--> LinkUp at both ends
//!   split, end_cut_links, a node's request ----> unlink ----> LinkDown at both ends
//! ```

use core::cmp::Reverse;

use knhk_mesh_core::messages::Input;

use super::{NodeIx, World};
use crate::engine::Slot;
use crate::engine::shard::Request;
use crate::network::Group;

/// Milliseconds until a dial has an answer: three ways of the lan.
const DIAL: Slot = 3;

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
        let slot = self.engine.now + DIAL;
        self.dials.push(Reverse(Dial { slot, order: self.order, from: a, to: b }));
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

    pub(super) fn answer(&mut self, Dial { from, to, .. }: Dial) {
        let both = from != to && self.is_up(from) && self.is_up(to);
        let ids = [from, to].map(|i| self.engine.host(i).node.id());
        if !both || !self.engine.shared.network.connects(from, to) {
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
