//! The thread that owns the file of a store. Commits group by themselves: while the disk syncs,
//! more batches gather and share the next sync.
//!
//! ```text
//!   Good ──a commit fails──> Failed: batches are refused and owed, the file is closed
//!    ^                          │ after 2 s .. 30 s: open it again, commit all that is owed
//!    └──────────────────────────┘
//! ```
//!
//! Why not go on with the open file: after a failed sync nobody knows what the disk holds. Opening
//! it again verifies every page.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use knhk_mesh_core::error::StoreFault;
use knhk_mesh_core::messages::Persist;
use tokio::sync::{mpsc, oneshot};

use super::backup::{self, BackupError, Summary};
use super::file::{Changes, StateFile};
use super::{Answer, StoreError};

/// Batches that may wait before the node takes no more writes from its mailbox.
const MAX_WAITING: usize = 256;
/// Backups that may wait.
const MAX_BACKUPS: usize = 4;
/// First pause before a failed store is tried again; doubled up to [`LAST_PAUSE`]. Long enough that
/// whoever looks every second sees the failure.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LAST_PAUSE: Duration = Duration::from_secs(30);

type Reply = oneshot::Sender<Result<Summary, BackupError>>;

/// The near end of the thread.
pub(crate) struct Keeper {
    queue: Arc<Queue>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    waiting: Vec<Persist>,
    backups: VecDeque<(PathBuf, Reply)>,
    failure: Option<StoreFault>,
    closing: bool,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    wake: Condvar,
}

/// What the thread has to do next.
enum Work {
    Commit(Vec<Persist>),
    BackUp(PathBuf, Reply),
    /// The time to try again has come.
    Retry,
    End,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to do, at most until `retry`.
    fn next(&self, retry: Option<Instant>) -> Work {
        let mut state = self.lock();
        loop {
            if !state.waiting.is_empty() {
                return Work::Commit(std::mem::take(&mut state.waiting));
            }
            if let Some((to, reply)) = state.backups.pop_front() {
                return Work::BackUp(to, reply);
            }
            if state.closing {
                return Work::End;
            }
            state = match retry {
                None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Work::Retry;
                    }
                    self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl Keeper {
    /// Starts the thread with the open file; `open` gives it again after a failure.
    pub(super) fn start(
        file: StateFile,
        answers: mpsc::Sender<Answer>,
        open: impl Fn() -> Result<StateFile, StoreError> + Send + 'static,
    ) -> Result<Keeper, StoreError> {
        let queue = Arc::new(Queue::default());
        let works = Arc::clone(&queue);
        let path = file.path().to_owned();
        let thread = std::thread::Builder::new()
            .name("knhk-mesh-store".into())
            .spawn(move || Thread { queue: works, answers, open, disk: Disk::Good(file) }.run())
            .map_err(|reason| StoreError::Unusable { path, reason })?;
        Ok(Keeper { queue, thread })
    }

    pub(super) fn persist(&self, batch: Persist) {
        self.queue.lock().waiting.push(batch);
        self.queue.wake.notify_one();
    }

    pub(super) fn has_room(&self) -> bool {
        self.queue.lock().waiting.len() < MAX_WAITING
    }

    pub(super) fn failure(&self) -> Option<StoreFault> {
        self.queue.lock().failure.clone()
    }

    pub(super) fn back_up(&self, to: PathBuf, reply: Reply) {
        let mut state = self.queue.lock();
        if state.backups.len() >= MAX_BACKUPS {
            // Who asked waits for the answer, so it is heard.
            return drop(reply.send(Err(BackupError::Busy)));
        }
        state.backups.push_back((to, reply));
        self.queue.wake.notify_one();
    }

    pub(super) fn close(self) {
        self.queue.lock().closing = true;
        self.queue.wake.notify_one();
        // A panic of the thread was reported by its hook already.
        let _ = self.thread.join();
    }
}

enum Disk {
    Good(StateFile),
    Failed { owed: Changes, pause: Duration, retry: Instant },
}

struct Thread<O> {
    queue: Arc<Queue>,
    answers: mpsc::Sender<Answer>,
    open: O,
    disk: Disk,
}

impl<O: Fn() -> Result<StateFile, StoreError>> Thread<O> {
    fn run(mut self) {
        loop {
            let retry = match &self.disk {
                Disk::Good(_) => None,
                Disk::Failed { retry, .. } => Some(*retry),
            };
            match self.queue.next(retry) {
                Work::Commit(batches) => self.commit(batches),
                Work::BackUp(to, reply) => {
                    let done = match &self.disk {
                        Disk::Good(file) => backup::write(file, &to),
                        Disk::Failed { .. } => Err(BackupError::Failed),
                    };
                    // Who asked may have given up; the file is there all the same.
                    let _ = reply.send(done);
                }
                Work::Retry => self.retry(),
                Work::End => {
                    // The last chance for what is owed.
                    return self.retry();
                }
            }
        }
    }

    fn commit(&mut self, batches: Vec<Persist>) {
        let result = match &mut self.disk {
            Disk::Good(file) => {
                let mut changes = Changes::default();
                batches.iter().for_each(|batch| changes.add(batch));
                match file.commit(&changes) {
                    Ok(()) => Ok(()),
                    Err(error) => Err(self.failed(changes, StoreFault(error.to_string()))),
                }
            }
            Disk::Failed { owed, .. } => {
                batches.iter().for_each(|batch| owed.add(batch));
                let failure = self.queue.lock().failure.clone();
                Err(failure.unwrap_or_else(|| StoreFault("the disk failed".into())))
            }
        };
        for batch in batches {
            // Nobody to tell: the node ended, and what it asked for is stored all the same.
            let _ = self.answers.blocking_send((batch.id, result.clone()));
        }
    }

    /// Closes the file and says so before anybody is answered.
    fn failed(&mut self, owed: Changes, fault: StoreFault) -> StoreFault {
        self.queue.lock().failure = Some(fault.clone());
        let retry = Instant::now() + FIRST_PAUSE;
        self.disk = Disk::Failed { owed, pause: FIRST_PAUSE, retry };
        fault
    }

    /// Opens the file again and writes what it owes.
    fn retry(&mut self) {
        let Disk::Failed { owed, pause, retry } = &mut self.disk else { return };
        let stored = (self.open)().map_err(|error| error.to_string()).and_then(|file| {
            file.commit(owed).map_err(|error| error.to_string())?;
            Ok(file)
        });
        match stored {
            Ok(file) => {
                self.disk = Disk::Good(file);
                self.queue.lock().failure = None;
            }
            Err(reason) => {
                *pause = pause.saturating_mul(2).min(LAST_PAUSE);
                *retry = Instant::now() + *pause;
                self.queue.lock().failure = Some(StoreFault(reason));
            }
        }
    }
}

impl Changes {
    fn add(&mut self, batch: &Persist) {
        self.incarnation = self.incarnation.max(batch.incarnation);
        for record in &batch.records {
            self.records.insert(record.slot.0, record.bytes.clone());
        }
    }
}
