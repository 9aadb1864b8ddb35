//! An evil twin signs other frames with the key of a node. Two headers that cannot both be honest
//! are a proof that anybody can check: the fork is convicted everywhere, and nobody else is.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Author, agree_within, neighbour, seconds, set, settled, shown, status};
use knhk_mesh_core::config::Config;
use knhk_mesh_core::error::WriteError;
use knhk_mesh_core::frame::Slot;
use knhk_mesh_core::messages::Lane;
use knhk_mesh_core::node::Phase;
use knhk_mesh_core::telemetry::Event;
use knhk_mesh_sim::{NodeIx, World};

/// A second author with the key of node `of`, at the beginning of the node's incarnation.
fn twin(world: &mut World, of: NodeIx) -> Author {
    let incarnation = status(world, of).incarnation;
    Author::new(&world.secret(of), incarnation.0)
}

fn convictions(world: &World, at: NodeIx) -> Vec<knhk_mesh_core::identity::NodeId> {
    let convicted = |e: &Event| match e {
        Event::Convicted(node, _) => Some(*node),
        _ => None,
    };
    world.events(at).iter().filter_map(convicted).collect()
}

#[test]
fn a_fork_is_convicted_everywhere_and_its_records_vanish() {
    for seed in 0..5 {
        let mut world = settled(30, Config::default(), seed);
        world.write(7, &set("mine", "v"));
        agree_within(&mut world, seconds(2));
        assert_eq!(shown(&world, 3, "mine").as_deref(), Some("v"));
        let (evil, before) = (world.id(7), status(&mut world, 7).incarnation);
        let frame = twin(&mut world, 7).set(&world, 40, "evil", "v");
        world.inject(neighbour(&world, 20), 20, Lane::Delta, &frame);
        // log2(30) + 3 rounds of the update, two more for the proof.
        let start = world.now();
        let all = |w: &mut World| (0..30).all(|i| convictions(w, i) == [evil]);
        assert!(world.run_until(start + common::ms(1_000), all), "all convict in 10 rounds");
        for i in 0..30 {
            assert!(shown(&world, i, "evil").is_none() && shown(&world, i, "mine").is_none());
        }
        // The owner of the key goes on in an incarnation that nobody forked.
        world.run_for(seconds(2));
        let after = status(&mut world, 7);
        assert!(after.phase == Phase::Ready && after.incarnation > before);
        world.write(7, &set("mine", "again"));
        agree_within(&mut world, seconds(3));
        assert!((0..30).all(|i| shown(&world, i, "mine").as_deref() == Some("again")));
        assert!((0..30).all(|i| convictions(&world, i) == [evil]), "only the fork, only once");
        assert!((0..30).all(|i| world.node(i).registry().members() == 30));
    }
}

#[test]
fn what_the_twin_brings_to_another_corner_at_the_same_time_changes_nothing() {
    let mut world = settled(10, Config::default(), 9);
    let mut a = Author::new(&[9; 32], 1);
    let mut b = Author::new(&[9; 32], 1);
    let (one, other) = (a.set(&world, 16, "k", "one"), b.set(&world, 16, "k", "other"));
    world.inject(0, 1, Lane::Delta, &one);
    world.inject(5, 6, Lane::Delta, &other);
    agree_within(&mut world, seconds(3));
    assert!((0..10).all(|i| shown(&world, i, "k").is_none() && convictions(&world, i).len() == 1));
}

#[test]
fn three_convictions_convict_the_key_itself() {
    let mut world = settled(8, Config::default(), 10);
    let id = world.id(3);
    for _ in 0..3 {
        let frame = twin(&mut world, 3).set(&world, 40, "evil", "v");
        world.inject(4, 5, Lane::Delta, &frame);
        world.run_for(seconds(3));
    }
    world.run_for(seconds(5));
    let roots = world.roots((0..8).filter(|&i| i != 3));
    assert!(roots.windows(2).all(|pair| pair[0] == pair[1]));
    for i in (0..8).filter(|&i| i != 3) {
        assert!(world.node(i).store().is_convicted(&id));
        assert!(world.node(i).store().entry_at(&id, Slot::MEMBER).is_none());
        assert_eq!(world.node(i).registry().members(), 7, "it is a member no more");
        assert!(world.node(i).registry().by_id(&id).is_none(), "and has no link");
    }
    world.dial(3, 0);
    world.dial(0, 3);
    world.run_for(seconds(20));
    assert!(world.links().all(|(a, b)| a != 3 && b != 3), "nobody links with it");
    world.write(0, &set("k", "v"));
    world.run_for(seconds(1));
    assert!((0..8).filter(|&i| i != 3).all(|i| shown(&world, i, "k").as_deref() == Some("v")));
}

#[test]
fn writes_that_wait_for_a_convicted_key_are_told() {
    let mut world = settled(3, Config::default(), 11);
    for _ in 0..2 {
        let frame = twin(&mut world, 0).set(&world, 40, "evil", "v");
        world.inject(1, 0, Lane::Delta, &frame);
        world.run_for(seconds(1));
    }
    let frame = twin(&mut world, 0).set(&world, 40, "evil", "v");
    let ids: Vec<_> = (0..3).map(|i| world.write(0, &set("k", &i.to_string()))).collect();
    world.inject(1, 0, Lane::Delta, &frame);
    assert_eq!(world.outcome(0, ids[2]), Some(&Err(WriteError::Convicted)));
    assert_eq!(status(&mut world, 0).phase, Phase::Convicted);
    let late = world.write(0, &set("k", "v"));
    assert_eq!(world.outcome(0, late), Some(&Err(WriteError::Convicted)));
}
