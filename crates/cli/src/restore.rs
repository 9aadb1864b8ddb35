//! `restore`: a node's store from a backup, offline. The way out of a lost or damaged data folder
//! that keeps what the node had written; what it wrote after the backup comes back from peers.

use std::io::ErrorKind;
use std::path::PathBuf;

use clap::Args;
use knhk_mesh::config_file::FlagValue;
use knhk_mesh::identity::Signer;
use knhk_mesh::key_file::{self, KeyFileError};
use knhk_mesh::storage::StoreError;
use knhk_mesh::storage::backup::{self, RestoreError, Trust};
use serde_json::json;

use crate::config::{self, NodeFlags};
use crate::exit;
use crate::failure::Failure;
use crate::stdout;

/// Options of `restore`.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup
    file: PathBuf,
    /// Folder of the node [default: $KNHK_MESH_DATA_DIR, else from the configuration]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// File of the node's key [default: DIR/node.key]
    #[arg(long, value_name = "FILE")]
    identity: Option<String>,
    /// The node's configuration [default: $KNHK_MESH_CONFIG, else none]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Let the node write at once: nothing newer than the backup exists, at no peer. If that is
    /// wrong, newer writes of this node are lost
    #[arg(long)]
    newest: bool,
}

/// Runs `restore`.
pub(crate) fn run(restore: &Restore, json: bool) -> Result<(), Failure> {
    let flag = |key, flag, text: &Option<String>| {
        text.as_ref().map(|text| FlagValue::new(key, flag, text))
    };
    let flags = [
        flag("node.data_dir", "--data-dir", &restore.data_dir),
        flag("node.identity", "--identity", &restore.identity),
    ];
    let flags = flags.into_iter().flatten();
    let effective = config::load_with(restore.config.as_deref(), &NodeFlags::default(), flags)?;
    let (Some(folder), Some(key)) = (&effective.node.data_dir, effective.key_file()) else {
        let message = "nobody says which folder is the node's";
        let help = "give --data-dir DIR, or the node's configuration with -c FILE";
        return Err(Failure::new("usage", &message, help).ending_with(exit::WRONG_USAGE));
    };
    let node = key_file::load(&key).map_err(|error| no_key(&error))?.node_id();
    let mesh = effective.core_config().genesis.mesh_id();
    let trust = if restore.newest { Trust::Newest } else { Trust::AskPeers };
    let restored = backup::restore(&restore.file, folder.as_ref(), node, mesh, trust);
    let restored = restored.map_err(|error| refused(&error))?;
    let (records, asks) = (restored.records, !restore.newest);
    if json {
        return stdout::print_line(&json!({
            "node": node.to_string(),
            "records": records,
            "incarnation": restored.incarnation.0,
            "asks_peers": asks,
        }));
    }
    let next = if asks { "; it asks its peers for newer ones before it writes" } else { "" };
    stdout::print_line(&format!("{records} records of node {node} restored{next}"))
}

fn no_key(error: &KeyFileError) -> Failure {
    match error {
        KeyFileError::Io { source, .. } if source.kind() == ErrorKind::NotFound => {
            let help = "put the node's key file back first: a backup does not hold it";
            Failure::new("not_found", error, help).ending_with(exit::NOT_FOUND)
        }
        _ => Failure::new("identity", error, "repair the key file of the node"),
    }
}

fn refused(error: &RestoreError) -> Failure {
    match error {
        RestoreError::Exists { .. } => {
            let help = "stop the node, and move the file away; nothing was changed";
            Failure::new("conflict", error, help).ending_with(exit::CONFLICT)
        }
        RestoreError::Copy(StoreError::Unusable { reason, .. })
            if reason.kind() == ErrorKind::NotFound =>
        {
            let help = "name the file that `knhk-mesh backup` wrote";
            Failure::new("not_found", error, help).ending_with(exit::NOT_FOUND)
        }
        RestoreError::Copy(StoreError::Foreign { .. }) => {
            let help = "give the key (--identity) and the configuration (-c) of the node that it \
                        was made of";
            Failure::new("conflict", error, help).ending_with(exit::CONFLICT)
        }
        RestoreError::Copy(StoreError::Damaged { reason, .. }) => {
            let message = format!("the backup is damaged or none: {reason}");
            let help = "take another one; without any, a node with its key takes its records back \
                        from peers";
            Failure::new("damaged", &message, help)
        }
        RestoreError::Copy(_) => Failure::new("backup", error, "nothing was changed"),
        _ => Failure::new("data_dir", error, "name a folder that this user may write to"),
    }
}
