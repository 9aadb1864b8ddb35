//! Who is there and who is linked with whom: joining, leaving, rotation, and the bounds of both.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use core::time::Duration;
use std::collections::BTreeSet;

use bytes::Bytes;
use common::{Author, agree_within, neighbour, seconds, set, settled, shown, status};
use knhk_mesh_core::config::Config;
use knhk_mesh_core::frame::{Kind, RecordHead, Slot};
use knhk_mesh_core::membership::Member;
use knhk_mesh_core::messages::Lane;
use knhk_mesh_core::node::Phase;
use knhk_mesh_core::time::Hlc;
use knhk_mesh_sim::{Network, World};
use proptest::prelude::*;

fn chosen(world: &World, i: usize) -> usize {
    world.node(i).links().chosen()
}

/// Links whose peer is in the directory.
fn linked(world: &World, i: usize) -> usize {
    let node = world.node(i);
    node.links().iter().filter(|link| node.registry().get(link.peer).is_some()).count()
}

fn is_connected(world: &World) -> bool {
    let mut seen = BTreeSet::from([0]);
    let links: Vec<_> = world.links().collect();
    for _ in 0..world.len() {
        for &(a, b) in &links {
            if seen.contains(&a) || seen.contains(&b) {
                seen.extend([a, b]);
            }
        }
    }
    seen.len() == world.len()
}

#[test]
fn who_leaves_is_gone_everywhere_and_its_records_stay() {
    let mut world = settled(6, Config::default(), 1);
    world.write(2, &set("k", "v"));
    world.write(2, &set("k2", "v2"));
    world.leave(2);
    world.run_for(seconds(2));
    let gone = world.id(2);
    for i in (0..6).filter(|&i| i != 2) {
        assert_eq!(world.node(i).registry().members(), 5);
        assert_eq!(status(&mut world, i).links, linked(&world, i), "no link hangs");
        assert!(world.node(i).registry().by_id(&gone).is_none());
        let left = |e: &&_| **e == knhk_mesh_core::telemetry::Event::MemberLeft(gone);
        assert_eq!(world.events(i).iter().filter(left).count(), 1);
        assert_eq!(shown(&world, i, "k2").as_deref(), Some("v2"), "what waited went with it");
    }
    assert!(world.links().all(|(a, b)| a != 2 && b != 2));
    assert_eq!(status(&mut world, 2).phase, Phase::Left);
    let write = world.write(2, &set("k", "late"));
    assert!(world.outcome(2, write).unwrap().is_err());
    // It comes back as a new process.
    world.kill(2);
    world.restart(2, true, &[0, 1]);
    world.run_for(seconds(3));
    assert!((0..6).all(|i| world.node(i).registry().members() == 6));
}

#[test]
fn fifty_join_and_keep_their_links_within_bounds() {
    let config = Config { chosen_links: 6, max_links: 20, ..Config::default() };
    let mut world = World::new(50, config, Network::default(), 2);
    for _ in 0..30 {
        world.run_for(seconds(4));
        for i in 0..50 {
            assert!(status(&mut world, i).links <= 20, "node {i}");
            assert_eq!(status(&mut world, i).links, linked(&world, i));
        }
        assert!(is_connected(&world));
    }
    for i in 0..50 {
        assert_eq!(world.node(i).registry().members(), 50);
        assert!((6..=7).contains(&chosen(&world, i)), "{} of node {i}", chosen(&world, i));
    }
    assert!(world.agrees());
}

#[test]
fn rotation_replaces_links_and_cuts_nobody_off() {
    let config = Config { chosen_links: 4, ..Config::default() };
    let mut world = settled(30, config, 3);
    let before: BTreeSet<_> = world.links().collect();
    for _ in 0..60 {
        world.run_for(seconds(5));
        assert!(is_connected(&world));
    }
    let after: BTreeSet<_> = world.links().collect();
    assert!(before.intersection(&after).count() * 2 < before.len(), "most were replaced");
    assert!((0..30).all(|i| chosen(&world, i) >= 4));
}

#[test]
fn a_full_node_takes_no_more_links_but_keeps_room_for_its_own_choice() {
    let config = Config { chosen_links: 3, max_links: 6, ..Config::default() };
    let mut world = World::new(20, config, Network::default(), 4);
    for _ in 0..10 {
        (1..20).for_each(|i| world.dial(i, 0));
        world.run_for(seconds(2));
        assert!(status(&mut world, 0).links <= 6);
        assert!(world.links().filter(|&(a, _)| a == 0).count() <= 6);
    }
    assert!(chosen(&world, 0) >= 3, "those who fill it do not choose for it");
    world.run_for(seconds(5));
    assert!((0..20).all(|i| world.node(i).registry().members() == 20) && world.agrees());
}

#[test]
fn a_death_is_no_leave_and_links_are_chosen_anew() {
    let config = Config { chosen_links: 4, ..Config::default() };
    let mut world = settled(12, config, 5);
    (9..12).for_each(|i| world.kill(i));
    world.run_for(seconds(10));
    assert!((0..9).all(|i| world.node(i).registry().members() == 12));
    // A rotation's other end may miss one link for a moment.
    let mut complete = 0;
    for _ in 0..40 {
        world.run_for(Duration::from_millis(250));
        assert!((0..9).all(|i| chosen(&world, i) >= 3));
        complete += usize::from((0..9).all(|i| chosen(&world, i) >= 4));
    }
    assert!(complete >= 20, "a lost link is made up for: all were complete {complete} times of 40");
}

/// A member record with this payload, of an author outside.
fn member_frame(world: &World, secret: u8, payload: &[u8]) -> Bytes {
    let head = RecordHead::new(Slot::MEMBER, Kind::MEMBER, Hlc::at(world.clock().wall));
    Author::new(&[secret; 32], 1).frame(world, &[head.encode(payload)]).bytes().clone()
}

#[test]
fn a_member_record_of_garbage_is_stored_and_makes_no_member() {
    let mut world = settled(3, Config::default(), 6);
    let good = Member {
        left: false,
        wire_version: 1,
        region: "r".into(),
        zone: String::new(),
        addresses: vec!["127.0.0.1:1".parse().unwrap()],
    };
    let mut worse = good.encode();
    worse[0] = 2;
    for (secret, payload) in [(1, b"garbage".to_vec()), (2, Vec::new()), (3, worse)] {
        let frame = member_frame(&world, secret, &payload);
        world.inject(neighbour(&world, 0), 0, Lane::Delta, &frame);
    }
    agree_within(&mut world, seconds(2));
    assert!((0..3).all(|i| world.node(i).registry().members() == 3));
    assert!((0..3).all(|i| world.node(i).store().author_count() == 6), "acceptance is not taste");
    let frame = member_frame(&world, 4, &good.encode());
    world.inject(neighbour(&world, 0), 0, Lane::Delta, &frame);
    agree_within(&mut world, seconds(2));
    assert!((0..3).all(|i| world.node(i).registry().members() == 4));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    #[test]
    fn no_member_record_does_harm(payload in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut world = World::new(2, Config::default(), Network::default(), 7);
        world.run_for(seconds(1));
        let frame = member_frame(&world, 1, &payload);
        world.inject(1, 0, Lane::Delta, &frame);
        let members = world.node(0).registry().members();
        let is_member = Member::decode(&payload).is_ok_and(|member| !member.left);
        prop_assert_eq!(members, 2 + usize::from(is_member));
        world.run_for(seconds(1));
        prop_assert!(world.agrees());
    }
}
