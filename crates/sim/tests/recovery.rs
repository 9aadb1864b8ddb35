//! A process ends and starts again, with its disk or without: nothing acknowledged is lost, no
//! counter starts anew, no chain forks.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{agree_within, incr, key, ms, seconds, set, settled, shown, status};
use knhk_mesh_core::config::Config;
use knhk_mesh_core::messages::{Lane, Message};
use knhk_mesh_core::node::Phase;
use knhk_mesh_core::rng::Rng;
use knhk_mesh_core::telemetry::Event;
use knhk_mesh_sim::adversary::Kind;
use knhk_mesh_sim::{Network, World};

fn phase(world: &mut World, i: usize) -> Phase {
    status(world, i).phase
}

/// The counter `k` as `node` shows it.
fn count(world: &World, node: usize, k: &str) -> Option<i128> {
    world.node(node).counter(&key(k), world.clock().wall)
}

fn no_conviction(world: &World) {
    for i in 0..world.len() {
        let convicted = world.events(i).iter().any(|e| matches!(e, Event::Convicted(..)));
        assert!(!convicted, "node {i} convicted somebody");
    }
}

#[test]
fn a_node_without_its_disk_takes_its_records_back_before_it_writes() {
    let mut world = settled(5, Config::default(), 1);
    for i in 0..20 {
        world.write(0, &incr("n", 1));
        world.write(0, &set(&format!("k{i}"), "v"));
    }
    world.run_for(ms(10));
    agree_within(&mut world, seconds(2));
    assert_eq!(count(&world, 0, "n"), Some(20));
    let before = status(&mut world, 0).incarnation;
    world.kill(0);
    world.restart(0, false, &[1, 2, 3]);
    assert_eq!(phase(&mut world, 0), Phase::Recovering);
    let write = world.write(0, &incr("n", 1));
    assert!(world.outcome(0, write).is_none(), "it waits");
    assert_eq!(status(&mut world, 0).counters.merged, 0);
    world.run_for(seconds(1));
    let after = status(&mut world, 0);
    assert_eq!((after.phase, after.incarnation > before), (Phase::Ready, true));
    assert!(world.outcome(0, write).unwrap().is_ok());
    let recovered =
        |e: &&Event| matches!(e, Event::Recovered { peers: 3, records } if *records > 0);
    assert_eq!(world.events(0).iter().filter(recovered).count(), 1);
    agree_within(&mut world, seconds(2));
    for i in 0..5 {
        assert_eq!(count(&world, i, "n"), Some(21));
        assert_eq!(shown(&world, i, "k7").as_deref(), Some("v"));
    }
    no_conviction(&world);
}

#[test]
fn one_peer_is_enough_after_five_seconds() {
    let mut world = settled(2, Config::default(), 2);
    world.write(0, &incr("n", 3));
    world.run_for(seconds(1));
    world.kill(0);
    world.restart(0, false, &[1]);
    world.write(0, &incr("n", 1));
    world.run_for(ms(4_900));
    assert_eq!(phase(&mut world, 0), Phase::Recovering);
    world.run_for(ms(200));
    assert_eq!(phase(&mut world, 0), Phase::Ready);
    world.run_for(seconds(1));
    assert_eq!((count(&world, 0, "n"), count(&world, 1, "n")), (Some(4), Some(4)));
}

#[test]
fn one_peer_that_comes_and_goes_is_one_peer() {
    let mut world = settled(2, Config::default(), 3);
    world.kill(0);
    world.restart(0, false, &[1]);
    for _ in 0..4 {
        world.run_for(ms(500));
        world.unlink(0, 1);
        world.dial(0, 1);
    }
    assert_eq!(phase(&mut world, 0), Phase::Recovering);
    world.run_for(seconds(4));
    assert_eq!(phase(&mut world, 0), Phase::Ready);
}

