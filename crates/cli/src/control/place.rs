//! Where the socket is, and how it comes to be there: made inside a private folder and moved to its
//! name, so that nobody else can open it at any moment. A lock beside it says whether its maker
//! lives; the socket of a dead one is replaced.
//!
//! ```text
//!   lock control.sock.lock ─ held: refuse ─ free: bind in .c<pid>/s, chmod 600, rename
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The path, when no flag names one.
const PATH_VARIABLE: &str = "KNHK_MESH_CONTROL_SOCKET";
const DATA_VARIABLE: &str = "KNHK_MESH_DATA_DIR";
const NAME: &str = "control.sock";
/// Beginning of the names under which swarms are found, before the number of the process.
const SWARM: &str = "dev-";
/// So many names of a folder are looked at.
const MAX_ENTRIES: usize = 4_096;
/// A socket's path may not be longer (Linux: 108 with a zero; others 104).
const MAX_PATH: usize = 103;

/// Where the socket of a node is looked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    /// Somebody named the path, or the data folder that it lies in.
    pub(crate) named: bool,
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The socket's path: `flag`, `KNHK_MESH_CONTROL_SOCKET`, the data folder (`data_dir`, else
/// `KNHK_MESH_DATA_DIR`), `$XDG_RUNTIME_DIR/knhk-mesh`, a folder of this user's among the temporary
/// ones.
pub(crate) fn locate(flag: Option<&Path>, data_dir: Option<&Path>) -> Place {
    let named = flag.map(Path::to_owned).or_else(|| variable(PATH_VARIABLE));
    if let Some(path) = named {
        return Place { path, named: true };
    }
    if let Some(folder) = data_dir.map(Path::to_owned).or_else(|| variable(DATA_VARIABLE)) {
        return Place { path: folder.join(NAME), named: true };
    }
    Place { path: folder_of_user().join(NAME), named: false }
}

fn folder_of_user() -> PathBuf {
    match variable("XDG_RUNTIME_DIR") {
        Some(runtime) => runtime.join("knhk-mesh"),
        None => {
            let user = rustix::process::getuid().as_raw();
            std::env::temp_dir().join(format!("knhk-mesh-{user}"))
        }
    }
}

/// Where the swarm of the process `pid` is found by its number, whatever else its socket is called.
pub(crate) fn of_swarm(pid: u32) -> Place {
    Place { path: folder_of_user().join(format!("{SWARM}{pid}.sock")), named: false }
}

/// The swarms of this user that live, by the numbers of their processes. What dead ones left is
/// taken away.
pub(crate) fn swarms() -> Result<Vec<u32>, NoSocket> {
    let folder = folder_of_user();
    let Ok(entries) = fs::read_dir(&folder) else { return Ok(Vec::new()) };
    check_private(&folder)?;
    let number = |name: &str| name.strip_prefix(SWARM)?.strip_suffix(".sock")?.parse().ok();
    let names =
        entries.take(MAX_ENTRIES).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut pids: Vec<u32> = names.filter_map(|name| number(&name)).collect();
    pids.sort_unstable();
    pids.retain(|pid| {
        let path = of_swarm(*pid).path;
        // Its maker moved the socket to its name when it listened already.
        let dead = UnixStream::connect(&path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        if dead {
            let _ = fs::remove_file(&path);
            let _ = fs::remove_file(lock_of(&path));
        }
        !dead
    });
    Ok(pids)
}

/// A socket of this process; its name goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// As [`of_swarm`] names it.
    by_number: bool,
    /// Held for as long as the socket is ours.
    _lock: File,
}

