//! The file that holds a node's identity: one line of base32 under a comment. Whoever reads it is
//! the node, so it is created for its owner only and refused when others may read it.
//!
//! A key that was just made has never written, so nothing is to be taken back from peers before its
//! first write, and the first node of a mesh has nobody to ask. That is said by a file beside it,
//! `node.key.unused`, which the first start takes away as soon as its own state is on disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use data_encoding::BASE32_NOPAD;
use knhk_mesh_core::identity::{Keypair, Signer};

/// Name of the key file inside a data folder.
pub const KEY_FILE: &str = "node.key";
/// A key file is far smaller.
const MAX_BYTES: u64 = 4_096;
const SECRET_BYTES: usize = 32;
/// Behind the name of a key file: this key has never been used.
const UNUSED: &str = ".unused";
const UNUSED_TEXT: &[u8] =
    b"# The key beside this file has not been used yet. The node that starts with it removes\n\
    # this file. Do not bring it back with a backup: the node would not ask for its records.\n";

/// Where a key came from.
#[derive(Debug)]
pub enum Loaded {
    /// The file was there.
    Loaded(Keypair),
    /// There was none; a fresh key was written.
    Created(Keypair),
}

impl Loaded {
    /// The key, wherever it came from.
    #[must_use]
    pub fn into_keypair(self) -> Keypair {
        match self {
            Loaded::Loaded(keypair) | Loaded::Created(keypair) => keypair,
        }
    }
}

/// Why there is no key. No file was changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Others than the owner may read or write the file.
    #[error("{path} is readable by others (mode {mode:o}): run `chmod 600 {path}`")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds something else than one key.
    #[error("{path} holds no key: expected one line of 52 base32 characters")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The system gave no randomness for a fresh key.
    #[error("no randomness for a key: {0}")]
    Randomness(getrandom::Error),
}

/// Loads the key at `path`, or creates it with the system's randomness. Of several processes that
/// create it at once one wins and all get its key; a crash leaves a whole file or none.
///
/// # Errors
/// [`KeyFileError`].
pub fn load_or_create(path: &Path) -> Result<Loaded, KeyFileError> {
    match load(path) {
        Err(KeyFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        other => return other.map(Loaded::Loaded),
    }
    let keypair = fresh()?;
    let mut secret = keypair.secret();
    let written = create(path, &keypair, &secret);
    wipe(&mut secret);
    match written {
        Ok(()) => Ok(Loaded::Created(keypair)),
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
            load(path).map(Loaded::Loaded)
        }
        Err(source) => Err(KeyFileError::Io { path: path.into(), source }),
    }
}

/// A key of the system's randomness that no file holds.
///
/// # Errors
/// [`KeyFileError::Randomness`].
pub fn fresh() -> Result<Keypair, KeyFileError> {
    let mut secret = [0; SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(KeyFileError::Randomness)?;
    let keypair = Keypair::from_secret(&secret);
    wipe(&mut secret);
    Ok(keypair)
}

/// Sixteen bytes of the system's randomness, to name a token.
///
/// # Errors
/// [`KeyFileError::Randomness`].
pub fn fresh_id() -> Result<[u8; 16], KeyFileError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(KeyFileError::Randomness)?;
    Ok(id)
}

/// Loads the key at `path`.
///
/// # Errors
/// [`KeyFileError`]; [`KeyFileError::Io`] also if there is no such file.
pub fn load(path: &Path) -> Result<Keypair, KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    check_mode(path, &file)?;
    let mut text = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut text).map_err(failed)?;
    let keypair = parse(&text);
    wipe(&mut text);
    keypair.ok_or_else(|| KeyFileError::Malformed { path: path.into() })
}

/// Whether the key at `path` was made by [`load_or_create`] and never used since.
#[must_use]
pub fn is_unused(path: &Path) -> bool {
    beside(path, UNUSED).exists()
}

