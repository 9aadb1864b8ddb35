//! Who is gone leaves the list in time, who is not stays in it, and who comes back is listed again.

use std::time::Duration;

use knhk_mesh_core::config::{Config, Detect, Mode};
use knhk_mesh_core::crdt::{Key, Op};
use knhk_mesh_core::partition::PartitionStatus;
use knhk_mesh_core::telemetry::Event;
use knhk_mesh_sim::network::{Cut, Group};
use knhk_mesh_sim::{Network, NodeIx, World};

fn watching(n: usize, seed: u64) -> World {
    let config = Config { detect: Detect::Fast, mode: Mode::ReadOnly, ..Config::default() };
    let mut world = World::new(n, config, Network::default(), seed);
    world.run_for(Duration::from_secs(10));
    world
}

/// Which of the others node `i` lists.
fn listed(world: &World, i: NodeIx) -> Vec<NodeIx> {
    let others = (0..world.len()).filter(|&other| other != i);
    others.filter(|&other| world.node(i).peer(&world.id(other)).is_some()).collect()
}

fn all_list_all(world: &World) {
    for i in 0..world.len() {
        assert_eq!(listed(world, i).len(), world.len() - 1, "node {i}");
        assert_eq!(world.node(i).partition(), PartitionStatus::Healthy, "node {i}");
    }
}

fn count(world: &World, i: NodeIx, is: impl Fn(&Event) -> bool) -> usize {
    world.events(i).iter().filter(|event| is(event)).count()
}

#[test]
fn the_dead_leave_the_list_still_count_and_come_back() {
    let mut world = watching(10, 1);
    all_list_all(&world);
    let dead = [8, 9];
    dead.iter().for_each(|&i| world.kill(i));
    world.run_for(Duration::from_secs(90));
    for i in 0..8 {
        assert_eq!(listed(&world, i), (0..8).filter(|&j| j != i).collect::<Vec<_>>(), "node {i}");
        assert_eq!(world.node(i).registry().members(), 10, "death does not lower n");
        assert_eq!(count(&world, i, |event| matches!(event, Event::MemberLost(_))), 2);
        assert_eq!(world.node(i).partition(), PartitionStatus::Healthy);
    }
    world.restart(8, true, &[0]);
    world.restart(9, false, &[1]);
    world.run_for(Duration::from_secs(12));
    all_list_all(&world);
    let again = dead.map(|i| world.id(i));
    for i in 0..8 {
        let joined = |event: &Event| matches!(event, Event::MemberJoined(id) if again.contains(id));
        assert_eq!(count(&world, i, joined), 4, "told once for each transition, node {i}");
    }
}

#[test]
fn who_only_one_does_not_reach_stays_in_its_list() {
    let mut world = watching(10, 2);
    let (a, b) = (Group::Range(3, 4), Group::Range(7, 8));
    world.network().cuts = vec![Cut { from: a, to: b }];
    world.run_for(Duration::from_secs(200));
    all_list_all(&world);
    for i in 0..10 {
        assert_eq!(count(&world, i, |event| matches!(event, Event::MemberLost(_))), 0, "{i}");
    }
}

#[test]
fn a_long_split_loses_nobody_for_good() {
    let mut world = watching(10, 3);
    world.network().split(3);
    world.run_for(Duration::from_secs(200));
    assert_eq!(listed(&world, 5).len(), 6, "the majority does not reach the minority");
    assert_eq!(listed(&world, 0).len(), 9, "the minority does not judge");
    world.network().cuts.clear();
    world.run_for(Duration::from_secs(5));
    all_list_all(&world);
}

#[test]
fn all_restart_at_once_and_all_are_there() {
    let mut world = watching(10, 4);
    (0..10).for_each(|i| world.kill(i));
    (0..10).for_each(|i| world.restart(i, true, &[(i + 1) % 10, (i + 5) % 10]));
    world.run_for(Duration::from_secs(15));
    all_list_all(&world);
    assert!(world.agrees());
}

#[test]
fn short_lived_nodes_that_say_goodbye_leave_nothing_in_the_lists() {
    let mut world = watching(6, 5);
    for _ in 0..10 {
        let fresh: Vec<NodeIx> = (0..6).map(|_| world.add()).collect();
        world.run_for(Duration::from_secs(4));
        fresh.iter().for_each(|&i| world.leave(i));
        world.run_for(Duration::from_secs(2));
        fresh.iter().for_each(|&i| world.kill(i));
    }
    world.run_for(Duration::from_secs(5));
    for i in 0..6 {
        assert_eq!(world.node(i).registry().members(), 6, "node {i}");
        assert_eq!(world.node(i).partition(), PartitionStatus::Healthy);
        assert_eq!(count(&world, i, |event| matches!(event, Event::Partitioned { .. })), 0);
    }
}

#[test]
fn slow_nodes_and_wrong_clocks_are_members_all_the_same() {
    let mut world = watching(10, 6);
    world.slow_down(4, Duration::from_millis(400));
    world.set_clock_error(5, 600_000);
    world.set_clock_error(6, -600_000);
    world.run_for(Duration::from_secs(90));
    for i in 0..10 {
        assert_eq!(count(&world, i, |event| matches!(event, Event::MemberLost(_))), 0, "{i}");
        assert_eq!(listed(&world, i).len(), 9, "node {i}");
    }
    for writer in [4, 5, 6] {
        let key = Key::try_from(format!("of-{writer}").as_bytes()).unwrap();
        let op = Op::Set { key: key.clone(), value: "v".into(), ttl: None };
        world.write(writer, &op);
        world.run_for(Duration::from_secs(8));
        for i in 0..10 {
            let wall = world.clock().wall;
            assert!(world.node(i).get(&key, wall).is_some(), "{writer} is heard at {i}");
        }
    }
}
