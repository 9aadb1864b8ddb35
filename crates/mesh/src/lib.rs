//! Placeholder.
#![forbid(unsafe_code)]

pub mod key_file;
pub mod transport;
