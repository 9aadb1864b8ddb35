//! What was acknowledged to whoever wrote, and what of it the mesh owes for ever. Each author has a
//! counter and a register of its own, so that every view tells how much of it arrived; and all
//! write to one counter, one register, one set and one multi-value register, where merges show.
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

use crate::engine::Slot;
use crate::world::{NodeIx, World};

/// The counter to which all add.
const SHARED: &str = "shared";
/// The register that all set.
const CONTESTED: &str = "contested";
/// The set to which each author adds itself, and of which all add and remove a few members.
const COMMON: &str = "common";
/// Members of it that come and go.
const COME_AND_GO: u32 = 4;
/// The multi-value register that all put values into.
const DISPUTED: &str = "disputed";

/// How much older than the newest one the value may be that a last-writer-wins register shows:
/// twice what the clock of a node that takes part may be off, and what the network holds up.
const SKEW: Slot = 10_000;
/// The moment of a write that may be signed at any time yet.
const UNANSWERED: Slot = Slot::MAX - SKEW;

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
    pending: Vec<(WriteId, Step)>,
    /// Additions to the counter of all that were asked for, and those acknowledged.
    shared: (u64, u64),
    /// When each of its values where all write had its stamp at the latest: it gets one when it is
    /// signed, which a node that is starting puts off. They are numbered from 1.
    values: Vec<Slot>,
    /// When it set the register of all last, of what was acknowledged.
    contested: Option<Slot>,
    /// Whether it was told that it is a member of the common set.
    joined: bool,
}

impl Author {
    /// A value that nobody else writes, and this author only now.
    fn value(&mut self, i: NodeIx, step: &mut Step) -> Bytes {
        step.value = Some(self.values.len());
        self.values.push(UNANSWERED);
        Bytes::from(format!("{i}/{}", self.values.len()))
    }

    /// A write was answered, or never will be.
    fn settled(&mut self, step: &Step, now: Slot) {
        if let Some(value) = step.value {
            self.values[value] = now;
        }
    }
}

/// What one write adds to what is owed.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    figures: Figures,
    shared: u64,
    joins: bool,
    /// Which of the author's values where all write it brings.
    value: Option<usize>,
    /// It set the register of all at this moment.
    contested: Option<Slot>,
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

/// A member that anybody adds and removes.
fn passing(rng: &mut Rng) -> Bytes {
    Bytes::from(format!("passing-{}", rng.below(COME_AND_GO)))
}