/// Why there is no socket.
#[derive(Debug)]
pub(crate) enum NoSocket {
    /// Another process listens there.
    InUse(PathBuf),
    /// It cannot be made; the text says what and why, then what helps.
    Unusable(String, &'static str),
}

impl From<NoSocket> for Failure {
    fn from(why: NoSocket) -> Self {
        match why {
            NoSocket::InUse(path) => {
                let message =
                    format!("the control socket {} is in use by a running node", path.display());
                let help =
                    "give this node a socket of its own: --control-socket PATH or --data-dir DIR";
                Failure::new("control_socket_in_use", &message, help)
            }
            NoSocket::Unusable(message, help) => Failure::new("control_socket", &message, help),
        }
    }
}

impl Socket {
    /// Makes the socket. A folder that is missing is made for this user only.
    pub(crate) fn open(place: &Place) -> Result<Socket, NoSocket> {
        let path = std::path::absolute(&place.path).unwrap_or_else(|_| place.path.clone());
        let failed = |error: io::Error| {
            let message = format!("cannot make the control socket {}: {error}", path.display());
            NoSocket::Unusable(
                message,
                "choose a writable folder of your own: --control-socket PATH",
            )
        };
        let aside = aside(&path);
        if path.as_os_str().len().max(aside.as_os_str().len()) > MAX_PATH {
            let message = format!("the path {} is too long for a socket", path.display());
            return Err(NoSocket::Unusable(message, "name a shorter one: --control-socket PATH"));
        }
        let folder = path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        if !place.named {
            check_private(folder)?;
        }
        let lock = lock(&path).map_err(failed)?.ok_or_else(|| NoSocket::InUse(path.clone()))?;
        // Only what a node left behind is replaced.
        if fs::symlink_metadata(&path).is_ok_and(|found| !found.file_type().is_socket()) {
            let message = format!("{} is there and is no socket", path.display());
            return Err(NoSocket::Unusable(message, "move it away, or name another path"));
        }
        let listener = bind(&path, &aside).map_err(failed)?;
        let by_number = *place == of_swarm(std::process::id());
        Ok(Socket { listener, path, by_number, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The listening end, for the runtime.
    pub(crate) fn listener(&self) -> io::Result<tokio::net::UnixListener> {
        let listener = self.listener.try_clone()?;
        listener.set_nonblocking(true)?;
        tokio::net::UnixListener::from_std(listener)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The lock is still held, so the name is still ours.
        let _ = fs::remove_file(&self.path);
        if self.by_number {
            // No other process can have the number, and so the lock, until this one has ended.
            let _ = fs::remove_file(lock_of(&self.path));
        }
    }
}

fn aside(path: &Path) -> PathBuf {
    path.with_file_name(format!(".c{}", std::process::id())).join("s")
}

fn lock_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// `None` if another process holds it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(lock_of(path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn bind(path: &Path, aside: &Path) -> io::Result<UnixListener> {
    let folder = aside.parent().unwrap_or(aside);
    // The remains of a process with the same number that died here.
    let _ = fs::remove_dir_all(folder);
    DirBuilder::new().mode(0o700).create(folder)?;
    let bound = UnixListener::bind(aside).and_then(|listener| {
        fs::set_permissions(aside, fs::Permissions::from_mode(0o600))?;
        fs::rename(aside, path)?;
        Ok(listener)
    });
    let _ = fs::remove_dir_all(folder);
    bound
}

/// A folder among others' must be this user's alone, or its owner could put a socket of his there.
pub(crate) fn check_private(folder: &Path) -> Result<(), NoSocket> {
    let refuse = |what: &str| {
        let message = format!("{} {what}", folder.display());
        NoSocket::Unusable(message, "name a socket in a folder of your own: --control-socket PATH")
    };
    let found = fs::symlink_metadata(folder).map_err(|error| refuse(&error.to_string()))?;
    if !found.is_dir() {
        return Err(refuse("is no folder"));
    }
    if found.uid() != rustix::process::getuid().as_raw() {
        return Err(refuse("belongs to another user"));
    }
    if found.mode() & 0o077 != 0 {
        return Err(refuse("is open to other users"));
    }
    Ok(())
}
