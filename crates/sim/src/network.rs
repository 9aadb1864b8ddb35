//! What the network does to a message: delays it, loses it, doubles it, or cannot deliver it at
//! all. One plain structure of options; every draw is a function of the run's seed, the sender and
//! the number of the message at its sender, so nothing depends on who asks first.

use core::time::Duration;

use knhk_mesh_core::rng::Rng;

use crate::engine::Slot;
use crate::latency::Latency;
use crate::world::NodeIx;

/// The faults of a run from now on.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// How long messages take.
    pub latency: Latency,
    /// Share of messages that are lost, 0-1.
    pub loss: f64,
    /// Share of messages that arrive twice, 0-1.
    pub duplicate: f64,
    /// Share of messages that are held up by [`Network::HELD_UP`], behind later ones, 0-1.
    pub reorder: f64,
    /// Bytes a second that one node can send; none: no limit.
    pub bandwidth: Option<u64>,
    /// Directions that are cut.
    pub cuts: Vec<Cut>,
    /// Directions that lose this share of their messages beside [`Network::loss`].
    pub lossy: Vec<(Cut, f64)>,
}

/// Messages from one group of nodes to another do not arrive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cut {
    /// Senders.
    pub from: Group,
    /// Receivers.
    pub to: Group,
}

/// Some nodes of a world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// From the first up to and without the second.
    Range(NodeIx, NodeIx),
    /// Those of one region.
    Region(usize),
}

impl Network {
    /// What a message that is reordered waits beside its latency.
    pub const HELD_UP: Duration = Duration::from_millis(50);

    /// Cuts nodes below `at` off from those at or above it, both ways.
    pub fn split(&mut self, at: NodeIx) {
        let (low, high) = (Group::Range(0, at), Group::Range(at, NodeIx::MAX));
        self.cuts.push(Cut { from: low, to: high });
        self.cuts.push(Cut { from: high, to: low });
    }

    /// Whether messages from `from` reach `to`.
    #[must_use]
    pub fn carries(&self, from: NodeIx, to: NodeIx) -> bool {
        !self.cuts.iter().any(|cut| self.crosses(cut, from, to))
    }

    fn crosses(&self, cut: &Cut, from: NodeIx, to: NodeIx) -> bool {
        let holds = |group: Group, node| match group {
            Group::Range(first, end) => (first..end).contains(&node),
            Group::Region(region) => self.latency.region_of(node) == region,
        };
        holds(cut.from, from) && holds(cut.to, to)
    }

    /// Share of the messages from `from` to `to` that are lost, cuts left out.
    pub(crate) fn losing(&self, from: NodeIx, to: NodeIx) -> f64 {
        let lossy = self.lossy.iter().filter(|(cut, _)| self.crosses(cut, from, to));
        1.0 - lossy.fold(1.0 - self.loss, |arrives, (_, share)| arrives * (1.0 - share))
    }

    /// Whether messages pass both ways: what a link needs.
    #[must_use]
    pub fn connects(&self, a: NodeIx, b: NodeIx) -> bool {
        self.carries(a, b) && self.carries(b, a)
    }

    /// In how many slots the copies of a message arrive: none if it is lost, two if it is doubled.
    /// `rng` is of this message alone.
    #[must_use]
    pub(crate) fn fate(&self, from: NodeIx, to: NodeIx, rng: &mut Rng) -> [Option<Slot>; 2] {
        let lost = !self.carries(from, to) || (self.loss > 0.0 && rng.chance(self.loss));
        if lost {
            return [None, None];
        }
        for (cut, share) in &self.lossy {
            if self.crosses(cut, from, to) && rng.chance(*share) {
                return [None, None];
            }
        }
        let mut delay = self.latency.slots(from, to, rng);
        if self.reorder > 0.0 && rng.chance(self.reorder) {
            delay += Self::HELD_UP.as_millis() as Slot;
        }
        let twice = self.duplicate > 0.0 && rng.chance(self.duplicate);
        let second = twice.then(|| delay + self.latency.slots(from, to, rng));
        [Some(delay), second]
    }
}
