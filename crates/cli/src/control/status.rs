//! How a node is, as `status` says it.

use std::collections::BTreeMap;

use knhk_mesh::core::error::Refused;
use knhk_mesh::node::Phase;
use knhk_mesh::storage::Health;
use knhk_mesh::{Mesh, SeedStatus};
use serde::Serialize;

use super::answers::node_stopped;
use super::protocol::Fault;

#[derive(Debug, Serialize)]
pub(super) struct Status {
    node: String,
    incarnation: u64,
    mesh: String,
    state: &'static str,
    members: usize,
    links: usize,
    converged: bool,
    lag_ms: u64,
    root: String,
    records: usize,
    clock_skew_ms: Option<i64>,
    partition: &'static str,
    partition_mode: &'static str,
    reachable: Option<u32>,
    required: Option<u32>,
    recovery_ms: Option<u64>,
    storage: &'static str,
    storage_error: Option<String>,
    seeds: Vec<Seed>,
    refused: Refusals,
}

#[derive(Debug, Serialize)]
struct Seed {
    address: String,
    failure: Option<String>,
}

impl From<SeedStatus> for Seed {
    fn from(seed: SeedStatus) -> Self {
        let failure = seed.failure.map(|why| why.to_string());
        Seed { address: seed.addr.to_string(), failure }
    }
}

/// What was refused since the start, by reason; reasons that were never met are left out.
#[derive(Debug, Serialize)]
struct Refusals {
    links: BTreeMap<&'static str, u64>,
    messages: BTreeMap<&'static str, u64>,
}

pub(super) async fn status(node: &Mesh) -> Result<Status, Fault> {
    let status = node.status().await.map_err(|_| node_stopped())?;
    let state = match status.node.phase {
        Phase::Recovering => "recovering",
        Phase::Starting => "starting",
        Phase::Ready => "ready",
        Phase::Convicted => "convicted",
        Phase::Denied => "denied",
        Phase::KeyInUse => "key_in_use",
        Phase::Left => "left",
    };
    let (storage, storage_error) = match status.storage {
        Health::Memory => ("memory", None),
        Health::Good => ("ok", None),
        Health::Failed(why) => ("failed", Some(why.0)),
    };
    Ok(Status {
        node: status.node.node.to_string(),
        incarnation: status.node.incarnation.0,
        mesh: status.node.mesh.to_string(),
        state,
        members: status.node.members,
        links: status.node.links,
        converged: status.node.converged,
        lag_ms: u64::try_from(status.node.lag.as_millis()).unwrap_or(u64::MAX),
        root: data_encoding::HEXLOWER.encode(&status.node.root.0),
        records: status.node.records,
        clock_skew_ms: status.clock_skew_ms,
        partition: status.node.partition.name(),
        partition_mode: status.node.mode.name(),
        reachable: status.node.reachable.map(|(reachable, _)| reachable),
        required: status.node.reachable.map(|(_, required)| required),
        recovery_ms: status.node.recovery.map(|span| span.as_millis() as u64),
        storage,
        storage_error,
        seeds: status.seeds.into_iter().map(Seed::from).collect(),
        refused: Refusals {
            links: met(status.refused_links.into_iter()),
            messages: met(Refused::ALL
                .into_iter()
                .map(|reason| (reason.name(), status.node.counters.refused_for(reason).into()))),
        },
    })
}

fn met(all: impl Iterator<Item = (&'static str, u64)>) -> BTreeMap<&'static str, u64> {
    all.filter(|(_, count)| *count > 0).collect()
}
