//! Why a peer's reputation is what it is: every part has its reason, adds up to the number that is
//! used, and goes with time as announced.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use core::time::Duration;

use bytes::Bytes;
use common::{Author, seconds, settled};
use knhk_mesh_core::config::{Config, Detect};
use knhk_mesh_core::error::Refused;
use knhk_mesh_core::identity::Incarnation;
use knhk_mesh_core::messages::Lane;
use knhk_mesh_core::node::Standing;
use knhk_mesh_sim::{Network, World};

fn of(world: &World, who: usize, at: usize) -> Standing {
    world.node(at).standing(&world.id(who), world.clock())
}

/// The parts give the whole.
fn adds_up(standing: &Standing) {
    let taken: f32 = standing.taken.iter().map(|(taken, _)| taken.amount).sum();
    let sum = 1.0 - taken + standing.given_back();
    assert!((sum - standing.reputation).abs() < 1e-4, "{standing:?}");
}

#[test]
fn every_part_of_a_reputation_has_its_reason_and_mends_when_it_says() {
    let mut world = settled(3, Config::default(), 1);
    assert!(of(&world, 1, 0).taken.is_empty() && of(&world, 1, 0).whole_in.is_zero());
    let good = Author::new(&[0x5e; 32], 1).set(&world, 16, "k", "v");
    let mut altered = good.to_vec();
    *altered.last_mut().unwrap() ^= 1;
    let altered = Bytes::from(altered);
    for bytes in [&altered, &altered, &good.slice(..20)] {
        world.inject(1, 0, Lane::Delta, bytes);
    }
    let blamed = of(&world, 1, 0);
    adds_up(&blamed);
    let parts: Vec<_> = blamed.taken.iter().map(|(taken, _)| (taken.why, taken.times)).collect();
    assert_eq!(parts, [(Refused::Root, 2), (Refused::Truncated, 1)]);
    assert!((blamed.reputation - 0.4).abs() < 1e-4, "{blamed:?}");
    assert!(blamed.given_back().abs() < 1e-4, "nothing mended yet: {blamed:?}");
    let (trusted, whole) = (blamed.trusted_in, blamed.whole_in);
    assert!(Duration::ZERO < trusted && trusted < whole, "{blamed:?}");
    assert!(of(&world, 2, 0).taken.is_empty(), "who brought nothing is not blamed");
    assert!(of(&world, 1, 2).taken.is_empty(), "nobody is told");

    let second = Duration::from_secs(1);
    world.run_for(trusted - second);
    assert!(of(&world, 1, 0).reputation < blamed.threshold);
    world.run_for(2 * second);
    let mended = of(&world, 1, 0);
    adds_up(&mended);
    assert!(mended.reputation >= blamed.threshold && mended.trusted_in.is_zero(), "{mended:?}");
    assert!(mended.given_back() > 0.0 && mended.taken.len() == 2, "{mended:?}");
    world.run_for(whole - trusted - 2 * second);
    assert!(of(&world, 1, 0).reputation < 1.0);
    world.run_for(2 * second);
    let whole = of(&world, 1, 0);
    assert_eq!((whole.reputation, whole.taken.len()), (1.0, 0), "{whole:?}");
}

#[test]
fn who_was_thrown_out_is_listed_with_the_time_that_it_stays_out() {
    let mut world = settled(3, Config::default(), 2);
    let (good, liar) = (Author::new(&[0x5e; 32], 1).set(&world, 16, "k", "v"), world.id(1));
    for _ in 0..10 {
        world.inject(1, 0, Lane::Delta, &good.slice(..20));
    }
    let barred = of(&world, 1, 0);
    assert_eq!(barred.reputation, 0.0, "{barred:?}");
    let left = barred.barred.unwrap();
    assert!(left > seconds(50) && left <= seconds(60), "{left:?}");
    let all = world.node(0).standings(world.clock());
    assert!(all.iter().any(|standing| standing.node == liar));
    assert!(all.windows(2).all(|pair| pair[0].node < pair[1].node), "sorted, each once");
    assert!(!all.iter().any(|standing| standing.node == world.id(0)), "not of itself");
    assert_eq!(barred.void_up_to, None::<Incarnation>);
}

#[test]
fn the_dead_and_the_denied_are_listed_with_who_says_so() {
    let config = Config { detect: Detect::BySize, ..Config::default() };
    let mut world = World::new(5, config, Network::default(), 3);
    world.run_for(seconds(30));
    assert_eq!(of(&world, 4, 0).accusation, None);
    world.kill(4);
    let deadline = world.now() + seconds(180);
    let mut seen = Vec::new();
    assert!(world.run_until(deadline, |world| {
        let standing = of(world, 4, 0);
        seen.extend(standing.accusation.filter(|said| !seen.contains(said)));
        standing.absent
    }));
    // First some of its observers said so, then enough of them for long enough.
    assert!(seen.iter().any(|said| !said.certified), "{seen:?}");
    let last = seen.last().unwrap();
    assert!(last.observers >= last.quorum && last.quorum > 0, "{seen:?}");
    let dead = of(&world, 4, 0);
    assert!(!dead.listed, "{dead:?}");
    assert!(world.node(0).standings(world.clock()).contains(&dead));

    let (id, up_to) = (world.id(3), Incarnation(u64::MAX));
    world.deny(0, id, up_to);
    world.run_for(seconds(1));
    let denied = of(&world, 3, 0);
    assert_eq!(denied.void_up_to, Some(up_to));
    assert!(!denied.listed && world.node(0).standings(world.clock()).contains(&denied));
}
