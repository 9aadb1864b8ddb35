//! Where a node keeps what it must not lose: its own records and the highest incarnation it used.
//! A node without a data folder keeps nothing and is answered within the same turn.
//!
//! ```text
//!  node task --Persist--> queue --(all that waits)--> thread: one redb transaction, fsync
//!            <-------------------- answers, in order ---'
//! ```
//!
//! Commits group by themselves: while the disk syncs, more batches gather and share the next sync.
//! What a commit could not store is answered with the reason, never dropped silently.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use knhk_mesh_core::error::StoreFault;
use knhk_mesh_core::identity::{Incarnation, MeshId, NodeId};
use knhk_mesh_core::messages::Persist;
use knhk_mesh_core::messages::sink::PersistId;
use redb::{
    Database, Durability, ReadOnlyDatabase, ReadableDatabase, ReadableTable, TableDefinition,
};
use tokio::sync::mpsc;

/// Own records: slot to the signed message that proves its newest record.
const OWN: TableDefinition<'_, u16, &[u8]> = TableDefinition::new("own");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const INCARNATION: &str = "incarnation";
const NODE: &str = "node";
const MESH: &str = "mesh";

/// The file inside the data folder.
const FILE_NAME: &str = "state.redb";
/// Batches that may wait before the node takes no more writes from its mailbox.
const MAX_WAITING: usize = 256;
/// redb's page cache: own records are at most a few MiB.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// Why a data folder could not be used. Nothing was changed in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The folder or file could not be created or opened.
    #[error("cannot open {path}: {reason}; check that the folder exists, is writable and has room")]
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        reason: io::Error,
    },
    /// Another process, or another node of this process, uses it.
    #[error("{path} is in use by another node; give each node its own data folder")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error(
        "{path} is damaged ({reason}); move it away and start with the same key file: the node \
         then takes its records back from its peers before it writes"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It belongs to another key or to another mesh.
    #[error("{path} belongs to another {what}; use the data folder of this node and mesh")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// "node key" or "mesh".
        what: &'static str,
    },
}

/// What was found on opening.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The highest incarnation used; `None` if this store was never used.
    pub(crate) incarnation: Option<Incarnation>,
    /// Signed messages, one for each own slot.
    pub(crate) records: Vec<Bytes>,
}

pub(crate) type Answer = (PersistId, Result<(), StoreFault>);

/// The store of one node.
pub(crate) enum Store {
    Memory,
    Disk(Disk),
}

impl Store {
    /// Opens or creates the store in `folder`. Blocks on the disk.
    pub(crate) fn open(
        folder: &Path,
        node: NodeId,
        mesh: MeshId,
        answers: mpsc::Sender<Answer>,
    ) -> Result<(Store, Found), StoreError> {
        let path = folder.join(FILE_NAME);
        let database = open_database(folder, &path)?;
        claim(&database, &path, node, mesh)?;
        let found = read(&database).map_err(|e| damaged(&path, &e))?;
        let queue = Arc::new(Queue::default());
        let works = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name("knhk-mesh-store".into())
            .spawn(move || commit_all(&database, &works, &answers))
            .map_err(|reason| StoreError::Unusable { path, reason })?;
        Ok((Store::Disk(Disk { queue, thread }), found))
    }

    /// Takes a batch; `Some` if it is stored already.
    pub(crate) fn persist(&self, batch: Persist) -> Option<Answer> {
        match self {
            Store::Memory => Some((batch.id, Ok(()))),
            Store::Disk(disk) => {
                disk.queue.lock().waiting.push(batch);
                disk.queue.wake.notify_one();
                None
            }
        }
    }

    /// Whether the disk keeps up; the node takes no writes while it does not.
    pub(crate) fn has_room(&self) -> bool {
        match self {
            Store::Memory => true,
            Store::Disk(disk) => disk.queue.lock().waiting.len() < MAX_WAITING,
        }
    }

    /// Commits what waits and gives the file back. Blocks on the disk.
    pub(crate) fn close(self) {
        if let Store::Disk(disk) = self {
            disk.queue.lock().closing = true;
            disk.queue.wake.notify_one();
            // A panic of the thread was reported by its hook already.
            let _ = disk.thread.join();
        }
    }
}

