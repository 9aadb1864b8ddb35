//! How long to wait before a target is dialled again. Pure: the caller keeps one value a target and
//! gives the randomness.

use std::time::Duration;

use knhk_mesh_core::rng::Rng;

/// First pause.
pub const FIRST: Duration = Duration::from_millis(200);
/// Longest pause before jitter.
pub const LONGEST: Duration = Duration::from_secs(30);

/// The jitter is drawn from so many parts of its range.
const PARTS: u32 = 1 << 16;

/// The pauses of one target: 200 ms, doubled up to 30 s, each with +-25 % of jitter, so that nodes
/// that lost the same peer at the same moment do not return at the same moment.
#[derive(Clone, Debug)]
pub struct Backoff {
    failures: u32,
    rng: Rng,
}

impl Backoff {
    /// Starts at the first pause; `seed` decides the jitter.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Backoff { failures: 0, rng: Rng::new(seed) }
    }

    /// The pause after one more failure.
    pub fn next_pause(&mut self) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let jitter = f64::from(self.rng.below(PARTS + 1)) / f64::from(PARTS);
        doubled.mul_f64(0.75 + 0.5 * jitter)
    }

    /// Forgets the failures: the target answered.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pauses_double_up_to_the_longest_within_their_jitter(seed: u64) {
            let mut backoff = Backoff::new(seed);
            for failure in 0..40 {
                let plain = FIRST.saturating_mul(1 << failure.min(16)).min(LONGEST);
                let pause = backoff.next_pause();
                prop_assert!(pause >= plain.mul_f64(0.75) && pause <= plain.mul_f64(1.25));
            }
            backoff.reset();
            prop_assert!(backoff.next_pause() <= FIRST.mul_f64(1.25));
        }
    }

    #[test]
    fn seeds_part_and_repeat() {
        let pauses = |seed| {
            let mut backoff = Backoff::new(seed);
            [backoff.next_pause(), backoff.next_pause()]
        };
        assert_eq!(pauses(1), pauses(1));
        assert_ne!(pauses(1), pauses(2));
    }
}
