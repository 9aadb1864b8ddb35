//! The nodes of one run: started in waves, each seeded with a few that started before it, and
//! stopped together. They meet over their transport only.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use knhk_mesh::Mesh;
use knhk_mesh::digest::Root;
use knhk_mesh::rng::Rng;
use tokio::task::JoinSet;

use super::plan::Plan;
use crate::control::nodes::Nodes;
use crate::control::server::Serving;
use crate::failure::Failure;

/// Nodes that start at a time: the dials to those of the waves before need room at their end.
const WAVE: usize = 128;
/// Earlier nodes that a node is told about.
const SEEDS: usize = 3;
/// Pause between two looks at a node that has not joined yet.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

pub(crate) struct Swarm {
    /// All of them run, but for those that `chaos` killed in a swarm that stays up.
    pub(crate) nodes: Nodes,
    /// Where commands reach the nodes.
    pub(crate) control: Vec<Serving>,
}

impl Swarm {
    /// Starts all nodes. `progress` is told how many there are.
    pub(crate) async fn start(
        plan: &Arc<Plan>,
        rng: &mut Rng,
        progress: impl Fn(&str),
    ) -> Result<Self, Failure> {
        let wanted = plan.agents;
        let mut nodes: Vec<Mesh> = Vec::with_capacity(wanted);
        while nodes.len() < wanted {
            let wave = (4 * nodes.len()).clamp(1, WAVE).min(wanted - nodes.len());
            let known: Vec<SocketAddr> = nodes.iter().map(Mesh::local_addr).collect();
            let mut starting = JoinSet::new();
            for i in 0..wave {
                let mut seeds = Vec::with_capacity(SEEDS);
                rng.sample(&known, SEEDS, &mut seeds);
                let (plan, i, random) = (Arc::clone(plan), nodes.len() + i, rng.next_u64());
                starting.spawn(async move { (i, plan.start(i, seeds, random).await) });
            }
            let mut started = starting.join_all().await;
            // Agent 3 is the node of the folder node-003, whoever was ready first.
            started.sort_unstable_by_key(|(i, _)| *i);
            for (_, joined) in started {
                nodes.push(joined?);
            }
            // Nodes that watch each other take who is late for dead and tell everybody, which more
            // waves at once would have to bear as well.
            for node in nodes.iter().filter(|_| plan.detects()) {
                lists(node, nodes.len()).await?;
            }
            progress(&format!("{} of {wanted} nodes started", nodes.len()));
        }
        Ok(Swarm { nodes: Nodes::new(nodes), control: Vec::new() })
    }

    /// Waits until every node has all the others in its directory and all hold the same records.
    pub(crate) async fn joined(&self, progress: impl Fn(&str)) -> Result<(), Failure> {
        let wanted = self.nodes.len();
        for (i, node) in self.nodes.running() {
            lists(&node, wanted).await?;
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
        for (_, node) in self.nodes.running() {
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
        for (_, node) in self.nodes.running() {
            let status = status(&node).await?;
            copies += status.node.counters.copies;
            bytes += status.traffic.bytes_in;
        }
        Ok((copies, bytes))
    }

    /// Stops all nodes at the same time.
    pub(crate) async fn stop(self) {
        drop(self.control);
        let mut stopping = JoinSet::new();
        for (_, node) in self.nodes.running() {
            stopping.spawn(async move { node.close().await });
        }
        stopping.join_all().await;
    }
}

/// Waits until `node` has `wanted` members in its directory.
async fn lists(node: &Mesh, wanted: usize) -> Result<(), Failure> {
    while status(node).await?.node.members < wanted {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

pub(crate) async fn status(node: &Mesh) -> Result<knhk_mesh::Status, Failure> {
    node.status().await.map_err(|e| stopped(&e))
}

pub(crate) fn stopped(error: &dyn std::fmt::Display) -> Failure {
    Failure::new("node_stopped", error, "this is a defect: please report it with the command")
}
