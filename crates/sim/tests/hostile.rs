//! The gate of a whole node: what is forged, altered, late or foreign is refused, counted by its
//! reason, and leaves no trace in the state.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use bytes::Bytes;
use common::{Author, agree_within, key, ms, seconds, set, settled, shown};
use knhk_mesh_core::config::{Admission, Config};
use knhk_mesh_core::error::Refused;
use knhk_mesh_core::frame::{Chain, Class, Kind, RecordHead, Slot, seal};
use knhk_mesh_core::identity::{Genesis, Incarnation, Keypair, PeerIx, Signer as _};
use knhk_mesh_core::messages::{Lane, Message};
use knhk_mesh_core::node::Checked;
use knhk_mesh_core::time::{Hlc, WallMs};
use knhk_mesh_sim::{Network, World};
use proptest::prelude::*;

const SECRET: [u8; 32] = [0x5e; 32];

fn reputation(world: &World, of: usize, at: usize) -> f32 {
    let peer = world.node(at).peer(&world.id(of)).unwrap();
    world.node(at).registry().get(peer).unwrap().reputation
}

fn refusals(world: &World, at: usize, why: Refused) -> u32 {
    world.node(at).counters().refused_for(why)
}

/// Node 1 sends `bytes` to node 0; asserts that they are refused for `why` and change nothing.
fn refused(world: &mut World, bytes: &Bytes, why: Refused) {
    let (root, before) = (world.node_mut(0).root(), refusals(world, 0, why));
    let total = world.node(0).counters().refused_total();
    world.inject(1, 0, Lane::Delta, bytes);
    assert_eq!(refusals(world, 0, why), before + 1, "{why:?}");
    assert_eq!(world.node(0).counters().refused_total(), total + 1, "{why:?} and nothing else");
    assert_eq!(world.node_mut(0).root(), root, "{why:?}");
}

#[test]
fn what_is_altered_or_foreign_is_refused_by_its_reason_and_blamed_on_who_brought_it() {
    let mut world = settled(3, Config::default(), 1);
    let good = Author::new(&SECRET, 1).set(&world, 16, "k", "v");
    let altered = |at: usize| {
        let mut bytes = good.to_vec();
        bytes[at] ^= 1;
        Bytes::from(bytes)
    };
    let last = good.len() - 1;
    let cases = [
        (altered(last), Refused::Root),
        (altered(1 + 152), Refused::Signature),
        (good.slice(..last), Refused::Truncated),
        (good.slice(..20), Refused::Truncated),
        ([&good[..], &[0]].concat().into(), Refused::Truncated),
        (altered(1), Refused::Version),
        (altered(2), Refused::Malformed),
        (vec![1; 301 * 1_024].into(), Refused::Oversize),
    ];
    for (bytes, why) in cases {
        let before = reputation(&world, 1, 0);
        refused(&mut world, &bytes, why);
        let blamed = reputation(&world, 1, 0) < before || before == 0.0;
        assert_eq!(blamed, why != Refused::Version, "{why:?}");
    }
    assert_eq!(reputation(&world, 2, 0), 1.0, "who brought nothing is not blamed");
    world.inject(1, 0, Lane::Delta, &good);
    assert_eq!(shown(&world, 0, "k").as_deref(), Some("v"), "good records of bad relays count");
}

#[test]
fn another_mesh_and_another_scope_are_refused() {
    let mut world = settled(2, Config::default(), 2);
    let (author, wall) = (Keypair::from_secret(&SECRET), world.clock().wall);
    let record = Author::record(16, "k", "v", wall);
    let other = Genesis { name: "other".into(), ..Genesis::default() }.mesh_id();
    let mut chain = Chain::start(Class::Cell, Incarnation(1), Default::default());
    let foreign = seal(&mut chain, std::slice::from_ref(&record), &[], &other, &author);
    // Leaves commit to the mesh: it already shows in the root.
    refused(&mut world, foreign.bytes(), Refused::Root);

    let mesh = world.node(0).settings().mesh;
    let mut chain = Chain::start(Class::Global, Incarnation(1), Default::default());
    let global = seal(&mut chain, &[record], &[], &mesh, &author);
    refused(&mut world, global.bytes(), Refused::Scope);
    assert!(world.node(0).get(&key("k"), wall).is_none());
}

