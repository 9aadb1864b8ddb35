//! Flags before environment before file before defaults, and what a reload does.

use knhk_mesh::config_file::{self, FlagValue, Origin};

use super::{parse, right};

const FILE: &str = "gossip:\n  fanout: 4\n  interval_ms: 200\nnode:\n  region: local\n";

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn the_highest_layer_wins_and_says_so() {
    let environment = variables(&[
        ("KNHK_MESH_GOSSIP__FANOUT", "6"),
        ("KNHK_MESH_BIND", "127.0.0.1:1"),
        ("PATH", "x"),
    ]);
    let flags = [FlagValue::new("node.bind", "--bind", "127.0.0.1:2")];
    let effective = config_file::parse("mesh.yaml", FILE, &flags, environment).unwrap();
    let told = |path: &str| {
        let setting = effective.setting(path).unwrap();
        format!("{} from {}", setting.value, setting.origin)
    };
    assert_eq!(told("node.bind"), "127.0.0.1:2 from flag --bind");
    assert_eq!(told("gossip.fanout"), "6 from environment KNHK_MESH_GOSSIP__FANOUT");
    assert_eq!(told("gossip.interval_ms"), "200 from file:3:16");
    assert_eq!(told("gossip.convergence_threshold"), "0.99 from default");
    assert_eq!(effective.core_config().fanout, 6);
    assert!(effective.to_yaml(true).contains("# environment KNHK_MESH_GOSSIP__FANOUT"));
}

#[test]
fn every_key_has_a_variable_and_each_variable_its_key() {
    for key in config_file::keys::KEYS {
        let Some(name) = key.environment() else { continue };
        let refused = config_file::load(None, &[], variables(&[(&name, "\u{1}")]));
        // Text may be anything; everything else says which variable is wrong.
        let Err(refused) = refused else { continue };
        assert_eq!(refused.list[0].origin, Origin::Environment(name.clone()), "{refused}");
        assert!(refused.list[0].message.contains(key.path), "{refused}");
    }
}

#[test]
fn lists_are_separated_by_commas() {
    let seeds = variables(&[("KNHK_MESH_BOOTSTRAP__SEEDS", "localhost:1, b:2,")]);
    let effective = config_file::load(None, &[], seeds).unwrap();
    assert_eq!(effective.bootstrap.seeds, ["localhost:1", "b:2"]);
    assert_eq!(effective.seed_names(), ["b:2"]);
}

#[test]
fn a_wrong_variable_or_flag_is_told_by_its_name() {
    let flags = [FlagValue::new("node.bind", "--bind", "here")];
    let environment =
        variables(&[("KNHK_MESH_GOSSIP__FANOUTS", "3"), ("KNHK_MESH_NETWORK__PORT", "x")]);
    let refused = config_file::parse("mesh.yaml", "gossip:\n  fanout: 0\n", &flags, environment);
    let told = refused.unwrap_err().to_string();
    for part in [
        "mesh.yaml:2:11",
        "environment KNHK_MESH_GOSSIP__FANOUTS",
        "did you mean KNHK_MESH_GOSSIP__FANOUT?",
        "environment KNHK_MESH_NETWORK__PORT",
        "flag --bind",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
}

#[test]
fn a_variable_of_a_container_platform_is_a_note() {
    let service = variables(&[("KNHK_MESH_PORT", "tcp://10.0.0.1:9000")]);
    let effective = config_file::load(None, &[], service).unwrap();
    assert!(effective.notes().iter().any(|note| note.message.contains("KNHK_MESH_PORT")));
    let ours = variables(&[("KNHK_MESH_CONTROL_SOCKET", "/run/x"), ("KNHK_MESH_CONFIG", "x")]);
    assert_eq!(config_file::load(None, &[], ours).unwrap().notes().len(), 1);
}

#[test]
fn a_value_that_is_overridden_must_be_right_all_the_same() {
    let environment = variables(&[("KNHK_MESH_GOSSIP__FANOUT", "6")]);
    assert!(config_file::parse("f", "gossip:\n  fanout: 0\n", &[], environment).is_err());
}

#[test]
fn a_reload_says_what_it_can_change() {
    let old = right(FILE);
    assert!(old.compare(&right(&format!("# the same\n{FILE}"))).is_empty());
    let new = parse("agent_count: 50\ngossip:\n  fanout: 4\nbootstrap:\n  seeds: [a:1]\n").unwrap();
    let change = old.compare(&new);
    assert_eq!(change.now, ["bootstrap.seeds"]);
    assert_eq!(change.restart, ["gossip.interval_ms", "agent_count"]);
}
