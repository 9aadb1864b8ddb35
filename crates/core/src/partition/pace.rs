//! What a node spends on noticing a partition: whom it watches, how often they hear from each
//! other, and after what silence somebody counts as lost.
//!
//! ```text
//!   members       watched            fast                          thrifty
//!   up to 64      all of them        4 ms for each, 50-250 ms      0.2 s for each, 1 s at least
//!   more          a sample           128 witnesses, 250 ms         24 witnesses, 4.8 s
//! ```

use core::time::Duration;

use crate::config::{Detect, Mode, Settings};

/// Up to so many members all of them are counted.
pub const EXACT: usize = 64;
/// Witnesses of a fast detector: with a third of the members silent, less than one sample in 30,000
/// holds a majority that is (binomial; ADR 0022).
const WITNESSES: usize = 128;
/// Witnesses of a thrifty one: a hint, wrong for one node in 40 when a third is silent.
const FEW_WITNESSES: usize = 24;

/// One heartbeat for each 4 ms: small meshes hear from each other more often at the same cost.
const FAST_SHARE: Duration = Duration::from_millis(4);
const FAST: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];
/// Silence after which somebody is lost: at least, and at most.
const FAST_SILENCE: [Duration; 2] = [Duration::from_millis(600), Duration::from_millis(700)];
/// Five heartbeats a second in all.
const THRIFTY_SHARE: Duration = Duration::from_millis(200);
const THRIFTY_LEAST: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// How many members are watched.
    pub witnesses: usize,
    /// Between two heartbeats to the same peer.
    pub interval: Duration,
    /// Who was not heard for so long is lost.
    pub silence: Duration,
    /// Between two looks at who is lost.
    pub look: Duration,
}

impl Pace {
    /// The pace in a mesh of so many members, the own node counted.
    #[must_use]
    pub fn of(settings: &Settings, members: usize) -> Self {
        let others = members.saturating_sub(1).max(1);
        let exact = members <= EXACT;
        let fast = match settings.detect {
            Detect::Fast => true,
            Detect::BySize => exact,
            Detect::Off | Detect::Thrifty => false,
        };
        let sample = match (fast, settings.mode) {
            (true, _) => WITNESSES,
            // Nothing depends on the answer: the links that it has anyway are witnesses enough.
            (false, Mode::Available) => settings.wanted_links(),
            (false, _) => FEW_WITNESSES.max(settings.wanted_links()),
        };
        let witnesses = if exact { others } else { sample.min(others) };
        let share = |each: Duration| each * witnesses as u32;
        if fast {
            let interval = share(FAST_SHARE).clamp(FAST[0], FAST[1]);
            let silence = (3 * interval).clamp(FAST_SILENCE[0], FAST_SILENCE[1]);
            return Pace { witnesses, interval, silence, look: FAST[0] };
        }
        let interval = share(THRIFTY_SHARE).max(THRIFTY_LEAST);
        Pace { witnesses, interval, silence: 3 * interval, look: interval / 4 }
    }

    /// A link that was silent for so long is ended: longer than a process that stops for 2 s at a
    /// time, which would not get another one.
    #[must_use]
    pub fn give_up(&self) -> Duration {
        8 * self.silence
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn pace(detect: Detect, members: usize) -> Pace {
        let settings = Settings::new(Config { detect, mode: Mode::ReadOnly, ..Config::default() });
        Pace::of(&settings.unwrap(), members)
    }

    #[test]
    fn a_cut_is_noticed_within_a_second_whatever_the_size() {
        for members in [2, 4, 10, 40, 64, 65, 100, 129, 2_000, 1_000_000] {
            let pace = pace(Detect::Fast, members);
            assert!(pace.silence + 3 * pace.look <= Duration::from_millis(900), "{members}");
            assert!(pace.silence >= 5 * pace.interval / 2, "{members}: one loss is no silence");
            assert!(pace.witnesses < members && pace.witnesses <= WITNESSES);
        }
    }

    #[test]
    fn a_thrifty_node_sends_five_heartbeats_a_second() {
        for members in [10, 64, 65, 2_000] {
            let pace = pace(Detect::Thrifty, members);
            let each_second = pace.witnesses as f64 / pace.interval.as_secs_f64();
            assert!(each_second <= 9.0, "{members}: {each_second}");
        }
    }

    #[test]
    fn the_size_decides_unless_the_configuration_does() {
        assert_eq!(pace(Detect::BySize, 64), pace(Detect::Fast, 64));
        assert_eq!(pace(Detect::BySize, 65), pace(Detect::Thrifty, 65));
        assert_eq!(pace(Detect::Fast, 64).witnesses, 63, "all of a small mesh");
    }
}