#[test]
fn an_author_outside_of_the_allowlist_is_refused() {
    let ids: Vec<_> = {
        let open = World::new(3, Config::default(), Network::default(), 3);
        (0..3).map(|i| open.id(i)).collect()
    };
    let admission = Admission::allowlist(ids);
    let mut world = settled(3, Config { admission, ..Config::default() }, 3);
    let bytes = Author::new(&SECRET, 1).set(&world, 16, "k", "v");
    refused(&mut world, &bytes, Refused::NotAdmitted);
    world.write(1, &set("k", "inside"));
    agree_within(&mut world, seconds(1));
    assert_eq!(shown(&world, 0, "k").as_deref(), Some("inside"));
}

#[test]
fn a_node_outside_of_the_allowlist_gets_no_link() {
    let mut ids: Vec<_> = {
        let open = World::new(3, Config::default(), Network::default(), 4);
        (0..3).map(|i| open.id(i)).collect()
    };
    let outsider = ids.pop().unwrap();
    let admission = Admission::allowlist(ids);
    let mut world = World::new(3, Config { admission, ..Config::default() }, Network::default(), 4);
    world.run_for(seconds(5));
    assert_eq!(world.links().collect::<Vec<_>>(), [(0, 1)]);
    assert!(world.node(0).peer(&outsider).is_none() && world.node(1).peer(&outsider).is_none());
}

#[test]
fn a_replay_is_a_duplicate_and_an_old_record_stays_old() {
    let mut world = settled(3, Config::default(), 5);
    let mut author = Author::new(&SECRET, 1);
    let old = author.set(&world, 16, "k", "old");
    let new = author.set(&world, 16, "k", "new");
    for bytes in [&old, &new] {
        world.inject(1, 0, Lane::Delta, bytes);
    }
    let root = world.node_mut(0).root();
    for bytes in [&old, &new, &old] {
        let (counters, before) = (world.node(0).counters().duplicates, reputation(&world, 1, 0));
        world.inject(1, 0, Lane::Delta, bytes);
        assert_eq!(world.node(0).counters().duplicates, counters + 1);
        assert_eq!(reputation(&world, 1, 0), before, "a replay is not blamed");
    }
    assert_eq!(world.node_mut(0).root(), root);
    assert_eq!(shown(&world, 0, "k").as_deref(), Some("new"));
}

#[test]
fn ten_seconds_ahead_is_refused_and_two_seconds_wait_until_they_are_due() {
    let mut world = settled(3, Config::default(), 6);
    let wall = world.clock().wall;
    let mut author = Author::new(&SECRET, 1);
    let ahead = |by: u64, v: &str| Author::record(16, "k", v, WallMs(wall.0 + by));
    let far = Author::new(&[1; 32], 1).frame(&world, &[ahead(10_000, "far")]);
    refused(&mut world, far.bytes(), Refused::Future);
    let near = author.frame(&world, &[ahead(2_000, "near")]);
    let again = author.frame(&world, &[ahead(2_500, "again")]);
    let root = world.node_mut(0).root();
    world.inject(1, 0, Lane::Delta, near.bytes());
    assert_eq!(world.node_mut(0).root(), root, "held");
    assert_eq!(world.node(0).counters().refused_total(), 1);
    refused(&mut world, again.bytes(), Refused::Early);
    assert_eq!(reputation(&world, 1, 0), 1.0, "nobody is blamed for being early");
    world.run_for(ms(1_400));
    assert!(shown(&world, 0, "k").is_none(), "not before its time");
    world.run_for(ms(200));
    assert_eq!(shown(&world, 0, "k").as_deref(), Some("near"), "at most 500 ms ahead");
    agree_within(&mut world, seconds(2));
    assert_eq!(shown(&world, 2, "k").as_deref(), Some("near"));
}

