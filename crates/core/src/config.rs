//! What one node is told before it starts. The shell fills it from files and flags; the simulator
//! from a scenario. Everything that decides acceptance stands in the [`Genesis`], not here.

use core::ops::Deref;
use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::identity::{Genesis, MeshId, NodeId};

/// Settings of a node. All have defaults that need no thought.
#[derive(Clone, Debug)]
pub struct Config {
    /// The mesh's common ground.
    pub genesis: Genesis,
    /// Peers per round, 1-100 (default 3).
    pub fanout: usize,
    /// Round length, 10-60,000 ms (default 100 ms).
    pub interval: Duration,
    /// Share of the heard links that must agree before this node says "converged", 0-1.
    pub convergence_threshold: f64,
    /// Which lanes carry updates.
    pub lanes: Lanes,
    /// Who may be a member.
    pub admission: Admission,
    /// Links that this node dials itself; never fewer than `fanout` (default 12).
    pub chosen_links: usize,
    /// Most links, those it accepted included (default 64).
    pub max_links: usize,
    /// Records of one signed frame, 1-256 (default 128).
    pub batch_size: usize,
    /// Reputation below which a peer is not chosen for push, 0-1 (default 0.5).
    pub byzantine_threshold: f32,
    /// Messages a second that one peer may have worked on, for each kind of work: pushes, repair
    /// and control; 1-1,000,000 (default 1,000).
    pub rate_limit_per_peer: u32,
    /// Members expected, for the quorum until the directory is known; 0 = unknown.
    pub expected_members: usize,
    /// What this node still does while it is cut off from its quorum (default: everything).
    pub mode: Mode,
    /// What noticing a partition may cost (default: nothing).
    pub detect: Detect,
    /// Region of this node.
    pub region: String,
    /// Zone of this node inside its region.
    pub zone: String,
    /// Where others dial this node.
    pub addresses: Vec<SocketAddr>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            genesis: Genesis::default(),
            fanout: 3,
            interval: Duration::from_millis(100),
            convergence_threshold: 0.99,
            lanes: Lanes::All,
            admission: Admission::Open,
            chosen_links: 12,
            max_links: 64,
            batch_size: 128,
            byzantine_threshold: 0.5,
            rate_limit_per_peer: 1_000,
            expected_members: 0,
            mode: Mode::Available,
            detect: Detect::Off,
            region: "local".into(),
            zone: String::new(),
            addresses: Vec::new(),
        }
    }
}

/// A setting outside its range. Nothing was started.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{key} is {value}; allowed is {allowed}")]
pub struct OutOfRange {
    /// The setting.
    pub key: &'static str,
    /// What it was set to.
    pub value: String,
    /// What it may be.
    pub allowed: &'static str,
}

impl Config {
    /// Checks every range.
    ///
    /// # Errors
    /// The first setting outside its range.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let limits = &self.genesis.limits;
        let ms = self.interval.as_millis() as usize;
        check("gossip.fanout", self.fanout, 1, 100, "1-100")?;
        check("gossip.interval_ms", ms, 10, 60_000, "10-60000")?;
        check("network.batch_size", self.batch_size, 1, 256, "1-256")?;
        check("links.max", self.max_links, 1, 4_096, "1-4096")?;
        check("mesh.max_slots", limits.max_slots.into(), 17, 65_000, "17-65000")?;
        check("mesh.max_payload", limits.max_payload.into(), 64, 16_384, "64-16384")?;
        check("mesh.max_authors", limits.max_authors as usize, 1, 1 << 20, "1-1048576")?;
        check("mesh.name (bytes)", self.genesis.name.len(), 1, 64, "1-64")?;
        check("node.region (bytes)", self.region.len(), 0, 64, "0-64")?;
        check("node.zone (bytes)", self.zone.len(), 0, 64, "0-64")?;
        check("node.advertise (addresses)", self.addresses.len(), 0, 4, "0-4")?;
        let rate = self.rate_limit_per_peer as usize;
        check("security.rate_limit_per_peer", rate, 1, 1_000_000, "1-1000000")?;
        check_share("gossip.convergence_threshold", self.convergence_threshold)?;
        check_share("security.byzantine_threshold", f64::from(self.byzantine_threshold))
    }

    /// Most links: witnesses need room beside the chosen ones, on both sides.
    #[must_use]
    pub fn most_links(&self) -> usize {
        let witnessing = match self.detect {
            Detect::Off => 0,
            Detect::BySize | Detect::Thrifty => 96,
            Detect::Fast => 384,
        };
        self.max_links.max(witnessing)
    }

    /// Links that this node keeps dialled: `max(chosen_links, fanout)`, within `max_links`.
    #[must_use]
    pub fn wanted_links(&self) -> usize {
        self.chosen_links.max(self.fanout).min(self.max_links)
    }
}

