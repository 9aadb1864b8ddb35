//! What a run of `dev` starts: the flags alone, or a file with the flags laid over it.
//!
//! ```text
//!   flags ───────────────┐
//!   -c FILE, flags ─ load ┴─> Plan ─> options of node 0, 1, 2 ... and again, after a kill
//! ```

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use knhk_mesh::config::{Config, Detect};
use knhk_mesh::config_file::{Effective, FlagValue};
use knhk_mesh::identity::Keypair;
use knhk_mesh::key_file;
use knhk_mesh::transport::memory::MemoryHub;
use knhk_mesh::{Identity, JoinError, Mesh, Options, Profile, TransportKind};

use super::chaos::Network;
use crate::args::{Detection, Dev, Wire};
use crate::config::{self, NodeFlags};
use crate::exit;
use crate::failure::Failure;
use crate::run::start;

const DEFAULT_AGENTS: u64 = 10;
const MOST_AGENTS: u64 = 10_000;
/// More nodes than this use little memory for each connection.
const LEAN_ABOVE: usize = 64;
/// More nodes than this notice partitions only if they are told to: it costs them heartbeats.
const DETECT_UP_TO: usize = 64;

pub(crate) struct Plan {
    pub(crate) agents: usize,
    pub(crate) wire: Wire,
    pub(crate) fanout: usize,
    pub(crate) interval: Duration,
    detect: Detect,
    data_dir: Option<PathBuf>,
    file: Option<Effective>,
    hub: MemoryHub,
    /// Carries the faults of a swarm over QUIC that stays up. One that measures has none under it.
    pub(crate) network: Option<Network>,
    /// The keys of nodes without a data folder, for when they start again.
    keys: Vec<OnceLock<Keypair>>,
    /// Addresses of the file that no node has tried yet.
    addresses: Mutex<Box<dyn Iterator<Item = SocketAddr> + Send>>,
}

impl Plan {
    /// `seed` decides what is drawn at random.
    pub(crate) fn new(args: &Dev, seed: u64) -> Result<Plan, Failure> {
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
        let agents = usize::try_from(agents).unwrap_or(usize::MAX);
        let stays = args.measured_updates().is_none();
        let detect = match (args.detect, &file) {
            (Some(detect), _) => detect.of_core(),
            (None, Some(file)) => file.core_config().detect,
            (None, None) if stays && agents <= DETECT_UP_TO => Detect::Fast,
            (None, None) => config.detect,
        };
        Ok(Plan {
            agents,
            wire,
            fanout: args.fanout.filter(|_| file.is_none()).map_or(config.fanout, usize::from),
            interval: args
                .interval_ms
                .filter(|_| file.is_none())
                .map_or(config.interval, Duration::from_millis),
            detect,
            data_dir: args.data_dir.clone(),
            file,
            hub: MemoryHub::new(),
            network: (stays && wire == Wire::Quic).then(|| Network::new(seed)),
            keys: (0..agents).map(|_| OnceLock::new()).collect(),
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

    /// Starts node `i` once more, as who it was: where it listened if that is free, else at a free
    /// port beside it.
    pub(crate) async fn start_again(
        &self,
        i: usize,
        address: SocketAddr,
        seeds: Vec<SocketAddr>,
        random: u64,
    ) -> Result<Mesh, Failure> {
        for bind in [address, SocketAddr::new(address.ip(), 0)] {
            let options = self.options(i, seeds.clone(), random)?;
            let identity = self.identity(i, true)?;
            match Mesh::join(Options { bind, identity, ..options }).await {
                Ok(mesh) => return Ok(mesh),
                Err(error) if bind.port() != 0 && start::is_taken(&error) => {}
                Err(error) => return Err(not_started(&error)),
            }
        }
        Err(Failure::new("start", &"no port is free", "free some, and try again"))
    }

    /// Whether nodes notice that they are cut off.
    pub(crate) fn detects(&self) -> bool {
        self.detect != Detect::Off
    }

    /// The key of a data folder; without one, a new key at the first start and the same one later.
    fn identity(&self, i: usize, again: bool) -> Result<Identity, Failure> {
        let Some(kept) = self.keys.get(i).filter(|_| self.data_dir.is_none()) else {
            return Ok(Identity::Auto);
        };
        if kept.get().is_none() {
            // Whoever was faster drew as well.
            let _ = kept.set(key_file::fresh().map_err(|error| not_started(&error.into()))?);
        }
        let Some(key) = kept.get() else { return Ok(Identity::Auto) };
        let copy = Keypair::from_secret(&key.secret());
        Ok(if again { Identity::Existing(copy) } else { Identity::New(copy) })
    }

    fn options(&self, i: usize, seeds: Vec<SocketAddr>, random: u64) -> Result<Options, Failure> {
        let identity = self.identity(i, false)?;
        let profile = if self.agents > LEAN_ABOVE { Profile::Lean } else { Profile::Normal };
        let base = match &self.file {
            Some(file) => of_file(file, i)?,
            None => self.of_flags(),
        };
        Ok(Options {
            transport: match self.wire {
                Wire::Quic => match &self.network {
                    Some(network) => TransportKind::QuicOver(network.under(i, profile)),
                    None => TransportKind::Quic,
                },
                Wire::Tcp => TransportKind::Tcp,
                Wire::Memory => TransportKind::Memory(self.hub.clone()),
            },
            seeds,
            data_dir: self.data_dir.as_ref().map(|dir| dir.join(format!("node-{i:03}"))),
            identity,
            profile,
            random_seed: Some(random),
            ..base
        })
    }

    fn of_flags(&self) -> Options {
        let mut config =
            Config { fanout: self.fanout, interval: self.interval, ..Config::default() };
        config.detect = self.detect;
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