pub(crate) struct Disk {
    queue: Arc<Queue>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Waiting {
    waiting: Vec<Persist>,
    closing: bool,
}

#[derive(Default)]
struct Queue {
    state: Mutex<Waiting>,
    wake: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that waits; `None` when the store closes and nothing is left.
    fn take(&self) -> Option<Vec<Persist>> {
        let mut state = self.lock();
        loop {
            if !state.waiting.is_empty() {
                return Some(std::mem::take(&mut state.waiting));
            }
            if state.closing {
                return None;
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn commit_all(database: &Database, queue: &Queue, answers: &mpsc::Sender<Answer>) {
    while let Some(batches) = queue.take() {
        let result = commit(database, &batches).map_err(|e| StoreFault(e.to_string()));
        for batch in batches {
            // Nobody to tell: the node ended, and what it asked for is stored all the same.
            let _ = answers.blocking_send((batch.id, result.clone()));
        }
    }
}

fn commit(database: &Database, batches: &[Persist]) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    {
        let mut own = transaction.open_table(OWN)?;
        for record in batches.iter().flat_map(|batch| &batch.records) {
            own.insert(record.slot.0, record.bytes.as_ref())?;
        }
        let mut meta = transaction.open_table(META)?;
        let highest = batches.iter().map(|batch| batch.incarnation).max().unwrap_or_default();
        meta.insert(INCARNATION, highest.0.to_le_bytes().as_slice())?;
    }
    transaction.commit()?;
    Ok(())
}

fn open_database(folder: &Path, path: &Path) -> Result<Database, StoreError> {
    let unusable = |at: &Path, reason| StoreError::Unusable { path: at.into(), reason };
    create_folder(folder).map_err(|e| unusable(folder, e))?;
    let file = open_file(path).map_err(|e| unusable(path, e))?;
    let opened = Database::builder().set_cache_size(CACHE_BYTES).create_file(file);
    opened.map_err(|error| match error {
        redb::DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: path.into() },
        redb::DatabaseError::Storage(redb::StorageError::Io(reason))
            if reason.kind() != io::ErrorKind::InvalidData =>
        {
            unusable(path, reason)
        }
        other => damaged(path, &other.into()),
    })
}

/// Whether the records in `folder`, if there are any, are free for a node of `mesh` with the key
/// `node` (`None`: whichever). Changes nothing. What a crash left unfinished counts as free: the
/// next start finishes it.
///
/// # Errors
/// [`StoreError`], as a start would meet it.
pub fn inspect(folder: &Path, node: Option<NodeId>, mesh: MeshId) -> Result<(), StoreError> {
    let path = folder.join(FILE_NAME);
    let database = match ReadOnlyDatabase::open(&path) {
        Ok(database) => database,
        Err(redb::DatabaseError::RepairAborted) => return Ok(()),
        Err(redb::DatabaseError::DatabaseAlreadyOpen) => return Err(StoreError::InUse { path }),
        Err(redb::DatabaseError::Storage(redb::StorageError::Io(reason)))
            if reason.kind() != io::ErrorKind::InvalidData =>
        {
            return match reason.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(StoreError::Unusable { path, reason }),
            };
        }
        Err(other) => return Err(damaged(&path, &other.into())),
    };
    let foreign = (|| -> Result<Option<&'static str>, redb::Error> {
        let meta = database.begin_read()?.open_table(META)?;
        let differs = |name: &str, value: &[u8]| -> Result<bool, redb::Error> {
            Ok(meta.get(name)?.is_some_and(|held| held.value() != value))
        };
        Ok(match node {
            Some(node) if differs(NODE, &node.0)? => Some("node key"),
            _ => differs(MESH, &mesh.0)?.then_some("mesh"),
        })
    })();
    match foreign {
        Ok(None) => Ok(()),
        Ok(Some(what)) => Err(StoreError::Foreign { path, what }),
        Err(error) => Err(damaged(&path, &error)),
    }
}

fn damaged(path: &Path, error: &redb::Error) -> StoreError {
    StoreError::Damaged { path: path.into(), reason: error.to_string() }
}

/// A private folder: what a node writes is signed but not secret to the machine's other users
/// unless the folder is.
pub(crate) fn create_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Marks a new store as belonging to this node and mesh, or checks that it does.
fn claim(database: &Database, path: &Path, node: NodeId, mesh: MeshId) -> Result<(), StoreError> {
    let claimed = (|| -> Result<Option<&'static str>, redb::Error> {
        let transaction = database.begin_write()?;
        let foreign = {
            let mut meta = transaction.open_table(META)?;
            transaction.open_table(OWN)?;
            let other_node = !same_or_set(&mut meta, NODE, &node.0)?;
            let other_mesh = !same_or_set(&mut meta, MESH, &mesh.0)?;
            if other_node { Some("node key") } else { other_mesh.then_some("mesh") }
        };
        match foreign {
            None => transaction.commit()?,
            Some(_) => transaction.abort()?,
        }
        Ok(foreign)
    })();
    match claimed {
        Ok(None) => Ok(()),
        Ok(Some(what)) => Err(StoreError::Foreign { path: path.into(), what }),
        Err(error) => Err(damaged(path, &error)),
    }
}

fn same_or_set(
    meta: &mut redb::Table<'_, &'static str, &'static [u8]>,
    name: &'static str,
    value: &[u8],
) -> Result<bool, redb::Error> {
    if let Some(held) = meta.get(name)? {
        return Ok(held.value() == value);
    }
    meta.insert(name, value)?;
    Ok(true)
}

fn read(database: &Database) -> Result<Found, redb::Error> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    let incarnation = match meta.get(INCARNATION)? {
        None => None,
        Some(held) => {
            let bytes = held.value().try_into();
            let wrong = |_| redb::Error::Corrupted("an incarnation has 8 bytes".into());
            Some(Incarnation(u64::from_le_bytes(bytes.map_err(wrong)?)))
        }
    };
    let mut records = Vec::new();
    for entry in transaction.open_table(OWN)?.iter()? {
        records.push(Bytes::copy_from_slice(entry?.1.value()));
    }
    Ok(Found { incarnation, records })
}

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
