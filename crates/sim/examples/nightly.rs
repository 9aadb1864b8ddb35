//! Measures.
use core::time::Duration;
use knhk_mesh_core::config::Config;
use knhk_mesh_sim::{Network, World};
use knhk_mesh_sim::world::Drive;
use knhk_mesh_core::crdt::{Key, Op};
fn main() {
    let n: usize = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(100);
    let rate: u64 = std::env::args().nth(2).and_then(|a| a.parse().ok()).unwrap_or(10);
    let wire = std::env::args().nth(3).is_some();
    let t = std::time::Instant::now();
    let mut w = World::driven(n, Config::default(), Network::default(), 1, Drive { wire, ..Drive::default() });
    eprintln!("made {:?}", t.elapsed());
    w.run_for(Duration::from_secs(10));
    let members = (0..n).map(|i| w.node(i).registry().members()).min();
    eprintln!("10s {:?} {:?} members {members:?} agrees {}", t.elapsed(), w.tally(), w.agrees());
    for s in 0..50*rate {
        w.write((s as usize*7) % n, &Op::Incr{key: Key::try_from(format!("k{}", s%20)).unwrap(), by: 1});
        w.run_for(Duration::from_millis(1000/rate.max(1)));
    }
    w.run_for(Duration::from_secs(3));
    eprintln!("60s {:?} {:?} agrees {}", t.elapsed(), w.tally(), w.agrees());
}
