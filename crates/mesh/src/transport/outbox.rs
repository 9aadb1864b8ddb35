//! What waits to be sent on one link: four bounded lanes, one writer. Every transport drains the
//! same outbox, so priority, batching and what "full" means are the same everywhere.
//!
//! ```text
//! Link::send -> control 64 KiB | digest: newest | delta 256 KiB | bulk 1 MiB -> writer: one batch
//! ```
//!
//! There is no delay: the writer takes what is there. While it writes, more gathers and leaves as
//! the next batch, so batches grow with load by themselves.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use knhk_mesh_core::messages::Lane;
use tokio::sync::Notify;

use super::batch::{MAX_MESSAGE_BYTES, MAX_MESSAGES};

/// A batch takes no further message beyond this many bytes.
const BATCH_BYTES: usize = 64 * 1_024;
/// A queue of more entries gives its memory back when it is empty.
const KEPT_ENTRIES: usize = 32;

/// Why a message was not taken. Nothing was queued.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum SendError {
    /// The lane holds its maximum; it empties as the peer takes what waits.
    #[error("the lane is full")]
    Full,
    /// Larger than any message, or than the whole lane.
    #[error("the message is larger than its lane takes")]
    TooLarge,
    /// The link ends or has ended.
    #[error("the link is closed")]
    Closed,
}

/// One batch to write: at most 128 messages of one lane.
pub(crate) struct Taken {
    pub(crate) lane: Lane,
    pub(crate) messages: Vec<Bytes>,
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<Bytes>,
    bytes: usize,
}

impl Queue {
    fn push(&mut self, message: Bytes, max: usize) -> Result<(), SendError> {
        if self.bytes + message.len() > max {
            return Err(SendError::Full);
        }
        self.bytes += message.len();
        self.messages.push_back(message);
        Ok(())
    }

    fn forget(&mut self, kind: Option<u8>) {
        self.messages.retain(|message| message.first().copied() != kind);
        self.bytes = self.messages.iter().map(Bytes::len).sum();
    }

    fn take(&mut self) -> Vec<Bytes> {
        let mut count = 0;
        let mut bytes = 0;
        for message in self.messages.iter().take(MAX_MESSAGES) {
            if count > 0 && bytes + message.len() > BATCH_BYTES {
                break;
            }
            count += 1;
            bytes += message.len();
        }
        self.bytes -= bytes;
        let taken = self.messages.drain(..count).collect();
        if self.messages.is_empty() && self.messages.capacity() > KEPT_ENTRIES {
            self.messages = VecDeque::new();
        }
        taken
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Takes nothing new, writes what waits.
    Draining,
    Closed,
}

struct State {
    phase: Phase,
    flushed: bool,
    writer_waits: bool,
    /// By lane.
    queues: [Queue; Lane::ALL.len()],
}

/// The queues of one link.
pub(crate) struct Outbox {
    state: Mutex<State>,
    wake_writer: Notify,
    wake_flushed: Notify,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        let state = State {
            phase: Phase::Open,
            flushed: false,
            writer_waits: false,
            queues: Default::default(),
        };
        Outbox { state: Mutex::new(state), wake_writer: Notify::new(), wake_flushed: Notify::new() }
    }

