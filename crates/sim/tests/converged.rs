//! The answer to "converged?", the lag, and how often an idle mesh speaks.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{agree_within, ms, seconds, set, settled, shown, status};
use core::time::Duration;
use knhk_mesh_core::config::{Config, Lanes};
use knhk_mesh_core::messages::Lane;
use knhk_mesh_sim::{Network, World};

fn rounds(world: &World) -> u64 {
    (0..world.len()).map(|i| u64::from(world.node(i).counters().rounds)).sum()
}

#[test]
fn without_links_nothing_is_known_to_be_converged() {
    let mut world = World::new(1, Config::default(), Network::default(), 1);
    world.run_for(seconds(5));
    assert!(!status(&mut world, 0).converged);
}

#[test]
fn agreement_is_convergence_and_a_split_is_not() {
    let mut world = settled(6, Config::default(), 2);
    assert!((0..6).all(|i| status(&mut world, i).converged));
    assert!((0..6).all(|i| status(&mut world, i).lag == Duration::ZERO));
    world.kill(1);
    world.split(1);
    world.run_for(seconds(10));
    assert!(!status(&mut world, 0).converged, "its links are gone");
    assert!((2..6).all(|i| status(&mut world, i).converged));
}

#[test]
fn links_that_name_other_roots_are_no_convergence() {
    let mut world = settled(5, Config::default(), 3);
    let forged = {
        use knhk_mesh_core::{
            digest::Root,
            frame::Class,
            messages::{Digest, Message},
        };
        let (class, reply, root, count) = (Class::Cell, true, Root([9; 32]), 3);
        Message::Digest(Digest { class, reply, root, count, wall: world.clock().wall }).encode()
    };
    world.inject(1, 0, Lane::Digest, &forged);
    assert!(!status(&mut world, 0).converged, "one of four is less than 99 %");
    world.run_for(seconds(5));
    assert!(status(&mut world, 0).converged, "its next word is the true one");
}

#[test]
fn the_lag_of_a_peer_that_stays_behind_grows() {
    let config = Config { lanes: Lanes::Repair, ..Config::default() };
    let mut world = settled(2, config, 4);
    world.run_for(seconds(1));
    // Node 1 hears nothing new, and says so again and again.
    let stale = {
        use knhk_mesh_core::{
            frame::Class,
            messages::{Digest, Message},
        };
        let (class, reply, root, wall) =
            (Class::Cell, true, world.roots([1])[0], world.clock().wall);
        Message::Digest(Digest { class, reply, root, count: 4, wall }).encode()
    };
    world.network().loss = 1.0;
    world.write(0, &set("k", "v"));
    let mut last = Duration::ZERO;
    for _ in 0..20 {
        world.run_for(ms(100));
        world.inject(1, 0, Lane::Digest, &stale);
        let status = status(&mut world, 0);
        assert!(status.converged, "it named one of the last 16 roots: it is only behind");
        assert!(status.lag > last);
        last = status.lag;
    }
    assert!(last >= seconds(1));
    world.network().loss = 0.0;
    agree_within(&mut world, seconds(3));
    world.run_for(seconds(1));
    assert_eq!(status(&mut world, 0).lag, Duration::ZERO);
}

#[test]
fn an_idle_mesh_falls_silent_and_one_write_wakes_it() {
    let mut world = settled(8, Config { chosen_links: 3, ..Config::default() }, 5);
    // No rotation for a while would be another mesh: links greet, they do not wake.
    world.run_for(seconds(10));
    let before = rounds(&world);
    world.run_for(seconds(60));
    let idle = rounds(&world) - before;
    // 1.6 s is 16 intervals: 37 to 42 rounds a node and minute, 600 without back-off.
    assert!((8 * 30..8 * 60).contains(&idle), "{idle} rounds of eight nodes in a minute");
    world.write(0, &set("k", "v"));
    let before = rounds(&world);
    world.run_for(seconds(1));
    let awake = rounds(&world) - before;
    assert!(awake >= 8 * 3, "{awake} rounds in the second after a write");
    assert!((0..8).all(|i| shown(&world, i, "k").is_some()));
    world.run_for(seconds(10));
    let before = rounds(&world);
    world.run_for(seconds(60));
    assert!(rounds(&world) - before < 8 * 60, "and sleeps again");
}

/// With many links each is seldom heard from while all back off: that nobody spoke for a while is
/// no reason to hurry, or one node after the other goes on at full rate until the next write.
#[test]
fn silence_wakes_nobody_in_an_idle_mesh() {
    let mut world = settled(40, Config { chosen_links: 6, ..Config::default() }, 5);
    world.run_for(seconds(10));
    let each = |world: &World| (0..40).map(|i| world.node(i).counters().rounds).collect::<Vec<_>>();
    let before = each(&world);
    world.run_for(seconds(120));
    let most = each(&world).iter().zip(&before).map(|(now, before)| now - before).max();
    // 16 intervals of 100 ms with their jitter: 84 rounds at most, 1,200 without back-off.
    assert!(most.is_some_and(|most| most < 100), "{most:?} rounds in two minutes");
}

/// Milliseconds between the rounds of a node that a write of its peer wakes.
fn gaps_after_a_write(config: Config) -> Vec<u128> {
    let mut world = settled(2, config, 6);
    world.run_for(seconds(10));
    world.write(0, &set("k", "v"));
    let mut gaps = Vec::new();
    let (mut last, mut seen) = (world.now(), world.node(1).counters().rounds);
    while gaps.len() < 14 {
        let next = |w: &mut World| w.node(1).counters().rounds > seen;
        let deadline = world.now() + seconds(3);
        assert!(world.run_until(deadline, next));
        gaps.push(world.now().since(last).as_millis());
        (last, seen) = (world.now(), world.node(1).counters().rounds);
    }
    gaps
}

#[test]
fn the_interval_doubles_step_by_step() {
    let gaps = gaps_after_a_write(Config::default());
    assert!(gaps[0] <= 110, "one write wakes it: {gaps:?}");
    assert!(gaps.last().is_some_and(|&gap| (1_400..=1_600).contains(&gap)), "{gaps:?}");
    let doubled = gaps.windows(2).filter(|pair| pair[1] * 10 > pair[0] * 17).count();
    assert_eq!(doubled, 4, "100, 200, 400, 800, 1600: {gaps:?}");
}

#[test]
fn without_the_tree_the_rounds_stay_at_full_rate_for_a_while() {
    let gaps = gaps_after_a_write(Config { lanes: Lanes::Repair, ..Config::default() });
    assert!(gaps[1..5].iter().all(|&gap| gap <= 110), "{gaps:?}");
    assert!(gaps.last().is_some_and(|&gap| (1_400..=1_600).contains(&gap)), "{gaps:?}");
}
