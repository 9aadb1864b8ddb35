//! What was acknowledged to whoever wrote, and what of it the mesh owes for ever. Each author has a
//! counter and a register of its own, so that every view tells how much of it arrived.
//!
//! ```text
//!   acknowledged --> owed --the author's disk is lost--> what every honest live node held then
//! ```
//!
//! A receipt says "on the own disk and on its way". While the author comes back with its disk,
//! everything acknowledged is owed. Of an author whose disk is gone, or that never returns, owed is
//! what every honest live node held when it went: the rest may have been on the lost disk alone.

use std::collections::BTreeMap;

use bytes::Bytes;
use knhk_mesh_core::crdt::{Key, Op};
use knhk_mesh_core::error::WriteError;
use knhk_mesh_core::messages::Receipt;
use knhk_mesh_core::messages::sink::WriteId;
use knhk_mesh_core::rng::Rng;

use crate::world::{NodeIx, World};

/// The counter to which all add.
pub(super) const SHARED: &str = "shared";

/// Figures of a counter that only grows and of a register with rising values.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Figures {
    counter: u64,
    register: u64,
}

impl Figures {
    fn min(self, other: Self) -> Self {
        Figures {
            counter: self.counter.min(other.counter),
            register: self.register.min(other.register),
        }
    }

    fn reaches(self, other: Self) -> bool {
        self.counter >= other.counter && self.register >= other.register
    }
}

#[derive(Clone, Debug, Default)]
struct Author {
    asked: Figures,
    owed: Figures,
    /// What is owed if it does not return.
    owed_without: Option<Figures>,
    pending: Vec<(WriteId, Figures)>,
}

/// Every author's account.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    authors: BTreeMap<NodeIx, Author>,
    /// Writes that the caller was told are stored.
    pub(super) acknowledged: u64,
    /// Writes that the caller was told are not.
    pub(super) refused: u64,
    /// Acknowledged writes that went with a disk.
    pub(super) forgiven: u64,
}

pub(super) fn key(text: &str) -> Key {
    let key = Key::try_from(text);
    assert!(key.is_ok(), "names of keys here are short");
    let Ok(key) = key else { unreachable!() };
    key
}

fn counter_of(i: NodeIx) -> Key {
    key(&format!("n/{i}"))
}

fn register_of(i: NodeIx) -> Key {
    key(&format!("s/{i}"))
}

/// What node `at` shows of author `of`.
fn shown(world: &World, at: NodeIx, of: NodeIx) -> Figures {
    let wall = world.clock_of(at).wall;
    let counter = world.node(at).counter(&counter_of(of), wall).unwrap_or_default();
    let register = world.node(at).get(&register_of(of), wall);
    let number = |value: &[u8]| core::str::from_utf8(value).ok()?.parse().ok();
    Figures {
        counter: u64::try_from(counter).unwrap_or_default(),
        register: register.and_then(|r| number(r.value)).unwrap_or_default(),
    }
}

impl Ledger {
    /// Node `i` writes something of its own, or adds to what all share.
    pub(super) fn write(&mut self, world: &mut World, i: NodeIx, rng: &mut Rng) {
        let author = self.authors.entry(i).or_default();
        let mut step = Figures::default();
        let op = match rng.below(4) {
            0 | 1 => {
                author.asked.counter += 1;
                step.counter = 1;
                Op::Incr { key: counter_of(i), by: 1 }
            }
            2 => {
                author.asked.register += 1;
                step.register = author.asked.register;
                let value = Bytes::from(step.register.to_string());
                Op::Set { key: register_of(i), value, ttl: None }
            }
            _ => Op::Incr { key: key(SHARED), by: 1 },
        };
        let id = world.write(i, &op);
        author.pending.push((id, step));
    }

    /// Takes the outcomes of node `i`; those of writes that are not of the ledger are given back.
    pub(super) fn collect(
        &mut self,
        world: &mut World,
        i: NodeIx,
    ) -> Vec<(WriteId, Result<Receipt, WriteError>)> {
        let mut others = Vec::new();
        for (id, result) in world.take_outcomes(i) {
            let author = self.authors.entry(i).or_default();
            match author.pending.iter().position(|(pending, _)| *pending == id) {
                None => others.push((id, result)),
                Some(at) => {
                    let (_, step) = author.pending.swap_remove(at);
                    if result.is_ok() {
                        self.acknowledged += 1;
                        author.owed.counter += step.counter;
                        author.owed.register = author.owed.register.max(step.register);
                    } else {
                        self.refused += 1;
                    }
                }
            }
        }
        others
    }

    /// Node `i` stopped; `live` are the honest ones that go on.
    pub(super) fn stopped(&mut self, world: &mut World, i: NodeIx, live: &[NodeIx]) {
        self.collect(world, i);
        if let Some(author) = self.authors.get_mut(&i) {
            // Writes without an outcome may have been sent: they stay asked for, and are not owed.
            author.pending.clear();
            let least = live.iter().fold(author.owed, |all, &at| all.min(shown(world, at, i)));
            author.owed_without = Some(if live.is_empty() { Figures::default() } else { least });
        }
        // Copies in memory went with the process.
        let down = self.authors.iter_mut().filter(|(_, author)| author.owed_without.is_some());
        for (&of, author) in down {
            let Some(owed) = &mut author.owed_without else { continue };
            if live.iter().any(|&at| shown(world, at, of).reaches(*owed)) {
                continue;
            }
            let best = live.iter().map(|&at| shown(world, at, of));
            let counter = best.clone().map(|f| f.counter).max().unwrap_or_default();
            let register = best.map(|f| f.register).max().unwrap_or_default();
            *owed = owed.min(Figures { counter, register });
        }
    }

    /// Node `i` runs again with its disk.
    pub(super) fn returned(&mut self, i: NodeIx) {
        if let Some(author) = self.authors.get_mut(&i) {
            author.owed_without = None;
        }
    }

    /// The disk of node `i` is lost; `live` are the honest ones that run.
    pub(super) fn lost_disk(&mut self, world: &World, i: NodeIx, live: &[NodeIx]) {
        let Some(author) = self.authors.get_mut(&i) else { return };
        let held = live.iter().filter(|&&at| at != i).map(|&at| shown(world, at, i));
        let least = held.reduce(Figures::min).unwrap_or_default();
        let left = author.owed.min(least);
        self.forgiven += author.owed.counter - left.counter;
        self.forgiven += u64::from(left.register < author.owed.register);
        author.owed = left;
        author.owed_without = None;
    }

    /// What is missing at node `at`, and what nobody ever wrote; empty if nothing is.
    pub(super) fn against(
        &self,
        world: &World,
        at: NodeIx,
        returns: impl Fn(NodeIx) -> bool,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        for (&of, author) in &self.authors {
            if !world.is_honest(of) {
                continue;
            }
            let owed = match author.owed_without {
                Some(owed) if !returns(of) => owed,
                _ => author.owed,
            };
            let shown = shown(world, at, of);
            if !shown.reaches(owed) {
                wrong.push(format!("node {at} lost {owed:?} of node {of}: it shows {shown:?}"));
            }
            if !author.asked.reaches(shown) {
                let asked = author.asked;
                wrong
                    .push(format!("node {at} shows {shown:?} of node {of}, which wrote {asked:?}"));
            }
        }
        wrong
    }
}
