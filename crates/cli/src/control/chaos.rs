//! What is said about faults on the control socket of `dev`: orders, and what is in force then.

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::protocol::Fault;

/// Longest delay, and longest jitter.
pub(crate) const MAX_DELAY_MS: u64 = 10_000;

/// Which nodes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Whom {
    /// These: numbers, or beginnings of node ids.
    Nodes(Vec<String>),
    /// So many, drawn at random.
    Count(usize),
    /// This share of those that run, drawn at random, 0-1.
    Share(f64),
}

/// A fault to make, or the end of all.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Order {
    /// Changes nothing.
    Show,
    /// The nodes end without a word, as by kill -9.
    Kill { whom: Whom },
    /// Nothing passes between the nodes and all others; one way: nothing of theirs gets out.
    Partition {
        whom: Whom,
        #[serde(default)]
        one_way: bool,
    },
    /// What the nodes send and get is late, or lost; all nodes if none is named.
    Delay {
        ms: u64,
        #[serde(default)]
        jitter_ms: u64,
        #[serde(default)]
        loss: f64,
        #[serde(default)]
        nodes: Vec<String>,
    },
    /// No faults any more; who was killed starts again.
    Heal,
}

/// What is in force in a swarm.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct InForce {
    pub(crate) pid: u32,
    pub(crate) transport: String,
    /// All nodes, and those of them that run.
    pub(crate) agents: usize,
    pub(crate) running: usize,
    pub(crate) killed: Vec<usize>,
    pub(crate) partition: Option<Cut>,
    pub(crate) delay: Option<Delay>,
    /// Whether nodes notice that they are cut off.
    pub(crate) detects: bool,
}

/// Nodes that are cut off from all others.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Cut {
    pub(crate) nodes: Vec<usize>,
    /// They still hear the others.
    pub(crate) one_way: bool,
}

/// What happens to what is on its way.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Delay {
    pub(crate) ms: u64,
    /// Up to this much more, for each datagram on its own.
    pub(crate) jitter_ms: u64,
    /// Share that is lost, 0-1.
    pub(crate) loss: f64,
    /// Whose; null is everybody's.
    pub(crate) nodes: Option<Vec<usize>>,
}

/// An order, and where its answer goes.
pub(crate) struct Asked {
    pub(crate) order: Order,
    pub(crate) reply: oneshot::Sender<Result<InForce, Fault>>,
}

/// The way to whoever makes the faults.
pub(crate) type Door = mpsc::Sender<Asked>;