#[test]
fn without_peers_it_waits_for_ever() {
    let mut world = settled(3, Config::default(), 4);
    world.write(0, &incr("n", 3));
    world.run_for(seconds(1));
    world.kill(0);
    world.network().split(1);
    world.restart(0, false, &[1, 2]);
    let write = world.write(0, &incr("n", 1));
    world.run_for(seconds(3_600));
    assert_eq!(phase(&mut world, 0), Phase::Recovering);
    assert!(world.outcome(0, write).is_none());
    world.heal(0);
    world.dial(0, 1);
    world.run_for(seconds(8));
    assert!(world.outcome(0, write).unwrap().is_ok());
    assert_eq!(count(&world, 1, "n"), Some(4));
}

#[test]
fn peers_that_never_answer_or_announce_too_much_delay_nothing() {
    let mut world = settled(7, Config::default(), 5);
    world.write(0, &incr("n", 3));
    world.run_for(seconds(1));
    world.kill(0);
    for silent in [5, 6] {
        world.corrupt(silent, Kind::Silent);
    }
    world.restart(0, false, &[5, 6, 4, 1, 2, 3]);
    world.write(0, &incr("n", 1));
    world.run_for(ms(4));
    let lie = Message::Recovered(u32::MAX).encode();
    world.inject(4, 0, Lane::Bulk, &lie);
    world.run_for(seconds(1));
    assert_eq!(phase(&mut world, 0), Phase::Ready, "three honest ones answered");
    assert_eq!(count(&world, 0, "n"), Some(4));
}

#[test]
fn what_was_announced_and_did_not_come_is_asked_for_again() {
    let mut world = settled(2, Config::default(), 6);
    world.write(0, &incr("n", 3));
    world.run_for(seconds(1));
    world.kill(0);
    world.restart(0, false, &[1]);
    world.run_for(ms(3));
    world.network().loss = 1.0;
    world.run_for(seconds(2));
    world.network().loss = 0.0;
    world.write(0, &incr("n", 1));
    world.run_for(seconds(12));
    assert_eq!(phase(&mut world, 0), Phase::Ready);
    assert_eq!(count(&world, 1, "n"), Some(4));
}

#[test]
fn all_nodes_without_their_disks_start_again() {
    let mut world = settled(4, Config::default(), 7);
    (0..4).for_each(|i| world.kill(i));
    for i in 0..4 {
        let others: Vec<usize> = (0..4).filter(|&j| j != i).collect();
        world.restart(i, false, &others);
    }
    // Each waits until the others have been up for 5 s, and asks every 5 s.
    world.run_for(seconds(11));
    assert!((0..4).all(|i| phase(&mut world, i) == Phase::Ready));
}

/// Three that know nothing yet are at hand at once; who holds the records comes later.
#[test]
fn who_started_together_with_it_does_not_answer_for_the_mesh() {
    let mut world = settled(5, Config::default(), 12);
    world.write(0, &incr("n", 3));
    world.run_for(seconds(6));
    (0..4).for_each(|i| world.kill(i));
    (1..4).for_each(|i| world.restart(i, true, &[]));
    world.restart(0, false, &[1, 2, 3]);
    let write = world.write(0, &incr("n", 1));
    world.run_for(seconds(1));
    assert_eq!(phase(&mut world, 0), Phase::Recovering);
    (1..4).for_each(|i| world.dial(i, 4));
    world.run_for(seconds(11));
    assert!(world.outcome(0, write).unwrap().is_ok());
    assert_eq!(count(&world, 4, "n"), Some(4));
}

