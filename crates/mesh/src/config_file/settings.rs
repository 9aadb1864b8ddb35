//! The configuration as what the node is started with. This is where a key takes effect.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use knhk_mesh_core::config::{Admission, Config, Detect, Mode};
use knhk_mesh_core::identity::{Committee, Genesis, Limits, NodeId, NotACommittee};

use super::effective::Effective;
use super::topology::Topology;
use super::value::NumberRange;
use crate::admission::Credentials;
use crate::key_file::{self, KEY_FILE, KeyFileError};
use crate::options::{Identity, Options, TransportKind};

/// Name of the certificate in a data folder.
const CERTIFICATE_FILE: &str = "node.crt";
const DEFAULT_PORT: u16 = 9_000;
const LEAST_CHOSEN_LINKS: usize = 12;
const LEAST_MAX_LINKS: usize = 64;
const MOST_LINKS: usize = 4_096;

/// The committee of these ids, each of which is one by itself.
pub(super) fn committee(ids: &[String]) -> Result<Committee, NotACommittee> {
    Committee::new(ids.iter().filter_map(|id| id.parse().ok()).collect())
}

/// Why a configuration that is right cannot be run. Nothing was started.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotRunnable {
    /// The topology needs what is not built yet.
    #[error("the topology {topology} waits for {capability}")]
    Topology {
        /// The topology.
        topology: Topology,
        /// What it needs.
        capability: &'static str,
    },
    /// Admission demands what this node does not have.
    #[error("admission by {admission} needs {what} of this node, and nobody says where it is")]
    NoCredentials {
        /// `token` or `ca`.
        admission: &'static str,
        /// What is missing.
        what: &'static str,
    },
    /// Others dial the accelerator's address, and nobody said which it is.
    #[error("network.global_accelerator is true, and no address is advertised")]
    NoAdvertisedAddress,
}

impl NotRunnable {
    /// What helps.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            NotRunnable::Topology { .. } => {
                "run one cell with `topology: single_region_mesh`; `config check` accepts this file"
            }
            NotRunnable::NoCredentials { admission: "ca", .. } => {
                "give --data-dir (then it is node.crt there) or write `certificate:` below \
                 `node:`; `knhk-mesh cert issue` makes one"
            }
            NotRunnable::NoCredentials { .. } => {
                "put the token into KNHK_MESH_TOKEN, or write `token_file:` below `node:`; \
                 `knhk-mesh ticket` makes one"
            }
            NotRunnable::NoAdvertisedAddress => {
                "give the accelerator's address with --advertise ip:port"
            }
        }
    }
}

impl Effective {
    /// Whether a node can run with this today.
    ///
    /// # Errors
    /// [`NotRunnable`] names what is missing.
    pub fn check_runnable(&self) -> Result<(), NotRunnable> {
        let topology = self.topology;
        if let Some(capability) = topology.waits_for() {
            return Err(NotRunnable::Topology { topology, capability });
        }
        if self.mesh.admission == "ca" && self.certificate().is_none() {
            let (admission, what) = ("ca", "the certificate");
            return Err(NotRunnable::NoCredentials { admission, what });
        }
        if self.network.global_accelerator && self.node.advertise.is_empty() {
            return Err(NotRunnable::NoAdvertisedAddress);
        }
        Ok(())
    }

    /// The protocol's settings.
    #[must_use]
    pub fn core_config(&self) -> Config {
        let chosen_links = self.chosen_links();
        Config {
            genesis: self.genesis(),
            fanout: size(self.gossip.own.fanout),
            interval: Duration::from_millis(self.gossip.own.interval_ms),
            convergence_threshold: self.gossip.convergence_threshold,
            admission: self.admission(),
            chosen_links,
            // Twice as many come in as go out at worst, and links are bounded anyway.
            max_links: (3 * chosen_links).clamp(LEAST_MAX_LINKS, MOST_LINKS),
            batch_size: size(self.network.batch_size),
            #[expect(clippy::cast_possible_truncation, reason = "a share keeps its meaning")]
            byzantine_threshold: self.security.byzantine_threshold as f32,
            rate_limit_per_peer: u32::try_from(self.security.rate_limit_per_peer)
                .unwrap_or(u32::MAX),
            mode: mode(&self.partition.mode),
            detect: detect(&self.partition.detect),
            region: self.node.region.clone().unwrap_or_default(),
            zone: self.node.zone.clone().unwrap_or_default(),
            addresses: addresses(&self.node.advertise),
            ..Config::default()
        }
    }

