//! Placeholder.
#![forbid(unsafe_code)]

pub mod transport;