#[test]
fn a_clock_that_was_set_back_mutes_nobody() {
    for with_disk in [true, false] {
        let mut world = settled(4, Config::default(), 8);
        world.write(0, &set("k", "before"));
        world.write(0, &incr("n", 3));
        agree_within(&mut world, seconds(2));
        let before = status(&mut world, 0).incarnation;
        world.kill(0);
        world.set_clock_error(0, -3_600_000);
        world.restart(0, with_disk, &[1, 2, 3]);
        world.write(0, &set("k", "after"));
        world.write(0, &incr("n", 1));
        world.run_for(seconds(2));
        let after = status(&mut world, 0);
        assert_eq!((after.phase, after.incarnation > before), (Phase::Ready, true), "{with_disk}");
        for i in 1..4 {
            assert_eq!(shown(&world, i, "k").as_deref(), Some("after"), "disk: {with_disk}");
            assert_eq!(count(&world, i, "n"), Some(4));
        }
        no_conviction(&world);
    }
}

/// Kills and starts nodes at random while all write, and checks what was acknowledged.
#[test]
fn fifty_starts_under_writes_fork_nothing_and_lose_nothing() {
    let (n, mut rng) = (6, Rng::new(9));
    let mut world = World::new(n, Config::default(), Network::default(), 9);
    world.run_for(seconds(3));
    // Per node and counter: what was acknowledged, and what was asked for.
    let mut asked = vec![0i128; n];
    let mut writes = Vec::new();
    for round in 0..50 {
        let (victim, with_disk) = (rng.below(n as u32) as usize, rng.chance(0.6));
        for (i, asked) in asked.iter_mut().enumerate() {
            let id = world.write(i, &incr(&format!("n{i}"), 1));
            *asked += 1;
            writes.push((i, id, world.now()));
        }
        world.run_for(ms(u64::from(rng.below(40))));
        if !with_disk {
            // What only the lost disk held is lost: let it spread first.
            world.run_for(ms(500));
        }
        world.kill(victim);
        world.run_for(ms(u64::from(rng.below(300))));
        let seeds: Vec<usize> = (0..n).filter(|&i| i != victim).collect();
        world.restart(victim, with_disk, &seeds);
        world.run_for(ms(200 + u64::from(rng.below(800))));
        // Who lost its disk waits for those who started lately themselves.
        let ready = |w: &mut World| (0..n).all(|i| phase(w, i) == Phase::Ready);
        let deadline = world.now() + seconds(15);
        while !ready(&mut world) {
            assert!(world.now() < deadline, "all are back in round {round}");
            world.run_for(ms(10));
        }
    }
    agree_within(&mut world, seconds(10));
    no_conviction(&world);
    for (i, &asked) in asked.iter().enumerate() {
        let ok = |w: &&(usize, _, _)| w.0 == i && matches!(world.outcome(i, w.1), Some(Ok(_)));
        let acknowledged = writes.iter().filter(ok).count() as i128;
        let shown = count(&world, (i + 1) % n, &format!("n{i}")).unwrap();
        assert!((acknowledged..=asked).contains(&shown), "{acknowledged} {shown} of node {i}");
        assert!(acknowledged > 40);
    }
}

/// What came back from peers is the own state again: it has to survive the next start.
#[test]
fn what_was_taken_back_is_on_disk_before_the_next_start() {
    let mut world = settled(5, Config::default(), 31);
    world.write(0, &incr("n", 20));
    for i in 0..5 {
        world.write(0, &set(&format!("k{i}"), "v"));
    }
    world.run_for(ms(10));
    agree_within(&mut world, seconds(2));
    world.kill(0);
    world.restart(0, false, &[1, 2, 3]);
    world.run_for(seconds(2));
    assert_eq!(phase(&mut world, 0), Phase::Ready);
    world.kill(0);
    world.restart(0, true, &[1, 2, 3]);
    let write = world.write(0, &incr("n", 1));
    world.run_for(seconds(2));
    assert!(world.outcome(0, write).unwrap().is_ok());
    agree_within(&mut world, seconds(2));
    for i in 0..5 {
        assert_eq!(count(&world, i, "n"), Some(21), "node {i}");
        assert!((0..5).all(|k| shown(&world, i, &format!("k{k}")).as_deref() == Some("v")));
    }
}

