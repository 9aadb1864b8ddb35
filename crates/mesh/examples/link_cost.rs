//! Measures what a link costs: latency and CPU of a 300-byte message over QUIC on loopback, alone
//! and in a flood, and the memory of a connection when many nodes share a process.
//!
//! `cargo run --release -p knhk-mesh --example link_cost`
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic, reason = "a measurement")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use knhk_mesh::transport::{EVENT_CAPACITY, Event, Link, Profile, Settings, Target, Transport};
use knhk_mesh_core::identity::{Keypair, MeshId};
use knhk_mesh_core::messages::Lane;
use tokio::sync::mpsc::{Receiver, channel};

const MESSAGE_BYTES: usize = 300;

fn bound(number: u64, profile: Profile) -> (Transport, Receiver<Event>) {
    let mut secret = [7; 32];
    secret[..8].copy_from_slice(&number.to_le_bytes());
    let keypair = Arc::new(Keypair::from_secret(&secret));
    let (events, received) = channel(EVENT_CAPACITY);
    let settings = Settings::new(keypair, MeshId([1; 32]), profile);
    (Transport::quic(settings, events).unwrap(), received)
}

async fn up(events: &mut Receiver<Event>) -> Link {
    loop {
        match events.recv().await.unwrap() {
            Event::Up(link) => return link,
            Event::DialFailed { why, .. } => panic!("{why}"),
            _ => {}
        }
    }
}

/// User and system time of this process; the kernel counts in hundredths of a second.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}

fn rss_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

fn message(start: Instant) -> Bytes {
    let mut message = vec![0x5a; MESSAGE_BYTES];
    message[..8].copy_from_slice(&(start.elapsed().as_nanos() as u64).to_le_bytes());
    message.into()
}

/// Receives `count` messages; their latencies in ns, sorted.
async fn receive(
    mut events: Receiver<Event>,
    count: usize,
    start: Instant,
) -> (Vec<u64>, Receiver<Event>) {
    let mut latencies = Vec::with_capacity(count);
    while latencies.len() < count {
        if let Some(Event::Batch { messages, .. }) = events.recv().await {
            let now = start.elapsed().as_nanos() as u64;
            let sent = |m: &Bytes| u64::from_le_bytes(*m.first_chunk().unwrap());
            latencies.extend(messages.iter().map(|message| now - sent(message)));
        }
    }
    latencies.sort_unstable();
    (latencies, events)
}

/// Links many lean nodes of this process.
async fn memory() {
    let (nodes, dials) = (200, 10);
    let before = rss_bytes();
    let mut bounds = Vec::new();
    for number in 0..nodes {
        bounds.push(bound(1_000 + number, Profile::Lean));
    }
    let (alone, began) = (rss_bytes(), Instant::now());
    for at in 0..nodes as usize {
        for step in 1..=dials {
            let addr = bounds[(at + step) % nodes as usize].0.local_addr();
            bounds[at].0.dial(Target { node: None, addr });
            up(&mut bounds[at].1).await;
        }
    }
    let connections = nodes * dials as u64;
    println!(
        "{nodes} nodes x {dials} dials in {:.1} s: {:.1} KB a connection (both ends), \
         {:.1} KB a node",
        began.elapsed().as_secs_f64(),
        (rss_bytes() - alone) as f64 / 1e3 / connections as f64,
        (alone - before) as f64 / 1e3 / nodes as f64,
    );
}

#[tokio::main]
async fn main() {
    // First: what was freed before would blur it.
    memory().await;
    // The closed connections still drain for a moment.
    tokio::time::sleep(Duration::from_secs(3)).await;
    traffic().await;
}

/// One link, from sparse to flooded.
async fn traffic() {
    let (server, mut server_events) = bound(1, Profile::Normal);
    let (client, mut client_events) = bound(2, Profile::Normal);
    client.dial(Target { node: None, addr: server.local_addr() });
    let link = up(&mut client_events).await;
    up(&mut server_events).await;
    let start = Instant::now();
    let mut events = server_events;
    for (name, per_second, count) in [("100/s", 100, 300), ("1,000/s", 1_000, 3_000)] {
        let receiver = tokio::spawn(receive(events, count, start));
        let before = cpu();
        let mut ticker = tokio::time::interval(Duration::from_secs(1) / per_second);
        for _ in 0..count {
            ticker.tick().await;
            link.send(Lane::Delta, message(start)).unwrap();
        }
        let (latencies, back) = receiver.await.unwrap();
        events = back;
        let each = (cpu() - before).as_secs_f64() * 1e6 / count as f64;
        let us = |share: usize| latencies[(count - 1) * share / 100] as f64 / 1e3;
        println!("{name}: p50 {:.0} us, p99 {:.0} us, {each:.1} us CPU both ends", us(50), us(99));
    }
    let count = 500_000;
    let receiver = tokio::spawn(receive(events, count, start));
    let (before, began) = (cpu(), Instant::now());
    let mut sent = 0;
    while sent < count {
        match link.send(Lane::Delta, message(start)) {
            Ok(()) => sent += 1,
            Err(_) => tokio::task::yield_now().await,
        }
    }
    receiver.await.unwrap();
    let each = (cpu() - before).as_secs_f64() * 1e6 / count as f64;
    let rate = count as f64 / began.elapsed().as_secs_f64();
    println!("flood: {rate:.0} messages/s, {each:.2} us CPU both ends");
}
