//! The clock that stamps records (Kulkarni et al., "Logical Physical Clocks", 2014). It stays near
//! the wall clock while that runs forward, and orders a write above everything its writer had seen
//! even when it does not. Remote stamps pull it along, but never far: nobody drags a mesh's time.

use crate::frame::header::EARLY;
use crate::time::{Hlc, WallMs};

/// A hybrid logical clock; 8 bytes of state, no clock of its own: `wall` is an argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    last: Hlc,
}

impl Clock {
    /// A clock whose stamps lie above `last`: after a restart, the latest own stamp that is known.
    #[must_use]
    pub const fn after(last: Hlc) -> Self {
        Clock { last }
    }

    /// The next stamp: at least the wall clock, above `above`, and above every stamp before it.
    /// (Except at the end of the format's range in the year 10889, where it stands still.)
    pub fn stamp(&mut self, wall: WallMs, above: Hlc) -> Hlc {
        self.last = Hlc::at(wall).max(self.last.next()).max(above.next());
        self.last
    }

    /// Follows the stamp of a merged record, up to [`EARLY`] (500 ms) ahead of `wall`.
    pub fn observe(&mut self, remote: Hlc, wall: WallMs) {
        let lead = EARLY.as_millis() as u64;
        let bound = Hlc::at(WallMs(wall.0.saturating_add(lead)));
        self.last = self.last.max(remote.min(bound));
    }

    /// The latest stamp given or followed.
    #[must_use]
    pub const fn last(&self) -> Hlc {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn stamps_rise_whatever_the_wall_clock_does(
            steps in vec((any::<bool>(), 0u64..1 << 40, 0u64..1 << 56), 1..50),
        ) {
            let (mut clock, mut last) = (Clock::default(), Hlc(0));
            for (write, wall, remote) in steps {
                let (wall, remote) = (WallMs(wall), Hlc(remote));
                if !write {
                    clock.observe(remote, wall);
                    continue;
                }
                let stamp = clock.stamp(wall, remote);
                prop_assert!(stamp > last && stamp > remote && stamp >= Hlc::at(wall));
                last = stamp;
            }
        }

        #[test]
        fn a_remote_stamp_pulls_no_further_than_its_bound(wall in 0u64..1 << 40, remote: u64) {
            let mut clock = Clock::default();
            clock.observe(Hlc(remote), WallMs(wall));
            prop_assert!(clock.last() <= Hlc(remote));
            prop_assert!(clock.last().ahead_of(WallMs(wall)) <= EARLY);
        }
    }

    #[test]
    fn a_clock_that_went_back_counts_on() {
        let mut clock = Clock::after(Hlc::at(WallMs(1_000)));
        let stamp = clock.stamp(WallMs(10), Hlc(0));
        assert_eq!(stamp, Hlc::at(WallMs(1_000)).next());
        assert_eq!(clock.stamp(WallMs(2_000), Hlc(0)), Hlc::at(WallMs(2_000)));
    }
}
