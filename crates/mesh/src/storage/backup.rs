//! Copies of a store, and a way back. A copy carries everything but the key, and a mark: it may be
//! older than what peers hold of its author. A node that starts with a marked store takes its
//! records back from peers before it writes, exactly like one whose data folder was lost, so an old
//! copy can neither fork the chain nor bring a counter back to an old total.
//!
//! ```text
//!   running node ──back_up──> FILE (marked) ──restore──> DIR/state.redb (marked) ──start──> peers
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use knhk_mesh_core::identity::{Incarnation, MeshId, NodeId};

use super::StoreError;
use super::file::{self, FILE_NAME, StateFile};

/// What a copy holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Own records.
    pub records: u64,
    /// The highest incarnation that was used.
    pub incarnation: Incarnation,
}

/// Why there is no copy. No file was left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The node has no data folder.
    #[error("the node has no data folder: there is nothing to copy")]
    NoStore,
    /// The node's own store is not readable now.
    #[error("the store of the node failed: its status says why")]
    Failed,
    /// Too many copies are asked for at a time.
    #[error("other copies are being written: try again")]
    Busy,
    /// The node stopped.
    #[error("the node stopped")]
    Stopped,
    /// The file is there already; nothing is ever overwritten.
    #[error("{path} is there already, and is not overwritten")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The copy could not be written.
    #[error("cannot write {path}: {reason}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What is in the way.
        reason: String,
    },
}

/// Why nothing was restored. The data folder is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The copy is unusable, or for another node or mesh.
    #[error(transparent)]
    Copy(StoreError),
    /// The data folder has a store, which would be lost.
    #[error("{path} is there already, and is not overwritten: move it away first")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The store could not be written.
    #[error("cannot write {path}: {reason}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What is in the way.
        reason: String,
    },
}

/// Whether peers may hold newer records than a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trust {
    /// They may: the node asks them before it writes.
    AskPeers,
    /// The copy is the newest there is. If that is wrong, later writes are lost.
    Newest,
}

/// Writes a copy of `store` to `to`: aside, synced, then linked under its name.
pub(super) fn write(store: &StateFile, to: &Path) -> Result<Summary, BackupError> {
    let failed = |reason: String| BackupError::Io { path: to.into(), reason };
    let found = store.read().map_err(|error| failed(error.to_string()))?;
    let aside = aside(to);
    let copied = store.copy_to(&aside).map_err(|error| failed(error.to_string()));
    let placed = copied.and_then(|records| match place(&aside, to) {
        Ok(()) => Ok(records),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(BackupError::Exists { path: to.into() })
        }
        Err(error) => Err(failed(error.to_string())),
    });
    // It is linked under its name by now, or it is nothing.
    let _ = fs::remove_file(&aside);
    let records = placed?;
    Ok(Summary { records, incarnation: found.incarnation.unwrap_or_default() })
}

/// Makes the copy `from` the store of `folder`, for the node and mesh that it is of.
///
/// # Errors
/// [`RestoreError`].
pub fn restore(
    from: &Path,
    folder: &Path,
    node: NodeId,
    mesh: MeshId,
    trust: Trust,
) -> Result<Summary, RestoreError> {
    let to = folder.join(FILE_NAME);
    if to.symlink_metadata().is_ok() {
        return Err(RestoreError::Exists { path: to });
    }
    let failed = |reason: String| RestoreError::Io { path: to.clone(), reason };
    file::create_folder(folder).map_err(|error| failed(error.to_string()))?;
    let aside = aside(&to);
    let restored = (|| {
        // The copy itself is not opened for writing: it may lie on a medium that cannot be written.
        copy_private(from, &aside).map_err(|reason| {
            RestoreError::Copy(StoreError::Unusable { path: from.into(), reason })
        })?;
        let read = file::guarded(from, || {
            let store = file::open_existing(&aside, from)?;
            let store = StateFile::check(store, from, node, mesh)?;
            match store.read()? {
                found if found.incarnation.is_some() => Ok((store, found)),
                _ => Err(file::damaged(from, &"no node has used it")),
            }
        });
        let (store, found) = read.map_err(RestoreError::Copy)?;
        store.set_outdated(trust == Trust::AskPeers).map_err(|error| failed(error.to_string()))?;
        drop(store);
        place(&aside, &to).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => RestoreError::Exists { path: to.clone() },
            _ => failed(error.to_string()),
        })?;
        let records = found.records.len() as u64;
        Ok(Summary { records, incarnation: found.incarnation.unwrap_or_default() })
    })();
    let _ = fs::remove_file(&aside);
    restored
}

/// A name beside `path` that no other process uses.
fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    PathBuf::from(name)
}

fn copy_private(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = file::new_file(to)?;
    io::copy(&mut source, &mut target)?;
    Ok(())
}

/// Gives a finished file its name, which must be free, and makes that durable.
fn place(aside: &Path, to: &Path) -> io::Result<()> {
    File::open(aside)?.sync_all()?;
    fs::hard_link(aside, to)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