#[test]
fn a_distrusted_link_gets_no_pushes_and_is_still_asked_now_and_then() {
    let mut world = settled(4, Config::default(), 7);
    let mut forged = Author::new(&SECRET, 1).set(&world, 16, "k", "v").to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let forged = Bytes::from(forged);
    for _ in 0..3 {
        refused(&mut world, &forged, Refused::Root);
    }
    assert!(reputation(&world, 1, 0) < 0.5);
    let (seen, pushed) = (world.node(1).counters().digests, world.node(0).counters().forwarded);
    world.unlink(1, 2);
    world.unlink(1, 3);
    world.write(0, &set("k", "v"));
    assert!(world.node(0).counters().forwarded - pushed <= 2, "to the other two at most");
    world.run_for(seconds(60));
    assert!(world.node(1).counters().digests > seen, "one round in sixteen");
    assert_eq!(shown(&world, 1, "k").as_deref(), Some("v"), "and so it is not cut off");
}

#[test]
fn who_has_no_reputation_left_is_out_for_a_minute_and_trusted_again_in_time() {
    let mut world = settled(4, Config::default(), 7);
    let mut forged = Author::new(&SECRET, 1).set(&world, 16, "k", "v").to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let forged = Bytes::from(forged);
    let linked = |world: &World| {
        let node = world.node(0);
        node.peer(&world.id(1)).is_some_and(|peer| node.has_link(peer))
    };
    assert!(linked(&world));
    (0..4).for_each(|_| refused(&mut world, &forged, Refused::Root));
    assert!(!linked(&world) && reputation(&world, 1, 0) == 0.0);
    world.run_for(seconds(50));
    assert!(!linked(&world), "it dials, and is closed again");
    world.run_for(seconds(60));
    assert!(linked(&world), "nobody is out for ever");
    assert!(reputation(&world, 1, 0) < 0.5, "and is not trusted at once");
    world.run_for(seconds(400));
    assert!(reputation(&world, 1, 0) >= 0.5);
    agree_within(&mut world, seconds(5));
}

#[test]
fn who_has_no_link_is_unknown() {
    let mut world = settled(2, Config::default(), 8);
    let bytes = Author::new(&SECRET, 1).set(&world, 16, "k", "v");
    let stranger = PeerIx::new(77, 3);
    let verdict = world.node(0).check(world.clock(), stranger, Lane::Delta, &bytes);
    assert!(matches!(verdict, Checked::Refused(Refused::UnknownPeer)));
    world.unlink(0, 1);
    refused(&mut world, &bytes, Refused::UnknownPeer);
}

