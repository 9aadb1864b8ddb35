//! What a mesh costs in which nothing happens. Under virtual time every heartbeat is on time,
//! however many nodes one machine carries: `CHAOS_NODES` and `CHAOS_DETECT` (`fast`, `thrifty`,
//! `off`; otherwise by size) say of what mesh, `CHAOS_SECONDS` (2) for how long. The CPU is that of
//! one process with TLS, QUIC and the network in memory, and without a kernel's part.

use std::time::Duration;

use knhk_mesh::Options;
use knhk_mesh::config::{Config, Detect};
use knhk_mesh::core::partition::PartitionStatus;
use tokio::time::sleep;

use crate::swarm::{Swarm, tell};
use crate::{nodes, number, seed};

/// Witnesses link, and rounds back off.
const SETTLE: Duration = Duration::from_secs(4);

fn detect() -> Detect {
    match std::env::var("CHAOS_DETECT").as_deref() {
        Ok("fast") => Detect::Fast,
        Ok("thrifty") => Detect::Thrifty,
        Ok("off") => Detect::Off,
        Ok(other) => panic!("CHAOS_DETECT is fast, thrifty or off, not {other}"),
        Err(_) => Options::default().config.detect,
    }
}

/// User and system time of this process in seconds; the kernel counts in hundredths.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

#[test]
fn a_mesh_at_rest_sends_its_heartbeats_and_keeps_its_links() {
    let seconds = number("CHAOS_SECONDS", 2);
    let (links, [datagrams, bytes, cpu_ms]) = tell(async {
        let config = Config { detect: detect(), ..Options::default().config };
        let swarm = Swarm::configured(nodes(), seed(), config).await;
        sleep(SETTLE).await;
        let links = async || {
            let mut links = 0;
            for node in &swarm.nodes {
                let status = node.status().await.unwrap().node;
                assert_eq!(status.partition, PartitionStatus::Healthy);
                links += status.links;
            }
            links as f64 / swarm.nodes.len() as f64
        };
        let (before, cpu_before, trace) = (links().await, cpu(), swarm.net.trace());
        sleep(Duration::from_secs(seconds as u64)).await;
        let (now, cpu_now) = (swarm.net.trace(), cpu());
        let per = |amount: f64| amount / (swarm.nodes.len() * seconds) as f64;
        let sent = [(now.datagrams - trace.datagrams) as f64, (now.bytes - trace.bytes) as f64];
        assert!((links().await - before).abs() < 1.0, "links come and go");
        (before, [per(sent[0]), per(sent[1]), per(1_000.0 * (cpu_now - cpu_before))])
    });
    println!(
        "{} nodes at rest, detect {:?}: {links:.1} links a node; a node and second {datagrams:.1} \
         datagrams, {bytes:.0} bytes, {cpu_ms:.2} ms CPU",
        nodes(),
        detect()
    );
    // Four heartbeats a second each way and what acknowledges them; a small mesh beats faster.
    let most = if nodes() > 64 { 12.0 } else { 40.0 };
    assert!(datagrams <= most * links, "{datagrams} datagrams a second over {links} links");
}