/// A checked [`Config`] with what follows from it. Shared by everything in one node.
#[derive(Clone, Debug)]
pub struct Settings {
    config: Config,
    /// The id of the mesh.
    pub mesh: MeshId,
}

impl Settings {
    /// Checks `config`.
    ///
    /// # Errors
    /// The first setting outside its range.
    pub fn new(config: Config) -> Result<Arc<Self>, OutOfRange> {
        config.check()?;
        let mesh = config.genesis.mesh_id();
        Ok(Arc::new(Settings { config, mesh }))
    }
}

impl Deref for Settings {
    type Target = Config;
    fn deref(&self) -> &Config {
        &self.config
    }
}

fn check(
    key: &'static str,
    value: usize,
    min: usize,
    max: usize,
    allowed: &'static str,
) -> Result<(), OutOfRange> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(OutOfRange { key, value: value.to_string(), allowed })
}

fn check_share(key: &'static str, value: f64) -> Result<(), OutOfRange> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(OutOfRange { key, value: value.to_string(), allowed: "0-1" })
}

/// Which lanes carry updates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lanes {
    /// The eager tree first, digest-first push-pull as the guarantee.
    All,
    /// Push-pull only: to measure the guarantee alone.
    Repair,
}

/// What a node still does while it is cut off from its quorum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Everything: the partition is only told.
    Available,
    /// Reads; writes are refused until it has recovered.
    ReadOnly,
    /// Reads, and writes of its own slots, which merge when the partition heals; what needs the
    /// consent of a quorum is refused.
    QuorumOnly,
}

impl Mode {
    /// As configuration files and status write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Available => "available",
            Mode::ReadOnly => "read_only",
            Mode::QuorumOnly => "quorum_only",
        }
    }
}

/// What noticing a partition may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detect {
    /// Nothing: partitions are not noticed.
    Off,
    /// `Fast` in meshes of up to 64 members, `Thrifty` in larger ones.
    BySize,
    /// Up to four heartbeats a second to each of up to 128 witnesses: less than a second.
    Fast,
    /// About five heartbeats a second in all: no promise of a time.
    Thrifty,
}

/// Who may be a member and an author.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Admission {
    /// Every key. The shell allows it on loopback only.
    Open,
    /// These keys, sorted.
    Allowlist(Vec<NodeId>),
    /// Keys that proved to the shell that they are admitted, when they linked.
    Proven,
}

impl Admission {
    /// An allowlist in the order that lookups need.
    #[must_use]
    pub fn allowlist(mut nodes: Vec<NodeId>) -> Self {
        nodes.sort_unstable();
        nodes.dedup();
        Admission::Allowlist(nodes)
    }

    /// Whether `node` is admitted.
    #[must_use]
    pub fn admits(&self, node: &NodeId) -> bool {
        match self {
            Admission::Open | Admission::Proven => true,
            Admission::Allowlist(nodes) => nodes.binary_search(node).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed_and_each_range_is_held() {
        let good = Config::default();
        assert_eq!(good.check(), Ok(()));
        let bad = [
            Config { fanout: 0, ..good.clone() },
            Config { fanout: 101, ..good.clone() },
            Config { interval: Duration::from_millis(9), ..good.clone() },
            Config { batch_size: 257, ..good.clone() },
            Config { convergence_threshold: 1.5, ..good.clone() },
            Config { byzantine_threshold: f32::NAN, ..good.clone() },
            Config { region: "r".repeat(65), ..good.clone() },
        ];
        assert!(bad.iter().all(|config| config.check().is_err()));
        let text = Config { fanout: 0, ..good }.check().map_err(|e| e.to_string());
        assert_eq!(text, Err("gossip.fanout is 0; allowed is 1-100".into()));
    }

    #[test]
    fn an_allowlist_admits_its_members_only() {
        let list = Admission::allowlist(vec![NodeId([3; 32]), NodeId([1; 32]), NodeId([3; 32])]);
        assert!(list.admits(&NodeId([1; 32])) && list.admits(&NodeId([3; 32])));
        assert!(!list.admits(&NodeId([2; 32])));
        assert!(Admission::Open.admits(&NodeId([2; 32])));
        assert!(Admission::Proven.admits(&NodeId([2; 32])));
    }
}