    /// How a node is started: everything that can be said without a name server. Seeds that are
    /// names are missing here; see [`Effective::seed_names`]. `bind` is the first of
    /// [`Effective::bind_candidates`].
    ///
    /// # Errors
    /// [`KeyFileError`] if `node.identity` names a file that holds no usable key.
    pub fn options(&self) -> Result<Options, KeyFileError> {
        let identity = match &self.node.identity {
            Some(path) => {
                key_file::load(path)?;
                Identity::File(path.clone())
            }
            None => Identity::Auto,
        };
        let defaults = Options::default();
        Ok(Options {
            config: self.core_config(),
            transport: if self.network.quic { TransportKind::Quic } else { TransportKind::Tcp },
            bind: self.bind_candidates().next().unwrap_or(defaults.bind),
            seeds: self.bootstrap.seeds.iter().filter_map(|seed| literal(seed)).collect(),
            data_dir: self.node.data_dir.clone(),
            identity,
            credentials: self.credentials(),
            zero_rtt: self.network.zero_rtt,
            insecure: self.network.insecure,
            compression: self.network.compression,
            rotate_every: Duration::from_secs(self.network.rotation_hours * 3_600),
            aes_256_only: self.security.aes_256_only,
            ..defaults
        })
    }

    /// The file of this node's key; `None` if each start makes a fresh one.
    #[must_use]
    pub fn key_file(&self) -> Option<PathBuf> {
        let in_folder = self.node.data_dir.as_ref().map(|folder| folder.join(KEY_FILE));
        self.node.identity.clone().or(in_folder)
    }

    /// Where to listen, best first: `node.bind`, `network.port`, each port of
    /// `network.port_range`, else port 9000. All but the first way are on 127.0.0.1. Only a range
    /// gives more than one.
    pub fn bind_candidates(&self) -> impl Iterator<Item = SocketAddr> + use<> {
        let bind = self.node.bind.as_ref().and_then(|bind| bind.parse::<SocketAddr>().ok());
        let one = u64::from(self.network.port.unwrap_or(DEFAULT_PORT));
        let range = self.network.port_range.filter(|_| self.network.port.is_none());
        let ports = range.unwrap_or(NumberRange { min: one, max: one });
        let ports = if bind.is_some() { 0..=0 } else { ports.min..=ports.max };
        let local = |port: u64| {
            let port = u16::try_from(port).ok()?;
            Some(SocketAddr::from(([127, 0, 0, 1], port)))
        };
        bind.into_iter().chain(ports.filter(|port| *port > 0).filter_map(local))
    }

    /// The seeds that have to be resolved, `host:port` each, again and again: what a name means
    /// changes.
    #[must_use]
    pub fn seed_names(&self) -> Vec<&str> {
        let seeds = self.bootstrap.seeds.iter().map(String::as_str);
        seeds.filter(|seed| literal(seed).is_none()).collect()
    }

    fn genesis(&self) -> Genesis {
        let mesh = &self.mesh;
        Genesis {
            name: mesh.name.clone(),
            admission_key: mesh.admission_key.as_ref().and_then(|key| key.parse().ok()),
            committee: committee(&mesh.committee).ok(),
            limits: Limits {
                max_slots: u16::try_from(mesh.max_slots).unwrap_or(u16::MAX),
                max_payload: u16::try_from(mesh.max_payload).unwrap_or(u16::MAX),
                max_authors: u32::try_from(mesh.max_authors).unwrap_or(u32::MAX),
            },
            ..Genesis::default()
        }
    }

    /// Where this node's certificate is, with admission by authority.
    fn certificate(&self) -> Option<PathBuf> {
        let in_folder = self.node.data_dir.as_ref().map(|folder| folder.join(CERTIFICATE_FILE));
        self.node.certificate.clone().or(in_folder)
    }

    fn credentials(&self) -> Credentials {
        match self.mesh.admission.as_str() {
            "token" => Credentials::Token { token: None, file: self.node.token_file.clone() },
            "ca" => Credentials::Certificate {
                roots: self.mesh.ca_file.clone().unwrap_or_default(),
                certificate: self.certificate().unwrap_or_default(),
            },
            _ => Credentials::Key,
        }
    }

    fn admission(&self) -> Admission {
        match self.mesh.admission.as_str() {
            "open" => Admission::Open,
            "token" | "ca" => Admission::Proven,
            _ => {
                let nodes = self.mesh.allowlist.iter();
                let nodes = nodes.filter_map(|node| node.parse::<NodeId>().ok());
                Admission::allowlist(nodes.collect())
            }
        }
    }

    /// A random graph stays connected with about ln n links a node; log2 n leaves a margin.
    fn chosen_links(&self) -> usize {
        let log2 = self.agent_count.map_or(0, |count| count.max.ilog2() as usize + 1);
        LEAST_CHOSEN_LINKS.max(log2).max(size(self.gossip.own.fanout))
    }
}

fn mode(word: &str) -> Mode {
    [Mode::ReadOnly, Mode::QuorumOnly]
        .into_iter()
        .find(|mode| mode.name() == word)
        .unwrap_or(Mode::Available)
}

fn detect(word: &str) -> Detect {
    match word {
        "fast" => Detect::Fast,
        "thrifty" => Detect::Thrifty,
        _ => Detect::BySize,
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn addresses(texts: &[String]) -> Vec<SocketAddr> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// The address that a seed names without a name server.
fn literal(seed: &str) -> Option<SocketAddr> {
    if let Some(port) = seed.strip_prefix("localhost:") {
        return port.parse().ok().map(|port: u16| SocketAddr::from(([127, 0, 0, 1], port)));
    }
    seed.parse().ok()
}
