//! Small files of a data folder that are replaced whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use super::{AdmissionError, Token};

/// A token is one line.
const MAX_TOKEN_FILE: u64 = 4_096;

/// Replaces `name` in `folder`; for the owner only, and on disk when it returns.
pub(crate) fn replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let aside = folder.join(format!("{name}.{}.new", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&aside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let done = written
        .and_then(|()| fs::rename(&aside, folder.join(name)))
        .and_then(|()| File::open(folder)?.sync_all());
    if done.is_err() {
        let _ = fs::remove_file(&aside);
    }
    done
}

/// The token in `path`; `None` if there is no such file.
pub(crate) fn read_token(path: &Path) -> Result<Option<Token>, AdmissionError> {
    let failed = |source| AdmissionError::Io { path: path.into(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    #[cfg(unix)]
    {
        let mode = file.metadata().map_err(failed)?;
        let mode = std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777;
        if mode & 0o077 != 0 {
            return Err(AdmissionError::Exposed { path: path.into(), mode });
        }
    }
    let mut text = String::new();
    let read = file.take(MAX_TOKEN_FILE).read_to_string(&mut text);
    read.map_err(failed)?;
    Token::from_text(&text).map(Some).map_err(AdmissionError::Token)
}

/// The bytes of `name`, at most `max`; `None` if there is no such file.
pub(crate) fn read(folder: &Path, name: &str, max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(folder.join(name)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
