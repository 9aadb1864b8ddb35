//! Watching keys. The node task offers each change of a view to every watcher whose prefix fits;
//! a watcher that does not keep up loses the oldest changes and is told how many.
//!
//! ```text
//!  node task --changed(key)--> [ newest 1,024 ] --next().await--> application
//!                                     '-- overflow: Lagged(n) first
//! ```

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use knhk_mesh_core::crdt::{Family, Key};
use tokio::sync::Notify;

/// Changes that wait for a watcher at most.
pub const WATCH_CAPACITY: usize = 1_024;

/// A view changed: read it to learn its value now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Which key.
    pub key: Key,
    /// Which kind of view; the same key may have views of several kinds, which are independent.
    pub kind: Family,
}

/// The watcher was slower than the changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0} changes were missed: read the keys of interest again")]
pub struct Lagged(
    /// How many changes were dropped, oldest first.
    pub u64,
);

/// Changes of the keys under one prefix, own writes included, after they were merged.
///
/// Repair may skip values that were overwritten meanwhile: a change says "read again", not "this
/// was the value". Dropping the watch ends it.
#[derive(Debug)]
pub struct Watch(Arc<Feed>);

impl Watch {
    /// Waits for the next change; `None` once the node stopped and everything was delivered.
    /// Cancel safe: no change is lost if the future is dropped.
    ///
    /// # Errors
    /// [`Lagged`] once after changes were dropped; the following calls deliver what was kept.
    pub async fn next(&mut self) -> Option<Result<Change, Lagged>> {
        loop {
            {
                let mut state = self.0.lock();
                if let Some(item) = state.take() {
                    return Some(item);
                }
                if state.closed {
                    return None;
                }
            }
            // `notify_one` leaves a permit behind, so a change in between is not slept through.
            self.0.wake.notified().await;
        }
    }

    /// The next change that is there already.
    ///
    /// # Errors
    /// As [`Watch::next`].
    pub fn try_next(&mut self) -> Option<Result<Change, Lagged>> {
        self.0.lock().take()
    }
}

#[derive(Debug)]
struct Feed {
    prefix: Bytes,
    state: Mutex<FeedState>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct FeedState {
    changes: VecDeque<Change>,
    lagged: u64,
    closed: bool,
}

impl FeedState {
    fn take(&mut self) -> Option<Result<Change, Lagged>> {
        if self.lagged > 0 {
            return Some(Err(Lagged(std::mem::take(&mut self.lagged))));
        }
        self.changes.pop_front().map(Ok)
    }
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, FeedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn offer(&self, change: &Change) {
        let mut state = self.lock();
        if state.changes.len() == WATCH_CAPACITY {
            state.changes.pop_front();
            state.lagged += 1;
        }
        state.changes.push_back(change.clone());
        drop(state);
        self.wake.notify_one();
    }
}

/// All watchers of one node; owned by its task.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Vec<Weak<Feed>>);

impl Watchers {
    /// Most watches of one node.
    pub(crate) const MAX: usize = 1_024;

    /// Adds a watch; `None` if there are [`Watchers::MAX`].
    pub(crate) fn add(&mut self, prefix: Bytes) -> Option<Watch> {
        self.0.retain(|feed| feed.strong_count() > 0);
        if self.0.len() == Self::MAX {
            return None;
        }
        let feed = Feed { prefix, state: Mutex::default(), wake: Notify::new() };
        let feed = Arc::new(feed);
        self.0.push(Arc::downgrade(&feed));
        Some(Watch(feed))
    }

    pub(crate) fn changed(&mut self, kind: Family, key: &[u8]) {
        let mut change = None;
        let mut gone = false;
        for feed in &self.0 {
            let Some(feed) = feed.upgrade() else {
                gone = true;
                continue;
            };
            if !key.starts_with(&feed.prefix) {
                continue;
            }
            if change.is_none() {
                let key = Key::new(Bytes::copy_from_slice(key)).ok();
                change = key.map(|key| Change { key, kind });
            }
            if let Some(change) = &change {
                feed.offer(change);
            }
        }
        if gone {
            self.0.retain(|feed| feed.strong_count() > 0);
        }
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        for feed in self.0.iter().filter_map(Weak::upgrade) {
            feed.lock().closed = true;
            feed.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(item: Option<Result<Change, Lagged>>) -> String {
        match item {
            Some(Ok(change)) => String::from_utf8_lossy(change.key.as_bytes()).into(),
            Some(Err(Lagged(missed))) => format!("lagged {missed}"),
            None => "end".into(),
        }
    }

    #[tokio::test]
    async fn a_watch_sees_its_prefix_only_and_ends_with_the_node() {
        let mut watchers = Watchers::default();
        let mut tasks = watchers.add(Bytes::from_static(b"task/")).unwrap();
        let mut all = watchers.add(Bytes::new()).unwrap();
        watchers.changed(Family::Lww, b"task/1");
        watchers.changed(Family::Lww, b"note");
        drop(watchers);
        assert_eq!(text(tasks.next().await), "task/1");
        assert_eq!(text(tasks.next().await), "end");
        assert_eq!(text(all.next().await), "task/1");
        assert_eq!(text(all.next().await), "note");
        assert_eq!(text(all.next().await), "end");
    }

    #[tokio::test]
    async fn a_slow_watch_is_told_how_much_it_missed_and_keeps_the_newest() {
        let mut watchers = Watchers::default();
        let mut watch = watchers.add(Bytes::new()).unwrap();
        for i in 0..WATCH_CAPACITY + 3 {
            watchers.changed(Family::Lww, format!("{i}").as_bytes());
        }
        assert_eq!(text(watch.next().await), "lagged 3");
        assert_eq!(text(watch.next().await), "3");
        for _ in 1..WATCH_CAPACITY {
            assert!(matches!(watch.try_next(), Some(Ok(_))));
        }
        assert_eq!(watch.try_next(), None);
    }

    #[tokio::test]
    async fn a_waiting_watch_wakes_on_a_change() {
        let mut watchers = Watchers::default();
        let mut watch = watchers.add(Bytes::new()).unwrap();
        let waiting = tokio::spawn(async move { text(watch.next().await) });
        tokio::task::yield_now().await;
        watchers.changed(Family::Set, b"k");
        assert_eq!(waiting.await.unwrap(), "k");
    }

    #[test]
    fn dropped_watches_make_room() {
        let mut watchers = Watchers::default();
        let held: Vec<_> = (0..Watchers::MAX).map(|_| watchers.add(Bytes::new())).collect();
        assert!(held.iter().all(Option::is_some) && watchers.add(Bytes::new()).is_none());
        drop(held);
        assert!(watchers.add(Bytes::new()).is_some());
    }
}
