//! Spreads one update through a simulated mesh: `spread [AGENTS] [all|repair] [SEED] [THREADS]`.

use knhk_mesh_core::config::Lanes;
use knhk_mesh_sim::adversary::Kind;
use knhk_mesh_sim::spread::{Spread, run};

fn main() {
    let arg = |i: usize| std::env::args().nth(i);
    let number = |i: usize, or: u64| arg(i).and_then(|a| a.parse().ok()).unwrap_or(or);
    let lanes = if arg(2).is_some_and(|l| l == "repair") { Lanes::Repair } else { Lanes::All };
    let mut spread = Spread {
        agents: number(1, 100) as u32,
        lanes,
        seed: number(3, 1),
        threads: number(4, 1) as usize,
        ..Spread::default()
    };
    if arg(5).is_some_and(|a| a == "x") {
        spread.loss = 0.1;
        spread.adversaries = vec![(Kind::Silent, 0.33)];
    }
    let start = std::time::Instant::now();
    let report = run(&spread, &mut |p| {
        if arg(6).is_some() && (p.stage != "linking" || p.done == 0.0) {
            eprintln!("{:?} {p:?}", start.elapsed())
        }
    })
    .unwrap();
    eprintln!("{:?}", start.elapsed());
    println!(
        "{} rounds {} informed {} copies {} bytes {} events {} hash {} {:?} {:?}",
        report.agents,
        report.rounds,
        report.informed,
        report.copies_per_agent,
        report.bytes_per_agent,
        report.events,
        report.trace_hash,
        report.broken,
        report.verdict
    );
    for r in &report.per_round {
        println!("{r:?}");
    }
}
