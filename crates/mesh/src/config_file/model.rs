//! The configuration as types: one struct for each section, every default filled in. What it
//! means, key by key, is in the table of [`super::keys`] and in docs/CONFIGURATION.md.

use std::path::PathBuf;

use super::topology::{Scope, Topology};
use super::value::{NumberRange, Value};
use super::values::Values;

/// One entry of `regions`.
#[derive(Clone, PartialEq, Debug)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// Label of the place.
    pub location: Option<String>,
    /// Its zones.
    pub zones: Vec<String>,
    /// Expected agents.
    pub agents: Option<NumberRange>,
    /// Voters: 1, 3 or 5; 0 in a topology without leaders.
    pub leader_count: u64,
}

/// Peers per round, and how long a round is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rounds {
    /// Peers per round.
    pub fanout: u64,
    /// Milliseconds.
    pub interval_ms: u64,
}

/// `gossip`.
#[derive(Clone, PartialEq, Debug)]
pub struct Gossip {
    /// Rounds of an ordinary node of this topology: inside its region or edge, if it has those.
    pub own: Rounds,
    /// Share of the heard links that must agree, 0-1.
    pub convergence_threshold: f64,
    /// Among leaders of different regions.
    pub inter_region: Option<Rounds>,
    /// The levels above an edge.
    pub levels: Option<LevelRounds>,
}

/// The rounds of the levels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LevelRounds {
    /// Aggregators that an edge reports to.
    pub edge_to_aggregator: u64,
    /// Coordinators that an aggregator reports to.
    pub aggregator_to_coordinator: u64,
    /// Round of aggregators in milliseconds.
    pub aggregator_ms: u64,
    /// Round of coordinators in milliseconds.
    pub global_ms: u64,
}

/// `network`.
#[derive(Clone, PartialEq, Debug)]
pub struct Network {
    /// QUIC with TLS, else TCP in clear.
    pub quic: bool,
    /// Port to listen on.
    pub port: Option<u16>,
    /// Ports of which the first free one is taken.
    pub port_range: Option<NumberRange>,
    /// Hours until the TLS key is renewed: the smaller of the two keys that say so.
    pub rotation_hours: u64,
    /// Others dial the advertised address only.
    pub global_accelerator: bool,
    /// Whether batches are compressed.
    pub compression: bool,
    /// Records of one frame; 1 without batching.
    pub batch_size: u64,
    /// Open admission and plaintext beyond loopback.
    pub insecure: bool,
    /// Known peers are greeted with the first packet.
    pub zero_rtt: bool,
}

/// `bootstrap`: `host:port` each.
#[derive(Clone, PartialEq, Debug)]
pub struct Bootstrap {
    /// First contacts of the own scope.
    pub seeds: Vec<String>,
    /// How many of a region's contacts to keep tried.
    pub seeds_per_region: Option<u64>,
    /// First contacts of other regions.
    pub global_seeds: Vec<String>,
    /// First contacts of the top level.
    pub global_coordinators: Vec<String>,
}

/// `leaders`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leaders {
    /// Milliseconds between heartbeats.
    pub heartbeat_ms: u64,
    /// Bound of a failover in milliseconds.
    pub failover_timeout_ms: u64,
}

/// `hierarchy`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hierarchy {
    /// Coordinators at the top.
    pub coordinators: u64,
    /// Regions.
    pub regions: u64,
    /// Aggregators of a region.
    pub aggregators_per_region: u64,
    /// Edges of an aggregator.
    pub edges_per_aggregator: u64,
    /// Agents of an edge.
    pub agents_per_edge: u64,
}

/// `security`, without what `network` holds.
#[derive(Clone, PartialEq, Debug)]
pub struct Security {
    /// Messages per second of each kind that one peer may have worked on.
    pub rate_limit_per_peer: u64,
    /// Reputation below which a peer is not chosen, 0-1.
    pub byzantine_threshold: f64,
    /// TLS offers AES-256-GCM only.
    pub aes_256_only: bool,
}

/// `observability`.
#[derive(Clone, PartialEq, Debug)]
pub struct Observability {
    /// Where telemetry goes.
    pub otel_endpoint: Option<String>,
    /// The same for each region.
    pub otel_endpoints: Vec<(String, String)>,
    /// Share of traces kept, 0-1.
    pub trace_sample_rate: f64,
    /// Seconds between exports.
    pub metrics_interval_sec: u64,
    /// Aggregators export for their agents.
    pub aggregation: bool,
    /// Boards to provision.
    pub dashboards: Vec<String>,
}

