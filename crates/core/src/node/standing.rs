//! How a node stands with this one, part by part: what its reputation consists of, what its budget
//! remembers, what others and the operator say. All of it is local; nothing here decides anything.

use core::time::Duration;
use std::collections::BTreeSet;

use super::trust::{MEND_EVERY, MENDED};
use super::{Node, NodeId, Now};
use crate::identity::Incarnation;
use crate::membership::Accusation;
use crate::security::budget::Budgets;
use crate::security::ledger::Taken;
use crate::time::Time;

/// How one node stands with this one.
#[derive(Clone, PartialEq, Debug)]
pub struct Standing {
    /// Who.
    pub node: NodeId,
    /// Whether it is in the directory.
    pub listed: bool,
    /// Whether it is a member that nobody reaches: it still counts for the quorum.
    pub absent: bool,
    /// 0.0-1.0; 1.0 if nothing is known.
    pub reputation: f32,
    /// Below this the peer is not chosen.
    pub threshold: f32,
    /// What took how much of the reputation, and how long ago last.
    pub taken: Vec<(Taken, Duration)>,
    /// Until the reputation reaches the threshold by time alone; zero if it does.
    pub trusted_in: Duration,
    /// Until it is whole by time alone; zero if it is.
    pub whole_in: Duration,
    /// Seconds in a row beyond its budgets, and with how many its link ends.
    pub strikes: (u8, u8),
    /// How long it stays out yet, if its link was ended for what it did.
    pub barred: Option<Duration>,
    /// What members say about it being gone, if anybody does.
    pub accusation: Option<Accusation>,
    /// Incarnations that forked their chain.
    pub convicted: usize,
    /// Whether that convicted the key: nothing of it is taken any more.
    pub key_convicted: bool,
    /// What it signed up to here is void by the operator's word; the highest is for ever.
    pub void_up_to: Option<Incarnation>,
}

impl Standing {
    /// What the reputation got back: by time, and by what the application added or took.
    #[must_use]
    pub fn given_back(&self) -> f32 {
        let taken: f32 = self.taken.iter().map(|(taken, _)| taken.amount).sum();
        self.reputation - (1.0 - taken)
    }
}

impl Node {
    /// How everybody stands that this node knows, by id: those of the directory, the absent, the
    /// barred, the denied and the convicted. O(n log n).
    #[must_use]
    pub fn standings(&self, now: Now) -> Vec<Standing> {
        let views = self.registry.all().filter_map(|peer| self.registry.get(peer));
        let mut all: BTreeSet<NodeId> = views.map(|view| view.id).collect();
        all.extend(self.registry.absent_ids());
        all.extend(self.budgets().into_iter().flat_map(|budgets| budgets.barred_at(now.mono)));
        all.extend(self.membership.denied());
        all.extend(self.store.convicted());
        all.remove(&self.id());
        all.iter().map(|node| self.standing(node, now)).collect()
    }

    /// How `node` stands.
    #[must_use]
    pub fn standing(&self, node: &NodeId, now: Now) -> Standing {
        let peer = self.registry.by_id(node);
        let reputation = peer.and_then(|peer| self.registry.get(peer)).map(|view| view.reputation);
        let reputation = reputation.unwrap_or(1.0);
        let threshold = self.settings.byzantine_threshold;
        let taken = match (&self.guard, peer) {
            (Some(guard), Some(peer)) => guard.ledger.of(peer),
            _ => &[],
        };
        let ago = |taken: &Taken| (*taken, now.mono.since(taken.last));
        let strikes = peer.zip(self.budgets());
        let strikes = strikes.map_or(0, |(peer, budgets)| budgets.strikes(peer, now.mono));
        let convicted = self.store.convictions_of(node);
        Standing {
            node: *node,
            listed: peer.is_some(),
            absent: self.registry.is_absent(node),
            reputation,
            threshold,
            taken: taken.iter().map(ago).collect(),
            trusted_in: self.mended_in(reputation, threshold, now.mono),
            whole_in: self.mended_in(reputation, 1.0, now.mono),
            strikes: (strikes, Budgets::STRIKES),
            barred: self.budgets().and_then(|budgets| budgets.barred_for(node, now.mono)),
            accusation: self.membership.accusation(node, now.mono),
            convicted,
            key_convicted: self.store.is_convicted(node),
            void_up_to: self.membership.void_up_to(node),
        }
    }

    fn budgets(&self) -> Option<&Budgets> {
        self.guard.as_ref().map(|guard| &guard.budgets)
    }

    /// How long time alone takes from `reputation` to `wanted`.
    fn mended_in(&self, reputation: f32, wanted: f32, now: Time) -> Duration {
        let first = self.guard.as_ref().and_then(|guard| guard.mends_at);
        let first = first.map_or(MEND_EVERY, |at| at.since(now));
        // Step by step, as it will be: binary fractions do not hold the parts exactly.
        let (mut reached, mut steps) = (reputation, 0);
        while reached < wanted.min(1.0) {
            reached = (reached + MENDED).min(1.0);
            steps += 1;
        }
        if steps == 0 { Duration::ZERO } else { first + MEND_EVERY * (steps - 1) }
    }
}