    /// Queues `message`.
    pub(crate) fn push(&self, lane: Lane, message: Bytes) -> Result<(), SendError> {
        if message.len() > capacity(lane).min(MAX_MESSAGE_BYTES) {
            return Err(SendError::TooLarge);
        }
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Err(SendError::Closed);
        }
        let queue = &mut state.queues[lane as usize];
        if lane == Lane::Digest {
            // Only the newest of a kind is worth sending: a digest, a heartbeat.
            queue.forget(message.first().copied());
        }
        let pushed = queue.push(message, capacity(lane));
        let wake = pushed.is_ok() && std::mem::take(&mut state.writer_waits);
        drop(state);
        if wake {
            self.wake_writer.notify_one();
        }
        pushed
    }

    /// The next batch, by priority; `None` when the link ends and nothing more is to be written.
    /// One caller at a time.
    pub(crate) async fn next(&self) -> Option<Taken> {
        loop {
            {
                let mut state = self.lock();
                if state.phase != Phase::Closed
                    && let Some(taken) = take(&mut state)
                {
                    return Some(taken);
                }
                if state.phase != Phase::Open {
                    return None;
                }
                state.writer_waits = true;
            }
            self.wake_writer.notified().await;
        }
    }

    /// Takes nothing new; what waits is still written.
    pub(crate) fn drain(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Draining;
        }
        drop(state);
        self.wake_writer.notify_one();
    }

    /// Takes nothing new and forgets what waits.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.phase = Phase::Closed;
        state.queues = Default::default();
        drop(state);
        self.wake_writer.notify_one();
    }

    /// The writer has done what it could: everything was acknowledged, or the link is lost.
    pub(crate) fn set_flushed(&self) {
        self.lock().flushed = true;
        self.wake_flushed.notify_waiters();
    }

    /// Waits for [`Outbox::set_flushed`].
    pub(crate) async fn flushed(&self) {
        loop {
            let notified = self.wake_flushed.notified();
            if self.lock().flushed {
                return;
            }
            notified.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that wait in a lane at most.
const fn capacity(lane: Lane) -> usize {
    match lane {
        Lane::Control | Lane::Digest => 64 * 1_024,
        Lane::Delta => 256 * 1_024,
        Lane::Bulk => 1 << 20,
    }
}

fn take(state: &mut State) -> Option<Taken> {
    let waits = |lane: &Lane| !state.queues[*lane as usize].messages.is_empty();
    let lane = Lane::ALL.into_iter().find(waits)?;
    Some(Taken { lane, messages: state.queues[lane as usize].take() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Bytes {
        Bytes::from(vec![7; bytes])
    }

    fn push(outbox: &Outbox, lane: Lane, bytes: usize) -> Result<(), SendError> {
        outbox.push(lane, message(bytes))
    }

    #[tokio::test]
    async fn lanes_leave_by_priority_as_one_batch_each() {
        let outbox = Outbox::new();
        for lane in [Lane::Bulk, Lane::Delta, Lane::Digest, Lane::Control, Lane::Delta] {
            push(&outbox, lane, 10).unwrap();
        }
        let mut left = Vec::new();
        for _ in 0..4 {
            let taken = outbox.next().await.unwrap();
            left.push((taken.lane, taken.messages.len()));
        }
        let wanted = [(Lane::Control, 1), (Lane::Digest, 1), (Lane::Delta, 2), (Lane::Bulk, 1)];
        assert_eq!(left, wanted);
    }

    #[tokio::test]
    async fn a_batch_has_at_most_128_messages_and_about_64_kib() {
        let outbox = Outbox::new();
        (0..200).for_each(|_| push(&outbox, Lane::Delta, 10).unwrap());
        assert_eq!(outbox.next().await.unwrap().messages.len(), 128);
        assert_eq!(outbox.next().await.unwrap().messages.len(), 72);
        (0..5).for_each(|_| push(&outbox, Lane::Bulk, 30_000).unwrap());
        push(&outbox, Lane::Bulk, 200_000).unwrap();
        let mut sizes = Vec::new();
        for _ in 0..4 {
            sizes.push(outbox.next().await.unwrap().messages.len());
        }
        assert_eq!(sizes, [2, 2, 1, 1]);
    }

    #[tokio::test]
    async fn only_the_newest_digest_waits() {
        let outbox = Outbox::new();
        push(&outbox, Lane::Digest, 1).unwrap();
        push(&outbox, Lane::Digest, 2).unwrap();
        outbox.drain();
        assert_eq!(outbox.next().await.unwrap().messages, [message(2)]);
        assert!(outbox.next().await.is_none());
    }

    #[tokio::test]
    async fn every_lane_has_its_bound() {
        let outbox = Outbox::new();
        for (lane, max) in [(Lane::Control, 64), (Lane::Delta, 256), (Lane::Bulk, 1_024)] {
            (0..max).for_each(|_| push(&outbox, lane, 1_024).unwrap());
            assert_eq!(push(&outbox, lane, 1), Err(SendError::Full));
        }
        assert_eq!(
            push(&outbox, Lane::Control, capacity(Lane::Control) + 1),
            Err(SendError::TooLarge)
        );
        assert_eq!(push(&outbox, Lane::Bulk, MAX_MESSAGE_BYTES + 1), Err(SendError::TooLarge));
    }

    #[tokio::test]
    async fn a_closed_outbox_takes_nothing_and_gives_nothing() {
        let outbox = Outbox::new();
        push(&outbox, Lane::Delta, 1).unwrap();
        outbox.close();
        assert_eq!(push(&outbox, Lane::Delta, 1), Err(SendError::Closed));
        assert!(outbox.next().await.is_none());
        outbox.set_flushed();
        outbox.flushed().await;
    }
}