/// `mesh`: the genesis, and who is admitted.
#[derive(Clone, PartialEq, Debug)]
pub struct MeshSection {
    /// Name.
    pub name: String,
    /// `open`, `allowlist`, `token` or `ca`.
    pub admission: String,
    /// Node ids.
    pub allowlist: Vec<String>,
    /// The key that admits.
    pub admission_key: Option<String>,
    /// The keys of which 2f + 1 certify.
    pub committee: Vec<String>,
    /// Roots of an operator's authority.
    pub ca_file: Option<PathBuf>,
    /// Slots of an author.
    pub max_slots: u64,
    /// Bytes of a record.
    pub max_payload: u64,
    /// Authors of a scope.
    pub max_authors: u64,
}

/// `partition`.
#[derive(Clone, PartialEq, Debug)]
pub struct Partition {
    /// `available`, `read_only` or `quorum_only`.
    pub mode: String,
    /// `fast` or `thrifty`.
    pub detect: String,
}

/// `node`: what this process is.
#[derive(Clone, PartialEq, Debug)]
pub struct NodeSection {
    /// Region; `None` where there are several and none was chosen.
    pub region: Option<String>,
    /// Zone.
    pub zone: Option<String>,
    /// `edge`, `aggregator` or `coordinator`.
    pub level: Option<String>,
    /// Whom it reports to.
    pub parent: Option<String>,
    /// Where to listen, `ip:port`.
    pub bind: Option<String>,
    /// Where others dial, `ip:port` each.
    pub advertise: Vec<String>,
    /// File of the key.
    pub identity: Option<PathBuf>,
    /// Folder of key and records.
    pub data_dir: Option<PathBuf>,
    /// File of the certificate.
    pub certificate: Option<PathBuf>,
    /// File of the token.
    pub token_file: Option<PathBuf>,
}

fn number(values: &Values, path: &str) -> u64 {
    values.number(path).unwrap_or_default()
}

fn owned(values: &Values, path: &str) -> Option<String> {
    values.text(path).map(str::to_owned)
}

fn word(values: &Values, path: &str) -> String {
    owned(values, path).unwrap_or_default()
}

fn rounds(values: &Values, section: &str) -> Rounds {
    Rounds {
        fanout: number(values, &format!("{section}.fanout")),
        interval_ms: number(values, &format!("{section}.interval_ms")),
    }
}

impl Region {
    pub(super) fn all(values: &Values) -> Vec<Self> {
        let region = |i: usize| {
            let at = |field: &str| format!("regions[{i}].{field}");
            Region {
                name: word(values, &at("name")),
                location: owned(values, &at("location")),
                zones: values.list(&at("zones")).to_vec(),
                agents: values.range(&at("agents")),
                leader_count: number(values, &at("leader_count")),
            }
        };
        (0..values.regions).map(region).collect()
    }
}

impl Gossip {
    pub(super) fn of(values: &Values, topology: Topology) -> Self {
        let own = match topology {
            Topology::FlatMesh | Topology::SingleRegionMesh => rounds(values, "gossip"),
            Topology::MultiRegionLeaders => rounds(values, "gossip.intra_region"),
            Topology::Hierarchical => Rounds {
                fanout: number(values, "gossip.edge_to_edge"),
                interval_ms: number(values, "gossip.intervals.edge_ms"),
            },
        };
        let regions = topology.knows(Scope::Regions);
        let levels = || LevelRounds {
            edge_to_aggregator: number(values, "gossip.edge_to_aggregator"),
            aggregator_to_coordinator: number(values, "gossip.aggregator_to_coordinator"),
            aggregator_ms: number(values, "gossip.intervals.aggregator_ms"),
            global_ms: number(values, "gossip.intervals.global_ms"),
        };
        Gossip {
            own,
            convergence_threshold: values.share("gossip.convergence_threshold").unwrap_or(1.0),
            inter_region: regions.then(|| rounds(values, "gossip.inter_region")),
            levels: topology.knows(Scope::Levels).then(levels),
        }
    }
}

