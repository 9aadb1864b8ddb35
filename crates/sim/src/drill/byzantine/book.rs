//! What honest nodes wrote, where it is known, and what is owed at the end.
//!
//! ```text
//!   begin ──> open ──acknowledged──> owed for ever
//!              `── waiting: honest nodes that do not show it yet ──> rounds of the slowest
//! ```
//!
//! A node that restarts is waited for again with the writes that begin once it shows what is owed.

use bytes::Bytes;
use hashbrown::HashMap;
use knhk_mesh_core::crdt::{Key, Op};
use knhk_mesh_core::messages::sink::WriteId;
use knhk_mesh_core::rng::Rng;
use knhk_mesh_core::time::Time;

use crate::world::{NodeIx, World};

/// A write that takes longer is waited for no more.
const PATIENCE_MS: u64 = 10_000;

/// What a key should show.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Shows {
    Value(Bytes),
    Nothing,
    /// As many or more.
    Count(i128),
}

/// A write whose end is not known, or that is not everywhere.
#[derive(Debug)]
struct Open {
    node: NodeIx,
    id: WriteId,
    key: Key,
    shows: Shows,
    began: Time,
    acknowledged: bool,
    /// Whether its rounds count.
    measured: bool,
    waiting: Vec<NodeIx>,
}

#[derive(Default)]
pub(super) struct Book {
    open: Vec<Open>,
    owed: Vec<(Key, Shows)>,
    counts: HashMap<NodeIx, i128, foldhash::fast::FixedState>,
    begun: usize,
    /// Milliseconds of the slowest write until the last honest node had it.
    pub(super) slowest_ms: u64,
}

fn shown(world: &World, at: NodeIx, key: &Key, shows: &Shows) -> bool {
    let (node, wall) = (world.node(at), world.clock_of(at).wall);
    match shows {
        Shows::Value(value) => node.get(key, wall).is_some_and(|shown| *shown.value == **value),
        Shows::Nothing => node.get(key, wall).is_none(),
        Shows::Count(count) => node.counter(key, wall).is_some_and(|shown| shown >= *count),
    }
}

fn key(text: &str) -> Key {
    let key = Key::try_from(text);
    assert!(key.is_ok(), "names of keys here are short");
    let Ok(key) = key else { unreachable!() };
    key
}

impl Book {
    /// Node `i` writes: mostly a new register, now and then one more in its counter, or a deletion.
    /// `counted` are the nodes that have to show it; none: its rounds do not count.
    pub(super) fn write(
        &mut self,
        world: &mut World,
        i: NodeIx,
        counted: Option<&[NodeIx]>,
        rng: &mut Rng,
    ) {
        self.begun += 1;
        let (key, shows, op) = match self.begun % 8 {
            3 | 6 => self.one_more(i),
            // Who just started does not know yet what it would delete.
            5 if let Some(key) = counted.and_then(|_| self.take_settled(world, i, rng)) => {
                (key.clone(), Shows::Nothing, Op::Delete { key })
            }
            _ => {
                let name = format!("w{}", self.begun);
                let (key, value) = (key(&name), Bytes::from(name));
                let op = Op::Set { key: key.clone(), value: value.clone(), ttl: None };
                (key, Shows::Value(value), op)
            }
        };
        let (id, began) = (world.write(i, &op), world.now());
        let waiting = counted.map(<[NodeIx]>::to_vec).unwrap_or_default();
        let (measured, acknowledged) = (counted.is_some(), false);
        self.open.push(Open { node: i, id, key, shows, began, acknowledged, measured, waiting });
        self.collect(world);
    }

    /// A register that everybody shows, also node `i`: nobody waits for those of nodes that just
    /// started, and what it has not seen it cannot delete. It is owed no more, whatever becomes of
    /// its deletion.
    fn take_settled(&mut self, world: &World, i: NodeIx, rng: &mut Rng) -> Option<Key> {
        let settled = |at: &usize| {
            let (key, shows) = &self.owed[*at];
            let is_open = self.open.iter().any(|write| write.key == *key);
            matches!(shows, Shows::Value(_)) && !is_open && shown(world, i, key, shows)
        };
        let all: Vec<usize> = (0..self.owed.len()).filter(settled).collect();
        let count = u32::try_from(all.len()).ok().filter(|&count| count > 0)?;
        Some(self.owed.swap_remove(all[rng.below(count) as usize]).0)
    }

    /// Node `i` adds one to its counter: what a node that lost its disk would do at once.
    pub(super) fn count(&mut self, world: &mut World, i: NodeIx) {
        let (key, shows, op) = self.one_more(i);
        let (id, began, waiting) = (world.write(i, &op), world.now(), Vec::new());
        let (measured, acknowledged) = (false, false);
        self.open.push(Open { node: i, id, key, shows, began, acknowledged, measured, waiting });
        self.collect(world);
    }

    fn one_more(&mut self, i: NodeIx) -> (Key, Shows, Op) {
        let (key, count) = (key(&format!("c{i}")), self.counts.entry(i).or_default());
        *count += 1;
        (key.clone(), Shows::Count(*count), Op::Incr { key, by: 1 })
    }

    /// Takes outcomes, and looks who shows what by now.
    pub(super) fn look(&mut self, world: &World) {
        self.collect(world);
        let now = world.now();
        for write in &mut self.open {
            let Open { key, shows, waiting, .. } = write;
            waiting.retain(|&at| !shown(world, at, key, shows));
            let took = now.since(write.began).as_millis() as u64;
            if took >= PATIENCE_MS {
                write.waiting.clear();
            }
            if write.measured && write.acknowledged && write.waiting.is_empty() {
                self.slowest_ms = self.slowest_ms.max(took);
            }
        }
        self.open.retain(|write| !write.acknowledged || !write.waiting.is_empty());
    }

    fn collect(&mut self, world: &World) {
        for write in self.open.iter_mut().filter(|write| !write.acknowledged) {
            match world.outcome(write.node, write.id) {
                Some(Ok(_)) => {
                    write.acknowledged = true;
                    self.owed.push((write.key.clone(), write.shows.clone()));
                }
                // Nothing is owed of it.
                Some(Err(_)) => (write.acknowledged, write.measured) = (true, false),
                None => {}
            }
        }
    }

    /// Node `i` stopped: nobody waits until it shows anything.
    pub(super) fn stopped(&mut self, i: NodeIx) {
        self.open.iter_mut().for_each(|write| write.waiting.retain(|&at| at != i));
    }

    /// Whether everything that node `i` wrote is everywhere.
    pub(super) fn is_done(&self, i: NodeIx) -> bool {
        self.open.iter().all(|write| write.node != i)
    }

    /// Whether all is acknowledged and everywhere.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether node `at` shows everything that is owed and under way to nobody.
    pub(super) fn is_shown(&self, world: &World, at: NodeIx) -> bool {
        let open = |key: &Key| self.open.iter().any(|write| write.key == *key);
        self.owed.iter().all(|(key, shows)| open(key) || shown(world, at, key, shows))
    }

    /// How many acknowledged writes one of these nodes lacks.
    pub(super) fn lost(&self, world: &World, honest: &[NodeIx]) -> u64 {
        let lacks =
            |(key, shows): &&(Key, Shows)| honest.iter().any(|&at| !shown(world, at, key, shows));
        self.owed.iter().filter(lacks).count() as u64
    }
}
