//! The control socket: how commands talk to a node of this machine. One JSON object a line in both
//! directions; docs/CLI.md describes the protocol. Whoever can open the socket may do everything,
//! so it is made for its owner only.
//!
//! ```text
//!   set, get, status ...─> client ──line──> [0600 socket] ──> server ──> answers ──> Mesh
//!                                 <─line───                  64 KiB a line, 256 connections
//! ```

mod admission;
mod answers;
pub(crate) mod chaos;
pub(crate) mod client;
mod facts;
pub(crate) mod nodes;
mod peers;
pub(crate) mod place;
pub(crate) mod protocol;
pub(crate) mod server;
mod status;
