//! The table of keys: one row each, and everything else follows from the rows. What a file may say,
//! the names of environment variables, defaults, ranges, the schema, what `config check` notes and
//! what a reload may change are read off here, so they cannot disagree.

use super::topology::{Scope, Topology};
use super::value::Kind;

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Where it stands: `gossip.fanout`; inside a list of sections `regions[].name`.
    pub path: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// Its value when nobody sets it, as it would stand in a file.
    pub default: Option<&'static str>,
    /// What it means, in one line.
    pub meaning: &'static str,
    /// What it waits for: then it is checked, kept and shown, and changes nothing yet.
    pub waits_for: Option<&'static str>,
    /// Whether a running node can take a new value without a restart.
    pub reloads: bool,
    /// The topologies in which it has a meaning.
    pub scope: Scope,
}

const fn key(
    path: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    meaning: &'static str,
) -> Key {
    Key { path, kind, default, meaning, waits_for: None, reloads: false, scope: Scope::All }
}

impl Key {
    const fn waits(self, capability: &'static str) -> Self {
        Key { waits_for: Some(capability), ..self }
    }

    const fn reloads(self) -> Self {
        Key { reloads: true, ..self }
    }

    const fn within(self, scope: Scope) -> Self {
        Key { scope, ..self }
    }

    /// The environment variable that sets it; `None` inside lists of sections.
    #[must_use]
    pub fn environment(&self) -> Option<String> {
        if self.path.contains("[]") || self.kind == Kind::Endpoints {
            return None;
        }
        let short = self.path.strip_prefix("node.").unwrap_or(self.path);
        Some(format!("{PREFIX}{}", short.replace('.', "__").to_ascii_uppercase()))
    }
}

/// What every environment variable of the mesh begins with.
pub const PREFIX: &str = "KNHK_MESH_";

const LEADERS: &str = "leaders of regions";
const HIERARCHY: &str = "the hierarchy of levels";
const TELEMETRY: &str = "the export of telemetry";

const FANOUT: Kind = Kind::Number(1, 100);
const MILLISECONDS: Kind = Kind::Number(10, 60_000);
const HOURS: Kind = Kind::Number(1, 168);
const NAME: Kind = Kind::Text(64);

