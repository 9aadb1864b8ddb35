//! What is certified, as far as one node knows. Two nodes that tell each other everything know the
//! same, whatever order it came in: of a key the highest version stands, and of two values of one
//! version, which only more than f liars can bring about, the one whose hash is lower.

use core::cmp::Reverse;
use std::collections::BTreeMap;

use super::{Certificate, Certified, Conflict, ConflictProof, Fact, void_key};
use crate::identity::{Incarnation, NodeId};

/// What came of a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It says nothing new.
    Known,
    /// It stands.
    News,
    /// It contradicts another one of its version: the proof. Which of the two stands does not
    /// depend on their order.
    Conflict(Box<Conflict>),
    /// There is no room for another key. Nothing was changed.
    Full,
}

/// Certified facts by key, and the conflicts that were seen.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    held: BTreeMap<String, Certified>,
    /// By key and version.
    conflicts: BTreeMap<(String, u64), Conflict>,
}

impl Facts {
    /// Most keys. Only a quorum of the committee makes new ones.
    pub const MAX: usize = 1_024;
    /// Most conflicts; the first by key and version are kept.
    pub const MAX_CONFLICTS: usize = 64;

    /// Takes a certificate in.
    pub fn insert(&mut self, certified: Certified) -> Taken {
        let Some(held) = self.held.get_mut(certified.fact().key()) else {
            if self.held.len() >= Self::MAX {
                return Taken::Full;
            }
            self.held.insert(certified.fact().key().to_owned(), certified);
            return Taken::News;
        };
        let rank = |c: &Certified| (c.fact().version(), Reverse(*c.value_hash()));
        let conflict = Conflict::between(held, &certified);
        let stands = rank(&certified) > rank(held);
        if stands {
            *held = certified;
        }
        match conflict.filter(|conflict| self.keep(conflict)) {
            Some(conflict) => Taken::Conflict(Box::new(conflict)),
            None if stands => Taken::News,
            None => Taken::Known,
        }
    }

    /// Takes a conflict and both its certificates in; whether anything was new.
    pub fn insert_conflict(&mut self, conflict: &Conflict) -> bool {
        let mut news = self.keep(conflict);
        for side in conflict.sides() {
            news |= matches!(self.insert(side.clone()), Taken::News | Taken::Conflict(_));
        }
        news
    }

    fn keep(&mut self, conflict: &Conflict) -> bool {
        let fact = conflict.sides()[0].fact();
        if !self.would_keep(fact) {
            return false;
        }
        self.conflicts.insert((fact.key().to_owned(), fact.version()), conflict.clone());
        if self.conflicts.len() > Self::MAX_CONFLICTS {
            self.conflicts.pop_last();
        }
        true
    }

    /// Whether a conflict about this key and version is new, and there is room for it.
    fn would_keep(&self, fact: &Fact) -> bool {
        let place = (fact.key().to_owned(), fact.version());
        let last = self.conflicts.last_key_value();
        let room = self.conflicts.len() < Self::MAX_CONFLICTS;
        !self.conflicts.contains_key(&place) && (room || last.is_some_and(|last| place < *last.0))
    }

    /// Whether [`Facts::insert`] would change nothing, whatever the signatures: what was said
    /// before, by whomever, is not worth a check.
    #[must_use]
    pub fn needs_no_check(&self, certificate: &Certificate) -> bool {
        let fact = &certificate.fact;
        let Some(held) = self.held.get(fact.key()) else { return self.held.len() >= Self::MAX };
        if fact.version() != held.fact().version() {
            return fact.version() < held.fact().version();
        }
        let hash = fact.value_hash();
        hash == *held.value_hash() || (hash > *held.value_hash() && !self.would_keep(fact))
    }

    /// The same of [`Facts::insert_conflict`].
    #[must_use]
    pub fn conflict_needs_no_check(&self, proof: &ConflictProof) -> bool {
        let sides = [&proof.lower, &proof.higher];
        !self.would_keep(&proof.lower.fact) && sides.iter().all(|side| self.needs_no_check(side))
    }

    /// What stands for `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Certified> {
        self.held.get(key)
    }

    /// Up to which incarnation everything of `node` is void.
    #[must_use]
    pub fn void_up_to(&self, node: &NodeId) -> Option<Incarnation> {
        self.get(&void_key(node)).map(|held| Incarnation(held.fact().version()))
    }

    /// Everything that stands, by key.
    pub fn iter(&self) -> impl Iterator<Item = &Certified> {
        self.held.values()
    }

    /// What contradicts itself, by key and version.
    pub fn conflicts(&self) -> impl Iterator<Item = &Conflict> {
        self.conflicts.values()
    }
}
