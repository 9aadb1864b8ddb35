//! The two clocks that a node is given. The core reads none: the node task asks here once for each
//! input. The monotonic one is tokio's, so it stands still under paused time; the wall clock can be
//! set by hand, which is how tests move a node days ahead, or follow tokio's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use knhk_mesh_core::time::{Now, Time, WallMs};
use tokio::time::Instant;

/// Where a node reads the time of day: the operating system, a value that somebody sets, or a start
/// that goes on with tokio's clock.
#[derive(Clone, Debug, Default)]
pub struct WallClock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<AtomicU64>),
    Virtual {
        start: WallMs,
        since: Instant,
    },
}

impl WallClock {
    /// The operating system's clock.
    #[must_use]
    pub const fn system() -> Self {
        WallClock(Source::System)
    }

    /// A clock that shows `start` until [`WallClock::set`] moves it. Clones show the same time.
    #[must_use]
    pub fn manual(start: WallMs) -> Self {
        WallClock(Source::Manual(Arc::new(AtomicU64::new(start.0))))
    }

    /// A clock that shows `start` now and goes on with tokio's: under paused time both stand still.
    #[must_use]
    pub fn virtual_from(start: WallMs) -> Self {
        WallClock(Source::Virtual { start, since: Instant::now() })
    }

    /// Whether somebody sets it.
    pub(crate) const fn is_manual(&self) -> bool {
        matches!(self.0, Source::Manual(_))
    }

    /// Moves a manual clock; the others are not touched.
    pub fn set(&self, wall: WallMs) {
        if let Source::Manual(shown) = &self.0 {
            shown.store(wall.0, Ordering::Relaxed);
        }
    }

    /// Milliseconds since 1970; 0 if the operating system's clock stands before 1970.
    #[must_use]
    pub fn now(&self) -> WallMs {
        let (start, since) = match &self.0 {
            Source::Manual(shown) => return WallMs(shown.load(Ordering::Relaxed)),
            Source::Virtual { start, since } => (start.0, since.elapsed()),
            Source::System => (0, SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
        };
        WallMs(start.saturating_add(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Both clocks of one node.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    start: Instant,
    wall: WallClock,
}

impl Clock {
    pub(crate) fn start(wall: WallClock) -> Self {
        Clock { start: Instant::now(), wall }
    }

    pub(crate) fn now(&self) -> Now {
        let mono = Time::ZERO + self.start.elapsed();
        Now { mono, wall: self.wall.now() }
    }

    /// When tokio's timer has to fire for `time`.
    pub(crate) fn instant(&self, time: Time) -> Instant {
        let after = time.since(Time::ZERO);
        // A deadline beyond what the platform can express is "in a year": the loop asks again.
        self.start
            .checked_add(after)
            .unwrap_or_else(|| self.start + Duration::from_secs(31_536_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_monotonic_clock_follows_paused_time_and_the_wall_clock_its_setter() {
        let wall = WallClock::manual(WallMs(5));
        let clock = Clock::start(wall.clone());
        tokio::time::advance(Duration::from_millis(250)).await;
        wall.set(WallMs(90));
        assert_eq!(clock.now(), Now { mono: Time::from_ms(250), wall: WallMs(90) });
        assert_eq!(clock.instant(Time::from_ms(250)), Instant::now());
        assert!(clock.instant(Time(u64::MAX)) > Instant::now());
    }

    #[tokio::test(start_paused = true)]
    async fn a_virtual_wall_clock_goes_on_with_the_monotonic_one() {
        let wall = WallClock::virtual_from(WallMs(1_000));
        tokio::time::advance(Duration::from_millis(250)).await;
        wall.set(WallMs(7));
        assert_eq!(wall.now(), WallMs(1_250));
    }
}