impl Network {
    pub(super) fn of(values: &Values) -> Self {
        let hours = values.number("network.cert_rotation_hours").unwrap_or(24);
        let other = values.number("security.key_rotation_hours").unwrap_or(hours);
        // A default of one key says nothing against what was written for the other.
        let given = values.is_given("network.cert_rotation_hours");
        let batching = values.flag("network.batching") != Some(false);
        Network {
            quic: values.text("network.transport") != Some("TCP"),
            port: values.number("network.port").and_then(|port| u16::try_from(port).ok()),
            port_range: values.range("network.port_range"),
            rotation_hours: if given { hours.min(other) } else { other },
            global_accelerator: values.flag("network.global_accelerator") == Some(true),
            compression: values.text("network.compression") != Some("none"),
            batch_size: if batching { number(values, "network.batch_size") } else { 1 },
            insecure: values.flag("network.insecure") == Some(true),
            zero_rtt: values.flag("network.zero_rtt") != Some(false),
        }
    }
}

impl Bootstrap {
    pub(super) fn of(values: &Values) -> Self {
        Bootstrap {
            seeds: values.list("bootstrap.seeds").to_vec(),
            seeds_per_region: values.number("bootstrap.seeds_per_region"),
            global_seeds: values.list("bootstrap.global_seeds").to_vec(),
            global_coordinators: values.list("bootstrap.global_coordinators").to_vec(),
        }
    }
}

impl Leaders {
    pub(super) fn of(values: &Values, topology: Topology) -> Option<Self> {
        topology.knows(Scope::Regions).then(|| Leaders {
            heartbeat_ms: number(values, "leaders.heartbeat_ms"),
            failover_timeout_ms: number(values, "leaders.failover_timeout_ms"),
        })
    }
}

impl Hierarchy {
    pub(super) fn of(values: &Values, topology: Topology) -> Option<Self> {
        let number = |path: &str| number(values, &format!("hierarchy.{path}"));
        topology.knows(Scope::Levels).then(|| Hierarchy {
            coordinators: number("level1_global.coordinators"),
            regions: number("level1_global.regions"),
            aggregators_per_region: number("level2_regional.aggregators_per_region"),
            edges_per_aggregator: number("level3_edge.edge_nodes_per_aggregator"),
            agents_per_edge: number("level3_edge.agents_per_edge"),
        })
    }
}

impl Security {
    pub(super) fn of(values: &Values) -> Self {
        Security {
            rate_limit_per_peer: number(values, "security.rate_limit_per_peer"),
            byzantine_threshold: values.share("security.byzantine_threshold").unwrap_or(0.5),
            aes_256_only: values.is_given("security.encryption"),
        }
    }
}

impl Observability {
    pub(super) fn of(values: &Values) -> Self {
        let endpoints = values.get("observability.otel_endpoints").map(|setting| &setting.value);
        Observability {
            otel_endpoint: owned(values, "observability.otel_endpoint"),
            otel_endpoints: match endpoints {
                Some(Value::Endpoints(endpoints)) => endpoints.clone(),
                _ => Vec::new(),
            },
            trace_sample_rate: values.share("observability.trace_sample_rate").unwrap_or(0.0),
            metrics_interval_sec: number(values, "observability.metrics_interval_sec"),
            aggregation: values.flag("observability.aggregation") == Some(true),
            dashboards: values.list("observability.dashboards").to_vec(),
        }
    }
}

impl MeshSection {
    pub(super) fn of(values: &Values) -> Self {
        MeshSection {
            name: word(values, "mesh.name"),
            admission: word(values, "mesh.admission"),
            allowlist: values.list("mesh.allowlist").to_vec(),
            admission_key: owned(values, "mesh.admission_key"),
            committee: values.list("mesh.committee").to_vec(),
            ca_file: owned(values, "mesh.ca_file").map(PathBuf::from),
            max_slots: number(values, "mesh.max_slots"),
            max_payload: number(values, "mesh.max_payload"),
            max_authors: number(values, "mesh.max_authors"),
        }
    }
}

impl Partition {
    pub(super) fn of(values: &Values) -> Self {
        Partition { mode: word(values, "partition.mode"), detect: word(values, "partition.detect") }
    }
}

impl NodeSection {
    pub(super) fn of(values: &Values) -> Self {
        NodeSection {
            region: owned(values, "node.region"),
            zone: owned(values, "node.zone"),
            level: owned(values, "node.level"),
            parent: owned(values, "node.parent"),
            bind: owned(values, "node.bind"),
            advertise: values.list("node.advertise").to_vec(),
            identity: owned(values, "node.identity").map(PathBuf::from),
            data_dir: owned(values, "node.data_dir").map(PathBuf::from),
            certificate: owned(values, "node.certificate").map(PathBuf::from),
            token_file: owned(values, "node.token_file").map(PathBuf::from),
        }
    }
}
