//! `keygen`: the key of a node, made before its first start so that others can admit it. The secret
//! goes from the system's randomness into the file and nowhere else.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use knhk_mesh::identity::Signer;
use knhk_mesh::key_file::{self, KEY_FILE, KeyFileError, Loaded};
use serde_json::json;

use crate::config;
use crate::exit;
use crate::failure::Failure;
use crate::stdout;

/// Options of `keygen`.
#[derive(Debug, Args)]
pub(crate) struct Keygen {
    /// File of the key
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    identity: Option<PathBuf>,
    /// Folder of a node's key and records; the key is DIR/node.key
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Take the place from this configuration [default: $KNHK_MESH_CONFIG, else none]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Make nothing; print the node id of the key that is there
    #[arg(long)]
    show: bool,
}

/// Runs `keygen`.
pub(crate) fn run(keygen: &Keygen, json: bool) -> Result<(), Failure> {
    let file = place(keygen)?;
    let keypair = if keygen.show {
        key_file::load(&file).map_err(|error| unusable(&error))?
    } else {
        make(&file)?
    };
    let (node, name) = (keypair.node_id().to_string(), file.display().to_string());
    if json {
        stdout::print_line(&json!({ "node": node, "file": name }))
    } else {
        stdout::print_line(&node)
    }
}

/// What a flag says, else what the configuration says.
fn place(keygen: &Keygen) -> Result<PathBuf, Failure> {
    if let Some(file) = &keygen.identity {
        return Ok(file.clone());
    }
    if let Some(folder) = &keygen.data_dir {
        return Ok(folder.join(KEY_FILE));
    }
    let effective = config::load(keygen.config.as_deref(), &config::NodeFlags::default())?;
    effective.key_file().ok_or_else(|| {
        let message = "nobody says where the key shall be";
        let help = "give --identity FILE, or --data-dir DIR for DIR/node.key";
        Failure::new("usage", &message, help).ending_with(exit::WRONG_USAGE)
    })
}

pub(crate) fn make(file: &Path) -> Result<knhk_mesh::identity::Keypair, Failure> {
    // Also a link that leads nowhere is somebody's.
    if file.symlink_metadata().is_ok() {
        return Err(taken(file));
    }
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        private_folder(folder).map_err(|error| {
            let message = format!("{}: {error}", folder.display());
            Failure::new("folder", &message, "name a folder that this user may write to")
        })?;
    }
    match key_file::load_or_create(file) {
        Ok(Loaded::Created(keypair)) => Ok(keypair),
        Ok(Loaded::Loaded(_)) => Err(taken(file)),
        Err(error) => Err(unusable(&error)),
    }
}

fn taken(file: &Path) -> Failure {
    let message = format!("{} is there already, and a key is never overwritten", file.display());
    let help = "print its node id with --show, or move it away: its records cannot be written on \
                without it";
    Failure::new("conflict", &message, help).ending_with(exit::CONFLICT)
}

pub(crate) fn unusable(error: &KeyFileError) -> Failure {
    match error {
        KeyFileError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Failure::new("not_found", error, "make one: the same command without --show")
                .ending_with(exit::NOT_FOUND)
        }
        KeyFileError::Exposed { .. } => {
            Failure::new("key", error, "if others may have read it, make a new key instead")
        }
        KeyFileError::Malformed { .. } => {
            Failure::new("key", error, "restore it from a copy, or make a new key elsewhere")
        }
        _ => Failure::new("key", error, "let this user read the file and write its folder"),
    }
}

/// Makes what is missing of `folder` for its owner only.
fn private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