/// Every key, in the order of the documentation.
pub const KEYS: &[Key] = &[
    key("topology", Kind::Word(Topology::NAMES), Some("flat_mesh"), "shape of the mesh"),
    key("agent_count", Kind::Range(1, 100_000_000), None, "expected size; sizes the views"),
    key("regions[].name", NAME, None, "name of the region"),
    key("regions[].location", Kind::Text(128), None, "label of the place").reloads(),
    key("regions[].zones", Kind::Texts(64), None, "zones of the region"),
    key("regions[].agents", Kind::Range(1, 100_000_000), None, "expected agents").reloads(),
    key("regions[].leader_count", Kind::OneOf(&[1, 3, 5]), None, "voters of the region")
        .waits(LEADERS),
    key("gossip.fanout", FANOUT, Some("3"), "peers per round"),
    key("gossip.interval_ms", MILLISECONDS, Some("100"), "length of a round"),
    key("gossip.convergence_threshold", Kind::Share, Some("0.99"), "share that must agree"),
    key("gossip.intra_region.fanout", FANOUT, Some("20"), "peers per round inside a region")
        .within(Scope::Regions),
    key("gossip.intra_region.interval_ms", MILLISECONDS, Some("100"), "round inside a region")
        .within(Scope::Regions),
    key("gossip.inter_region.fanout", FANOUT, Some("3"), "leaders of other regions per round")
        .waits(LEADERS)
        .within(Scope::Regions),
    key("gossip.inter_region.interval_ms", MILLISECONDS, Some("500"), "round between regions")
        .waits(LEADERS)
        .within(Scope::Regions),
    key("gossip.edge_to_edge", FANOUT, Some("10"), "peers per round inside an edge")
        .within(Scope::Levels),
    key("gossip.edge_to_aggregator", FANOUT, Some("5"), "aggregators that an edge reports to")
        .waits(HIERARCHY)
        .within(Scope::Levels),
    key("gossip.aggregator_to_coordinator", FANOUT, Some("3"), "coordinators per aggregator")
        .waits(HIERARCHY)
        .within(Scope::Levels),
    key("gossip.intervals.edge_ms", MILLISECONDS, Some("100"), "round inside an edge")
        .within(Scope::Levels),
    key("gossip.intervals.aggregator_ms", MILLISECONDS, Some("500"), "round of aggregators")
        .waits(HIERARCHY)
        .within(Scope::Levels),
    key("gossip.intervals.global_ms", MILLISECONDS, Some("1000"), "round of coordinators")
        .waits(HIERARCHY)
        .within(Scope::Levels),
    key("network.transport", Kind::Word(&["QUIC", "TCP"]), Some("QUIC"), "what carries links"),
    key("network.tls", Kind::Flag, None, "true with QUIC, false with TCP"),
    key("network.port", Kind::Number(1, 65_535), None, "port to listen on"),
    key("network.port_range", Kind::Range(1, 65_535), None, "the first free port is taken"),
    key("network.cert_rotation_hours", HOURS, Some("24"), "age at which the TLS key is renewed"),
    key("network.global_accelerator", Kind::Flag, Some("false"), "others dial node.advertise"),
    key("network.compression", Kind::Word(&["zstd", "none"]), Some("zstd"), "of batches"),
    key("network.batching", Kind::Flag, Some("true"), "false: frames of one record"),
    key("network.batch_size", Kind::Number(1, 256), Some("128"), "records of a frame"),
    key("network.insecure", Kind::Flag, Some("false"), "open and clear beyond loopback"),
    key("network.zero_rtt", Kind::Flag, Some("true"), "greet known peers with the first packet"),
    key("bootstrap.seeds", Kind::Contacts, None, "first contacts").reloads(),
    key("bootstrap.seeds_per_region", Kind::Number(1, 64), None, "contacts kept per region")
        .waits(LEADERS)
        .within(Scope::Regions),
    key("bootstrap.global_seeds", Kind::Contacts, None, "contacts in other regions")
        .waits(LEADERS)
        .within(Scope::Regions),
    key("bootstrap.global_coordinators", Kind::Contacts, None, "contacts of the top level")
        .waits(HIERARCHY)
        .within(Scope::Levels),
    key("leaders.election", Kind::Word(&["raft"]), Some("raft"), "how leaders are found")
        .waits(LEADERS)
        .within(Scope::Regions),
    key("leaders.heartbeat_ms", Kind::Number(10, 10_000), Some("100"), "pause of heartbeats")
        .waits(LEADERS)
        .within(Scope::Regions),
    key("leaders.failover_timeout_ms", Kind::Number(30, 60_000), Some("1000"), "of a failover")
        .waits(LEADERS)
        .within(Scope::Regions),
    key("hierarchy.levels", Kind::OneOf(&[3]), Some("3"), "levels").within(Scope::Levels),
    level("hierarchy.level1_global.coordinators", Kind::Number(1, 100), "10", "at the top"),
    level("hierarchy.level1_global.regions", Kind::Number(1, 1_000), "10", "regions"),
    level(
        "hierarchy.level2_regional.aggregators_per_region",
        Kind::Number(1, 100),
        "5",
        "aggregators of a region",
    ),
    level(
        "hierarchy.level2_regional.agents_per_aggregator",
        Kind::Number(1, 1_000_000),
        "20000",
        "agents below an aggregator",
    ),
    level(
        "hierarchy.level3_edge.edge_nodes_per_aggregator",
        Kind::Number(1, 1_000),
        "10",
        "edges below an aggregator",
    ),
    level(
        "hierarchy.level3_edge.agents_per_edge",
        Kind::Number(1, 2_000),
        "2000",
        "agents of an edge",
    ),
    key("security.mtls", Kind::Flag, None, "both ends prove their key; true with QUIC"),
    key("security.signature_algo", Kind::Word(&["ed25519"]), Some("ed25519"), "of records"),
    key(
        "security.rate_limit_per_peer",
        Kind::Number(1, 1_000_000),
        Some("1000"),
        "messages per second of each kind that one peer may have worked on",
    ),
    key("security.byzantine_threshold", Kind::Share, Some("0.5"), "reputation of the ignored"),
    key(
        "security.encryption",
        Kind::Word(&["AES-256-GCM"]),
        None,
        "the only cipher suite; absent: the defaults of TLS 1.3",
    ),
    key("security.key_rotation_hours", HOURS, None, "as network.cert_rotation_hours; the smaller"),
    key("observability.otel_endpoint", Kind::Endpoint, None, "where telemetry goes (OTLP)")
        .waits(TELEMETRY),
    key("observability.otel_endpoints", Kind::Endpoints, None, "the same for each region")
        .waits(TELEMETRY),
    key("observability.otel_collector_per_region", Kind::Flag, Some("false"), "one each")
        .waits(TELEMETRY),
    key("observability.trace_sample_rate", Kind::Share, Some("0"), "share of traces kept")
        .waits(TELEMETRY),
    key("observability.metrics_interval_sec", Kind::Number(1, 3_600), Some("10"), "of exports")
        .waits(TELEMETRY),
    key("observability.aggregation", Kind::Flag, Some("false"), "aggregators export for agents")
        .waits(TELEMETRY),
    key("observability.dashboards", Kind::Texts(64), None, "boards to provision").waits(TELEMETRY),
    key("mesh.name", NAME, Some("default"), "name; part of the mesh id"),
    key(
        "mesh.admission",
        Kind::Word(&["open", "allowlist", "token", "ca"]),
        Some("open"),
        "who may be a member; open on loopback only",
    ),
    key("mesh.allowlist", Kind::NodeIds, None, "node ids of the members"),
    key("mesh.admission_key", Kind::NodeId, None, "key that admits; part of the mesh id"),
    key("mesh.committee", Kind::NodeIds, None, "keys that certify; part of the mesh id"),
    key("mesh.ca_file", Kind::Text(4_096), None, "roots that are trusted, PEM; for ca"),
    key("mesh.max_slots", Kind::Number(17, 65_000), Some("1024"), "slots of an author"),
    key("mesh.max_payload", Kind::Number(64, 16_384), Some("1024"), "bytes of a record"),
    key("mesh.max_authors", Kind::Number(1, 1_048_576), Some("4096"), "authors of a scope"),
    key(
        "partition.mode",
        Kind::Word(&["available", "read_only", "quorum_only"]),
        None,
        "what a minority may do",
    ),
    key("partition.detect", Kind::Word(&["fast", "thrifty"]), None, "cost of detection"),
    key("node.region", NAME, None, "region of this node"),
    key("node.zone", NAME, None, "zone of this node"),
    key(
        "node.level",
        Kind::Word(&["edge", "aggregator", "coordinator"]),
        None,
        "level of this node",
    )
    .waits(HIERARCHY)
    .within(Scope::Levels),
    key("node.parent", Kind::Contact, None, "whom this node reports to")
        .waits(HIERARCHY)
        .within(Scope::Levels),
    key("node.bind", Kind::Address, None, "where to listen"),
    key("node.advertise", Kind::Addresses, None, "where others dial, at most 4"),
    key("node.identity", Kind::Text(4_096), None, "file of the node's key"),
    key("node.data_dir", Kind::Text(4_096), None, "folder of key and records"),
    key("node.certificate", Kind::Text(4_096), None, "file of the node's certificate; for ca"),
    key("node.token_file", Kind::Text(4_096), None, "file of the node's token; for token"),
];

