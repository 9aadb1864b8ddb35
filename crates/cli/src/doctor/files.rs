//! The configuration, the key and the data folder. Nothing is changed but for one empty file that
//! comes and goes where the folder is there already.

use std::fs::{self, Metadata, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use knhk_mesh::config_file::Effective;
use knhk_mesh::identity::{Keypair, NodeId, Signer};
use knhk_mesh::key_file::{self, KeyFileError};
use knhk_mesh::storage::{self, StoreError};

use super::Check;

const CONFIGURATION: &str = "configuration";
const KEY: &str = "key";
const FOLDER: &str = "data_dir";

/// The configuration has no errors when it comes here; can it be run?
pub(super) fn configuration(effective: &Effective) -> Check {
    let name = effective.file.as_deref().unwrap_or("no file, defaults");
    if let Err(why) = effective.check_runnable() {
        return Check::fail(CONFIGURATION, format!("{name}: {why}"), why.help());
    }
    let noted = match effective.notes().len() {
        0 => String::new(),
        notes => format!("; `knhk-mesh config check` has notes: {notes}"),
    };
    Check::ok(CONFIGURATION, format!("{name}, topology {}{noted}", effective.topology))
}

/// What became of the key.
pub(super) struct Key {
    pub(super) check: Check,
    /// The node's own key, if it can be used.
    pub(super) keypair: Option<Keypair>,
}

/// Whether the node's key can be used, and lets it in.
pub(super) fn key(effective: &Effective) -> Key {
    let listed = effective.mesh.admission == "allowlist";
    let without = |check| Key { check, keypair: None };
    let Some(path) = effective.key_file() else {
        let detail = "none: each start makes a fresh one";
        return without(if listed {
            let help = "make one with `knhk-mesh keygen --data-dir DIR`, and run with that folder";
            Check::fail(KEY, format!("{detail}, which no allowlist admits"), help)
        } else {
            Check::ok(KEY, detail)
        });
    };
    let name = path.display();
    match path.metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // What --identity names must be there; the one in the data folder is made.
            let help = "make it: knhk-mesh keygen with the same --identity or --data-dir";
            return without(if effective.node.identity.is_some() || listed {
                Check::fail(KEY, format!("{name} does not exist"), help)
            } else {
                Check::ok(KEY, format!("{name} will be made by the first start"))
            });
        }
        Ok(metadata) => {
            if let Some(check) = owner(&path, &metadata) {
                return without(check);
            }
        }
        // The attempt to load it says why.
        Err(_) => {}
    }
    match key_file::load(&path) {
        Ok(keypair) => admitted(effective, &path, keypair),
        Err(error) => without(Check::fail(KEY, error.to_string(), key_help(&error))),
    }
}

fn key_help(error: &KeyFileError) -> &'static str {
    match error {
        KeyFileError::Exposed { .. } => "if others may have read it, make a new key instead",
        KeyFileError::Malformed { .. } => {
            "restore it from a copy, or make a new one: knhk-mesh keygen"
        }
        _ => "let the user that runs the node own and read it: chown, chmod 600",
    }
}

/// Whether the file is meant for another user, or for nobody: root may read it all the same, and
/// whoever runs the node may not.
#[cfg(unix)]
fn owner(path: &Path, metadata: &Metadata) -> Option<Check> {
    use std::os::unix::fs::MetadataExt;
    let (owner, me) = (metadata.uid(), rustix::process::geteuid().as_raw());
    let name = path.display();
    if metadata.mode() & 0o400 == 0 && metadata.is_file() {
        let detail =
            format!("{name} is unreadable for its owner (mode {:03o})", metadata.mode() & 0o777);
        return Some(Check::fail(KEY, detail, format!("chmod 600 {name}")));
    }
    if owner == me {
        return None;
    }
    let detail = format!("{name} belongs to user {owner}, and this is user {me}");
    let help = "run as the user that owns it, or give it to this one with chown";
    Some(Check::fail(KEY, detail, help))
}

#[cfg(not(unix))]
fn owner(_path: &Path, _metadata: &Metadata) -> Option<Check> {
    None
}

fn admitted(effective: &Effective, path: &Path, keypair: Keypair) -> Key {
    let node = keypair.node_id();
    let mesh = &effective.mesh;
    let missing =
        mesh.admission == "allowlist" && !mesh.allowlist.iter().any(|id| *id == node.to_string());
    let detail = format!("{} is node {node}", path.display());
    let check = if missing {
        let help = format!("write {node} into mesh.allowlist of every member");
        Check::fail(KEY, format!("{detail}, which is not in mesh.allowlist"), help)
    } else {
        Check::ok(KEY, detail)
    };
    Key { check, keypair: Some(keypair) }
}

/// What became of the data folder.
pub(super) struct Folder {
    pub(super) check: Check,
    /// A node runs with it now.
    pub(super) in_use: bool,
}

/// Whether the data folder can be written and is free for this node.
pub(super) fn data_folder(effective: &Effective, keypair: Option<&Keypair>) -> Folder {
    let free = |check| Folder { check, in_use: false };
    let Some(folder) = &effective.node.data_dir else {
        let help = "give --data-dir DIR: what was acknowledged then survives a restart";
        return free(Check::warn(FOLDER, "none: records live in memory only", help));
    };
    if let Err(check) = writable(folder) {
        return free(check);
    }
    let node: Option<NodeId> = keypair.map(Signer::node_id);
    let mesh = effective.core_config().genesis.mesh_id();
    match storage::inspect(folder, node, mesh) {
        Ok(()) => free(Check::ok(FOLDER, format!("{} is writable and free", folder.display()))),
        Err(error) => {
            let help = match &error {
                StoreError::InUse { .. } => "stop the node that runs with it, or take another one",
                StoreError::Foreign { .. } => {
                    "a folder belongs to one key and one mesh; take another one"
                }
                StoreError::Damaged { .. } => "move that file away and keep the key file",
                _ => "let this user own it: chown, chmod 700",
            };
            let in_use = matches!(error, StoreError::InUse { .. });
            Folder { check: Check::fail(FOLDER, error.to_string(), help), in_use }
        }
    }
}

/// Tries to make a file in `folder`, or asks whether `folder` could be made.
fn writable(folder: &Path) -> Result<(), Check> {
    let failed = |at: &Path, why: &dyn std::fmt::Display| {
        let help = "name a folder that this user may write to, on a disk with room";
        Err(Check::fail(FOLDER, format!("{}: {why}", at.display()), help))
    };
    match folder.metadata() {
        Ok(metadata) if !metadata.is_dir() => failed(folder, &"is no folder"),
        Ok(_) => {
            let probe = folder.join(format!(".doctor.{}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&probe) {
                Ok(_) => {
                    let _ = fs::remove_file(&probe);
                    Ok(())
                }
                Err(error) => failed(folder, &error),
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let above = existing_above(folder);
            match above.metadata() {
                Ok(metadata) if !metadata.is_dir() => failed(&above, &"is no folder"),
                Ok(metadata) if metadata.permissions().readonly() => {
                    failed(&above, &"nothing may be written there")
                }
                Ok(_) => Ok(()),
                Err(error) => failed(&above, &error),
            }
        }
        Err(error) => failed(folder, &error),
    }
}

/// The nearest folder above that is there.
fn existing_above(folder: &Path) -> PathBuf {
    let mut above = folder.ancestors().filter(|path| !path.as_os_str().is_empty());
    above.find(|path| path.exists()).unwrap_or(Path::new(".")).into()
}
