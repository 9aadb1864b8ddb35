//! Where a node keeps what it must not lose: its own records and the highest incarnation it used.
//! A node without a data folder keeps nothing and is answered within the same turn.
//!
//! ```text
//!   folder ──open, check──> file (redb: own, meta) ──> Found
//!   node task ──Persist──> keeper: queue ──> thread: one transaction, fsync ──> answers, in order
//!                                              │ failed: health says so, tried again
//!                                              └─ backup: the same file, marked as outdated
//! ```
//!
//! What a commit could not store is answered with the reason, never dropped silently.

pub mod backup;
mod file;
mod keeper;

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use knhk_mesh_core::error::StoreFault;
use knhk_mesh_core::identity::{Incarnation, MeshId, NodeId};
use knhk_mesh_core::messages::Persist;
use knhk_mesh_core::messages::sink::PersistId;
use tokio::sync::{mpsc, oneshot};

pub(crate) use file::create_folder;
pub use file::{CHECK_THREAD, inspect};
use keeper::Keeper;

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
    /// Another version wrote it.
    #[error(
        "{path} has the format {found}, and this version reads {known}: start it with the version \
         that wrote it; or move it away, and the node takes its records back from its peers"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The format of this version.
        known: u64,
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

impl StoreError {
    /// Records of `folder` do not verify, though its file is as it was written.
    pub(crate) fn not_as_signed(folder: &Path) -> Self {
        file::damaged(&folder.join(file::FILE_NAME), &"records in it are not as they were signed")
    }
}

/// How a node's store is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Health {
    /// There is none: the node has no data folder.
    Memory,
    /// What was acknowledged is on disk.
    Good,
    /// The disk refused. Writes are refused from then on, reads and the records of others go on.
    /// The store is tried again until it takes what it owes.
    Failed(StoreFault),
}

/// What was found on opening.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The highest incarnation used; `None` if this store was never used.
    pub(crate) incarnation: Option<Incarnation>,
    /// It came from a backup: peers may hold newer records.
    pub(crate) outdated: bool,
    /// Signed messages, one for each own slot.
    pub(crate) records: Vec<Bytes>,
}

pub(crate) type Answer = (PersistId, Result<(), StoreFault>);

/// The store of one node.
pub(crate) enum Store {
    Memory,
    Disk(Keeper),
}

impl Store {
    /// Opens or creates the store in `folder`. Blocks on the disk.
    pub(crate) fn open(
        folder: &Path,
        node: NodeId,
        mesh: MeshId,
        answers: mpsc::Sender<Answer>,
    ) -> Result<(Store, Found), StoreError> {
        let folder = folder.to_owned();
        let path = folder.join(file::FILE_NAME);
        Self::open_with(path, node, mesh, answers, move || file::open_in(&folder))
    }

    /// The same with the file that `open` gives, each time it is asked.
    fn open_with(
        path: PathBuf,
        node: NodeId,
        mesh: MeshId,
        answers: mpsc::Sender<Answer>,
        open: impl Fn() -> Result<redb::Database, StoreError> + Send + Sync + 'static,
    ) -> Result<(Store, Found), StoreError> {
        let open = move || {
            file::guarded(&path, || {
                let state = file::StateFile::check(open()?, &path, node, mesh)?;
                let found = state.read()?;
                Ok((state, found))
            })
        };
        let (state, found) = open()?;
        let open = move || open().map(|(state, _)| state);
        let keeper = Keeper::start(state, answers, open)?;
        Ok((Store::Disk(keeper), found))
    }

    /// Takes a batch; `Some` if it is stored already.
    pub(crate) fn persist(&self, batch: Persist) -> Option<Answer> {
        match self {
            Store::Memory => Some((batch.id, Ok(()))),
            Store::Disk(keeper) => {
                keeper.persist(batch);
                None
            }
        }
    }

    /// Whether the disk keeps up; the node takes no writes while it does not.
    pub(crate) fn has_room(&self) -> bool {
        match self {
            Store::Memory => true,
            Store::Disk(keeper) => keeper.has_room(),
        }
    }

    /// Whether a write that is made now can be acknowledged.
    pub(crate) fn health(&self) -> Health {
        match self {
            Store::Memory => Health::Memory,
            Store::Disk(keeper) => keeper.failure().map_or(Health::Good, Health::Failed),
        }
    }

    /// Copies what is stored into a new file; the answer comes when it is there, or why not.
    pub(crate) fn back_up(
        &self,
        to: PathBuf,
    ) -> oneshot::Receiver<Result<backup::Summary, backup::BackupError>> {
        let (reply, answer) = oneshot::channel();
        match self {
            // Who asked waits for the answer below, so it is heard.
            Store::Memory => drop(reply.send(Err(backup::BackupError::NoStore))),
            Store::Disk(keeper) => keeper.back_up(to, reply),
        }
        answer
    }

    /// Commits what waits and gives the file back. Blocks on the disk.
    pub(crate) fn close(self) {
        if let Store::Disk(keeper) = self {
            keeper.close();
        }
    }
}

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod tests;
