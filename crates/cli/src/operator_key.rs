//! What the commands of an operator share: the key that admits, the mesh it admits to, and files
//! that hold what the key signed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use knhk_mesh::clock::WallClock;
use knhk_mesh::core::time::WallMs;
use knhk_mesh::identity::{Keypair, MeshId};
use knhk_mesh::key_file;

use crate::config::{self, NodeFlags};
use crate::failure::Failure;
use crate::keygen;

const DAY: Duration = Duration::from_secs(86_400);

/// Which mesh.
#[derive(Debug, Args)]
pub(crate) struct WhichMesh {
    /// The configuration of the mesh's nodes [default: $KNHK_MESH_CONFIG, else none]
    #[arg(short, long, value_name = "FILE", conflicts_with = "mesh")]
    config: Option<PathBuf>,
    /// The mesh id instead, as `genesis` prints it
    #[arg(long, value_name = "ID")]
    mesh: Option<MeshId>,
}

impl WhichMesh {
    pub(crate) fn id(&self) -> Result<MeshId, Failure> {
        if let Some(mesh) = self.mesh {
            return Ok(mesh);
        }
        let effective = config::load(self.config.as_deref(), &NodeFlags::default())?;
        Ok(effective.core_config().genesis.mesh_id())
    }
}

pub(crate) fn load(file: &Path) -> Result<Keypair, Failure> {
    key_file::load(file).map_err(|error| keygen::unusable(&error))
}

pub(crate) fn now() -> WallMs {
    WallClock::system().now()
}

pub(crate) const fn days(days: u32) -> Duration {
    DAY.saturating_mul(days)
}

/// Writes a new file, or with `replace` in place of an old one: whole or not at all.
pub(crate) fn write(path: &Path, text: &str, mode: u32, replace: bool) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        let message = format!("{}: {error}", path.display());
        if error.kind() == io::ErrorKind::AlreadyExists {
            let help = "nothing is overwritten: name another file, or move this one away";
            return Failure::new("conflict", &message, help).ending_with(6);
        }
        Failure::new("file", &message, "name a file in a folder that this user may write to")
    };
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    if !replace {
        let mut file = options.open(path).map_err(failed)?;
        return file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed);
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}.new", std::process::id()));
    let written = options.open(&aside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&aside, path)
    });
    written.map_err(failed)
}