/// From now on the key at `path` counts as used, also after a crash. If that cannot be written
/// down, which a read-only folder prevents, the mark stays.
///
/// # Errors
/// What the system said.
pub fn mark_used(path: &Path) -> io::Result<()> {
    fs::remove_file(beside(path, UNUSED)).and_then(|()| sync_folder(path))
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn parse(text: &[u8]) -> Option<Keypair> {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut keys = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    let line = keys.next()?;
    if keys.next().is_some() || line.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut upper = line.to_ascii_uppercase();
    let decoded = BASE32_NOPAD.decode(&upper);
    wipe(&mut upper);
    let mut secret = decoded.ok()?;
    let keypair = secret.first_chunk::<SECRET_BYTES>().map(Keypair::from_secret);
    let whole = secret.len() == SECRET_BYTES;
    wipe(&mut secret);
    keypair.filter(|_| whole)
}

/// Written aside, synced, then linked under its name, which fails if the name exists by now.
fn create(path: &Path, keypair: &Keypair, secret: &[u8; SECRET_BYTES]) -> io::Result<()> {
    let aside = beside(path, &format!(".{}.new", std::process::id()));
    let node = keypair.node_id();
    let mut key = BASE32_NOPAD.encode(secret).to_ascii_lowercase().into_bytes();
    let head =
        format!("# knhk-mesh identity of node {node}\n# Secret: whoever reads it is the node.\n");
    let written =
        write_new(&aside, head.as_bytes(), &key).and_then(|()| fs::hard_link(&aside, path));
    wipe(&mut key);
    if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists)
        && !path.exists()
    {
        // The remains of a process with the same number that crashed here.
        fs::remove_file(&aside)?;
        return Err(io::Error::other("an unfinished key file was in the way; start again"));
    }
    let _ = fs::remove_file(&aside);
    written?;
    // Who comes second in a race has used nothing either; a mark that is missing costs time only.
    let _ = write_new(&beside(path, UNUSED), UNUSED_TEXT, b"");
    sync_folder(path)
}

fn write_new(path: &Path, head: &[u8], key: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(head)?;
    if !key.is_empty() {
        file.write_all(key)?;
        file.write_all(b"\n")?;
    }
    file.sync_all()
}

#[cfg(unix)]
fn check_mode(path: &Path, file: &File) -> Result<(), KeyFileError> {
    let metadata =
        file.metadata().map_err(|source| KeyFileError::Io { path: path.into(), source })?;
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(KeyFileError::Exposed { path: path.into(), mode })
}

#[cfg(not(unix))]
fn check_mode(_path: &Path, _file: &File) -> Result<(), KeyFileError> {
    Ok(())
}

/// Overwrites a copy of the secret; the black box keeps the compiler from leaving it out.
fn wipe(secret: &mut [u8]) {
    secret.fill(0);
    std::hint::black_box(secret);
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::test_folder::Folder;
    use std::os::unix::fs::PermissionsExt;

    fn folder(name: &str) -> Folder {
        let folder = Folder::new(name);
        fs::create_dir(&folder.0).unwrap();
        folder
    }

    fn key(folder: &Folder) -> PathBuf {
        folder.0.join("node.key")
    }

    #[test]
    fn a_key_is_created_once_for_its_owner_and_then_loaded() {
        let folder = folder("created");
        let Loaded::Created(created) = load_or_create(&key(&folder)).unwrap() else {
            panic!("there was a key");
        };
        let mode = fs::metadata(key(&folder)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let Loaded::Loaded(loaded) = load_or_create(&key(&folder)).unwrap() else {
            panic!("it was made again");
        };
        assert_eq!(loaded.node_id(), created.node_id());
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 2, "nothing else is left aside");
    }

    #[test]
    fn a_key_is_unused_once() {
        let folder = folder("unused");
        assert!(!is_unused(&key(&folder)));
        load_or_create(&key(&folder)).unwrap();
        load_or_create(&key(&folder)).unwrap();
        assert!(is_unused(&key(&folder)), "loading is no use");
        mark_used(&key(&folder)).unwrap();
        load_or_create(&key(&folder)).unwrap();
        assert!(!is_unused(&key(&folder)));
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_remedy() {
        let folder = folder("exposed");
        load_or_create(&key(&folder)).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o644] {
            fs::set_permissions(key(&folder), fs::Permissions::from_mode(mode)).unwrap();
            let error = load_or_create(&key(&folder)).unwrap_err();
            assert!(matches!(error, KeyFileError::Exposed { .. }));
            assert!(error.to_string().contains("chmod 600"));
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_kept() {
        let folder = folder("malformed");
        load_or_create(&key(&folder)).unwrap();
        let good = fs::read_to_string(key(&folder)).unwrap();
        let line = good.lines().last().unwrap().to_owned();
        let twice = format!("{good}{line}\n");
        for bad in ["", "# only words\n", "no key", &line[1..], &line.to_uppercase(), &twice] {
            fs::write(key(&folder), bad).unwrap();
            let refused = load_or_create(&key(&folder));
            assert!(matches!(refused, Err(KeyFileError::Malformed { .. })), "{bad}");
            assert_eq!(fs::read_to_string(key(&folder)).unwrap(), bad);
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let folder = folder("missing");
        let missing = folder.0.join("none").join("node.key");
        assert!(matches!(load_or_create(&missing), Err(KeyFileError::Io { .. })));
    }
}
