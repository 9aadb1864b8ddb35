//! Many real nodes under virtual time: the protocol code that runs in production, with a network,
//! clocks and disks that can fail. Same seed, same run, on every machine and with any number of
//! threads: a failing run is reproduced by its seed.
//!
//! ```text
//!   spread, scenario   what is run            report   what it showed
//!          |                                     ^
//!        world         machines, links, faults   |
//!          |                                     |
//!        engine        slots, shards, queues ----'
//!          |
//!        knhk-mesh-core's Node
//! ```
#![forbid(unsafe_code)]

pub mod adversary;
mod cast;
pub mod chaos;
mod checkers;
mod crowd;
pub mod drill;
pub mod engine;
pub mod latency;
pub mod network;
pub mod report;
pub mod scenario;
mod shell;
pub mod spread;
pub mod world;

pub use engine::QueueKind;
pub use network::Network;
pub use shell::word as shell_word;
pub use world::{NodeIx, World};
