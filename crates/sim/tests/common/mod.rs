//! What the scenario tests share.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(unreachable_pub, reason = "a module of test files")]

use core::time::Duration;

use bytes::Bytes;
use knhk_mesh_core::config::Config;
use knhk_mesh_core::crdt::{Key, Op};
use knhk_mesh_core::frame::{Chain, Class, Kind, RecordHead, Slot, Verified, seal};
use knhk_mesh_core::identity::{Incarnation, Keypair};
use knhk_mesh_core::node::Status;
use knhk_mesh_core::time::{Hlc, WallMs};
use knhk_mesh_sim::{Network, World};

pub fn key(text: &str) -> Key {
    Key::try_from(text).unwrap()
}

pub fn set(k: &str, value: &str) -> Op {
    Op::Set { key: key(k), value: value.to_owned().into(), ttl: None }
}

pub fn incr(k: &str, by: i64) -> Op {
    Op::Incr { key: key(k), by }
}

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A world in which everybody knows everybody.
pub fn settled(n: usize, config: Config, seed: u64) -> World {
    settled_over(Network::default(), n, config, seed)
}

/// The same over `network`.
pub fn settled_over(network: Network, n: usize, config: Config, seed: u64) -> World {
    let mut world = World::new(n, config, network, seed);
    let know = |w: &mut World| (0..n).all(|i| w.node(i).registry().members() == n) && w.agrees();
    let deadline = world.now() + seconds(60);
    assert!(world.run_until(deadline, know), "all {n} join within 60 s (seed {seed})");
    // Old enough to answer a node that lost its state.
    world.run_for(seconds(5));
    world
}

/// Runs until all nodes that are up agree.
pub fn agree_within(world: &mut World, limit: Duration) {
    let deadline = world.now() + limit;
    assert!(world.agrees() || world.run_until(deadline, World::agrees), "one root in {limit:?}");
}

/// A node that has a link with `node`.
pub fn neighbour(world: &World, node: usize) -> usize {
    let other = |(a, b): (usize, usize)| match (a == node, b == node) {
        (true, _) => Some(b),
        (_, true) => Some(a),
        _ => None,
    };
    world.links().find_map(other).unwrap()
}

/// The status of `node`.
pub fn status(world: &mut World, node: usize) -> Status {
    let now = world.clock_of(node);
    world.node_mut(node).status(now)
}

/// The register `k` as `node` shows it.
pub fn shown(world: &World, node: usize, k: &str) -> Option<String> {
    let value = world.node(node).get(&key(k), world.clock().wall)?.value;
    Some(String::from_utf8(value.to_vec()).unwrap())
}

/// An author outside of the world: a key and its chain.
pub struct Author {
    pub key: Keypair,
    pub chain: Chain,
}

impl Author {
    pub fn new(secret: &[u8; 32], incarnation: u64) -> Self {
        let chain = Chain::start(Class::Cell, Incarnation(incarnation), Default::default());
        Author { key: Keypair::from_secret(secret), chain }
    }

    /// A register in a slot, as a record.
    pub fn record(slot: u16, k: &str, value: &str, wall: WallMs) -> Vec<u8> {
        let payload = [&[k.len() as u8], k.as_bytes(), value.as_bytes()].concat();
        RecordHead::new(Slot(slot), Kind::LWW, Hlc::at(wall)).encode(&payload)
    }

    /// The next frame of its chain.
    pub fn frame(&mut self, world: &World, records: &[Vec<u8>]) -> Verified {
        seal(&mut self.chain, records, &[], &world.node(0).settings().mesh, &self.key)
    }

    /// The next frame with one register, for the world's time.
    pub fn set(&mut self, world: &World, slot: u16, k: &str, value: &str) -> Bytes {
        let record = Self::record(slot, k, value, world.clock().wall);
        self.frame(world, &[record]).bytes().clone()
    }
}
