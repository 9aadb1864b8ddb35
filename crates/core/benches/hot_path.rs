//! What one received record costs, in thread CPU time, on the way from bytes to an agreed state.
//!
//! ```text
//!   cargo bench -p knhk-mesh-core --bench hot_path              a table
//!   cargo bench -p knhk-mesh-core --bench hot_path -- --json    one JSON line a row
//!
//!   bytes --read, verify--> Verified --merge--> Store --flush, root--> Root --> all agree?
//!         |     verify     |        |   merge   |    |     digest    |    | convergence |
//!         |------------------------------ path: one Node -----------------------------|
//! ```
//!
//! The state holds 100,000 live keys of 1,000 authors, in 100 slots each, and has been overwritten
//! twice in frames of the measured size before the clock starts. Each frame is of a random author;
//! its records (256 bytes: 24 of fields, 232 of payload) go to random slots of that author, so each
//! is an overwrite, frames of 128 hold about 72 different slots, and every frame leaves older ones
//! with fewer live records. No frame comes twice. Keys, signatures and hashes are real ones.
//!
//! The rows, each in nanoseconds and ticks (250 ns) for one record, over all frames:
//!
//! - `verify`: `Sealed::read` and `frame::verify`: decoding, BLAKE3 leaves and root, one ed25519
//!   check. The message is freed outside.
//! - `merge`: `Store::merge`.
//! - `digest`: `Store::flush` and `Store::root` after every frame. That is the worst case: a
//!   node asks for a root once a round and so pays once for a slot overwritten several times.
//! - `convergence`: `Gossip::current_root` and `Gossip::converged_at`: is the root new, and how
//!   many of 24 links named one of the own last 16? Before it, one link names the root of now.
//! - `path`: all of it in a `Node` with 24 links: `Node::check` (form, limits, admission, time,
//!   is it new?), `frame::verify`, `Node::handle` (merge, notes for the rounds, forwarding to the
//!   tree into a sink that drops), and `Node::status`, which takes the root and asks the links,
//!   after every frame. Measured apart from the rows above, one pair of clock readings a frame.
//! - `select`: ten peers of 1,000, 100,000 and 1,000,000, of which one in a hundred is excluded;
//!   for one selection, in groups of 64.
//!
//! The clock is `CLOCK_THREAD_CPUTIME_ID`: what other processes do to the wall clock is left out,
//! what they do to the caches is not. A reading costs a few hundred nanoseconds; nothing is
//! subtracted. That shows in frames of one only.
#![forbid(unsafe_code)]
#![allow(clippy::expect_used, reason = "a benchmark that cannot run says why and stops")]

#[path = "hot_path/clock.rs"]
mod clock;
#[path = "hot_path/path.rs"]
mod path;
#[path = "hot_path/report.rs"]
mod report;
#[path = "hot_path/select.rs"]
mod select;
#[path = "hot_path/stages.rs"]
mod stages;
#[path = "hot_path/workload.rs"]
mod workload;

use report::Report;

/// Records of a frame, and how many frames are measured.
const SIZES: [(usize, usize); 6] =
    [(1, 8_000), (16, 4_000), (64, 3_000), (100, 2_000), (128, 2_000), (256, 1_000)];
/// Peers to select from.
const PEERS: [usize; 3] = [1_000, 100_000, 1_000_000];

fn main() -> std::io::Result<()> {
    // Cargo itself passes `--bench`.
    let json = std::env::args().any(|arg| arg == "--json");
    let mut report = Report::start(json)?;
    for (size, frames) in SIZES {
        path::measure(size, frames, &mut report)?;
        stages::measure(size, frames, &mut report)?;
    }
    for peers in PEERS {
        select::measure(peers, &mut report)?;
    }
    Ok(())
}
