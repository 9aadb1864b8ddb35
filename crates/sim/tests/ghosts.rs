//! Who left, who was purged, and who was forgotten: gone from the lists, from n and from the state,
//! and not brought back by anybody's old copy.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{agree_within, seconds, set, settled, shown, status};
use knhk_mesh_core::config::{Config, Detect, Mode};
use knhk_mesh_core::frame::Slot;
use knhk_mesh_core::identity::{Genesis, Incarnation, Limits};
use knhk_mesh_core::telemetry::Event;
use knhk_mesh_sim::NodeIx;

fn watching() -> Config {
    Config { detect: Detect::Fast, mode: Mode::ReadOnly, ..Config::default() }
}

#[test]
fn ninety_short_lives_pass_through_a_mesh_of_sixteen_authors() {
    let limits = Limits { max_authors: 16, ..Limits::default() };
    let genesis = Genesis { limits, ..Genesis::default() };
    let mut world = settled(6, Config { genesis, ..watching() }, 1);
    for turn in 0..10 {
        let fresh: Vec<NodeIx> = (0..9).map(|_| world.add()).collect();
        fresh.iter().for_each(|&i| world.dial(i, 0));
        world.run_for(seconds(4));
        assert_eq!(world.node(0).registry().members(), 15, "all come in, turn {turn}");
        for &i in &fresh {
            world.write(i, &set(&format!("of-{i}"), "v"));
            world.run_for(seconds(1));
            world.purge(i);
        }
        world.run_for(seconds(2));
        fresh.iter().for_each(|&i| world.kill(i));
    }
    agree_within(&mut world, seconds(20));
    for i in 0..6 {
        assert_eq!(world.node(i).registry().members(), 6);
        let store = world.node(i).store();
        assert_eq!((store.author_count(), store.departed_count()), (22, 16));
        assert!((6..world.len()).all(|j| shown(&world, i, &format!("of-{j}")).is_none()));
    }
    println!("90 lives: {} authors, {} entries a node", 22, world.node(0).store().len());
}

#[test]
fn a_purge_takes_the_records_and_a_goodbye_leaves_them() {
    let mut world = settled(5, watching(), 2);
    world.write(3, &set("three", "3"));
    world.write(4, &set("four", "4"));
    world.run_for(seconds(2));
    // Node 0 is away and comes back with the old state.
    world.split(1);
    world.leave(3);
    world.purge(4);
    world.run_for(seconds(20));
    [3, 4].iter().for_each(|&i| world.kill(i));
    world.heal(1);
    world.run_for(seconds(10));
    agree_within(&mut world, seconds(10));
    let goodbye = [3, 4].map(|i| world.id(i));
    for i in 0..3 {
        assert_eq!(world.node(i).registry().members(), 3, "node {i}");
        assert_eq!(shown(&world, i, "three").as_deref(), Some("3"));
        assert_eq!(shown(&world, i, "four"), None, "no old copy brings it back to node {i}");
        let told = world.events(i).iter().filter(|event| match event {
            Event::MemberLeft(id) | Event::MemberLost(id) => goodbye.contains(id),
            _ => false,
        });
        assert_eq!(told.count(), 2, "once each, node {i}");
    }
    world.restart(4, true, &[0]);
    world.run_for(seconds(10));
    assert_eq!(shown(&world, 4, "four"), None, "not even its own disk does");
    world.write(4, &set("four", "again"));
    world.run_for(seconds(2));
    assert_eq!(shown(&world, 0, "four").as_deref(), Some("again"));
    assert_eq!(world.node(0).registry().members(), 4);
}

