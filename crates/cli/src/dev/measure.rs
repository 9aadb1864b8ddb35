//! Measuring updates: a watcher at every node notes the moment at which it saw the update, and the
//! last of them wakes the one who waits. Nodes are not asked anything while an update is on its
//! way.
//!
//! ```text
//!   set at a random node, t0 ─> ... ─> watcher 1 .. N: seen at t, count down
//!                                       the last one: max(t) - t0
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use knhk_mesh::rng::Rng;
use knhk_mesh::{Lagged, Mesh, Watch};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::swarm::{Swarm, stopped};
use crate::failure::Failure;

const PREFIX: &str = "dev/";
/// From then on updates overwrite the earlier ones; keeps every author within its slots.
const KEYS: u32 = 512;

/// The update under way; the only thing that the measurement shares between nodes.
#[derive(Default)]
struct Underway {
    /// Counted from 1; 0 is none.
    number: u32,
    missing: usize,
    last_seen: Option<Instant>,
}

#[derive(Default)]
struct Board {
    underway: Mutex<Underway>,
    everywhere: Notify,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Underway> {
        self.underway.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self, number: u32, at: Instant) {
        let mut underway = self.lock();
        if underway.number != number {
            return;
        }
        underway.last_seen = underway.last_seen.max(Some(at));
        underway.missing -= 1;
        if underway.missing == 0 {
            self.everywhere.notify_one();
        }
    }
}

/// Watchers at all nodes of a swarm.
pub(crate) struct Meter {
    board: Arc<Board>,
    made: u32,
    /// Ends the watchers when dropped.
    _watchers: JoinSet<()>,
}

impl Meter {
    pub(crate) async fn attach(swarm: &Swarm) -> Result<Self, Failure> {
        let board = Arc::new(Board::default());
        let mut watchers = JoinSet::new();
        for (_, node) in swarm.nodes.running() {
            let watch = node.watch(PREFIX).await.map_err(|e| stopped(&e))?;
            watchers.spawn(watcher(watch, Arc::clone(&board)));
        }
        Ok(Meter { board, made: 0, _watchers: watchers })
    }

    /// Makes one update at a random node; the time until the last watcher saw it, `None` if one had
    /// not by `deadline`.
    pub(crate) async fn update(
        &mut self,
        swarm: &Swarm,
        rng: &mut Rng,
        deadline: Instant,
    ) -> Result<Option<Duration>, Failure> {
        self.made += 1;
        let number = self.made;
        let missing = swarm.nodes.len();
        let author = swarm.nodes.get(rng.below(missing as u32) as usize);
        let author: Mesh = author.ok_or_else(|| stopped(&"a node is gone"))?;
        *self.board.lock() = Underway { number, missing, last_seen: None };
        let key = format!("{PREFIX}{}", number % KEYS);
        let start = Instant::now();
        let everywhere = async {
            let written = author.set(&key, number.to_string()).await;
            written.map_err(|e| Failure::new("write", &e, "see the message"))?;
            self.board.everywhere.notified().await;
            Ok(())
        };
        match tokio::time::timeout_at(deadline, everywhere).await {
            Err(_) => {
                *self.board.lock() = Underway::default();
                Ok(None)
            }
            Ok(Err(failure)) => Err(failure),
            Ok(Ok(())) => {
                let last = self.board.lock().last_seen.unwrap_or(start);
                Ok(Some(last.duration_since(start)))
            }
        }
    }
}

async fn watcher(mut watch: Watch, board: Arc<Board>) {
    let mut newest = 0;
    while let Some(item) = watch.next().await {
        let at = Instant::now();
        let number = board.lock().number;
        let seen = match item {
            Ok(change) => key_number(change.key.as_bytes()) == Some(number % KEYS),
            // Updates come one by one, so this cannot be the one under way.
            Err(Lagged(_)) => false,
        };
        if seen && number > newest {
            newest = number;
            board.seen(number, at);
        }
    }
}

fn key_number(key: &[u8]) -> Option<u32> {
    std::str::from_utf8(key.strip_prefix(PREFIX.as_bytes())?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_watcher_ends_an_update_and_late_ones_do_not_count_for_the_next() {
        let board = Board::default();
        let now = Instant::now();
        let later = now + Duration::from_millis(7);
        *board.lock() = Underway { number: 2, missing: 2, last_seen: None };
        board.seen(1, later);
        board.seen(2, later);
        assert_eq!(board.lock().missing, 1);
        board.seen(2, now);
        board.everywhere.notified().await;
        assert_eq!(board.lock().last_seen, Some(later));
    }

    #[test]
    fn only_keys_of_updates_have_a_number() {
        assert_eq!(key_number(b"dev/17"), Some(17));
        assert_eq!(key_number(b"dev/x"), None);
        assert_eq!(key_number(b"other/17"), None);
    }
}