/// A backup is older than what peers hold: as with a lost disk, they are asked first.
#[test]
fn an_older_copy_of_the_disk_is_brought_up_to_date_before_the_first_write() {
    let mut world = settled(4, Config::default(), 32);
    world.write(0, &incr("n", 3));
    world.write(0, &set("k", "then"));
    world.run_for(seconds(1));
    let copy = world.disk(0);
    world.write(0, &incr("n", 4));
    world.write(0, &set("k", "later"));
    agree_within(&mut world, seconds(2));
    world.kill(0);
    world.restart_from(0, copy, &[1, 2, 3]);
    assert_eq!(phase(&mut world, 0), Phase::Recovering);
    assert_eq!((count(&world, 0, "n"), shown(&world, 0, "k").as_deref()), (Some(3), Some("then")));
    let write = world.write(0, &incr("n", 1));
    assert!(world.outcome(0, write).is_none(), "it waits");
    world.run_for(seconds(2));
    assert!(world.outcome(0, write).unwrap().is_ok());
    agree_within(&mut world, seconds(2));
    for i in 0..4 {
        assert_eq!(count(&world, i, "n"), Some(8), "node {i}");
        assert_eq!(shown(&world, i, "k").as_deref(), Some("later"), "node {i}");
    }
    no_conviction(&world);
}

/// The one peer that answered in time did not have the newest: what another one brings later goes
/// to the disk as well.
#[test]
fn what_comes_back_after_the_recovery_survives_the_next_start_too() {
    let mut world = settled(3, Config::default(), 33);
    world.write(1, &incr("n", 3));
    agree_within(&mut world, seconds(2));
    world.split(1);
    world.write(1, &incr("n", 4));
    world.run_for(seconds(1));
    assert_eq!((count(&world, 0, "n"), count(&world, 2, "n")), (Some(3), Some(7)));
    world.kill(1);
    world.heal(0);
    world.split(2);
    world.restart(1, false, &[0]);
    world.run_for(seconds(6));
    assert_eq!((phase(&mut world, 1), count(&world, 1, "n")), (Phase::Ready, Some(3)));
    world.heal(1);
    world.run_for(seconds(10));
    assert_eq!(count(&world, 1, "n"), Some(7));
    world.kill(1);
    world.restart(1, true, &[]);
    assert_eq!(count(&world, 1, "n"), Some(7), "from its own disk");
}

/// Liars that dial a node as it starts can answer before anybody honest does.
#[test]
fn liars_who_say_that_there_is_nothing_do_not_end_the_search() {
    let mut world = settled(12, Config::default(), 31);
    world.write(0, &set("mine", "v"));
    world.write(0, &incr("n", 3));
    world.run_for(seconds(1));
    (4..8).for_each(|liar| world.corrupt(liar, Kind::ColdBoot));
    world.kill(0);
    world.restart(0, false, &[]);
    (4..8).for_each(|liar| world.dial(liar, 0));
    let write = world.write(0, &set("other", "v"));
    world.write(0, &incr("n", 1));
    world.run_for(ms(500));
    assert_eq!(phase(&mut world, 0), Phase::Recovering, "four have answered");
    world.dial(0, 4);
    [1, 2].into_iter().for_each(|seed| world.dial(0, seed));
    world.run_for(ms(500));
    assert_eq!(phase(&mut world, 0), Phase::Ready, "three seeds have, a liar among them");
    assert!(world.outcome(0, write).unwrap().is_ok());
    world.run_for(seconds(1));
    for i in [0, 1, 2, 3, 8, 9, 10, 11] {
        assert_eq!(count(&world, i, "n"), Some(4), "node {i}");
        assert_eq!(shown(&world, i, "mine").as_deref(), Some("v"), "node {i}");
        assert_eq!(shown(&world, i, "other").as_deref(), Some("v"), "node {i}");
    }
    no_conviction(&world);
}
