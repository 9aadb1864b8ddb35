//! Placeholder.
#![forbid(unsafe_code)]
pub mod clock;
pub mod storage;
pub mod watch;
