//! A hostile node against a real one, over real QUIC on loopback. Its side is written from
//! docs/WIRE.md: keys, certificates, batches, messages and signatures are of its own making. Three
//! things are measured, each against what docs/SECURITY.md promises:
//!
//! ```text
//!   allocate   what it makes the victim hold, counted by the victim's allocator
//!   answer     bytes that the victim sends before it admitted anybody, for each that it got
//!   compute    signatures, handshakes, answers and CPU of the victim
//! ```
//!
//! `cargo run --release -p knhk-mesh --example hostile -- [-o json] [part ...]`, on Linux;
//! `make hostile`. Exit code 1 if anything is above its bound.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic, reason = "a measurement")]

mod answer;
mod relay;
mod tls;
mod victim;
mod wire;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    if std::env::args().nth(1).is_some_and(|first| first == "victim") {
        return victim::be().await;
    }
    let secret = wire::noise();
    let id = wire::Author::new(secret).id();
    for row in answer::all(secret, id, 4).await {
        println!("{:<60} {:?} {:.2}", row.name, row.counts, row.counts.ratio());
    }
}
