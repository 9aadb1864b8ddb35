//! What can go wrong for an application, one enum for each kind of call. Every variant says what
//! happened to the state and what helps.

use std::net::SocketAddr;

use knhk_mesh_core::config::OutOfRange;
use knhk_mesh_core::error::{StoreFault, WriteError as Rejected};

use crate::key_file::KeyFileError;
use crate::storage::StoreError;
use crate::transport::BindError;

/// Why a node could not start. Nothing runs and no address is bound; a key file or data folder that
/// was made on the way stays and is used by the next start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// A setting is outside its range.
    #[error(transparent)]
    Config(#[from] OutOfRange),
    /// Others could not dial this node back.
    #[error("{addr} is every address of this host: say in config.addresses where others dial")]
    NoAddress {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// Admission and credentials do not fit together.
    #[error("admission by token or certificate needs credentials of that kind, and no other does")]
    Credentials,
    /// The key file could not be read or made.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The data folder could not be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address could not be bound, or would open the node to everybody.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system: {0}")]
    Randomness(String),
}

/// Why a write was not acknowledged.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The node did not take it; each reason says what became of the state.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The disk failed earlier and is being tried again: nothing was written or sent.
    #[error("the disk of the node failed ({0}), it takes no writes: look after the disk")]
    DiskFailed(StoreFault),
    /// The node stopped before it answered. The write may or may not be on disk and at peers: read
    /// it after the next start.
    #[error("the node stopped before it acknowledged the write")]
    Stopped,
}

/// Why a read has no answer. Reads change nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The key is empty or too long; no such key exists.
    #[error(transparent)]
    Key(Rejected),
    /// The node stopped.
    #[error("the node stopped")]
    Stopped,
}

/// Why there is no watch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// All watches of this node are in use; drop one.
    #[error("{max} watches are open already: drop one")]
    TooMany {
        /// Watches of one node.
        max: usize,
    },
    /// The node stopped.
    #[error("the node stopped")]
    Stopped,
}

/// The node stopped: [`crate::Mesh::leave`] or [`crate::Mesh::close`] was called.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the node stopped")]
pub struct Stopped;
