//! Faults on purpose: what `knhk-mesh chaos` orders, a swarm that stays up carries out on its own
//! nodes, below their QUIC. Nobody is told anything: to the nodes it looks like dead
//! machines, cut cables and bad lines.
//!
//! ```text
//!   chaos kill ... ─> control socket ─> door ─> Chaos ─┬─> faults ─> network, under every node
//!                                                      └─> nodes end, and start again
//! ```

mod faults;
mod network;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use knhk_mesh::Mesh;
use knhk_mesh::identity::NodeId;
use knhk_mesh::rng::Rng;
use tokio::task::JoinSet;

use super::plan::Plan;
use crate::control::chaos::{self, InForce, MAX_DELAY_MS, Order, Whom};
use crate::control::nodes::Nodes;
use crate::control::protocol::Fault;
use crate::exit;
use crate::failure::Failure;
use faults::{Cut, Delay};
pub(super) use network::Network;

/// A beginning of a node id that names one.
const LEAST_PREFIX: usize = 4;
/// Nodes that one which starts again is told about.
const SEEDS: usize = 3;

/// Carries out orders, one at a time.
pub(super) struct Chaos {
    plan: Arc<Plan>,
    nodes: Nodes,
    /// Who each number is, and where it listened last.
    known: Vec<(NodeId, SocketAddr)>,
    rng: Rng,
    in_force: InForce,
    /// Nodes that were killed and still let go of what they hold.
    ending: JoinSet<()>,
    /// Sends what is late; ends with this.
    _postman: JoinSet<()>,
}

impl Chaos {
    pub(super) fn new(plan: Arc<Plan>, nodes: Nodes, rng: Rng) -> Self {
        let running = nodes.running();
        let known = running.iter().map(|(_, node)| (node.node_id(), node.local_addr())).collect();
        let mut postman = JoinSet::new();
        if let Some(network) = plan.network.clone() {
            postman.spawn(async move { network.deliver().await });
        }
        let in_force = InForce {
            pid: std::process::id(),
            transport: plan.wire.name().into(),
            agents: running.len(),
            running: running.len(),
            detects: plan.detects(),
            ..InForce::default()
        };
        let ending = JoinSet::new();
        Chaos { plan, nodes, known, rng, in_force, ending, _postman: postman }
    }

    /// What is in force.
    pub(super) fn in_force(&self) -> &InForce {
        &self.in_force
    }

    /// Carries `order` out; what is in force then.
    pub(super) async fn obey(&mut self, order: &Order) -> Result<InForce, Fault> {
        let network = match order {
            Order::Show => return Ok(self.in_force.clone()),
            _ => self.network()?,
        };
        match order {
            Order::Show => {}
            Order::Kill { whom } => self.kill(&network, whom)?,
            Order::Partition { whom, one_way } => self.partition(&network, whom, *one_way)?,
            Order::Delay { ms, jitter_ms, loss, nodes } => {
                let nodes = if nodes.is_empty() { None } else { Some(self.named(nodes)?) };
                self.delay(&network, *ms, *jitter_ms, *loss, nodes)?;
            }
            Order::Heal => self.heal(&network).await?,
        }
        self.in_force.running = self.nodes.running().len();
        Ok(self.in_force.clone())
    }

    fn network(&self) -> Result<Network, Fault> {
        self.plan.network.clone().ok_or_else(|| {
            let wire = self.plan.wire.name();
            let message = format!("faults are made below QUIC, and this swarm uses {wire}");
            let help = "start it with `knhk-mesh dev --transport quic`";
            Fault::new("needs_quic", exit::FAILED, &message, help)
        })
    }

    fn kill(&mut self, network: &Network, whom: &Whom) -> Result<(), Fault> {
        let running: Vec<usize> = self.nodes.running().iter().map(|(i, _)| *i).collect();
        let chosen = self.chosen(whom, &running)?;
        if running.iter().all(|i| chosen.contains(i)) {
            return Err(usage("one node must stay: it holds the records of those that come back"));
        }
        // Silent first, so that the end of a node is no good-bye.
        network.change(|faults| faults.dead.extend(&chosen));
        for i in &chosen {
            if let Some(node) = self.nodes.replace(*i, None) {
                self.known[*i].1 = node.local_addr();
                self.ending.spawn(async move { node.close().await });
            }
        }
        self.in_force.killed = network.change(|faults| faults.dead.iter().copied().collect());
        Ok(())
    }

    fn partition(&mut self, network: &Network, whom: &Whom, one_way: bool) -> Result<(), Fault> {
        let running: Vec<usize> = self.nodes.running().iter().map(|(i, _)| *i).collect();
        let side = self.chosen(whom, &running)?;
        if running.iter().all(|i| side.contains(i)) {
            return Err(usage("nobody would be on the other side: name fewer nodes"));
        }
        let nodes = side.iter().copied().collect();
        self.in_force.partition = Some(chaos::Cut { nodes, one_way });
        network.change(|faults| faults.cut = Some(Cut { side, one_way }));
        Ok(())
    }

