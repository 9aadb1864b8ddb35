//! Whether the clock can be trusted: against the clocks of seeds, against a reference that the
//! operator gives, against the kernel's and against the last write of the data folder.
//!
//! A node holds back what is stamped more than [`EARLY`] ahead of its own clock and forgets what is
//! stamped more than [`FUTURE`] ahead; a clock that is off by more than that cuts a node off.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use knhk_mesh::config_file::Effective;
use knhk_mesh::core::frame::header::{EARLY, FUTURE};

use super::Check;

const CLOCK: &str = "clock";
const SET_IT: &str = "set the clock of this host, or of the other one: chrony or systemd-timesyncd";
/// Below this the process sees another clock than the kernel's, which both were read just now.
const SAME: Duration = Duration::from_secs(1);
/// 2026-01-01: no node ran before.
const FIRST_MS: i64 = 1_767_225_600_000;

/// Another clock, compared with the own one at the same moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Reading {
    whose: String,
    /// How far it is ahead of the own clock.
    ahead_ms: i64,
}

impl Reading {
    /// `shown` is what the clock of `whose` shows now, in milliseconds since 1970.
    pub(super) fn now(whose: impl Into<String>, shown: u64) -> Self {
        let shown = i64::try_from(shown).unwrap_or(i64::MAX);
        Reading { whose: whose.into(), ahead_ms: shown.saturating_sub(own_ms()) }
    }

    /// What the operator says that a clock shows now.
    pub(super) fn reference(shown: u64) -> Self {
        Reading::now("--clock-reference", shown)
    }

    fn off(&self) -> Duration {
        Duration::from_millis(self.ahead_ms.unsigned_abs())
    }

    fn told(&self) -> String {
        let direction = if self.ahead_ms < 0 { "behind" } else { "ahead of" };
        format!("{} is {:.1} s {direction} this clock", self.whose, self.off().as_secs_f64())
    }
}

fn own_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Judges the own clock by all that is known.
pub(super) fn check(effective: &Effective, readings: &[Reading]) -> Check {
    if own_ms() < FIRST_MS {
        return Check::fail(CLOCK, "this clock stands before 2026", SET_IT);
    }
    if let Some(kernel) = kernel().filter(|kernel| kernel.off() > SAME) {
        let help = "something replaces the clock of this process: is a library preloaded?";
        return Check::fail(CLOCK, kernel.told(), help);
    }
    if let Some(write) = last_write(effective).filter(|write| write.ahead_ms > ms(FUTURE)) {
        return Check::fail(CLOCK, write.told(), "this clock was set back; set it right");
    }
    judge(readings)
}

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn judge(readings: &[Reading]) -> Check {
    let Some(worst) = readings.iter().max_by_key(|reading| reading.off()) else {
        let help = "name a seed that runs, or give --clock-reference";
        return Check::warn(CLOCK, "there is no other clock to compare with", help);
    };
    if worst.off() > FUTURE {
        let detail =
            format!("{}: what is stamped there is refused here, or here there", worst.told());
        Check::fail(CLOCK, detail, SET_IT)
    } else if worst.off() > EARLY {
        Check::warn(CLOCK, format!("{}: what it writes waits", worst.told()), SET_IT)
    } else {
        let most = worst.off().as_millis();
        Check::ok(CLOCK, format!("within {most} ms of {} other clocks", readings.len()))
    }
}

/// The kernel's clock, asked without the C library, which a preloaded library may stand in for.
#[cfg(target_os = "linux")]
fn kernel() -> Option<Reading> {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::Realtime);
    let shown = u64::try_from(time.tv_sec * 1_000 + time.tv_nsec / 1_000_000).ok()?;
    Some(Reading::now("the kernel's clock", shown))
}

#[cfg(not(target_os = "linux"))]
fn kernel() -> Option<Reading> {
    None
}

/// When the data folder was last written: not in the future.
fn last_write(effective: &Effective) -> Option<Reading> {
    let folder = effective.node.data_dir.as_ref()?;
    let files = std::fs::read_dir(folder).ok()?.flatten();
    let newest = files.filter_map(|file| file.metadata().ok()?.modified().ok()).max()?;
    let shown = newest.duration_since(UNIX_EPOCH).ok()?.as_millis();
    Some(Reading::now("the last write of the data folder", u64::try_from(shown).ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    fn judged(ahead_ms: &[i64]) -> Check {
        let reading = |&ahead_ms: &i64| Reading { whose: "seed a:1".into(), ahead_ms };
        judge(&ahead_ms.iter().map(reading).collect::<Vec<_>>())
    }

    #[test]
    fn the_clock_farthest_away_decides() {
        assert_eq!(judged(&[]).state, State::Warn);
        assert_eq!(judged(&[3, -20]).state, State::Ok);
        assert_eq!(judged(&[3, -800]).state, State::Warn);
        for far in [[10_000, 1], [1, -10_000]] {
            let check = judged(&far);
            assert!(check.state == State::Fail && check.detail.contains("10.0 s"), "{check:?}");
        }
        assert!(judged(&[-10_000]).detail.contains("behind"));
    }

    #[test]
    fn a_reading_is_compared_with_the_clock_of_this_process() {
        let later = u64::try_from(own_ms()).unwrap() + 3_600_000;
        assert!(Reading::now("x", later).ahead_ms > 3_500_000);
        assert!(Reading::now("x", u64::MAX).off() > FUTURE);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_and_the_c_library_agree() {
        assert!(kernel().unwrap().off() <= SAME);
    }
}
