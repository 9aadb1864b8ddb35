//! One attacker against one node, over real QUIC on loopback: what 5,000 datagrams a second of each
//! kind cost the victim, and what the honest nodes notice of it.
//!
//! ```text
//!   this process: 4 honest nodes, one writes      ──►  victim: a process of its own,
//!                 the attacker, kind after kind   ──►  so that its CPU and memory are its own
//! ```
//!
//! `cargo run --release -p knhk-mesh --example attacker -- [seconds] [kind ...]`, on Linux;
//! `make attacker`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic, reason = "a measurement")]

mod floods;
mod victim;

use std::time::Duration;

use floods::{Kind, Sent};
use knhk_mesh::{Mesh, Options, Profile};
use tokio::time::{interval, sleep};
use victim::{Report, Victim};

/// Datagrams, or messages, of the attacker in a second.
const RATE: u32 = 5_000;
/// Of a core, what an attack may cost the victim.
const MOST: f64 = 0.30;
/// The honest writer's pause.
const BEAT: Duration = Duration::from_millis(20);

/// Two honest phases around the attack.
struct Course {
    calm: Phase,
    flood: Phase,
    after: Report,
    sent: Sent,
}

struct Phase {
    /// Share of one core.
    cpu: f64,
    /// The largest seen.
    rss: u64,
    report: Report,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut args = std::env::args().skip(1).peekable();
    if args.peek().is_some_and(|first| first == "victim") {
        return victim::be().await;
    }
    let seconds = args.next_if(|a| a.parse::<u64>().is_ok()).map_or(8, |a| a.parse().unwrap());
    let chosen: Vec<String> = args.collect();
    println!(
        "{:<12} {:>9} {:>8} {:>8} {:>8} {:>6} {:>9} {:>9} {:>9} {:>9} {:>11} refused",
        "kind",
        "offered/s",
        "taken/s",
        "cpu",
        "cost",
        "<=30%",
        "rss",
        "growth",
        "p50",
        "calm p50",
        "reputation"
    );
    for kind in Kind::ALL {
        if chosen.is_empty() || chosen.iter().any(|name| name == kind.name()) {
            show(kind, seconds, &run(kind, Duration::from_secs(seconds)).await);
        }
    }
}

async fn run(kind: Kind, length: Duration) -> Course {
    let mut victim = Victim::start(floods::attacker_id());
    let mut honest = Vec::new();
    for _ in 0..4 {
        let seeds = vec![victim.addr];
        let options = Options { seeds, profile: Profile::Lean, ..Options::default() };
        honest.push(Mesh::join(options).await.unwrap());
    }
    for node in &honest {
        while node.status().await.unwrap().node.members < 5 {
            sleep(Duration::from_millis(20)).await;
        }
    }
    if kind.is_member() {
        floods::enlist(victim.addr).await;
    }
    let writer = honest[0].clone();
    let beat = tokio::spawn(async move {
        let mut ticks = interval(BEAT);
        loop {
            ticks.tick().await;
            let _ = writer.set("beat", victim::stamp().to_string()).await;
        }
    });
    sleep(Duration::from_secs(2)).await;
    let calm = phase(&mut victim, length).await;
    let flood = floods::start(kind, victim.addr, victim.mesh, RATE, length);
    let during = phase(&mut victim, length).await;
    let sent = tokio::task::spawn_blocking(move || flood.join().unwrap()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let after = victim.report();
    beat.abort();
    for node in honest {
        node.close().await;
    }
    Course { calm, flood: during, after, sent }
}

async fn phase(victim: &mut Victim, length: Duration) -> Phase {
    victim.report();
    let (before, start) = (victim.cpu(), std::time::Instant::now());
    let mut rss = victim.rss();
    while start.elapsed() < length {
        sleep(Duration::from_millis(100)).await;
        rss = rss.max(victim.rss());
    }
    let cpu = (victim.cpu() - before).as_secs_f64() / start.elapsed().as_secs_f64();
    Phase { cpu, rss, report: victim.report() }
}

fn show(kind: Kind, seconds: u64, course: &Course) {
    let Course { calm, flood, after, sent } = course;
    let cost = flood.cpu - calm.cpu;
    println!(
        "{:<12} {:>9} {:>8} {:>7.1}% {:>7.1}% {:>6} {:>5.1} MiB {:>5.1} MiB {:>6} us {:>6} us \
         {:>11} {}",
        kind.name(),
        sent.offered / seconds,
        sent.taken / seconds,
        100.0 * flood.cpu,
        100.0 * cost,
        if cost <= MOST { "yes" } else { "NO" },
        mib(flood.rss),
        mib(flood.rss.saturating_sub(calm.rss)),
        flood.report.p50_us,
        calm.report.p50_us,
        after.reputation,
        after.refused,
    );
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