const fn level(
    path: &'static str,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
) -> Key {
    key(path, kind, Some(default), meaning).waits(HIERARCHY).within(Scope::Levels)
}

/// What the topologies with regions and levels wait for.
pub(super) const TOPOLOGY_WAITS_FOR: [&str; 2] = [LEADERS, HIERARCHY];

/// The row of a key; `regions[2].name` is `regions[].name`.
#[must_use]
pub fn find(path: &str) -> Option<&'static Key> {
    let row = |path: &str| KEYS.iter().find(|key| key.path == path);
    row(path).or_else(|| {
        let (list, rest) = path.split_once('[')?;
        let (_, field) = rest.split_once(']')?;
        row(&format!("{list}[]{field}"))
    })
}

/// Names that stand directly inside a section (`""` is the file itself), each once.
pub(super) fn children(section: &str) -> Vec<&'static str> {
    let mut out = Vec::new();
    for key in KEYS {
        let rest = match section {
            "" => Some(key.path),
            _ => key.path.strip_prefix(section).and_then(|rest| rest.strip_prefix('.')),
        };
        let Some(rest) = rest else { continue };
        let name = rest.split('.').next().unwrap_or(rest).trim_end_matches("[]");
        if !out.contains(&name) {
            out.push(name);
        }
    }
    out
}

/// Whether some key or section has this name, wherever it stands.
pub(super) fn is_a_name(word: &str) -> bool {
    KEYS.iter().any(|key| key.path.split('.').any(|name| name.trim_end_matches("[]") == word))
}
