//! Drills: one fault, played many times from different seeds, and what it did to the honest nodes.
//!
//! ```text
//!   Partition   a mesh that stands is cut and healed: how fast do nodes notice and come back
//!   Byzantine   a share of the nodes lies, in one way or in all: does everything hold beside them
//!       |
//!       `-- play_all: runs on threads, outcomes in the order of the runs
//! ```

pub mod byzantine;
mod partition;

use std::sync::atomic::{AtomicU64, Ordering};

pub use byzantine::Byzantine;
pub use partition::{Figures, Measure, Partition};

/// Plays `runs` runs on so many threads; `done` is told how many are over. The outcomes come in the
/// order of the runs, whatever the threads.
fn play_all<T: Send>(
    runs: u64,
    threads: usize,
    play: &(dyn Fn(u64) -> T + Sync),
    done: &(dyn Fn(u64) + Sync),
) -> Vec<T> {
    let (next, over) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        let mut outcomes = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= runs {
                return outcomes;
            }
            outcomes.push((n, play(n)));
            done(1 + over.fetch_add(1, Ordering::Relaxed));
        }
    };
    let threads = threads.clamp(1, runs.max(1) as usize);
    let mut outcomes: Vec<(u64, T)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for worker in workers {
            match worker.join() {
                Ok(part) => all.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    outcomes.sort_unstable_by_key(|(n, _)| *n);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}
