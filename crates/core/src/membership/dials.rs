//! Nodes that are being dialled, and when each dial has failed. A few at a time; those that are to
//! find the way out of a partition have places of their own, because dials into the void take long
//! to fail.

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

#[derive(Debug, Default)]
pub(super) struct Dials(Vec<Dial>);

#[derive(Debug)]
struct Dial {
    node: NodeId,
    deadline: Time,
    rescue: bool,
}

impl Dials {
    /// Notes a dial, if there is room for it and none to this node.
    pub(super) fn start(&mut self, node: NodeId, now: Time) -> bool {
        self.add(Dial { node, deadline: now + TIMEOUT, rescue: false }, MAX_DIALS)
    }

    /// The same for a way out of a partition.
    pub(super) fn start_rescue(&mut self, node: NodeId, now: Time) -> bool {
        self.add(Dial { node, deadline: now + RESCUE_TIMEOUT, rescue: true }, MAX_RESCUES)
    }

    fn add(&mut self, dial: Dial, most: usize) -> bool {
        let same_kind = self.0.iter().filter(|other| other.rescue == dial.rescue).count();
        let known =
            self.0.iter().any(|other| other.node == dial.node && other.rescue == dial.rescue);
        let fits = !known && same_kind < most;
        if fits {
            self.0.push(dial);
        }
        fits
    }

    pub(super) fn retain(&mut self, keeps: impl Fn(&NodeId, Time) -> bool) {
        self.0.retain(|dial| keeps(&dial.node, dial.deadline));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
