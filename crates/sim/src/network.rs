//! What the network does to a message: delays it, loses it, or cannot deliver it at all.

use core::time::Duration;

use knhk_mesh_core::rng::Rng;

use crate::world::NodeIx;

/// The faults of a run, as plain options.
#[derive(Clone, Debug)]
pub struct Network {
    /// Least one-way delay.
    pub latency: Duration,
    /// Uniform addition to it.
    pub jitter: Duration,
    /// Share of messages that are lost, 0-1.
    pub loss: f64,
    /// Nodes below this index cannot reach those at or above it.
    pub split_at: Option<NodeIx>,
    /// Nodes that receive and never answer: the last ones of the world.
    pub silent: usize,
}

impl Default for Network {
    fn default() -> Self {
        Network {
            latency: Duration::from_millis(1),
            jitter: Duration::from_millis(1),
            loss: 0.0,
            split_at: None,
            silent: 0,
        }
    }
}

impl Network {
    /// Whether the two are on the same side.
    #[must_use]
    pub fn connects(&self, a: NodeIx, b: NodeIx) -> bool {
        self.split_at.is_none_or(|at| (a < at) == (b < at))
    }

    /// How long a message takes; `None` if it is lost.
    pub fn deliver(&self, from: NodeIx, to: NodeIx, rng: &mut Rng) -> Option<Duration> {
        if !self.connects(from, to) || rng.chance(self.loss) {
            return None;
        }
        let jitter = u64::try_from(self.jitter.as_nanos()).unwrap_or(u64::MAX);
        let part = (u128::from(rng.next_u64()) * u128::from(jitter)) >> 64;
        Some(self.latency + Duration::from_nanos(part as u64))
    }
}
