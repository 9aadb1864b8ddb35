//! The protocol of knhk-mesh as a pure state machine. It owns no socket, clock, thread or source
//! of randomness: time and seed are arguments, bytes come in through a gate and effects leave
//! through a sink. The same code runs under the asynchronous shell (`knhk-mesh`) and under the
//! simulator (`knhk-mesh-sim`).
#![forbid(unsafe_code)]

pub mod admission;
pub mod certified;
pub mod codec;
pub mod config;
pub mod crdt;
pub mod digest;
pub mod error;
pub mod frame;
pub mod gossip;
pub mod hash;
pub mod identity;
pub mod links;
pub mod membership;
pub mod messages;
pub mod node;
pub mod partition;
pub mod peer_registry;
pub mod rng;
pub mod security;
pub mod telemetry;
pub mod time;

/// The wire version that this code writes and reads.
pub const WIRE_VERSION: u8 = 1;
