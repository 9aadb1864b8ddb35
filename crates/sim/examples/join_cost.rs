//! What a join of many nodes costs in messages, by kind.
#![allow(clippy::print_stdout, clippy::unwrap_used)]
use core::time::Duration;
use knhk_mesh_core::config::Config;
use knhk_mesh_sim::{Network, World};

fn main() {
    let n: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let ms: u64 = std::env::args().nth(2).map_or(1, |a| a.parse().unwrap());
    let network = Network {
        latency: Duration::from_millis(ms),
        jitter: Duration::from_millis(3 * ms),
        ..Network::default()
    };
    let mut world = World::new(n, Config::default(), network, 1);
    let mut last = 0;
    for step in 0..200 {
        world.run_for(Duration::from_millis(100));
        let members: usize = (0..n).map(|i| world.node(i).registry().members()).sum();
        let agrees = world.agrees();
        if step % 10 == 9 || (agrees && members == n * n) {
            let c = |f: fn(&knhk_mesh_core::telemetry::Counters) -> u64| {
                (0..n).map(|i| f(world.node(i).counters())).sum::<u64>() / n as u64
            };
            println!(
                "{:?} members {} agree {agrees} per node: merged {} stale {} dup {} copies {} fwd {} rounds {} digests {} sessions {} repairs {}",
                world.now().0 / 1_000_000,
                members / n,
                c(|c| c.merged.into()),
                c(|c| c.stale.into()),
                c(|c| c.duplicates.into()),
                c(|c| c.copies.into()),
                c(|c| c.forwarded.into()),
                c(|c| c.rounds.into()),
                c(|c| c.digests.into()),
                c(|c| c.sessions.into()),
                c(|c| c.repairs.into())
            );
        }
        if agrees && members == n * n {
            last += 1;
            if last > 3 {
                break;
            }
        }
    }
}
