//! The dead leave every list in time, also in a large mesh; the living stay, whoever accuses them.
//! Each test prints its figures (`--nocapture`).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use knhk_mesh_core::config::{Config, Detect, Mode};
use knhk_mesh_core::identity::NodeId;
use knhk_mesh_core::partition::PartitionStatus;
use knhk_mesh_core::telemetry::Event;
use knhk_mesh_sim::adversary::Kind;
use knhk_mesh_sim::{Network, NodeIx, World};

/// Within so many seconds a dead member is in no list: in a mesh of up to 64, and in a larger one.
const BOUND: [u64; 2] = [90, 180];

fn world(n: usize, detect: Detect, seed: u64) -> World {
    let config = Config { detect, mode: Mode::ReadOnly, ..Config::default() };
    let mut world = World::new(n, config, Network::default(), seed);
    world.run_for(seconds(30));
    world
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn lists(world: &World, i: NodeIx, other: NodeIx) -> bool {
    let registry = world.node(i).registry();
    let view = registry.by_id(&world.id(other)).and_then(|peer| registry.get(peer));
    view.is_some_and(|view| view.incarnation.0 > 0)
}

fn honest_up(world: &World) -> Vec<NodeIx> {
    (0..world.len()).filter(|&i| world.is_up(i) && world.is_honest(i)).collect()
}

/// How many of the lists of honest nodes that run hold one of `who`.
fn listed(world: &World, who: &[NodeIx]) -> usize {
    let in_list = |i: NodeIx| who.iter().filter(|&&o| o != i && lists(world, i, o)).count();
    honest_up(world).into_iter().map(in_list).sum()
}

/// Seconds until no list holds one of `dead`.
fn until_unlisted(world: &mut World, dead: &[NodeIx], limit: u64) -> u64 {
    let start = world.now();
    while listed(world, dead) > 0 {
        let waited = world.now().since(start).as_secs();
        assert!(waited <= limit, "{} still in lists after {waited} s", listed(world, dead));
        world.run_for(seconds(1));
    }
    world.now().since(start).as_secs()
}

/// How often honest nodes took one of `who` out of their lists.
fn evictions(world: &World, who: &[NodeIx]) -> usize {
    let ids: Vec<NodeId> = who.iter().map(|&i| world.id(i)).collect();
    let lost = |event: &&Event| matches!(event, Event::MemberLost(id) if ids.contains(id));
    honest_up(world).iter().map(|&i| world.events(i).iter().filter(lost).count()).sum()
}

fn members(world: &World) -> (usize, usize) {
    let all = honest_up(world).into_iter().map(|i| world.node(i).registry().members());
    all.clone().min().zip(all.max()).unwrap()
}

/// Runs for `span` while everybody of [`Kind::Suspect`] accuses all the time.
fn run_accused(world: &mut World, span: u64) {
    for _ in 0..span.div_ceil(2) {
        world.accuse_all();
        world.run_for(seconds(2));
    }
}

#[test]
fn nobody_lists_the_dead_of_a_large_mesh_after_their_bound() {
    let mut world = world(100, Detect::BySize, 1);
    let dead: Vec<NodeIx> = (80..90).collect();
    dead.iter().for_each(|&i| world.kill(i));
    let took = until_unlisted(&mut world, &dead, BOUND[1]);
    println!("100 nodes, 10 dead: in no list after {took} s");
    world.run_for(seconds(60));
    assert_eq!(members(&world), (100, 100), "deaths do not lower n");
    assert_eq!(evictions(&world, &dead), 90 * 10, "told once by each");
    assert_eq!(evictions(&world, &honest_up(&world)), 0, "nobody else");
    dead.iter().for_each(|&i| world.restart(i, i % 2 == 0, &[0, 1]));
    world.run_for(seconds(15));
    assert_eq!(listed(&world, &dead), 99 * 10, "who comes back is in every list");
    assert!(honest_up(&world).iter().all(|&i| world.node(i).accused() == 0), "nothing is left");
}

#[test]
fn a_third_that_accuses_evicts_nobody_and_saves_no_dead() {
    for (n, detect) in [(10, Detect::Fast), (40, Detect::Fast), (100, Detect::BySize)] {
        let mut world = world(n, detect, 2);
        let liars: Vec<NodeIx> = (n - (n - 1) / 3..n).collect();
        liars.iter().for_each(|&i| world.corrupt(i, Kind::Suspect));
        let before: Vec<_> = honest_up(&world).iter().map(|&i| records_of(&world, i)).collect();
        run_accused(&mut world, 60);
        let honest = honest_up(&world);
        let after: Vec<_> = honest.iter().map(|&i| records_of(&world, i)).collect();
        let refuted: u64 = after.iter().zip(&before).map(|(a, b)| a - b).sum();
        println!("{n} nodes, {} accuse for 60 s: {refuted} refutations", liars.len());
        assert_eq!(evictions(&world, &honest), 0, "{n} nodes");
        assert_eq!(listed(&world, &honest), honest.len() * (honest.len() - 1));
        world.kill(3);
        let bound = BOUND[usize::from(n > 64)];
        let start = world.now();
        while listed(&world, &[3]) > 0 {
            assert!(world.now().since(start).as_secs() <= bound, "{n}: {}", listed(&world, &[3]));
            run_accused(&mut world, 2);
        }
        println!("{n} nodes: a dead one in no list after {} s", world.now().since(start).as_secs());
    }
}

#[test]
fn where_liars_keep_certificates_from_the_dead_own_eyes_decide() {
    let mut world = world(100, Detect::BySize, 5);
    // A third of the living accuses all honest ones and never the dead.
    (70..100).for_each(|i| world.corrupt(i, Kind::Suspect));
    let dead: Vec<NodeIx> = (40..48).collect();
    dead.iter().for_each(|&i| world.kill(i));
    run_accused(&mut world, BOUND[1]);
    let left = listed(&world, &dead);
    let start = world.now();
    while listed(&world, &dead) > 0 {
        assert!(world.now().since(start).as_secs() <= 420, "{}", listed(&world, &dead));
        run_accused(&mut world, 10);
    }
    let more = world.now().since(start).as_secs();
    println!("100 nodes, 30 protect 8 dead: {left} listings after the bound, none {more} s later");
    assert_eq!(evictions(&world, &honest_up(&world)), 0);
}

/// The place of the member record of `i` in its chain: each refutation moves it.
fn records_of(world: &World, i: NodeIx) -> u64 {
    let slot = knhk_mesh_core::frame::Slot::MEMBER;
    world.node(i).store().record(&world.id(i), slot).unwrap().seq.0
}

#[test]
fn a_node_that_was_away_and_one_that_is_new_list_no_dead_for_long() {
    let mut world = world(12, Detect::Fast, 3);
    world.split(1);
    world.run_for(seconds(5));
    let dead = [10, 11];
    dead.iter().for_each(|&i| world.kill(i));
    world.run_for(seconds(BOUND[0]));
    assert!(lists(&world, 0, 10), "who is cut off believes nothing");
    assert!((1..10).all(|i| !lists(&world, i, 10) && !lists(&world, i, 11)));
    world.network().cuts.clear();
    let newcomer = world.add();
    world.run_for(seconds(20));
    let all: Vec<NodeIx> = (0..10).chain([newcomer]).collect();
    assert_eq!(listed(&world, &dead), 0);
    assert_eq!(listed(&world, &all), 11 * 10, "who was away is in all lists again");
    let back = |event: &&Event| matches!(event, Event::MemberJoined(id) if *id == world.id(10));
    for i in 1..10 {
        assert_eq!(world.events(i).iter().filter(back).count(), 1, "no old record revives it, {i}");
    }
}

#[test]
fn nodes_that_crash_without_a_word_stop_counting_after_an_hour() {
    let mut world = world(9, Detect::Fast, 4);
    let mut dead = Vec::new();
    for _ in 0..10 {
        let fresh: Vec<NodeIx> = (0..9).map(|_| world.add()).collect();
        fresh.iter().for_each(|&i| world.dial(i, 0));
        world.run_for(seconds(20));
        for (at, &i) in fresh.iter().enumerate() {
            // One in nine crashes, the others say goodbye.
            if at == 0 { world.kill(i) } else { world.leave(i) }
        }
        world.run_for(seconds(2));
        fresh.iter().for_each(|&i| world.kill(i));
        dead.push(fresh[0]);
        world.run_for(seconds(BOUND[0]));
        assert_eq!(listed(&world, &dead), 0);
        // More than a third in an hour would be a partition, not churn.
        world.run_for(seconds(1_000));
    }
    let most = members(&world);
    world.run_for(seconds(3_700));
    println!("9 nodes, 10 crashes in 90 short lives: n was {most:?}, then {:?}", members(&world));
    assert_eq!(members(&world), (9, 9));
    for i in 0..9 {
        assert_eq!(world.node(i).partition(), PartitionStatus::Healthy);
        assert!(world.node(i).registry().next_absent(&NodeId([0; 32])).is_none());
    }
    world.restart(dead[0], true, &[0]);
    world.run_for(seconds(60));
    assert_eq!(members(&world), (10, 10), "who comes back counts");
}
