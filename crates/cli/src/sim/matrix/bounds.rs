//! What the specification promises for each size. Where its documents differ, the loosest and the
//! strictest of them stand here.

use serde::Serialize;

/// One size and its bounds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(super) struct Size {
    pub(super) agents: u32,
    /// The specification's; where it gives a range for the sizes on both sides, the value in both.
    #[serde(skip)]
    pub(super) fanout: usize,
    #[serde(skip)]
    pub(super) interval_ms: u64,
    pub(super) rounds_loose: u32,
    pub(super) rounds_strict: u32,
    pub(super) ms_loose: u64,
    pub(super) ms_strict: u64,
    /// Of all nodes together, in millions a second.
    pub(super) megabytes_per_s_budget: u32,
    /// Share of the updates that have to be in time, in per cent; small meshes have none.
    pub(super) sla_percent: Option<f64>,
    /// More runs of this size would take too long.
    #[serde(skip)]
    pub(super) most_seeds: u32,
}

impl Size {
    /// Updates from which on a share can be held against the SLA: with fewer the smallest miss
    /// there is, one update, is more than the SLA allows. Without an SLA: a hundred, for a
    /// percentage.
    pub(super) fn updates_needed(&self) -> u32 {
        self.sla_percent.map_or(100, |sla| (100.0 / (100.0 - sla)).round() as u32)
    }

    /// Updates that are run if nobody says how many.
    pub(super) fn updates(&self) -> u32 {
        if self.agents <= 10_000 { self.updates_needed() } else { 1 }
    }
}

const fn size(agents: u32, fanout: usize, rounds: [u32; 2], ms: [u64; 2], budget: u32) -> Size {
    Size {
        agents,
        fanout,
        interval_ms: super::INTERVAL_MS,
        rounds_loose: rounds[0],
        rounds_strict: rounds[1],
        ms_loose: ms[0],
        ms_strict: ms[1],
        megabytes_per_s_budget: budget,
        sla_percent: match agents {
            0..1_000 => None,
            1_000..10_000 => Some(99.9),
            10_000..1_000_000 => Some(99.5),
            _ => Some(99.0),
        },
        most_seeds: match agents {
            0..100_000 => u32::MAX,
            100_000..1_000_000 => 3,
            _ => 1,
        },
    }
}

/// Every size of the specification. A flat mesh has 1 MB/s, a region 10, several regions 100 and
/// the hierarchy 1,000.
pub(super) const SIZES: [Size; 6] = [
    size(10, 5, [7, 5], [100, 50], 1),
    size(100, 5, [10, 5], [500, 50], 1),
    size(1_000, 10, [13, 7], [1_000, 100], 10),
    size(10_000, 20, [17, 8], [5_000, 300], 100),
    size(100_000, 50, [20, 8], [10_000, 500], 100),
    size(1_000_000, 50, [23, 15], [30_000, 1_000], 1_000),
];

/// `ceil(log_(2k+1) n)`: in a round each that knows tells `k` others and is asked by `k`, in the
/// mean.
pub(super) fn least_rounds(agents: u32, fanout: usize) -> u32 {
    let factor = 2 * fanout as u64 + 1;
    let (mut rounds, mut reached) = (0, 1u64);
    while reached < u64::from(agents) && factor > 1 {
        reached = reached.saturating_mul(factor);
        rounds += 1;
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_rounds_are_a_logarithm() {
        let least = |fanout| SIZES.map(|size| least_rounds(size.agents, fanout));
        assert_eq!(least(3), [2, 3, 4, 5, 6, 8]);
        assert_eq!(least(50), [1, 1, 2, 2, 3, 3]);
        assert_eq!((least_rounds(1, 3), least_rounds(7, 3), least_rounds(9, 0)), (0, 1, 0));
    }

    #[test]
    fn bounds_are_those_of_the_specification() {
        assert_eq!(SIZES.map(|s| s.rounds_loose), [7, 10, 13, 17, 20, 23]);
        assert_eq!(SIZES.map(|s| s.rounds_strict), [5, 5, 7, 8, 8, 15]);
        assert_eq!(SIZES.map(|s| s.ms_loose), [100, 500, 1_000, 5_000, 10_000, 30_000]);
        assert_eq!(SIZES.map(|s| s.ms_strict), [50, 50, 100, 300, 500, 1_000]);
        assert_eq!(SIZES.map(|s| s.updates_needed()), [100, 100, 1_000, 200, 200, 100]);
        assert_eq!(SIZES.map(|s| s.updates()), [100, 100, 1_000, 200, 1, 1]);
        let slas = [None, None, Some(99.9), Some(99.5), Some(99.5), Some(99.0)];
        assert_eq!(SIZES.map(|s| s.sla_percent), slas);
    }
}
