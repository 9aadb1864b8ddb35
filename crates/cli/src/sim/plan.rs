//! From flags to what is run.

use std::path::Path;
use std::time::Duration;

use knhk_mesh::config::Lanes;
use knhk_mesh_sim::adversary::Kind;
use knhk_mesh_sim::latency::Latency;
use knhk_mesh_sim::spread::Spread;

use super::args::{LanesArg, Run};
use super::topology::Topology;
use super::{cannot, files};
use crate::failure::Failure;

/// The run that `args` describe: flags win over the topology file, which wins over the defaults.
pub(super) fn spread(args: &Run) -> Result<Spread, Failure> {
    let file = args.topology.as_deref().map(Topology::read).transpose();
    // Nothing was run: as with wrong usage.
    let file = file.map_err(|failure| failure.ending_with(2))?.unwrap_or_default();
    let usual = Spread::default();
    let silent = (args.silent > 0.0).then_some((Kind::Silent, args.silent));
    let interval_ms = args.interval_ms.or(file.interval_ms);
    Ok(Spread {
        agents: args.agents.or(file.agents).unwrap_or(usual.agents),
        lanes: lanes(args.lanes),
        fanout: args.fanout.map(usize::from).or(file.fanout).unwrap_or(usual.fanout),
        interval: interval_ms.map_or(usual.interval, Duration::from_millis),
        seed: args.seed.unwrap_or(usual.seed),
        threads: args.threads.into(),
        queue: args.queue.into(),
        loss: args.loss,
        adversaries: silent.into_iter().chain(args.adversary.iter().copied()).collect(),
        latency: latency(&args.latency)?,
        wire: args.wire,
        updates: args.updates,
        ..usual
    })
}

pub(super) fn lanes(lanes: LanesArg) -> Lanes {
    match lanes {
        LanesArg::All => Lanes::All,
        LanesArg::Repair => Lanes::Repair,
    }
}

/// A built-in latency, else a file.
pub(super) fn latency(name: &str) -> Result<Latency, Failure> {
    let unknown = match name.parse() {
        Ok(latency) => return Ok(latency),
        Err(unknown) => unknown,
    };
    let help = "docs/SIMULATION.md describes latencies and their files";
    if !Path::new(name).exists() {
        return Err(cannot("latency", &unknown, help));
    }
    let text = files::read(Path::new(name))?;
    Latency::from_toml(name, &text).map_err(|e| cannot("latency", &format!("{name}: {e}"), help))
}
