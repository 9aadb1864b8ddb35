//! Seeded randomness. A [`Rng`] is a position in a stream that its seed fixes: the same seed and
//! the same calls give the same run, on every machine (SplitMix64, Steele et al., OOPSLA 2014).
//! Not for keys: the shell draws those from the operating system.

use core::time::Duration;

/// A small deterministic generator; 8 bytes of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng(u64);

impl Rng {
    /// The stream of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Rng(mix(seed ^ 0x6b6e_686b_2d6d_6573))
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Uniform in `0..bound`.
    ///
    /// # Panics
    /// If `bound` is zero: there is nothing to draw from.
    pub fn below(&mut self, bound: u32) -> u32 {
        assert!(bound > 0, "a draw needs at least one outcome");
        // Lemire's multiplication; its bias of 2^-32 does not matter for choosing peers.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u32
    }

    /// A uniform part of `whole`.
    pub fn part_of(&mut self, whole: Duration) -> Duration {
        let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(((u128::from(self.next_u64()) * u128::from(nanos)) >> 64) as u64)
    }

    /// True with probability `share` (clamped to 0..=1).
    pub fn chance(&mut self, share: f64) -> bool {
        ((self.next_u64() >> 11) as f64) < share * (1u64 << 53) as f64
    }

    /// Chooses `k` distinct items of `from` uniformly and appends them to `into` (Floyd's
    /// algorithm, O(k^2) compares for the small k of a fanout, no allocation beyond `into`).
    pub fn sample<T: Copy + PartialEq>(&mut self, from: &[T], k: usize, into: &mut Vec<T>) {
        let n = from.len();
        let k = k.min(n);
        let start = into.len();
        for upper in (n - k)..n {
            let draw = from[self.below(upper as u32 + 1) as usize];
            let pick = if into[start..].contains(&draw) { from[upper] } else { draw };
            into.push(pick);
        }
    }
}

/// The finaliser of SplitMix64: a bijection in which each input bit changes half of the output.
#[must_use]
pub const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_is_one_stream() {
        let draw = |seed| {
            let mut rng = Rng::new(seed);
            [rng.next_u64(), rng.next_u64(), rng.next_u64()]
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn a_sample_is_distinct_and_uniform() {
        let items: Vec<u32> = (0..10).collect();
        let mut rng = Rng::new(1);
        let mut hits = [0u32; 10];
        for _ in 0..10_000 {
            let mut picked = Vec::new();
            rng.sample(&items, 3, &mut picked);
            assert_eq!(picked.len(), 3);
            assert!(picked[0] != picked[1] && picked[1] != picked[2] && picked[0] != picked[2]);
            picked.iter().for_each(|&item| hits[item as usize] += 1);
        }
        // 3,000 expected; six standard deviations are 275.
        assert!(hits.iter().all(|&n| (2_725..3_275).contains(&n)), "{hits:?}");
    }

    #[test]
    fn a_sample_larger_than_its_source_is_the_source() {
        let mut picked = Vec::new();
        Rng::new(3).sample(&[1u8, 2], 9, &mut picked);
        picked.sort_unstable();
        assert_eq!(picked, [1, 2]);
    }

    #[test]
    fn chance_follows_its_share() {
        let mut rng = Rng::new(2);
        let hits = (0..10_000).filter(|_| rng.chance(0.3)).count();
        assert!((2_700..3_300).contains(&hits), "{hits}");
        assert!(!(0..100).any(|_| rng.chance(0.0)));
        assert!((0..100).all(|_| rng.chance(1.0)));
    }
}