/// Milliseconds since the start.
fn moment(world: &World) -> Slot {
    world.now().0 / 1_000_000
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
        let mut step = Step::default();
        let op = match rng.below(8) {
            0 | 1 => {
                author.asked.counter += 1;
                step.figures.counter = 1;
                Op::Incr { key: counter_of(i), by: 1 }
            }
            2 | 3 => {
                author.asked.register += 1;
                step.figures.register = author.asked.register;
                let value = Bytes::from(step.figures.register.to_string());
                Op::Set { key: register_of(i), value, ttl: None }
            }
            4 => {
                author.shared.0 += 1;
                step.shared = 1;
                Op::Incr { key: key(SHARED), by: 1 }
            }
            5 => {
                let value = author.value(i, &mut step);
                step.contested = Some(moment(world));
                Op::Set { key: key(CONTESTED), value, ttl: None }
            }
            6 => {
                let value = author.value(i, &mut step);
                Op::Put { key: key(DISPUTED), value }
            }
            _ => match rng.below(3) {
                0 => {
                    step.joins = true;
                    Op::Add { key: key(COMMON), member: Bytes::from(i.to_string()) }
                }
                1 => Op::Add { key: key(COMMON), member: passing(rng) },
                _ => Op::Remove { key: key(COMMON), member: passing(rng) },
            },
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
                    author.settled(&step, moment(world));
                    if result.is_ok() {
                        self.acknowledged += 1;
                        author.owed.counter += step.figures.counter;
                        author.owed.register = author.owed.register.max(step.figures.register);
                        author.shared.1 += step.shared;
                        author.joined |= step.joins;
                        author.contested = author.contested.max(step.contested);
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
            for (_, step) in core::mem::take(&mut author.pending) {
                author.settled(&step, moment(world));
            }
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
        // What of the rest was on the lost disk alone nobody can tell.
        (author.shared.1, author.joined, author.contested) = (0, false, None);
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

    /// What is wrong at node `at` with what all write to.
    pub(super) fn against_merges(
        &self,
        world: &World,
        at: NodeIx,
        returns: impl Fn(NodeIx) -> bool,
    ) -> Vec<String> {
        let (node, wall) = (world.node(at), world.clock_of(at).wall);
        let stays = |of: NodeIx, author: &Author| {
            world.is_honest(of) && (author.owed_without.is_none() || returns(of))
        };
        let kept = self.authors.iter().filter(|(of, author)| stays(**of, author));
        let owed: u64 = kept.clone().map(|(_, author)| author.shared.1).sum();
        let asked: u64 = self.authors.values().map(|author| author.shared.0).sum();
        let mut wrong = Vec::new();
        let shared = node.counter(&key(SHARED), wall).unwrap_or_default();
        if !(i128::from(owed)..=i128::from(asked)).contains(&shared) {
            let text =
                format!("node {at} counts {shared}; owed are {owed}, {asked} were asked for");
            wrong.push(text);
        }
        let common = node.members_of(&key(COMMON), wall).unwrap_or_default();
        for (of, _) in kept.clone().filter(|(_, author)| author.joined) {
            if !common.contains(&of.to_string().as_bytes()) {
                wrong.push(format!("node {at} does not show that node {of} joined the set"));
            }
        }
        let newest = kept.clone().filter_map(|(_, author)| author.contested).max();
        let shown = node.get(&key(CONTESTED), wall).and_then(|shown| self.written(shown.value));
        if let Some(newest) = newest.filter(|&at| shown.is_none_or(|shown| shown + SKEW < at)) {
            let shown = shown.map_or("nothing".into(), |at| format!("a value of {at} ms"));
            wrong.push(format!(
                "node {at} shows {shown} in the register of all, set {newest} ms after the start"
            ));
        }
        let single = node.get(&key(CONTESTED), wall).into_iter().map(|shown| shown.value);
        let many = node.siblings(&key(DISPUTED), wall).into_iter().map(|shown| shown.value);
        for value in single.chain(many).filter(|value| self.written(value).is_none()) {
            let value = String::from_utf8_lossy(value);
            wrong.push(format!("node {at} shows {value}, which nobody wrote"));
        }
        wrong
    }

    /// When this had its stamp at the latest, if somebody wrote it where all write.
    fn written(&self, value: &[u8]) -> Option<Slot> {
        let (author, n) = core::str::from_utf8(value).ok()?.split_once('/')?;
        let (author, n) = (author.parse::<NodeIx>().ok()?, n.parse::<usize>().ok()?);
        self.authors.get(&author)?.values.get(n.checked_sub(1)?).copied()
    }

    /// Writes of node `i` of which nobody ever heard.
    pub(super) fn unanswered(&self, i: NodeIx) -> usize {
        self.authors.get(&i).map_or(0, |author| author.pending.len())
    }

    /// Everything that node `at` shows of what was written, a key and its value each.
    pub(super) fn views(&self, world: &World, at: NodeIx) -> Vec<(String, String)> {
        let (node, wall) = (world.node(at), world.clock_of(at).wall);
        let own = self.authors.keys().map(|&of| (format!("author {of}"), shown(world, at, of)));
        let own = own.map(|(name, figures)| (name, format!("{figures:?}")));
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let texts = |values: Vec<&[u8]>| values.into_iter().map(text).collect::<Vec<_>>().join(" ");
        let siblings = node.siblings(&key(DISPUTED), wall);
        let common = node.members_of(&key(COMMON), wall).unwrap_or_default();
        let merged = [
            (SHARED, node.counter(&key(SHARED), wall).map(|n| n.to_string()).unwrap_or_default()),
            (CONTESTED, node.get(&key(CONTESTED), wall).map(|v| text(v.value)).unwrap_or_default()),
            (COMMON, texts(common)),
            (DISPUTED, texts(siblings.into_iter().map(|shown| shown.value).collect())),
        ];
        own.chain(merged.map(|(name, value)| (name.to_owned(), value))).collect()
    }
}

/// Where the views of honest nodes differ although their states are one, in words.
pub(super) fn differing(
    of: impl Fn(NodeIx) -> Vec<(String, String)>,
    live: &[NodeIx],
) -> Option<String> {
    let (&first, others) = live.split_first()?;
    let expected = of(first);
    others.iter().find_map(|&i| {
        let shown = of(i);
        let (a, b) = expected.iter().zip(&shown).find(|(a, b)| a != b)?;
        let ((name, a), (_, b)) = (a, b);
        Some(format!("node {first} shows {name} as `{a}` and node {i} as `{b}`, in one state"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Network;
    use knhk_mesh_core::config::Config;

    /// Four nodes that agree on forty writes.
    fn written() -> (Ledger, World) {
        let mut world = World::new(4, Config::default(), Network::default(), 1);
        world.run_for(core::time::Duration::from_secs(3));
        let (mut ledger, mut rng) = (Ledger::default(), Rng::new(5));
        for n in 0..80 {
            ledger.write(&mut world, n % 4, &mut rng);
            world.run_for(core::time::Duration::from_millis(20));
        }
        world.run_for(core::time::Duration::from_secs(3));
        (0..4).for_each(|i| drop(ledger.collect(&mut world, i)));
        (ledger, world)
    }

    #[test]
    fn merges_are_within_what_was_asked_and_what_is_owed() {
        let (mut ledger, world) = written();
        let wrong = |ledger: &Ledger| ledger.against_merges(&world, 2, |_| true);
        assert_eq!(wrong(&ledger), Vec::<String>::new());
        assert!(ledger.authors.values().all(|author| author.pending.is_empty()));
        let author = ledger.authors.get_mut(&1).unwrap();
        author.shared = (author.shared.0 + 1, author.shared.1 + 100);
        assert!(wrong(&ledger)[0].contains("owed are"));
        let author = ledger.authors.get_mut(&1).unwrap();
        (author.shared, author.joined) = ((0, 0), true);
        let all = ledger.authors.values_mut();
        all.for_each(|author| {
            (author.shared, author.contested) = ((0, 0), None);
            author.values.clear();
        });
        let wrong = wrong(&ledger);
        assert!(wrong[0].contains("0 were asked for"), "{wrong:?}");
        assert!(wrong.iter().any(|what| what.contains("which nobody wrote")), "{wrong:?}");
    }

    #[test]
    fn a_register_that_shows_an_old_value_is_told() {
        let (mut ledger, world) = written();
        let newest = ledger.authors.values_mut().filter_map(|author| author.contested.as_mut());
        // Only who set it twice can have been overwritten; as if the last of them came much later.
        let last = newest.max_by_key(|at| **at).unwrap();
        *last += SKEW + 10_000;
        let wrong = ledger.against_merges(&world, 2, |_| true);
        assert!(wrong.len() == 1 && wrong[0].contains("in the register of all"), "{wrong:?}");
    }

    #[test]
    fn a_write_that_waited_is_as_new_as_its_answer() {
        let (mut ledger, mut world) = written();
        ledger.lost_disk(&world, 3, &[0, 1, 2]);
        world.kill(3);
        ledger.stopped(&mut world, 3, &[0, 1, 2]);
        world.network().split(3);
        world.restart(3, false, &[]);
        ledger.returned(3);
        let author = ledger.authors.get_mut(&3).unwrap();
        let mut step = Step::default();
        let value = author.value(3, &mut step);
        let id = world.write(3, &Op::Set { key: key(CONTESTED), value, ttl: None });
        author.pending.push((id, step));
        world.run_for(core::time::Duration::from_millis(2 * SKEW));
        // Without a peer it waits, and is newer then than what was written meanwhile.
        let author = ledger.authors.get_mut(&0).unwrap();
        let mut step = Step { contested: Some(moment(&world)), ..Step::default() };
        let value = author.value(0, &mut step);
        let id = world.write(0, &Op::Set { key: key(CONTESTED), value, ttl: None });
        author.pending.push((id, step));
        world.run_for(core::time::Duration::from_secs(1));
        world.heal(1);
        world.run_for(core::time::Duration::from_secs(10));
        (0..4).for_each(|i| drop(ledger.collect(&mut world, i)));
        assert_eq!(ledger.unanswered(3), 0);
        let wall = world.clock_of(0).wall;
        let shown = world.node(0).get(&key(CONTESTED), wall).map(|shown| shown.value.to_vec());
        assert!(shown.is_some_and(|value| value.starts_with(b"3/")));
        assert_eq!(ledger.against_merges(&world, 0, |_| true), Vec::<String>::new());
    }

    #[test]
    fn views_that_differ_are_told() {
        let (ledger, mut world) = written();
        let views = |world: &World| differing(|i| ledger.views(world, i), &[0, 1, 2, 3]);
        assert_eq!(views(&world), None);
        // Not yet anywhere but at its writer.
        world.write(3, &Op::Set { key: key(CONTESTED), value: "3/1".into(), ttl: None });
        assert!(views(&world).is_some_and(|what| what.contains("contested")));
    }
}