#[test]
fn slots_beyond_the_quota_are_refused() {
    let mut world = settled(2, Config::default(), 9);
    let bytes = Author::new(&SECRET, 1).set(&world, 1_024, "k", "v");
    refused(&mut world, &bytes, Refused::SlotLimit);
    let long =
        RecordHead::new(Slot(16), Kind::LWW, Hlc::at(world.clock().wall)).encode(&[1; 1_025]);
    let bytes = Author::new(&SECRET, 1).frame(&world, &[long]);
    refused(&mut world, bytes.bytes(), Refused::Oversize);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_was_altered_anywhere_enters(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        thread_local! {
            static WORLD: std::cell::RefCell<World> =
                std::cell::RefCell::new(settled(2, Config::default(), 10));
        }
        WORLD.with_borrow_mut(|world| {
            let records: Vec<_> = (0..3)
                .map(|i| Author::record(16 + i, "k", "v", world.clock().wall))
                .collect();
            let mut author = Author::new(&SECRET, 1);
            let good = author.frame(world, &records);
            let mut bytes = good.bytes().to_vec();
            for (at, flip) in &flips {
                let at = at.index(bytes.len());
                bytes[at] ^= flip;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            prop_assume!(bytes != good.bytes()[..]);
            let root = world.node_mut(0).root();
            world.inject(1, 0, Lane::Delta, &Bytes::from(bytes));
            prop_assert_eq!(world.node_mut(0).root(), root);
            prop_assert!(world.node(0).store().head(&author.key.node_id()).is_none());
            Ok(())
        })?;
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(
        bytes in proptest::collection::vec(any::<u8>(), 0..400), tag in 0u8..25,
    ) {
        thread_local! {
            static WORLD: std::cell::RefCell<World> =
                std::cell::RefCell::new(settled(2, Config::default(), 11));
        }
        WORLD.with_borrow_mut(|world| {
            let root = world.node_mut(0).root();
            let bytes = [&[tag][..], &bytes].concat();
            world.inject(1, 0, Lane::Control, &Bytes::from(bytes));
            prop_assert_eq!(world.node_mut(0).root(), root);
            Ok(())
        })?;
    }
}

#[test]
fn who_asks_for_its_own_records_without_end_gets_them_once_in_a_while() {
    let mut world = settled(2, Config::default(), 21);
    world.write(1, &set("k", "v"));
    agree_within(&mut world, seconds(1));
    let flood = |world: &mut World| {
        let before = world.node(1).counters().duplicates;
        for _ in 0..100 {
            world.inject(1, 0, Lane::Control, &Message::Recover.encode());
        }
        world.run_for(seconds(1));
        world.node(1).counters().duplicates - before
    };
    let once = flood(&mut world);
    assert!((1..10).contains(&once), "{once} messages");
    assert_eq!(flood(&mut world), 0);
    world.run_for(seconds(5));
    assert_eq!(flood(&mut world), once, "an honest node that asks again is answered");
}

#[test]
fn who_dials_again_finds_its_allowances_as_it_left_them() {
    let mut world = settled(3, Config::default(), 23);
    world.write(1, &set("k", "v"));
    agree_within(&mut world, seconds(1));
    let recover = Message::Recover.encode();
    let answered = |world: &mut World| {
        let (before, rate) =
            (world.node(1).counters().duplicates, refusals(world, 0, Refused::Rate));
        (0..5_000).for_each(|_| world.inject(1, 0, Lane::Control, &recover));
        world.run_for(ms(100));
        let answers = world.node(1).counters().duplicates - before;
        (answers, 5_000 - (refusals(world, 0, Refused::Rate) - rate))
    };
    let (answers, taken) = answered(&mut world);
    assert!(answers > 0 && taken >= 2_000, "{answers} messages, {taken} taken");
    for _ in 0..3 {
        world.unlink(0, 1);
        world.dial(1, 0);
        world.run_for(ms(100));
        let (answers, taken) = answered(&mut world);
        assert_eq!(answers, 0, "own records come once in five seconds");
        assert!(taken < 500, "{taken} taken over a new link");
    }
}

#[test]
fn who_is_barred_is_not_dialled_again_and_again() {
    let detect = knhk_mesh_core::config::Detect::Fast;
    let mut world = settled(4, Config { detect, ..Config::default() }, 22);
    let mut forged = Author::new(&SECRET, 1).set(&world, 16, "k", "v").to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let forged = Bytes::from(forged);
    let sent = |world: &World| world.sent(0) + world.sent(1);
    let in_ten_seconds = |world: &mut World| {
        let before = sent(world);
        world.run_for(seconds(10));
        sent(world) - before
    };
    let quiet = in_ten_seconds(&mut world);
    (0..4).for_each(|_| refused(&mut world, &forged, Refused::Root));
    assert_eq!(reputation(&world, 1, 0), 0.0);
    let barred = in_ten_seconds(&mut world);
    assert!(barred < 2 * quiet, "{quiet} bytes before, {barred} while it is barred");
}
