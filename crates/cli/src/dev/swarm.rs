//! The nodes of one run: started in waves, each seeded with a few that started before it, and
//! stopped together. They meet over their transport only.

use std::net::SocketAddr;
use std::time::Duration;

use knhk_mesh::config::Config;
use knhk_mesh::digest::Root;
use knhk_mesh::rng::Rng;
use knhk_mesh::transport::memory::MemoryHub;
use knhk_mesh::{JoinError, Mesh, Options, Profile, TransportKind};
use tokio::task::JoinSet;

use crate::args::{Dev, Wire};
use crate::failure::Failure;

/// Nodes that start at a time: the dials to those of the waves before need room at their end.
const WAVE: usize = 128;
/// Earlier nodes that a node is told about.
const SEEDS: usize = 3;
/// More nodes than this use little memory for each connection.
const LEAN_ABOVE: usize = 64;
/// Pause between two looks at a node that has not joined yet.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

pub(crate) struct Swarm {
    pub(crate) nodes: Vec<Mesh>,
}

impl Swarm {
    /// Starts all nodes. `progress` is told how many there are.
    pub(crate) async fn start(
        args: &Dev,
        rng: &mut Rng,
        progress: impl Fn(&str),
    ) -> Result<Self, Failure> {
        let wanted = usize::from(args.agents);
        let hub = MemoryHub::new();
        let mut nodes: Vec<Mesh> = Vec::with_capacity(wanted);
        while nodes.len() < wanted {
            let wave = (4 * nodes.len()).clamp(1, WAVE).min(wanted - nodes.len());
            let known: Vec<SocketAddr> = nodes.iter().map(Mesh::local_addr).collect();
            let mut starting = JoinSet::new();
            for i in 0..wave {
                let mut seeds = Vec::with_capacity(SEEDS);
                rng.sample(&known, SEEDS, &mut seeds);
                let options = options(args, nodes.len() + i, seeds, &hub, rng.next_u64());
                starting.spawn(Mesh::join(options));
            }
            for joined in starting.join_all().await {
                nodes.push(joined.map_err(|e| not_started(&e))?);
            }
            progress(&format!("{} of {wanted} nodes started", nodes.len()));
        }
        Ok(Swarm { nodes })
    }

    /// Waits until every node has all the others in its directory and all hold the same records.
    pub(crate) async fn joined(&self, progress: impl Fn(&str)) -> Result<(), Failure> {
        let wanted = self.nodes.len();
        for (i, node) in self.nodes.iter().enumerate() {
            while status(node).await?.node.members < wanted {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            progress(&format!("{} of {wanted} nodes know all members", i + 1));
        }
        while !self.agree().await? {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Whether all nodes hold the same records now.
    pub(crate) async fn agree(&self) -> Result<bool, Failure> {
        let mut first: Option<Root> = None;
        for node in &self.nodes {
            let root = node.digest().await.map_err(|e| stopped(&e))?;
            if *first.get_or_insert(root) != root {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What all nodes received so far: (payload copies, bytes).
    pub(crate) async fn received(&self) -> Result<(u64, u64), Failure> {
        let (mut copies, mut bytes) = (0, 0);
        for node in &self.nodes {
            let status = status(node).await?;
            copies += status.node.counters.copies;
            bytes += status.traffic.bytes_in;
        }
        Ok((copies, bytes))
    }

    /// Stops all nodes at the same time.
    pub(crate) async fn stop(self) {
        let mut stopping = JoinSet::new();
        for node in self.nodes {
            stopping.spawn(async move { node.close().await });
        }
        stopping.join_all().await;
    }
}

pub(crate) async fn status(node: &Mesh) -> Result<knhk_mesh::Status, Failure> {
    node.status().await.map_err(|e| stopped(&e))
}

pub(crate) fn stopped(error: &dyn std::fmt::Display) -> Failure {
    Failure::new("node_stopped", error, "this is a defect: please report it with the command")
}

fn not_started(error: &JoinError) -> Failure {
    let help = match error {
        JoinError::Config(_) => "`knhk-mesh dev --help` says which option sets it",
        JoinError::Key(_) | JoinError::Store(_) => "check --data-dir, or choose another folder",
        _ => "use fewer nodes, or free what they need",
    };
    Failure::new("start", error, help)
}

fn options(args: &Dev, i: usize, seeds: Vec<SocketAddr>, hub: &MemoryHub, random: u64) -> Options {
    let mut config = Config {
        fanout: args.fanout.into(),
        interval: Duration::from_millis(args.interval_ms),
        ..Config::default()
    };
    // Every node is an author: beyond the default limit some would never be let in.
    let limits = &mut config.genesis.limits;
    limits.max_authors = limits.max_authors.max(args.agents.into());
    let lean = usize::from(args.agents) > LEAN_ABOVE;
    Options {
        config,
        transport: match args.transport {
            Wire::Quic => TransportKind::Quic,
            Wire::Tcp => TransportKind::Tcp,
            Wire::Memory => TransportKind::Memory(hub.clone()),
        },
        seeds,
        data_dir: args.data_dir.as_ref().map(|dir| dir.join(format!("node-{i:03}"))),
        profile: if lean { Profile::Lean } else { Profile::Normal },
        random_seed: Some(random),
        ..Options::default()
    }
}
