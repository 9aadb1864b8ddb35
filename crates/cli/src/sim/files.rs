//! Files that are read and written.

use std::fs::{self, File, OpenOptions};
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

/// A file that will take its name once its text is there. What the name held stays until then, and
/// a run that fails leaves nothing.
pub(super) struct OutputFile {
    file: File,
    path: PathBuf,
    beside: PathBuf,
}

impl OutputFile {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let wrong = |e: &dyn std::fmt::Display| {
            let help = "name a file in a folder that exists and may be written to";
            cannot("unwritable", &format!("{}: {e}", path.display()), help)
        };
        let name = path.file_name().filter(|_| !path.is_dir());
        let mut beside = name.ok_or_else(|| wrong(&"this is no file"))?.to_owned();
        beside.push(format!(".{}.part", std::process::id()));
        let beside = path.with_file_name(beside);
        let file = OpenOptions::new().create_new(true).write(true).open(&beside);
        let file = file.map_err(|e| wrong(&e))?;
        Ok(OutputFile { file, path: path.into(), beside })
    }

    pub(super) fn write(mut self, text: &str) -> Result<(), Failure> {
        let written = self.file.write_all(text.as_bytes());
        let named = written.and_then(|()| fs::rename(&self.beside, &self.path));
        named.map_err(|e| {
            let message = format!("{}: {e}", self.path.display());
            Failure::new("unwritable", &message, "is the disk full?")
        })
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        // It is there only if it did not get its name.
        let _ = fs::remove_file(&self.beside);
    }
}
