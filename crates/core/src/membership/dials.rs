//! Nodes that are being dialled, and when each dial has failed. A few at a time; those that are to
//! find the way out of a partition have places of their own, because dials into the void take long
//! to fail.
//!
//! Who answered rests for a moment: a link that ends as soon as it stands, because one side has
//! barred the other, must not become a storm of handshakes.

use core::time::Duration;

use crate::identity::NodeId;
use crate::time::Time;

/// Dials under way at a time.
const MAX_DIALS: usize = 3;
/// The same out of a partition.
const MAX_RESCUES: usize = 64;
/// A dial of which the driver never told the end has failed after this long.
const TIMEOUT: Duration = Duration::from_secs(30);
/// After this long another one to the same node may meet a network that has healed.
const RESCUE_TIMEOUT: Duration = Duration::from_secs(2);

/// Who answered is not dialled again for so long.
const REST: Duration = Duration::from_secs(1);
/// So many of them are remembered.
const MAX_RESTING: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Dials(Vec<Dial>);

#[derive(Debug)]
struct Dial {
    node: NodeId,
    /// When it has failed, or when its node has rested.
    deadline: Time,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Usual,
    Rescue,
    /// It was a usual one.
    Answered,
}

impl Dials {
    /// Notes a dial, if there is room for it, none to this node, and none that it just answered.
    pub(super) fn start(&mut self, node: NodeId, now: Time) -> bool {
        let deadline = now + TIMEOUT;
        !self.rests(&node) && self.add(Dial { node, deadline, kind: Kind::Usual }, MAX_DIALS)
    }

    /// The same for a way out of a partition; it waits for nothing.
    pub(super) fn start_rescue(&mut self, node: NodeId, now: Time) -> bool {
        let deadline = now + RESCUE_TIMEOUT;
        self.add(Dial { node, deadline, kind: Kind::Rescue }, MAX_RESCUES)
    }

    fn add(&mut self, dial: Dial, most: usize) -> bool {
        let same_kind = self.0.iter().filter(|other| other.kind == dial.kind).count();
        let known = self.0.iter().any(|other| other.node == dial.node && other.kind == dial.kind);
        let fits = !known && same_kind < most;
        if fits {
            self.0.push(dial);
        }
        fits
    }

    /// A link with `node` came up; whether it was dialled from here.
    pub(super) fn answered(&mut self, node: &NodeId, now: Time) -> bool {
        let dialled = self.0.iter().any(|dial| dial.node == *node && dial.kind != Kind::Answered);
        self.0.retain(|dial| dial.node != *node || dial.kind != Kind::Rescue);
        let resting = self.0.iter().filter(|dial| dial.kind == Kind::Answered).count();
        let own = |dial: &&mut Dial| dial.node == *node && dial.kind == Kind::Usual;
        if let Some(dial) = self.0.iter_mut().find(own) {
            (dial.kind, dial.deadline) = (Kind::Answered, now + REST);
            let oldest = self.0.iter().position(|dial| dial.kind == Kind::Answered);
            if let Some(oldest) = oldest.filter(|_| resting >= MAX_RESTING) {
                self.0.remove(oldest);
            }
        }
        dialled
    }

    /// Whether `node` answered just now.
    pub(super) fn rests(&self, node: &NodeId) -> bool {
        self.0.iter().any(|dial| dial.node == *node && dial.kind == Kind::Answered)
    }

    /// A dial to `node` failed.
    pub(super) fn failed(&mut self, node: &NodeId) {
        self.0.retain(|dial| dial.node != *node || dial.kind == Kind::Answered);
    }

    /// Forgets what is over.
    pub(super) fn expire(&mut self, now: Time) {
        self.0.retain(|dial| dial.deadline > now);
    }

    /// Dials under way.
    pub(super) fn under_way(&self) -> usize {
        self.0.iter().filter(|dial| dial.kind != Kind::Answered).count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answered_is_not_dialled_again_at_once_but_may_be_rescued() {
        let (mut dials, node) = (Dials::default(), NodeId([1; 32]));
        assert!(dials.start(node, Time::ZERO) && !dials.start(node, Time::ZERO));
        assert!(dials.answered(&node, Time::ZERO) && !dials.answered(&node, Time::ZERO));
        assert!(dials.rests(&node) && dials.under_way() == 0);
        assert!(!dials.start(node, Time::ZERO) && dials.start_rescue(node, Time::ZERO));
        dials.expire(Time::ZERO + REST);
        assert!(!dials.rests(&node) && dials.start(node, Time::ZERO + REST));
        dials.failed(&node);
        assert!(dials.is_empty() && dials.start(node, Time::ZERO + REST), "nobody answered");
    }

    #[test]
    fn those_who_rest_are_few() {
        let mut dials = Dials::default();
        for i in 0..200 {
            let node = NodeId([i; 32]);
            assert!(dials.start(node, Time::ZERO));
            dials.answered(&node, Time::ZERO);
        }
        assert!(dials.0.len() <= MAX_RESTING && dials.rests(&NodeId([199; 32])));
    }
}
