//! The file of a store: two redb tables, and whom they belong to. Commits are in two phases: a
//! crash leaves the newest commit whole, so a file that does not verify is damaged and not merely
//! behind, and is told instead of being rolled back in silence.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use knhk_mesh_core::identity::{Incarnation, MeshId, NodeId};
use redb::{
    Database, DatabaseError, Durability, ReadOnlyDatabase, ReadableDatabase, ReadableTable,
    StorageError, TableDefinition,
};

use super::{Found, StoreError};

/// Own records: slot to the signed message that proves its newest record.
const OWN: TableDefinition<'_, u16, &[u8]> = TableDefinition::new("own");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const FORMAT: &str = "format";
const INCARNATION: &str = "incarnation";
const MESH: &str = "mesh";
const NODE: &str = "node";
/// Present in a copy of a store until the first commit after it.
const OUTDATED: &str = "outdated";

/// The format of this version: these tables, and the signatures of this wire (docs/adr/0018).
const FORMAT_KNOWN: u64 = 2;
/// That of a file without a number.
const FORMAT_FIRST: u64 = 1;
/// The thread on which files are read that may be damaged. A panic there is told as damage: a
/// program that prints panics may keep quiet about it.
pub const CHECK_THREAD: &str = "knhk-mesh-store-check";
/// The file inside the data folder.
pub(super) const FILE_NAME: &str = "state.redb";
/// redb's page cache: own records are at most a few MiB.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// An open store of this node and mesh.
#[derive(Debug)]
pub(super) struct StateFile {
    database: Database,
    path: PathBuf,
}

/// What one commit writes.
#[derive(Clone, Default)]
pub(super) struct Changes {
    pub(super) incarnation: Incarnation,
    pub(super) records: std::collections::BTreeMap<u16, Bytes>,
}

impl StateFile {
    /// Verifies every page of `database`, and marks it as belonging to this node and mesh or checks
    /// that it does.
    pub(super) fn check(
        mut database: Database,
        path: &Path,
        node: NodeId,
        mesh: MeshId,
    ) -> Result<Self, StoreError> {
        match database.check_integrity() {
            Ok(true) => {}
            Ok(false) => return Err(damaged(path, &"its pages were not as they were written")),
            Err(error) => return Err(refused(path, error)),
        }
        let state = StateFile { database, path: path.to_owned() };
        state.claim(node, mesh)?;
        Ok(state)
    }

    fn claim(&self, node: NodeId, mesh: MeshId) -> Result<(), StoreError> {
        let claimed = (|| -> Result<Option<Other>, redb::Error> {
            let transaction = self.begin_write()?;
            let other = {
                let mut meta = transaction.open_table(META)?;
                transaction.open_table(OWN)?;
                let other = other(&meta, Some(node), Some(mesh))?;
                if other.is_none() && meta.get(NODE)?.is_none() {
                    meta.insert(FORMAT, FORMAT_KNOWN.to_le_bytes().as_slice())?;
                    meta.insert(NODE, node.0.as_slice())?;
                    meta.insert(MESH, mesh.0.as_slice())?;
                }
                other
            };
            match other {
                None => transaction.commit()?,
                Some(_) => transaction.abort()?,
            }
            Ok(other)
        })();
        told(&self.path, claimed)
    }