#[test]
fn who_is_forgotten_is_gone_everywhere_and_may_come_back_as_somebody_new() {
    let mut world = settled(10, watching(), 3);
    world.write(9, &set("ghost", "v"));
    world.run_for(seconds(2));
    let (dead, node) = (9, world.id(9));
    world.kill(dead);
    world.run_for(seconds(1));
    world.split(2);
    world.run_for(seconds(2));
    let up_to = world.node(5).store().record(&node, Slot::MEMBER).unwrap().incarnation;
    (2..9).for_each(|i| world.deny(i, node, up_to));
    world.run_for(seconds(20));
    assert!((2..9).all(|i| shown(&world, i, "ghost").is_none()));
    assert!((2..9).all(|i| world.node(i).registry().members() == 9), "n without it");
    assert_eq!(shown(&world, 0, "ghost").as_deref(), Some("v"), "nobody told those yet");
    world.heal(2);
    world.run_for(seconds(10));
    assert!((2..9).all(|i| shown(&world, i, "ghost").is_none()), "and they revive nothing");
    (0..2).for_each(|i| world.deny(i, node, up_to));
    agree_within(&mut world, seconds(10));
    assert!((0..9).all(|i| world.node(i).registry().members() == 9));
    assert!((0..9).all(|i| world.node(i).store().record(&node, Slot::MEMBER).is_none()));
    // Its disk knows nothing of it; its first links tell.
    world.restart(dead, true, &[0]);
    world.run_for(seconds(1));
    world.deny(dead, node, up_to);
    world.run_for(seconds(10));
    agree_within(&mut world, seconds(10));
    assert!((0..10).all(|i| world.node(i).registry().members() == 10), "a new member");
    assert_eq!(shown(&world, dead, "ghost"), None);
    assert!(status(&mut world, dead).incarnation > up_to);
}

#[test]
fn a_live_node_that_is_forgotten_starts_anew() {
    let mut world = settled(5, watching(), 4);
    world.write(2, &set("before", "v"));
    world.run_for(seconds(2));
    let (node, up_to) = (world.id(2), Incarnation(status(&mut world, 2).incarnation.0 + 1_000));
    (0..5).for_each(|i| world.deny(i, node, up_to));
    world.run_for(seconds(5));
    world.write(2, &set("after", "v"));
    world.run_for(seconds(5));
    agree_within(&mut world, seconds(10));
    for i in 0..5 {
        assert_eq!(world.node(i).registry().members(), 5, "node {i}");
        assert_eq!(shown(&world, i, "before"), None);
        assert_eq!(shown(&world, i, "after").as_deref(), Some("v"));
    }
    assert!(status(&mut world, 2).incarnation > up_to);
}

#[test]
fn joined_lost_and_left_are_told_at_transitions_only() {
    for seed in 10..13 {
        let mut world = settled(8, watching(), seed);
        let mut rng = knhk_mesh_core::rng::Rng::new(seed);
        let mut left = Vec::new();
        for _ in 0..40 {
            let i = 1 + rng.below(world.len() as u32 - 1) as usize;
            match (rng.below(6), world.is_up(i)) {
                (0, true) => world.kill(i),
                (1, true) if !left.contains(&i) && left.len() < 4 => {
                    world.leave(i);
                    left.push(i);
                }
                (2, _) => drop(world.add()),
                (3, _) => world.split(2),
                (4, _) => world.heal(2),
                (_, false) if !left.contains(&i) => world.restart(i, true, &[0]),
                _ => {}
            }
            world.run_for(seconds(5 + u64::from(rng.below(90))));
        }
        let mut listed = std::collections::BTreeMap::new();
        for event in world.events(0) {
            match event {
                Event::MemberJoined(id) => {
                    assert_ne!(listed.insert(*id, true), Some(true), "joined twice, seed {seed}");
                }
                Event::MemberLost(id) => {
                    assert_eq!(listed.insert(*id, false), Some(true), "lost twice, seed {seed}");
                }
                Event::MemberLeft(id) => {
                    // Lost or not: it was a member until now.
                    assert!(listed.remove(id).is_some(), "left twice, seed {seed}");
                }
                _ => {}
            }
        }
        let lists = |id| world.node(0).registry().by_id(id).is_some();
        assert!(listed.iter().all(|(id, is)| lists(id) == *is), "the sum is the list");
        assert!(listed.values().any(|is| *is));
    }
}
