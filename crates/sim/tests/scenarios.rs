//! The scenarios of the specification on the in-memory driver: many real nodes, virtual time.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{incr, key, seconds, set, settled, settled_over};
use knhk_mesh_core::config::{Config, Lanes};
use knhk_mesh_core::crdt::Op;
use knhk_mesh_core::time::Time;
use knhk_mesh_sim::adversary::Kind;
use knhk_mesh_sim::{Network, World};

/// Rounds until all nodes that answer show the value.
fn rounds_to(world: &mut World, k: &str, value: &str) -> u64 {
    let (start, n) = (world.now(), world.len());
    let honest: Vec<usize> = (0..n).filter(|&i| world.is_honest(i)).collect();
    let k = key(k);
    let shows = |w: &mut World| {
        let wall = w.clock().wall;
        honest.iter().all(|&i| w.node(i).get(&k, wall).is_some_and(|v| v.value == value.as_bytes()))
    };
    assert!(world.run_until(start + seconds(30), shows), "the update reaches everybody");
    world.now().since(start).as_nanos().div_ceil(100_000_000) as u64
}

#[test]
fn ten_nodes_agree() {
    let mut world = settled(10, Config::default(), 1);
    world.write(3, &set("k", "v"));
    assert!(rounds_to(&mut world, "k", "v") <= 7);
}

#[test]
fn a_hundred_nodes_agree_with_about_one_copy_each() {
    let mut world = settled(100, Config::default(), 2);
    for i in 0..20 {
        world.write(i, &set("warm", &i.to_string()));
        world.run_for(seconds(1));
    }
    let copies = |w: &World| (0..100).map(|i| w.node(i).counters().copies).sum::<u64>();
    let before = copies(&world);
    for i in 0..20 {
        world.write(5 * i, &set("k", &i.to_string()));
        assert!(rounds_to(&mut world, "k", &i.to_string()) <= 10);
        world.run_for(seconds(1));
    }
    let per_node = (copies(&world) - before) as f64 / 20.0 / 100.0;
    assert!(per_node <= 1.5, "{per_node} copies a node");
}

#[test]
fn repair_alone_meets_the_bounds_with_a_third_silent_and_loss() {
    for seed in 0..5 {
        let config = Config { lanes: Lanes::Repair, ..Config::default() };
        let network = Network { loss: 0.1, ..Network::default() };
        let mut world = settled_over(network, 60, config, seed);
        for silent in 40..60 {
            world.corrupt(silent, Kind::Silent);
        }
        world.write(3, &set("k", "v"));
        let rounds = rounds_to(&mut world, "k", "v");
        assert!(rounds <= 10, "{rounds} rounds with seed {seed}");
    }
}

#[test]
fn thirty_percent_loss_only_delays() {
    for seed in 0..5 {
        let network = Network { loss: 0.3, ..Network::default() };
        let mut world = settled_over(network, 100, Config::default(), seed);
        world.write(42, &set("k", "v"));
        let rounds = rounds_to(&mut world, "k", "v");
        assert!(rounds <= 20, "{rounds} rounds with seed {seed}");
    }
}

#[test]
fn both_halves_of_a_split_go_on_and_agree_after_the_heal() {
    let mut world = settled(20, Config::default(), 3);
    world.write(0, &incr("n", 5));
    world.run_for(seconds(2));
    world.split(10);
    for i in 0..20 {
        world.write(i, &incr("n", 1));
        world.write(i, &Op::Add { key: key("s"), member: vec![i as u8].into() });
    }
    world.run_for(seconds(1_800));
    assert!(!world.agrees());
    world.heal(3);
    let deadline = world.now() + seconds(5);
    assert!(world.run_until(deadline, World::agrees), "one root within 5 s of the heal");
    let wall = world.clock().wall;
    for i in 0..20 {
        assert_eq!(world.node(i).counter(&key("n"), wall), Some(25));
        assert_eq!(world.node(i).members_of(&key("s"), wall).map(|m| m.len()), Some(20));
    }
}

#[test]
fn what_was_deleted_stays_deleted_after_three_hours_apart() {
    let mut world = settled(10, Config::default(), 4);
    world.write(0, &set("k", "v"));
    world.run_for(seconds(2));
    world.split(5);
    world.write(1, &Op::Delete { key: key("k") });
    world.run_for(seconds(3 * 3_600));
    let wall = world.clock().wall;
    assert!(world.node(1).get(&key("k"), wall).is_none());
    assert!(world.node(7).get(&key("k"), wall).is_some(), "the other half has not heard of it");
    world.heal(2);
    world.run_for(seconds(10));
    let wall = world.clock().wall;
    assert!((0..10).all(|i| world.node(i).get(&key("k"), wall).is_none()));
    assert!(world.agrees());
}

#[test]
fn one_seed_is_one_run() {
    let run = |seed| {
        let network = Network { loss: 0.05, ..Network::default() };
        let mut world = settled_over(network, 20, Config::default(), seed);
        world.write(3, &set("k", "v"));
        world.run_for(seconds(5));
        world.trace()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn sixty_increments_at_once_are_all_counted() {
    let mut world = settled(3, Config::default(), 5);
    for i in 0..60 {
        world.write(i % 3, &incr("n", 1));
    }
    world.run_for(seconds(2));
    let wall = world.clock().wall;
    assert!((0..3).all(|i| world.node(i).counter(&key("n"), wall) == Some(60)));
}

#[test]
fn a_late_timer_is_no_harm() {
    let mut world = settled(3, Config::default(), 6);
    world.run_until(Time(world.now().0 + 1), |_| false);
    world.write(0, &set("k", "v"));
    assert!(rounds_to(&mut world, "k", "v") <= 7);
}
