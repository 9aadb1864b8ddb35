//! A watcher hears of each change of a view once: own writes, those of others, deletions, and what
//! convictions and floors take away.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Author, incr, key, ms, neighbour, seconds, set, settled, shown, status};
use knhk_mesh_core::config::Config;
use knhk_mesh_core::crdt::{Family, Op};
use knhk_mesh_core::messages::Lane;
use knhk_mesh_sim::World;

/// What changed since the last call, at each node.
fn changes(world: &mut World) -> Vec<Vec<(Family, String)>> {
    let text = |k: Vec<u8>| String::from_utf8(k).unwrap();
    let of = |w: &mut World, i| w.take_changes(i).into_iter().map(|(f, k)| (f, text(k))).collect();
    (0..world.len()).map(|i| of(world, i)).collect()
}

fn only(family: Family, k: &str) -> Vec<(Family, String)> {
    vec![(family, k.to_owned())]
}

#[test]
fn each_write_is_told_once_at_each_node_also_at_its_writer() {
    let mut world = settled(5, Config::default(), 1);
    changes(&mut world);
    let writes = [
        (set("a", "1"), Family::Lww, "a"),
        (set("a", "2"), Family::Lww, "a"),
        (incr("n", 1), Family::Counter, "n"),
        (Op::Add { key: key("s"), member: b"m".to_vec().into() }, Family::Set, "s"),
        (Op::Remove { key: key("s"), member: b"m".to_vec().into() }, Family::Set, "s"),
        (Op::Put { key: key("p"), value: b"v".to_vec().into() }, Family::Multi, "p"),
        (Op::Delete { key: key("a") }, Family::Lww, "a"),
    ];
    for (op, family, k) in writes {
        world.write(2, &op);
        assert_eq!(world.take_changes(2).len(), 1, "the writer hears of it at once");
        world.run_for(seconds(3));
        let heard = changes(&mut world);
        for i in (0..5).filter(|&i| i != 2) {
            assert_eq!(heard[i], only(family, k), "node {i}");
        }
        assert!(heard[2].is_empty());
    }
    world.run_for(seconds(60));
    assert!(changes(&mut world).iter().all(Vec::is_empty), "no change, no word");
}

#[test]
fn a_conviction_is_a_change_of_what_it_takes_away() {
    let mut world = settled(4, Config::default(), 2);
    world.write(1, &set("gone", "v"));
    world.run_for(seconds(2));
    changes(&mut world);
    let incarnation = status(&mut world, 1).incarnation;
    let fork = Author::new(&world.secret(1), incarnation.0).set(&world, 40, "evil", "v");
    world.inject(neighbour(&world, 2), 2, Lane::Delta, &fork);
    world.run_for(seconds(3));
    assert!((0..4).all(|i| shown(&world, i, "gone").is_none()));
    for (i, heard) in changes(&mut world).into_iter().enumerate() {
        let of_it = heard.iter().filter(|change| change.1 == "gone").count();
        assert_eq!(of_it, 1, "node {i}: {heard:?}");
    }
}

#[test]
fn a_floor_is_a_change_of_what_it_takes_away() {
    let mut world = settled(3, Config::default(), 3);
    let mut author = Author::new(&[9; 32], 1);
    let old = author.set(&world, 16, "old", "v");
    let again = author.set(&world, 17, "new", "v");
    for frame in [old, again] {
        world.inject(neighbour(&world, 0), 0, Lane::Delta, &frame);
    }
    world.run_for(seconds(2));
    changes(&mut world);
    author.chain.floor = (author.chain.incarnation, knhk_mesh_core::identity::Seq(1));
    let floor = author.set(&world, 18, "third", "v");
    world.inject(neighbour(&world, 0), 0, Lane::Delta, &floor);
    world.run_for(seconds(2));
    for mut heard in changes(&mut world) {
        heard.sort();
        let both = [(Family::Lww, "old".to_owned()), (Family::Lww, "third".to_owned())];
        assert_eq!(heard, both);
    }
}

#[test]
fn a_burst_is_told_no_more_often_than_the_view_changes() {
    let mut world = settled(3, Config::default(), 4);
    changes(&mut world);
    for i in 0..50 {
        world.write(0, &incr("n", i));
    }
    world.run_for(ms(500));
    let heard = changes(&mut world);
    // The first frame holds one record, the second what came within 2 ms of it.
    assert!(heard.iter().all(|h| h.len() == 2), "{heard:?}");
}
