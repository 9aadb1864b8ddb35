//! Time as data. The core reads no clock: each call brings a [`Now`] with two readings, one that
//! never goes back (deadlines, rounds) and one that people and other nodes understand (records).

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

/// Nanoseconds on a monotonic clock since an arbitrary start of this process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(pub u64);

impl Time {
    /// The start of the clock.
    pub const ZERO: Time = Time(0);

    /// `ms` milliseconds after the start.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Time(ms.saturating_mul(1_000_000))
    }

    /// Time since `earlier`, zero if `earlier` lies in the future.
    #[must_use]
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, by: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;
    fn sub(self, by: Duration) -> Time {
        Time(self.0.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Milliseconds since 1970 on the wall clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct WallMs(pub u64);

/// Both clocks at one moment. An argument of every call into the core.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// Monotonic: deadlines and rounds.
    pub mono: Time,
    /// Wall: stamps of records.
    pub wall: WallMs,
}

/// Hybrid logical clock stamp: 48 bits of milliseconds since 1970, 16 bits of counter
/// (Kulkarni et al., "Logical Physical Clocks", 2014).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hlc(pub u64);

impl Hlc {
    /// The first stamp of the millisecond `wall`.
    #[must_use]
    pub const fn at(wall: WallMs) -> Self {
        Hlc(wall.0 << 16)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn wall(self) -> WallMs {
        WallMs(self.0 >> 16)
    }

    /// The next stamp above this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Hlc(self.0.saturating_add(1))
    }

    /// How far this stamp lies ahead of `wall`; zero if it does not.
    #[must_use]
    pub const fn ahead_of(self, wall: WallMs) -> Duration {
        Duration::from_millis((self.0 >> 16).saturating_sub(wall.0))
    }
}

impl fmt::Debug for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 >> 16, self.0 & 0xffff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_orders_by_time_then_counter() {
        let early = Hlc::at(WallMs(1_000));
        assert!(early < early.next());
        assert!(early.next() < Hlc::at(WallMs(1_001)));
        assert_eq!(early.next().wall(), WallMs(1_000));
        assert_eq!(early.ahead_of(WallMs(400)), Duration::from_millis(600));
        assert_eq!(early.ahead_of(WallMs(4_000)), Duration::ZERO);
    }

    #[test]
    fn time_never_wraps() {
        assert_eq!(Time(u64::MAX) + Duration::from_secs(1), Time(u64::MAX));
        assert_eq!(Time(5) - Duration::from_secs(1), Time::ZERO);
        assert_eq!(Time(5).since(Time(9)), Duration::ZERO);
    }
}
