//! The whole stack, TLS, QUIC and the shell included, on a network in memory under virtual time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod net;
mod swarm;

use std::time::Duration;
use swarm::{FINE, Swarm, rounds, tell};
use net::{Trace, Weather};

#[test]
fn probe() {
    let t = std::time::Instant::now();
    let run = |seed| tell(async move {
        let mut s = Swarm::gather(50, seed).await;
        eprintln!("gathered {:?} wall {:?} {:?}", tokio::time::Instant::now(), t.elapsed(), s.net.trace());
        tokio::time::sleep(Duration::from_secs(5)).await;
        eprintln!("5 s wall {:?} {:?}", t.elapsed(), s.net.trace());
        let all: Vec<usize> = (0..50).collect();
        for loss in [0.0, 0.3] {
            s.net.set_weather(Weather { loss, ..FINE });
            let mut r = Vec::new();
            for i in 0..10 {
                r.push(s.spread(i * 5, &all).await);
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            eprintln!("loss {loss} rounds {r:?} wall {:?} {:?}", t.elapsed(), s.net.trace());
        }
        s.net.trace()
    });
    let a = run(1);
    let b = run(1);
    assert_eq!(a, b);
}
