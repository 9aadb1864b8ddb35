//! Events per second of CPU: one update through 10,000, 100,000 and 1,000,000 nodes, over all lanes
//! and over repair alone with a third silent and 10 % loss.
//!
//! ```text
//! cargo bench -p knhk-mesh-sim --bench events -- [--max N] [--threads T] [--json]
//! ```
//!
//! CPU time of the whole process, start of the nodes included. docs/SIMULATION.md reads the table.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::time::Duration;

use knhk_mesh_core::config::Lanes;
use knhk_mesh_sim::adversary::Kind;
use knhk_mesh_sim::spread::{Spread, run};

/// As in the binary, so that the figures are its figures.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SIZES: [u32; 3] = [10_000, 100_000, 1_000_000];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1)?.parse::<u32>().ok()
    };
    let (max, threads) = (value("--max").unwrap_or(u32::MAX), value("--threads").unwrap_or(1));
    let json = args.iter().any(|arg| arg == "--json");
    if !json {
        println!(
            "{:>9}  {:7}  {:>11}  {:>7}  {:>12}  rounds",
            "nodes", "lanes", "events", "CPU s", "events/CPU s"
        );
    }
    for agents in SIZES.into_iter().filter(|&agents| agents <= max) {
        for lanes in [Lanes::All, Lanes::Repair] {
            measure(agents, lanes, threads, json);
        }
    }
}

fn measure(agents: u32, lanes: Lanes, threads: u32, json: bool) {
    let mut spread =
        Spread { agents, lanes, seed: 7, threads: threads as usize, ..Spread::default() };
    // The same code path at every size.
    spread.wire = Some(false);
    if lanes == Lanes::Repair {
        (spread.loss, spread.adversaries) = (0.1, vec![(Kind::Silent, 0.33)]);
    }
    let before = cpu();
    let report = run(&spread, &mut |_| ());
    let cpu = (cpu() - before).as_secs_f64();
    let Ok(report) = report else { return };
    let (name, rate) = (&report.setup.lanes, report.events as f64 / cpu);
    let (events, rounds) = (report.events, report.rounds);
    if json {
        println!(
            "{{\"agents\":{agents},\"lanes\":\"{name}\",\"events\":{events},\"cpu_s\":{cpu:.3},\
             \"events_per_cpu_s\":{rate:.0},\"rounds\":{rounds}}}"
        );
    } else {
        println!("{agents:>9}  {name:7}  {events:>11}  {cpu:>7.2}  {rate:>12.0}  {rounds:>6}");
    }
}

fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
