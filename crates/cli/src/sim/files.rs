//! Files that are read and written.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::cannot;
use crate::failure::Failure;

/// Largest file that is read, in bytes: a report of a thousand rounds and regions.
const MOST_BYTES: u64 = 64 << 20;

/// The text of a file.
pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let wrong = |e: &dyn std::fmt::Display| {
        cannot("unreadable", &format!("{}: {e}", path.display()), "check the name and the rights")
    };
    let mut text = String::new();
    let mut file = File::open(path).map_err(|e| wrong(&e))?.take(MOST_BYTES + 1);
    let read = file.read_to_string(&mut text).map_err(|e| wrong(&e))?;
    if read as u64 > MOST_BYTES {
        return Err(wrong(&"larger than 64 MiB"));
    }
    Ok(text)
}

/// A file that is known to be writable. What it held stays until the new text is there.
pub(super) struct OutputFile {
    file: File,
    path: PathBuf,
}

impl OutputFile {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let file = OpenOptions::new().create(true).write(true).truncate(false).open(path);
        let file = file.map_err(|e| {
            let help = "name a file in a folder that exists and may be written to";
            cannot("unwritable", &format!("{}: {e}", path.display()), help)
        })?;
        Ok(OutputFile { file, path: path.into() })
    }

    pub(super) fn write(mut self, text: &str) -> Result<(), Failure> {
        let written = self.file.set_len(0).and_then(|()| self.file.write_all(text.as_bytes()));
        written.map_err(|e| {
            let message = format!("{}: {e}", self.path.display());
            Failure::new("unwritable", &message, "is the disk full?")
        })
    }
}
