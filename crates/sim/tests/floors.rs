//! Floors: what an author published again is dropped below its floor everywhere, and never taken
//! again, whoever was apart for however long.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{agree_within, incr, key, neighbour, seconds, set, settled, shown};
use knhk_mesh_core::config::Config;
use knhk_mesh_core::crdt::Op;
use knhk_mesh_core::error::Refused;
use knhk_mesh_core::identity::{Incarnation, Seq};
use knhk_mesh_core::messages::Lane;
use knhk_mesh_sim::World;

fn floor(world: &World, of: usize, at: usize) -> (Incarnation, Seq) {
    world.node(at).store().head(&world.id(of)).unwrap().fields.floor
}

/// Node 0 wrote five keys, deleted two, and its process started again.
fn restarted(seed: u64) -> World {
    // Slow rounds: hours pass in this file.
    let config = Config { interval: seconds(1), ..Config::default() };
    let mut world = settled(6, config, seed);
    for i in 0..5 {
        world.write(0, &set(&format!("k{i}"), "v"));
    }
    world.write(0, &incr("n", 7));
    world.run_for(seconds(20));
    world
}

fn restart(world: &mut World) {
    world.kill(0);
    world.restart(0, true, &[1, 2, 3]);
    world.run_for(seconds(2));
}

#[test]
fn records_of_earlier_starts_are_published_again_and_the_floor_rises_a_minute_later() {
    let mut world = restarted(1);
    restart(&mut world);
    let incarnation = common::status(&mut world, 0).incarnation;
    assert!(floor(&world, 0, 3) < (incarnation, Seq(0)));
    let of_this_start = |w: &World, at: usize| {
        let store = w.node(at).store();
        let own = store.entries_by(&w.id(0)).into_iter().filter_map(|e| store.contribution(e));
        own.map(|c| c.incarnation == incarnation).collect::<Vec<_>>()
    };
    assert!(!of_this_start(&world, 3).iter().all(|&new| new));
    let deadline = world.now() + seconds(3_700);
    let again = |w: &mut World| of_this_start(w, 3).iter().all(|&new| new);
    assert!(world.run_until(deadline, again), "within the hour");
    let published = world.now();
    assert!(floor(&world, 0, 3) < (incarnation, Seq(0)), "the copies come first");
    let raised = |w: &mut World| (0..6).all(|i| floor(w, 0, i).0 == incarnation);
    assert!(world.run_until(published + seconds(65), raised));
    assert!(world.now().since(published) >= seconds(59));
    agree_within(&mut world, seconds(20));
    for i in 0..6 {
        assert_eq!(shown(&world, i, "k3").as_deref(), Some("v"));
        assert_eq!(world.node(i).counter(&key("n"), world.clock().wall), Some(7));
    }
    // Nothing to do any more: no hourly traffic for its own sake.
    let seq = |w: &World| w.node(1).store().head(&w.id(0)).unwrap().fields.seq_lo;
    let before = seq(&world);
    world.run_for(seconds(2 * 3_600));
    assert_eq!(seq(&world), before);
}

#[test]
fn who_was_apart_for_three_hours_drops_what_lies_below_and_never_takes_it_again() {
    let mut world = restarted(2);
    // What node 5 would send on for ever: the old records, as repair carries them.
    let old = {
        let store = world.node(5).store();
        store.export(&store.entries_by(&world.id(0)), usize::MAX).messages
    };
    world.split(3);
    for i in 0..4 {
        world.write(0, &Op::Delete { key: key(&format!("k{i}")) });
    }
    world.run_for(seconds(1));
    restart(&mut world);
    world.run_for(seconds(3 * 3_600));
    let raised = floor(&world, 0, 1);
    assert!(raised > floor(&world, 0, 5));
    let slots = |w: &World, at: usize| w.node(at).store().entries_by(&w.id(0)).len();
    assert!(slots(&world, 1) < slots(&world, 5), "tombstones went too");
    assert_eq!(shown(&world, 5, "k0").as_deref(), Some("v"), "apart");
    world.heal(3);
    agree_within(&mut world, seconds(60));
    for i in 0..6 {
        assert_eq!(floor(&world, 0, i), raised);
        assert!((0..4).all(|k| shown(&world, i, &format!("k{k}")).is_none()), "node {i}");
        assert_eq!(shown(&world, i, "k4").as_deref(), Some("v"));
        assert_eq!(world.node(i).counter(&key("n"), world.clock().wall), Some(7));
    }
    let roots = world.roots(0..6);
    let via = neighbour(&world, 5);
    for message in &old {
        world.inject(via, 5, Lane::Bulk, message);
    }
    assert_eq!(world.roots(0..6), roots, "what is below stays below");
    assert!(world.node(5).counters().refused_for(Refused::Floored) > 0);
}

#[test]
fn a_floor_that_was_planned_by_an_earlier_start_is_not_raised_by_the_next() {
    let mut world = restarted(3);
    restart(&mut world);
    let incarnation = common::status(&mut world, 0).incarnation;
    let seen = |w: &mut World| {
        let store = w.node(0).store();
        let slots = store.entries_by(&w.id(0));
        slots
            .into_iter()
            .filter_map(|e| store.contribution(e))
            .all(|c| c.incarnation == incarnation)
    };
    let deadline = world.now() + seconds(3_700);
    assert!(world.run_until(deadline, seen));
    restart(&mut world);
    world.run_for(seconds(120));
    assert!(floor(&world, 0, 0).0 < incarnation);
    assert_eq!(shown(&world, 2, "k0").as_deref(), Some("v"));
    world.run_for(seconds(2 * 3_600));
    assert!(floor(&world, 0, 0).0 > incarnation);
    assert!((0..5).all(|k| shown(&world, 2, &format!("k{k}")).as_deref() == Some("v")));
}
