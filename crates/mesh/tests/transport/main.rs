//! What every transport promises to the owner of its links.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod pair;

mod admission;
mod back_pressure;
mod exchange;
mod memory;
mod quic;
mod suites;