    fn begin_write(&self) -> Result<redb::WriteTransaction, redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_two_phase_commit(true);
        Ok(transaction)
    }

    /// Makes `changes` durable, all or nothing. From then on the file is the newest of its node.
    pub(super) fn commit(&self, changes: &Changes) -> Result<(), redb::Error> {
        let transaction = self.begin_write()?;
        {
            let mut own = transaction.open_table(OWN)?;
            for (slot, bytes) in &changes.records {
                own.insert(slot, bytes.as_ref())?;
            }
            let mut meta = transaction.open_table(META)?;
            meta.insert(INCARNATION, changes.incarnation.0.to_le_bytes().as_slice())?;
            meta.remove(OUTDATED)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// What is stored.
    pub(super) fn read(&self) -> Result<Found, StoreError> {
        read(&self.database).map_err(|error| damaged(&self.path, &error))
    }

    /// Writes all of it into the new file `to`, marked as outdated; how many records.
    pub(super) fn copy_to(&self, to: &Path) -> Result<u64, redb::Error> {
        let copy = Database::builder().set_cache_size(CACHE_BYTES).create_file(new_file(to)?)?;
        let source = self.database.begin_read()?;
        let mut transaction = copy.begin_write()?;
        transaction.set_two_phase_commit(true);
        let mut records = 0;
        {
            let mut meta = transaction.open_table(META)?;
            for entry in source.open_table(META)?.iter()? {
                let (name, value) = entry?;
                meta.insert(name.value(), value.value())?;
            }
            meta.insert(OUTDATED, [1].as_slice())?;
            let mut own = transaction.open_table(OWN)?;
            for entry in source.open_table(OWN)?.iter()? {
                let (slot, bytes) = entry?;
                own.insert(slot.value(), bytes.value())?;
                records += 1;
            }
        }
        transaction.commit()?;
        Ok(records)
    }

    /// Says whether peers may hold anything newer.
    pub(super) fn set_outdated(&self, outdated: bool) -> Result<(), redb::Error> {
        let transaction = self.begin_write()?;
        {
            let mut meta = transaction.open_table(META)?;
            if outdated {
                meta.insert(OUTDATED, [1].as_slice())?;
            } else {
                meta.remove(OUTDATED)?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Why a file is not for this node.
enum Other {
    Format(u64),
    Owner(&'static str),
}

/// What in `meta` forbids this node (`None`: whichever) to use the file.
fn other(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    node: Option<NodeId>,
    mesh: Option<MeshId>,
) -> Result<Option<Other>, redb::Error> {
    let is_new = meta.get(NODE)?.is_none();
    let format = number(meta, FORMAT)?.unwrap_or(FORMAT_FIRST);
    if format != FORMAT_KNOWN && !is_new {
        return Ok(Some(Other::Format(format)));
    }
    let differs = |name: &str, value: &[u8]| -> Result<bool, redb::Error> {
        Ok(meta.get(name)?.is_some_and(|held| held.value() != value))
    };
    if let Some(node) = node
        && differs(NODE, &node.0)?
    {
        return Ok(Some(Other::Owner("node key")));
    }
    match mesh {
        Some(mesh) if differs(MESH, &mesh.0)? => Ok(Some(Other::Owner("mesh"))),
        _ => Ok(None),
    }
}

fn told(path: &Path, result: Result<Option<Other>, redb::Error>) -> Result<(), StoreError> {
    match result {
        Ok(None) => Ok(()),
        Ok(Some(Other::Owner(what))) => Err(StoreError::Foreign { path: path.into(), what }),
        Ok(Some(Other::Format(found))) => {
            Err(StoreError::Version { path: path.into(), found, known: FORMAT_KNOWN })
        }
        Err(redb::Error::Io(reason)) => Err(StoreError::Unusable { path: path.into(), reason }),
        Err(error) => Err(damaged(path, &error)),
    }
}

fn number(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<Option<u64>, redb::Error> {
    let Some(held) = meta.get(name)? else { return Ok(None) };
    let bytes = held.value().try_into();
    let wrong = |_| redb::Error::Corrupted(format!("{name} has not 8 bytes"));
    Ok(Some(u64::from_le_bytes(bytes.map_err(wrong)?)))
}

fn read(database: &Database) -> Result<Found, redb::Error> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    let incarnation = number(&meta, INCARNATION)?.map(Incarnation);
    let outdated = meta.get(OUTDATED)?.is_some();
    let mut records = Vec::new();
    for entry in transaction.open_table(OWN)?.iter()? {
        records.push(Bytes::copy_from_slice(entry?.1.value()));
    }
    Ok(Found { incarnation, outdated, records })
}

/// Opens or creates the file in `folder`.
pub(super) fn open_in(folder: &Path) -> Result<Database, StoreError> {
    let unusable = |at: &Path, reason| StoreError::Unusable { path: at.into(), reason };
    create_folder(folder).map_err(|e| unusable(folder, e))?;
    let path = folder.join(FILE_NAME);
    let file = open_file(&path).map_err(|e| unusable(&path, e))?;
    let opened = Database::builder().set_cache_size(CACHE_BYTES).create_file(file);
    opened.map_err(|error| refused(&path, error))
}

/// Opens the file at `path`, which is a store already; errors call it `name`.
pub(super) fn open_existing(path: &Path, name: &Path) -> Result<Database, StoreError> {
    let opened = Database::builder().set_cache_size(CACHE_BYTES).open(path);
    opened.map_err(|error| refused(name, error))
}

/// Reads a file that may hold anything. The library below asserts what it wrote itself, so rot can
/// end in a panic of its own; on a thread of its own that is a damaged file like any other.
pub(super) fn guarded<T: Send>(
    path: &Path,
    reads: impl FnOnce() -> Result<T, StoreError> + Send,
) -> Result<T, StoreError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(CHECK_THREAD.into());
        let thread = thread
            .spawn_scoped(scope, reads)
            .map_err(|reason| StoreError::Unusable { path: path.into(), reason })?;
        let ended = thread.join();
        ended.unwrap_or_else(|_| Err(damaged(path, &"its pages contradict each other")))
    })
}

pub(super) fn refused(path: &Path, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: path.into() },
        DatabaseError::Storage(StorageError::Io(reason))
            if !matches!(
                reason.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            StoreError::Unusable { path: path.into(), reason }
        }
        other => damaged(path, &other),
    }
}

pub(super) fn damaged(path: &Path, reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged { path: path.into(), reason: reason.to_string() }
}

/// Whether the records in `folder`, if there are any, are free for a node of `mesh` with the key
/// `node` (`None`: whichever). Changes nothing. What a crash left unfinished counts as free: the
/// next start finishes it.
///
/// # Errors
/// [`StoreError`], as a start would meet it.
pub fn inspect(folder: &Path, node: Option<NodeId>, mesh: MeshId) -> Result<(), StoreError> {
    let path = folder.join(FILE_NAME);
    guarded(&path, || inspect_file(&path, node, mesh))
}

fn inspect_file(path: &Path, node: Option<NodeId>, mesh: MeshId) -> Result<(), StoreError> {
    let database = match ReadOnlyDatabase::open(path) {
        Ok(database) => database,
        Err(DatabaseError::RepairAborted) => return Ok(()),
        Err(DatabaseError::Storage(StorageError::Io(reason)))
            if reason.kind() == io::ErrorKind::NotFound =>
        {
            return Ok(());
        }
        Err(error) => return Err(refused(path, error)),
    };
    let looked = (|| other(&database.begin_read()?.open_table(META)?, node, Some(mesh)))();
    told(path, looked)
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
    private().create(true).truncate(false).open(path)
}

/// A file that was not there.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    private().create_new(true).open(path)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
