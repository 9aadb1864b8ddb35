//! Each key that is not said to wait changes what a node is started with; every other key is
//! noted. A new key without a line here fails.

use std::collections::BTreeSet;
use std::time::Duration;

use knhk_mesh::config_file::{Effective, keys::KEYS};
use knhk_mesh::identity::{Keypair, Signer};
use knhk_mesh::{Mesh, Options};

use super::{right, wrong};

/// What reaches the node, without what differs by chance.
fn started_with(effective: &Effective) -> String {
    let Options { config, transport, bind, seeds, data_dir, insecure, .. } =
        effective.options().unwrap();
    let Options { compression, rotate_every, aes_256_only, .. } = effective.options().unwrap();
    let Options { credentials, zero_rtt, .. } = effective.options().unwrap();
    let binds: Vec<_> = effective.bind_candidates().collect();
    format!(
        "{config:?} {} {transport:?} {bind} {binds:?} {seeds:?} {:?} {data_dir:?} {insecure} \
         {compression} {rotate_every:?} {aes_256_only} {credentials:?} \
         {zero_rtt} {:?}",
        config.genesis.mesh_id(),
        effective.seed_names(),
        effective.check_runnable(),
    )
}

/// A key and two files that differ in it only.
type Pair = (&'static str, String, String);

fn one(key: &'static str, a: &str, b: &str) -> Pair {
    (key, format!("{a}\n"), format!("{b}\n"))
}

fn pairs() -> Vec<Pair> {
    [of_the_shape(), of_links(), of_members()].concat()
}

fn of_the_shape() -> Vec<Pair> {
    let multi = "topology: multi_region_leaders\nregions: [{name: a}, {name: b}]\n";
    let levels = "topology: hierarchical\n";
    vec![
        one("topology", "topology: flat_mesh", &format!("topology: {}", "hierarchical")),
        one("agent_count", "agent_count: 10", "agent_count: 1000000"),
        one("regions[].name", "regions: [{name: a}]", "regions: [{name: b}]"),
        one("gossip.fanout", "gossip: {fanout: 3}", "gossip: {fanout: 13}"),
        one("gossip.interval_ms", "gossip: {interval_ms: 100}", "gossip: {interval_ms: 50}"),
        one("partition.mode", "partition: {mode: available}", "partition: {mode: read_only}"),
        one("partition.detect", "partition: {detect: fast}", "partition: {detect: thrifty}"),
        one(
            "gossip.convergence_threshold",
            "gossip: {convergence_threshold: 0.5}",
            "gossip: {convergence_threshold: 1}",
        ),
        one(
            "gossip.intra_region.fanout",
            &format!("{multi}gossip: {{intra_region: {{fanout: 3}}}}"),
            &format!("{multi}gossip: {{intra_region: {{fanout: 4}}}}"),
        ),
        one(
            "gossip.intra_region.interval_ms",
            &format!("{multi}gossip: {{intra_region: {{interval_ms: 30}}}}"),
            &format!("{multi}gossip: {{intra_region: {{interval_ms: 40}}}}"),
        ),
        one(
            "gossip.edge_to_edge",
            &format!("{levels}gossip: {{edge_to_edge: 3}}"),
            &format!("{levels}gossip: {{edge_to_edge: 4}}"),
        ),
        one(
            "gossip.intervals.edge_ms",
            &format!("{levels}gossip: {{intervals: {{edge_ms: 30}}}}"),
            &format!("{levels}gossip: {{intervals: {{edge_ms: 40}}}}"),
        ),
    ]
}

fn of_links() -> Vec<Pair> {
    let tcp = "network: {transport: TCP}";
    vec![
        one("network.transport", "network: {transport: QUIC}", tcp),
        one("network.port", "network: {port: 9000}", "network: {port: 9001}"),
        one("network.port_range", "network: {port_range: 1-9}", "network: {port_range: 1-8}"),
        one(
            "network.cert_rotation_hours",
            "network: {cert_rotation_hours: 24}",
            "network: {cert_rotation_hours: 2}",
        ),
        one(
            "network.global_accelerator",
            "network: {global_accelerator: false}",
            "network: {global_accelerator: true}",
        ),
        one("network.compression", "network: {compression: zstd}", "network: {compression: none}"),
        one("network.batching", "network: {batching: true}", "network: {batching: false}"),
        one("network.batch_size", "network: {batch_size: 8}", "network: {batch_size: 9}"),
        one("network.zero_rtt", "network: {zero_rtt: true}", "network: {zero_rtt: false}"),
        one("network.insecure", "network: {insecure: false}", "network: {insecure: true}"),
        one(
            "bootstrap.seeds",
            "bootstrap: {seeds: ['a:1']}",
            "bootstrap: {seeds: ['127.0.0.1:1']}",
        ),
    ]
}

fn of_members() -> Vec<Pair> {
    let ids = ["a".repeat(52), format!("{}q", "b".repeat(51))];
    let proven = |way: &str, more: &str, node: &str| {
        let key = &ids[0];
        format!("mesh: {{admission: {way}, admission_key: {key}{more}}}\nnode: {{{node}}}")
    };
    let ca = |roots: &str, own: &str| {
        proven("ca", &format!(", ca_file: {roots}"), &format!("certificate: {own}"))
    };
    let signer = |n: u8| Keypair::from_secret(&[n; 32]).node_id().to_string();
    let four = [1, 2, 3, 4].map(signer).join(", ");
    let token = |file: &str| proven("token", "", &format!("token_file: {file}"));
    vec![
        one(
            "security.rate_limit_per_peer",
            "security: {rate_limit_per_peer: 5}",
            "security: {rate_limit_per_peer: 6}",
        ),
        one(
            "security.byzantine_threshold",
            "security: {byzantine_threshold: 0.5}",
            "security: {byzantine_threshold: 0.6}",
        ),
        one("security.encryption", "x-: 0", "security: {encryption: AES-256-GCM}"),
        one(
            "security.key_rotation_hours",
            "security: {key_rotation_hours: 24}",
            "security: {key_rotation_hours: 3}",
        ),
        one("mesh.name", "mesh: {name: a}", "mesh: {name: b}"),
        one(
            "mesh.admission",
            "mesh: {admission: open}",
            &format!("mesh: {{admission: allowlist, allowlist: [{}]}}", ids[0]),
        ),
        one(
            "mesh.allowlist",
            &format!("mesh: {{admission: allowlist, allowlist: [{}]}}", ids[0]),
            &format!("mesh: {{admission: allowlist, allowlist: [{}]}}", ids[1]),
        ),
        one(
            "mesh.admission_key",
            "mesh: {name: default}",
            &format!("mesh: {{admission_key: {}}}", ids[0]),
        ),
        one("mesh.committee", "mesh: {name: default}", &format!("mesh: {{committee: [{four}]}}")),
        one("mesh.max_slots", "mesh: {max_slots: 20}", "mesh: {max_slots: 21}"),
        one("mesh.max_payload", "mesh: {max_payload: 64}", "mesh: {max_payload: 65}"),
        one("mesh.max_authors", "mesh: {max_authors: 2}", "mesh: {max_authors: 3}"),
        one("node.region", "node: {region: a}", "node: {region: b}"),
        one("node.zone", "node: {zone: a}", "node: {zone: b}"),
        one("node.bind", "node: {bind: '127.0.0.1:1'}", "node: {bind: '127.0.0.1:2'}"),
        one(
            "node.advertise",
            "node: {advertise: '192.0.2.1:1'}",
            "node: {advertise: '192.0.2.1:2'}",
        ),
        one("node.data_dir", "node: {data_dir: /a}", "node: {data_dir: /b}"),
        one("mesh.ca_file", &ca("/a", "/c"), &ca("/b", "/c")),
        one("node.certificate", &ca("/a", "/c"), &ca("/a", "/d")),
        one("node.token_file", &token("/a"), &token("/b")),
    ]
}

/// Keys whose effect is that other values are refused, or a label; each has its test elsewhere.
const BY_REFUSAL: [&str; 8] = [
    "regions[].location",
    "regions[].zones",
    "regions[].agents",
    "network.tls",
    "security.mtls",
    "security.signature_algo",
    "hierarchy.levels",
    "node.identity",
];

#[test]
fn changing_a_key_changes_what_the_node_is_started_with() {
    for (key, a, b) in pairs() {
        let (a, b) = (right(&a), right(&b));
        assert_ne!(started_with(&a), started_with(&b), "{key}");
        assert_eq!(started_with(&a), started_with(&a), "{key}");
    }
}

#[test]
fn every_key_has_an_effect_or_says_what_it_waits_for() {
    let tested: BTreeSet<&str> = pairs().iter().map(|(key, ..)| *key).chain(BY_REFUSAL).collect();
    for key in KEYS {
        let is_tested = tested.contains(key.path);
        assert_ne!(is_tested, key.waits_for.is_some(), "{}", key.path);
    }
}

#[test]
fn a_key_that_waits_is_noted_where_it_was_written() {
    let effective = right("observability:\n  metrics_interval_sec: 5\n");
    let note = &effective.notes()[0];
    assert_eq!(note.path.as_deref(), Some("observability.metrics_interval_sec"));
    assert!(note.message.contains("accepted, not used yet"), "{}", note.message);
    assert_eq!(note.origin.to_string(), "file:2:25");
    assert_eq!(right("topology: flat_mesh\n").notes().len(), 1, "only the worst case of memory");
}

#[test]
fn zones_and_agents_of_regions_bound_what_a_node_may_be() {
    let file = |zones: &str, agents: &str| {
        format!(
            "agent_count: 10-100\nregions:\n  - name: a\n    zones: [{zones}]\n    \
             agents: {agents}\n    location: x\nnode:\n  zone: z1\n"
        )
    };
    right(&file("z1, z2", "50"));
    assert_eq!(wrong(&file("z2", "50")).list.len(), 1);
    assert_eq!(wrong(&file("z1", "500")).list.len(), 1);
}

#[test]
fn the_key_of_the_node_is_the_one_of_its_file() {
    let folder = std::env::temp_dir().join(format!("knhk-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("a.key");
    let file = format!("node:\n  identity: {}\n", path.display());
    assert!(right(&file).options().is_err(), "a key that is not there is not made up");
    knhk_mesh::key_file::load_or_create(&path).unwrap();
    assert!(matches!(right(&file).options().unwrap().identity, knhk_mesh::Identity::File(_)));
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A mesh of two nodes from two files: do they hear each other?
async fn meet(first: &str, second: &str, patience_ms: u64) -> bool {
    let options = |file: &str| Options {
        bind: ([127, 0, 0, 1], 0).into(),
        random_seed: Some(7),
        ..right(file).options().unwrap()
    };
    let ada = Mesh::join(options(first)).await.unwrap();
    let bob = Options { seeds: vec![ada.local_addr()], ..options(second) };
    let bob = Mesh::join(bob).await.unwrap();
    let mut watch = bob.watch("key").await.unwrap();
    ada.set("key", "value").await.unwrap();
    let heard = tokio::time::timeout(Duration::from_millis(patience_ms), watch.next()).await;
    ada.close().await;
    bob.close().await;
    heard.is_ok()
}

#[tokio::test]
async fn suites_compression_and_rates_let_nodes_meet_and_meshes_do_not_mix() {
    let strict = "security:\n  encryption: AES-256-GCM\n  rate_limit_per_peer: 200\n\
                  network:\n  compression: none\n  batching: false\n  cert_rotation_hours: 1\n";
    assert!(meet(strict, "topology: flat_mesh\n", 10_000).await);
    assert!(meet(strict, strict, 10_000).await);
    let tcp = "network:\n  transport: TCP\n";
    assert!(meet(tcp, tcp, 10_000).await);
    assert!(!meet("mesh:\n  name: a\n", "mesh:\n  name: b\n", 500).await);
}
