//! CPU time of this thread.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds that this thread has run.
pub(crate) fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Runs `work` and gives its result and what it cost, one reading of the clock included.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let start = cpu_ns();
    let result = std::hint::black_box(work());
    (result, cpu_ns() - start)
}
