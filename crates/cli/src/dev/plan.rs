//! What a run of `dev` starts: the flags alone, or a file with the flags laid over it.
//!
//! ```text
//!   flags ───────────────┐
//!   -c FILE, flags ─ load ┴─> Plan ─> options of node 0, 1, 2 ...
//! ```

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use knhk_mesh::config::Config;
use knhk_mesh::config_file::{Effective, FlagValue};
use knhk_mesh::transport::memory::MemoryHub;
use knhk_mesh::{Identity, JoinError, Mesh, Options, Profile, TransportKind};

use crate::args::{Detection, Dev, Wire};
use crate::config::{self, NodeFlags};
use crate::exit;
use crate::failure::Failure;
use crate::run::start;

const DEFAULT_AGENTS: u64 = 10;
const MOST_AGENTS: u64 = 10_000;
/// More nodes than this use little memory for each connection.
const LEAN_ABOVE: usize = 64;

pub(crate) struct Plan {
    pub(crate) agents: usize,
    pub(crate) wire: Wire,
    pub(crate) fanout: usize,
    pub(crate) interval: Duration,
    detect: Option<Detection>,
    data_dir: Option<PathBuf>,
    file: Option<Effective>,
    hub: MemoryHub,
    /// Addresses of the file that no node has tried yet.
    addresses: Mutex<Box<dyn Iterator<Item = SocketAddr> + Send>>,
}

impl Plan {
    pub(crate) fn new(args: &Dev) -> Result<Plan, Failure> {
        let file = args.config.as_ref().map(|path| from_file(args, path)).transpose()?;
        let config = file.as_ref().map(Effective::core_config).unwrap_or_default();
        let of_file = file.as_ref().and_then(|file| file.agent_count).map(|count| count.min);
        let agents = args.agents.map(u64::from).or(of_file).unwrap_or(DEFAULT_AGENTS);
        let agents = agents.clamp(1, MOST_AGENTS);
        if let Some(most) = file.as_ref().map(|file| file.mesh.max_authors).filter(|m| *m < agents)
        {
            let message = format!("{agents} nodes write, and mesh.max_authors is {most}");
            return Err(Failure::new("bad_configuration", &message, "raise it, or --agents fewer")
                .ending_with(exit::BAD_CONFIGURATION));
        }
        let wire = args.transport.unwrap_or(match &file {
            Some(file) if !file.network.quic => Wire::Tcp,
            _ => Wire::Quic,
        });
        let addresses: Box<dyn Iterator<Item = SocketAddr> + Send> = match &file {
            Some(file) if wire != Wire::Memory => Box::new(file.bind_candidates()),
            _ => Box::new(std::iter::empty()),
        };
        Ok(Plan {
            agents: usize::try_from(agents).unwrap_or(usize::MAX),
            wire,
            fanout: args.fanout.filter(|_| file.is_none()).map_or(config.fanout, usize::from),
            interval: args
                .interval_ms
                .filter(|_| file.is_none())
                .map_or(config.interval, Duration::from_millis),
            detect: args.detect,
            data_dir: args.data_dir.clone(),
            file,
            hub: MemoryHub::new(),
            addresses: Mutex::new(addresses),
        })
    }

    /// Starts node `i`: at the next address of the file that is free, else at a free port.
    pub(crate) async fn start(
        &self,
        i: usize,
        seeds: Vec<SocketAddr>,
        random: u64,
    ) -> Result<Mesh, Failure> {
        loop {
            let address = self.addresses.lock().unwrap_or_else(PoisonError::into_inner).next();
            let options = self.options(i, seeds.clone(), random)?;
            let bind = address.unwrap_or(Options::default().bind);
            match Mesh::join(Options { bind, ..options }).await {
                Ok(mesh) => return Ok(mesh),
                Err(error) if address.is_some() && start::is_taken(&error) => {}
                Err(error) => return Err(not_started(&error)),
            }
        }
    }

    fn options(&self, i: usize, seeds: Vec<SocketAddr>, random: u64) -> Result<Options, Failure> {
        let base = match &self.file {
            Some(file) => of_file(file, i)?,
            None => self.of_flags(),
        };
        Ok(Options {
            transport: match self.wire {
                Wire::Quic => TransportKind::Quic,
                Wire::Tcp => TransportKind::Tcp,
                Wire::Memory => TransportKind::Memory(self.hub.clone()),
            },
            seeds,
            data_dir: self.data_dir.as_ref().map(|dir| dir.join(format!("node-{i:03}"))),
            profile: if self.agents > LEAN_ABOVE { Profile::Lean } else { Profile::Normal },
            random_seed: Some(random),
            ..base
        })
    }

    fn of_flags(&self) -> Options {
        let mut config =
            Config { fanout: self.fanout, interval: self.interval, ..Config::default() };
        config.detect = self.detect.map_or(config.detect, Detection::of_core);
        // Every node is an author: beyond the default limit some would never be let in.
        let limits = &mut config.genesis.limits;
        limits.max_authors = limits.max_authors.max(u32::try_from(self.agents).unwrap_or(u32::MAX));
        Options { config, ..Options::default() }
    }
}

fn from_file(args: &Dev, path: &std::path::Path) -> Result<Effective, Failure> {
    let fanout = args.fanout.map(|k| FlagValue::new("gossip.fanout", "--fanout", k.to_string()));
    let interval = args
        .interval_ms
        .map(|ms| FlagValue::new("gossip.interval_ms", "--interval-ms", ms.to_string()));
    let wire = args.transport.and_then(|wire| match wire {
        Wire::Quic => Some("QUIC"),
        Wire::Tcp => Some("TCP"),
        Wire::Memory => None,
    });
    let wire = wire.map(|wire| FlagValue::new("network.transport", "--transport", wire));
    let detect = args.detect.map(Detection::name);
    let detect = detect.map(|word| FlagValue::new("partition.detect", "--detect", word));
    let flags = [fanout, interval, wire, detect].into_iter().flatten();
    let effective = config::load_with(Some(path), &NodeFlags::default(), flags)?;
    effective.check_runnable().map_err(|why| start::not_runnable(&why))?;
    Ok(effective)
}

/// What the file says about every node; who it is and where is said by the swarm.
fn of_file(file: &Effective, i: usize) -> Result<Options, Failure> {
    let mut options = start::options(file)?;
    options.identity = Identity::Auto;
    options.config.addresses.clear();
    // The nodes of a region stand in its zones in turn.
    let zones = file.regions.first().map(|region| region.zones.as_slice()).unwrap_or_default();
    if let Some(zone) = zones.get(i % zones.len().max(1)).filter(|_| file.node.zone.is_none()) {
        options.config.zone.clone_from(zone);
    }
    Ok(options)
}

fn not_started(error: &JoinError) -> Failure {
    let help = match error {
        JoinError::Config(_) => "`knhk-mesh dev --help` says which option sets it",
        JoinError::Key(_) | JoinError::Store(_) => "check --data-dir, or choose another folder",
        _ => "use fewer nodes, or free what they need",
    };
    Failure::new("start", error, help)
}
