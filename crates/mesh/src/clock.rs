//! The two clocks that a node is given. The core reads none: the node task asks here once for each
//! input. The monotonic one is tokio's, so it stands still under paused time; the wall clock can be
//! set by hand, which is how tests move a node days ahead.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use knhk_mesh_core::time::{Now, Time, WallMs};
use tokio::time::Instant;

/// Where a node reads the time of day: the operating system, or a value that somebody sets.
#[derive(Clone, Debug, Default)]
pub struct WallClock(Option<Arc<AtomicU64>>);

impl WallClock {
    /// The operating system's clock.
    #[must_use]
    pub const fn system() -> Self {
        WallClock(None)
    }

    /// A clock that shows `start` until [`WallClock::set`] moves it. Clones show the same time.
    #[must_use]
    pub fn manual(start: WallMs) -> Self {
        WallClock(Some(Arc::new(AtomicU64::new(start.0))))
    }

    /// Whether somebody sets it.
    pub(crate) const fn is_manual(&self) -> bool {
        self.0.is_some()
    }

    /// Moves a manual clock; the operating system's clock is not touched.
    pub fn set(&self, wall: WallMs) {
        if let Some(shown) = &self.0 {
            shown.store(wall.0, Ordering::Relaxed);
        }
    }

    /// Milliseconds since 1970; 0 if the operating system's clock stands before 1970.
    #[must_use]
    pub fn now(&self) -> WallMs {
        if let Some(shown) = &self.0 {
            return WallMs(shown.load(Ordering::Relaxed));
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
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
}
