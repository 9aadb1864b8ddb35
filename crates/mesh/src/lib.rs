//! A peer-to-peer mesh for swarms of agents: nodes find each other, share signed state that merges,
//! and need no coordinator.
//!
//! [`Mesh`] is a node: `join`, then `set`, `get`, `incr`, `add`, `watch`. The protocol itself is
//! the pure state machine of `knhk-mesh-core`, whose modules appear here under their names; this
//! crate gives it a runtime, sockets, a disk and a clock.
//!
//! ```text
//!   application ── Mesh ── mailbox ── node task ── core::node::Node
//!                                       │  │  │
//!                               transport  disk  clock
//! ```
#![forbid(unsafe_code)]

pub mod admission;
pub mod clock;
pub mod config_file;
pub mod error;
pub mod key_file;
mod link_info;
mod mesh;
mod node_task;
pub mod options;
pub mod peer_registry;
mod seeds;
pub mod storage;
#[cfg(test)]
mod test_folder;
pub mod transport;
mod views;
pub mod watch;

pub use knhk_mesh_core::{
    self as core, codec, config, crdt, digest, frame, identity, messages, node, partition, rng,
    telemetry, time,
};

pub use error::{JoinError, ReadError, Stopped, WatchError, WriteError};
pub use knhk_mesh_core::messages::Receipt;
pub use link_info::LinkInfo;
pub use mesh::{Mesh, Status};
pub use options::{Identity, Options, TransportKind};
pub use peer_registry::{PeerInfo, PeerRegistry};
pub use seeds::{SeedNews, SeedStatus, Seeds};
pub use transport::{Datagrams, Profile, Traffic};
pub use views::{Sibling, Value};
pub use watch::{Change, Lagged, Watch};

/// The program of README.md compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
