//! The four files of the specification, and what is shown of a configuration.

use knhk_mesh::config_file::{NotRunnable, Topology};

use super::{parse, right, specification};

#[test]
fn the_four_files_of_the_specification_are_accepted() {
    for name in Topology::NAMES {
        let effective = right(&specification(name));
        assert_eq!(effective.topology.name(), *name);
    }
}

#[test]
fn their_keys_arrive() {
    let flat = right(&specification("flat_mesh"));
    assert!(!flat.network.quic && flat.bind_candidates().count() == 101);
    assert_eq!((flat.gossip.own.fanout, flat.gossip.convergence_threshold), (5, 0.95));
    assert_eq!(flat.node.region.as_deref(), Some("local"));

    let single = right(&specification("single_region_mesh"));
    assert!(single.network.quic && single.network.port == Some(9_000));
    assert_eq!(single.seed_names().len(), 3);
    assert_eq!(single.regions[0].zones.len(), 3);
    assert_eq!(single.partition.mode, "read_only");

    let multi = right(&specification("multi_region_leaders"));
    assert_eq!(multi.gossip.own.fanout, 20);
    assert_eq!(multi.regions.len(), 3);
    assert!(multi.regions.iter().all(|region| region.leader_count == 3));
    assert_eq!(multi.observability.otel_endpoints.len(), 3);
    assert!(multi.security.aes_256_only);

    let levels = right(&specification("hierarchical"));
    let hierarchy = levels.hierarchy.unwrap();
    assert_eq!((hierarchy.regions, hierarchy.agents_per_edge), (10, 2_000));
    assert_eq!(levels.network.rotation_hours, 12);
    assert_eq!(levels.network.batch_size, 100);
}

#[test]
fn what_waits_is_named_and_what_runs_runs() {
    for name in ["flat_mesh", "single_region_mesh"] {
        assert_eq!(right(&specification(name)).check_runnable(), Ok(()));
    }
    for (name, needs) in [("multi_region_leaders", "leaders"), ("hierarchical", "hierarchy")] {
        let effective = right(&specification(name));
        let why = effective.check_runnable().unwrap_err();
        assert!(why.to_string().contains(needs) && !why.help().is_empty(), "{why}");
        let notes = effective.notes();
        assert!(notes.iter().any(|note| note.message.contains("accepted, not used yet")));
    }
    let accelerated = "network:\n  global_accelerator: true\n";
    assert_eq!(right(accelerated).check_runnable(), Err(NotRunnable::NoAdvertisedAddress));
    let told = format!("{accelerated}node:\n  advertise: 192.0.2.7:9000\n");
    assert_eq!(right(&told).check_runnable(), Ok(()));
    let key = "a".repeat(52);
    let by = |way: &str| format!("mesh:\n  admission: {way}\n  admission_key: {key}\n");
    assert_eq!(right(&by("token")).check_runnable(), Ok(()), "a pass may be in the data folder");
    let ca = format!("{}  ca_file: /ca.crt\n", by("ca"));
    let nowhere = right(&ca).check_runnable().unwrap_err();
    assert!(matches!(nowhere, NotRunnable::NoCredentials { admission: "ca", .. }), "{nowhere}");
    let placed = format!("{ca}node:\n  data_dir: /a\n");
    assert_eq!(right(&placed).check_runnable(), Ok(()));
    assert_eq!(right(&placed).notes().len(), 1, "nothing waits");
}

#[test]
fn the_worst_case_of_memory_is_told() {
    let note = |text| right(text).notes().last().map(|note| note.message.clone()).unwrap();
    // 4,096 authors x (1,008 slots x 1 KiB + 16 slots x 16 KiB).
    assert!(note("topology: flat_mesh\n").contains("4.9 GiB"), "{}", note("topology: flat_mesh\n"));
    assert!(note("mesh:\n  max_authors: 10\n  max_slots: 17\n").contains("2.5 MiB"));
}

#[test]
fn what_is_shown_is_the_same_configuration_when_it_is_read_again() {
    for name in Topology::NAMES {
        let effective = right(&specification(name));
        for origin in [false, true] {
            let shown = effective.to_yaml(origin);
            let again = parse(&shown).unwrap_or_else(|refused| panic!("{refused}\n{shown}"));
            let change = effective.compare(&again);
            assert!(change.is_empty(), "{change:?}\n{shown}");
        }
    }
    let general = right("topology: hierarchical\ngossip:\n  fanout: 7\n");
    assert_eq!(right(&general.to_yaml(true)).gossip.own.fanout, 7);
    let odd = right("mesh:\n  name: 'a \"b\" \\ # c: d'\nregions:\n  - name: 'null'\n");
    assert_eq!(right(&odd.to_yaml(true)).mesh.name, "a \"b\" \\ # c: d");
    assert_eq!(right(&odd.to_yaml(true)).regions[0].name, "null");
}

#[test]
fn keys_for_other_tools_and_anchors_are_left_alone() {
    right("x-note: &a anything\ngossip:\n  x-why: [1, {b: 2}]\n  fanout: 5\n");
    right("{\"topology\": \"flat_mesh\", \"gossip\": {\"fanout\": 5}}");
}
