//! Many real nodes in one thread under virtual time. Same seed, same run, on every machine: a
//! failing run is reproduced by its seed.
//!
//! ```text
//!   World --pops the earliest--> event --> Node::handle --> effects --> Network: when, or lost
//!     ^                                                                          |
//!     `------------------------- events pushed with their time ------------------'
//! ```
//!
//! This is the small driver that the scenario tests of the protocol run on. It keeps its events in
//! a binary heap.
#![forbid(unsafe_code)]

pub mod network;
pub mod report;
pub mod world;

pub use network::Network;
pub use world::{NodeIx, World};