    fn delay(
        &mut self,
        network: &Network,
        ms: u64,
        jitter_ms: u64,
        loss: f64,
        nodes: Option<BTreeSet<usize>>,
    ) -> Result<(), Fault> {
        if ms > MAX_DELAY_MS || jitter_ms > MAX_DELAY_MS {
            return Err(usage(&format!("a delay and its jitter have at most {MAX_DELAY_MS} ms")));
        }
        if !(0.0..=1.0).contains(&loss) {
            return Err(usage("a loss is a share from 0 to 1"));
        }
        let listed = nodes.as_ref().map(|nodes| nodes.iter().copied().collect());
        let told = chaos::Delay { ms, jitter_ms, loss, nodes: listed };
        self.in_force.delay = (ms > 0 || jitter_ms > 0 || loss > 0.0).then_some(told);
        let some = self.in_force.delay.is_some();
        let (by, jitter) = (Duration::from_millis(ms), Duration::from_millis(jitter_ms));
        network.change(|faults| {
            faults.delay = some.then_some(Delay { by, jitter, loss, nodes });
        });
        Ok(())
    }

    /// Ends all faults; those that were killed start again, each with its own key.
    async fn heal(&mut self, network: &Network) -> Result<(), Fault> {
        network.change(|faults| (faults.cut, faults.delay) = (None, None));
        (self.in_force.partition, self.in_force.delay) = (None, None);
        // Addresses and data folders have to be free.
        while self.ending.join_next().await.is_some() {}
        while let Some(i) = self.in_force.killed.first().copied() {
            network.change(|faults| faults.dead.remove(&i));
            let running: Vec<SocketAddr> =
                self.nodes.running().iter().map(|(_, node)| node.local_addr()).collect();
            let mut seeds = Vec::with_capacity(SEEDS);
            self.rng.sample(&running, SEEDS, &mut seeds);
            let again = self.plan.start_again(i, self.known[i].1, seeds, self.rng.next_u64());
            let node: Mesh = again.await.map_err(|failure| {
                network.change(|faults| faults.dead.insert(i));
                not_back(i, &failure)
            })?;
            self.nodes.replace(i, Some(node));
            self.in_force.killed.remove(0);
        }
        Ok(())
    }

    /// The nodes that are meant; drawn ones come from `running`.
    fn chosen(&mut self, whom: &Whom, running: &[usize]) -> Result<BTreeSet<usize>, Fault> {
        let count = match whom {
            Whom::Nodes(names) => return self.named(names),
            Whom::Count(count) => *count,
            Whom::Share(share) if (0.0..=1.0).contains(share) => {
                ((share * running.len() as f64).round() as usize).max(1)
            }
            Whom::Share(_) => return Err(usage("a share is from 0 to 1")),
        };
        if count == 0 || count >= running.len() {
            let most = running.len().saturating_sub(1);
            return Err(usage(&format!("{count} nodes cannot be drawn: from 1 to {most} can")));
        }
        let mut drawn = Vec::with_capacity(count);
        self.rng.sample(running, count, &mut drawn);
        Ok(drawn.into_iter().collect())
    }

    fn named(&self, names: &[String]) -> Result<BTreeSet<usize>, Fault> {
        if names.is_empty() {
            return Err(usage("name at least one node"));
        }
        names.iter().map(|name| self.number_of(name)).collect()
    }

    fn number_of(&self, name: &str) -> Result<usize, Fault> {
        if let Some(i) = name.parse().ok().filter(|i| *i < self.known.len()) {
            return Ok(i);
        }
        let begins = |id: &NodeId| name.len() >= LEAST_PREFIX && id.to_string().starts_with(name);
        let found = self.known.iter().enumerate().filter(|(_, (id, _))| begins(id));
        match found.map(|(i, _)| i).collect::<Vec<_>>()[..] {
            [i] => Ok(i),
            [] => {
                let message = format!("there is no node {name:?}");
                let most = self.known.len() - 1;
                let help = format!(
                    "name it by its number, 0 to {most}, or by {LEAST_PREFIX} or more characters \
                     of its id"
                );
                Err(Fault::new("not_found", exit::NOT_FOUND, &message, &help))
            }
            _ => {
                let message = format!("several nodes begin with {name}");
                let help = "write more of the id, or its number";
                Err(Fault::new("ambiguous", exit::WRONG_USAGE, &message, help))
            }
        }
    }
}

fn usage(message: &str) -> Fault {
    let help = "`knhk-mesh chaos --help` says what can be ordered";
    Fault::new("usage", exit::WRONG_USAGE, message, help)
}

fn not_back(i: usize, failure: &Failure) -> Fault {
    let message = format!("node {i} does not start again: {failure}");
    Fault::new("start", exit::FAILED, &message, "see the message, and `knhk-mesh chaos heal` again")
}
