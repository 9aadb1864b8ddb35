//! What a key has signed, one line each in a file beside it. A line is on disk before the vote
//! leaves the process, so whatever crashes, an honest member never signs two values of one key and
//! version.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use knhk_mesh::core::certified::{Ballots, Fact};
use knhk_mesh::identity::MeshId;

use crate::exit;
use crate::failure::Failure;

/// Behind the name of a key file.
const SIGNED: &str = ".signed";
/// Some fifty thousand votes.
const MAX_BYTES: u64 = 16 << 20;

/// Notes durably that the key of `key_file` signs `fact`, or says that it must not.
pub(super) fn note(key_file: &Path, mesh: &MeshId, fact: &Fact) -> Result<(), Failure> {
    let mut name = key_file.as_os_str().to_owned();
    name.push(SIGNED);
    let path = PathBuf::from(name);
    let failed = |error: io::Error| {
        let message = format!("{}: {error}", path.display());
        let help = "nothing was signed: the list beside the key has to be read and written";
        Failure::new("file", &message, help)
    };
    let mut file = open(&path).map_err(failed)?;
    // Two processes that read before either wrote would each sign.
    file.lock().map_err(failed)?;
    let mut text = Vec::new();
    (&mut file).take(MAX_BYTES).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 == MAX_BYTES {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    // A line that a crash cut short was never signed.
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut ballots = read(&text[..whole], mesh).ok_or_else(|| damaged(&path))?;
    let new = ballots.note(fact).map_err(|why| {
        let message = format!("{} version {}: {why}", fact.key(), fact.version());
        let help = "nothing was signed: a new value needs a higher --version";
        Failure::new("signed_other", &message, help).ending_with(exit::CONFLICT)
    })?;
    let hash = HEXLOWER.encode(&fact.value_hash());
    let line = format!("{mesh} {} {} {hash}\n", fact.key(), fact.version());
    let end = whole as u64;
    if new && end + line.len() as u64 >= MAX_BYTES {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    let write = |file: &mut File| {
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        file.write_all(line.as_bytes())
    };
    let written = if new { write(&mut file) } else { Ok(()) };
    // A line that was there may have been written by a process that got no further.
    written.and_then(|()| file.sync_all()).and_then(|()| sync_folder(&path)).map_err(failed)
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// What was signed in `mesh`; `None` if a line is none.
fn read(text: &[u8], mesh: &MeshId) -> Option<Ballots> {
    let mut ballots = Ballots::default();
    for line in std::str::from_utf8(text).ok()?.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let [of, key, version, hash] = words[..] else { return None };
        let (of, version) = (of.parse::<MeshId>().ok()?, version.parse().ok()?);
        let hash = HEXLOWER.decode(hash.as_bytes()).ok()?.try_into().ok()?;
        if of == *mesh {
            ballots.note_hash(key, version, hash).ok()?;
        }
    }
    Some(ballots)
}

fn damaged(path: &Path) -> Failure {
    let message = format!("{} is damaged", path.display());
    let help = "nothing was signed: bring the list back, or appoint another key in a new mesh";
    Failure::new("damaged", &message, help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_this_mesh_count_and_a_line_that_is_none_stops_everything() {
        let (mesh, other) = (MeshId([1; 32]), MeshId([2; 32]));
        let fact = |value: &[u8]| Fact::new("k", 7, value.to_vec()).unwrap();
        let line = |mesh: &MeshId, value: &[u8]| {
            format!("{mesh} k 7 {}\n", HEXLOWER.encode(&fact(value).value_hash()))
        };
        let both = format!("{}{}", line(&mesh, b"a"), line(&other, b"b"));
        let mut ballots = read(both.as_bytes(), &mesh).unwrap();
        assert_eq!(ballots.note(&fact(b"a")), Ok(false));
        assert!(ballots.note(&fact(b"b")).is_err());
        let contradiction = format!("{}{}", line(&mesh, b"a"), line(&mesh, b"b"));
        for wrong in [contradiction.as_str(), "k 7\n", "\n", "x k 7 00\n"] {
            assert!(read(wrong.as_bytes(), &mesh).is_none(), "{wrong}");
        }
    }
}
