//! The course of one run, in ticks of a round.
//!
//! ```text
//!   join            everybody dials three seeds, one of them honest; until all know all
//!   load            a write a tick; forks; crashes one after the other, every second one loses its
//!                   disk, and writes at once when it is back; accusations; sieges of who crashes
//!   quiet           who crashed is back, all honest nodes hold one state
//! ```

use core::time::Duration;

use knhk_mesh_core::crdt::{Key, Op};
use knhk_mesh_core::node::Phase;
use knhk_mesh_core::rng::{Rng, mix};
use knhk_mesh_core::time::Time;

use super::book::Book;
use super::forks::Forks;
use super::{Byzantine, Cast, KindFigures};
use crate::adversary::Kind;
use crate::checkers::{node_safety, world_liveness};
use crate::network::Network;
use crate::world::{Drive, NodeIx, World};

/// Between two looks, and two writes.
const TICK: Duration = Duration::from_millis(100);
/// Ticks between two acts of liars that do something of themselves, and two dials of who has no
/// link.
const ACT: u32 = 10;
/// A mesh that does not know itself after this long never does.
const JOINED: Duration = Duration::from_secs(60);
/// A node that just started answers nobody that lost its state: it takes 5 s, and a little more.
const GROWN: Duration = Duration::from_secs(6);
/// How long accusations go on: a certificate that stands for 10 s is believed.
const ACCUSED: Duration = Duration::from_secs(15);
/// How long a crashed node may take to come back, and its honest peers to agree.
const BACK: Duration = Duration::from_secs(30);
const AGREED: Duration = Duration::from_secs(5);
/// Ticks for which a crashed node stays down, and between two crashes at least.
const DOWN: u32 = 6;
const PAUSE: u32 = 4;
/// Accused by all suspicious liars, in every other run: in the others they accuse everybody.
const FEW: usize = 8;
/// Of more members one list cannot name all.
const MANY: usize = 255;

/// A crash that comes or is under way.
struct Crash {
    node: NodeIx,
    with_disk: bool,
    /// The tick from which on it may happen, or in which the node starts again.
    due: u32,
    down: bool,
}

pub(super) struct Run<'a> {
    drill: &'a Byzantine,
    seed: u64,
    world: World,
    rng: Rng,
    honest: Vec<NodeIx>,
    /// For each node.
    seeds: Vec<Vec<NodeIx>>,
    unreached: Vec<Vec<NodeIx>>,
    writers: Vec<NodeIx>,
    crashes: Vec<Crash>,
    /// Crash victims: whom liars besiege.
    victims: Vec<NodeIx>,
    /// Honest nodes that started again and lack something.
    returning: Vec<NodeIx>,
    equivocators: Vec<NodeIx>,
    book: Book,
    forks: Forks,
    tick: u32,
    forged: u64,
}

impl<'a> Run<'a> {
    pub(super) fn new(drill: &'a Byzantine, cast: Cast<'_>, seed: u64) -> Self {
        let network =
            Network { latency: drill.latency.clone(), loss: drill.loss, ..Network::default() };
        let (n, drive) = (drill.agents as usize, Drive { wire: false, ..Drive::default() });
        let mut world = World::driven(0, drill.config(), network, seed, drive);
        for _ in 0..n {
            world.add_alone();
        }
        let mut rng = Rng::new(mix(seed ^ 0x6279_7a61));
        let seeds = n.min(5.max(n / 10));
        let liars = liars(n, seeds, drill.liars() as usize, &mut rng);
        let honest: Vec<NodeIx> = (0..n).filter(|i| liars.binary_search(i).is_err()).collect();
        // Of whom a crash takes nothing that all need: no seeds.
        let mut victims = Vec::new();
        let inner: Vec<NodeIx> = honest.iter().copied().filter(|&i| i >= seeds).collect();
        rng.sample(&inner, (honest.len() / 8).clamp(2, 8), &mut victims);
        let mut writers = victims.clone();
        rng.sample(&honest, (honest.len() / 4).clamp(2, 16), &mut writers);
        play_parts(&mut world, cast, &liars, &victims, &writers, seed, &mut rng);
        let honest_seeds: Vec<NodeIx> = honest.iter().copied().filter(|&i| i < seeds).collect();
        let seeds: Vec<Vec<NodeIx>> =
            (0..n).map(|i| seeds_of(i, seeds, &honest_seeds, &mut rng)).collect();
        let equivocators = world.liars(Kind::Equivocate);
        let crash = |(at, &node): (usize, &NodeIx)| {
            let due = drill.writes / 4 + at as u32 * PAUSE;
            Crash { node, with_disk: at % 2 == 1, due, down: false }
        };
        let crashes = victims.iter().enumerate().map(crash).collect();
        let unreached = seeds.clone();
        let (returning, book, forks) = (Vec::new(), Book::default(), Forks::default());
        let (tick, forged) = (0, 0);
        Run {
            drill,
            seed,
            world,
            rng,
            honest,
            seeds,
            unreached,
            writers,
            crashes,
            victims,
            returning,
            equivocators,
            book,
            forks,
            tick,
            forged,
        }
    }

    pub(super) fn play(mut self) -> KindFigures {
        let joined = self.join();
        self.load();
        let returned = self.go_on(BACK, |run| {
            run.crash();
            run.is_back()
        });
        let agreed = self.agree();
        self.figures(joined && returned && agreed)
    }

    /// Everybody dials its seeds; until the honest know each other.
    fn join(&mut self) -> bool {
        self.keep_linked();
        let joined = self.go_on(JOINED, |run| {
            let members: Vec<NodeIx> = run.honest.clone();
            let knows = |&at: &NodeIx| {
                members.iter().all(|&other| world_liveness::lists(&run.world, at, other))
            };
            members.iter().all(knows)
        });
        let grown = (Time::ZERO + GROWN).since(self.world.now());
        self.go_on(grown, |_| false);
        joined
    }

    /// Ticks for `span`, or until `done` says so; whether it did.
    fn go_on(&mut self, span: Duration, done: impl Fn(&mut Self) -> bool) -> bool {
        let end = self.world.now() + span;
        while self.world.now() < end {
            if done(self) {
                return true;
            }
            self.pass_tick();
        }
        done(self)
    }

    fn pass_tick(&mut self) {
        self.tick += 1;
        let next = self.world.now() + TICK;
        self.world.run_until(next, |_| false);
        self.book.look(&self.world);
        self.forks.look(&mut self.world, &self.honest);
        let (world, book) = (&mut self.world, &self.book);
        self.returning.retain(|&i| {
            let now = world.clock_of(i);
            let ready = world.node_mut(i).status(now).phase == Phase::Ready;
            !ready || !book.is_shown(world, i)
        });
        if self.tick.is_multiple_of(ACT) {
            self.keep_linked();
        }
        if self.tick.is_multiple_of(ACT / 2) {
            self.world.surround(Kind::Eclipse, &self.victims);
            self.world.surround(Kind::ColdBoot, &self.returning);
        }
    }

    /// The honest nodes whose time counts.
    fn counted(&self) -> Vec<NodeIx> {
        let counts = |i: &NodeIx| self.world.is_up(*i) && !self.returning.contains(i);
        self.honest.iter().copied().filter(counts).collect()
    }

    fn load(&mut self) {
        let (first, began) = (self.tick, self.world.now());
        self.crashes.iter_mut().for_each(|crash| crash.due += first);
        while self.tick - first < self.drill.writes || self.is_accusing(began) {
            let passed = self.tick - first;
            if passed < self.drill.writes {
                self.write();
                self.fork(passed);
            }
            self.crash();
            if self.tick.is_multiple_of(ACT) {
                self.lie();
            }
            self.pass_tick();
        }
        self.forged += self.forged_now();
    }

    fn is_accusing(&self, began: Time) -> bool {
        let accuses = !self.world.liars(Kind::Suspect).is_empty();
        accuses && self.world.now().since(began) < ACCUSED
    }

    fn write(&mut self) {
        let counted = self.counted();
        let able: Vec<NodeIx> =
            self.writers.iter().copied().filter(|i| counted.contains(i)).collect();
        if !able.is_empty() {
            let i = able[self.rng.below(able.len() as u32) as usize];
            self.book.write(&mut self.world, i, Some(&counted), &mut self.rng);
        }
    }

    /// All equivocators have forked after half of the load.
    fn fork(&mut self, passed: u32) {
        let half = (self.drill.writes / 2).max(1) as usize;
        let each = self.equivocators.len().div_ceil(half);
        let first = (passed as usize * each).min(self.equivocators.len());
        let end = (first + each).min(self.equivocators.len());
        let (counted, lossy) = (self.counted(), self.drill.loss > 0.0);
        for at in first..end {
            let liar = self.equivocators[at];
            self.forks.fork(&mut self.world, liar, &counted, lossy);
        }
    }

    /// Kills whose time has come, once its writes are everywhere, and starts again who was down for
    /// long enough.
    fn crash(&mut self) {
        let mut crashes = core::mem::take(&mut self.crashes);
        crashes.retain_mut(|crash| {
            let i = crash.node;
            if self.tick < crash.due || !(crash.down || self.book.is_done(i)) {
                return true;
            }
            if crash.down {
                self.start_again(i, crash.with_disk);
                return false;
            }
            (crash.down, crash.due) = (true, self.tick + DOWN);
            self.world.kill(i);
            self.book.stopped(i);
            self.forks.stopped(i);
            true
        });
        self.crashes = crashes;
    }

    fn start_again(&mut self, i: NodeIx, with_disk: bool) {
        self.unreached[i].clone_from(&self.seeds[i]);
        self.returning.push(i);
        let seeds = self.seeds[i].clone();
        // Liars are as fast as the seeds.
        self.world.restart(i, with_disk, &[]);
        self.world.surround(Kind::ColdBoot, &[i]);
        self.world.surround(Kind::Eclipse, &[i]);
        seeds.iter().for_each(|&seed| self.world.dial(i, seed));
        self.world.dial_known(i);
        // Its application does not wait until it has its state back.
        self.book.write(&mut self.world, i, None, &mut self.rng);
        self.book.count(&mut self.world, i);
    }

    /// What liars do of themselves.
    fn lie(&mut self) {
        if self.seed.is_multiple_of(2) || self.world.len() > MANY {
            let few: Vec<NodeIx> = self.honest.iter().copied().rev().take(FEW).collect();
            let up: Vec<NodeIx> = few.into_iter().filter(|&i| self.world.is_up(i)).collect();
            self.world.accuse_together(&up);
        } else {
            self.world.accuse_all();
        }
        let ahead = self.world.liars(Kind::TimeShift);
        if !ahead.is_empty() {
            let i = ahead[self.rng.below(ahead.len() as u32) as usize];
            self.world.write(i, &ahead_of_time());
        }
    }

    /// As the shell does it: seeds until each was reached once, and acquaintances where no link is.
    fn keep_linked(&mut self) {
        let linked: std::collections::BTreeSet<(NodeIx, NodeIx)> = self.world.links().collect();
        for i in 0..self.world.len() {
            if !self.world.is_up(i) {
                continue;
            }
            if self.world.node(i).linked().next().is_none() {
                self.unreached[i].clone_from(&self.seeds[i]);
                self.world.dial_known(i);
            }
            self.unreached[i].retain(|&seed| !linked.contains(&(i.min(seed), i.max(seed))));
            let open = self.unreached[i].clone();
            open.into_iter().for_each(|seed| self.world.dial(i, seed));
        }
    }

    fn is_back(&self) -> bool {
        self.returning.is_empty() && self.book.is_empty() && self.crashes.is_empty()
    }

    fn agree(&mut self) -> bool {
        self.go_on(AGREED, |run| run.world.agrees())
    }

    fn forged_now(&self) -> u64 {
        let of = |&i: &NodeIx| node_safety::forged(&self.world, self.world.node(i));
        self.honest.iter().map(of).sum()
    }

    fn figures(&self, converged: bool) -> KindFigures {
        let spread = self.drill.spread();
        let (round_ms, bound) = (spread.round_ms(), u64::from(spread.bound()));
        let world = &self.world;
        let unlisted = |&&other: &&NodeIx| {
            self.honest.iter().any(|&at| !world_liveness::lists(world, at, other))
        };
        let most_ms = (bound + 2) * round_ms;
        KindFigures {
            converged,
            rounds: self.book.slowest_ms.div_ceil(round_ms),
            honest_convicted: self.forks.honest_convicted(world),
            honest_evicted: self.honest.iter().filter(unlisted).count() as u64,
            equivocators_unconvicted: self.forks.unconvicted(world, &self.honest, most_ms),
            forged_accepted: self.forged + self.forged_now(),
            lost_writes: self.book.lost(world, &self.honest),
            conviction_rounds: self.forks.slowest_ms().map(|ms| ms.div_ceil(round_ms)),
            ..KindFigures::default()
        }
    }
}

/// What a liar writes whose clock is ahead.
fn ahead_of_time() -> Op {
    let key = Key::try_from("ahead");
    assert!(key.is_ok(), "a short name is a key");
    let Ok(key) = key else { unreachable!() };
    Op::Set { key, value: "of time".into(), ttl: None }
}

/// Who lies, sorted: some seeds, but never the first two, and others.
fn liars(n: usize, seeds: usize, count: usize, rng: &mut Rng) -> Vec<NodeIx> {
    let hostile_seeds = (2..seeds).step_by(3).take(count.div_ceil(2));
    let mut liars: Vec<NodeIx> = hostile_seeds.collect();
    let others: Vec<NodeIx> = (2..n).filter(|i| !liars.contains(i)).collect();
    let (left, inner) = (count - liars.len(), others.iter().copied().filter(|&i| i >= seeds));
    let inner: Vec<NodeIx> = inner.collect();
    let from = if inner.len() > left + 2 { inner } else { others };
    let mut drawn = Vec::new();
    rng.sample(&from, left, &mut drawn);
    liars.extend(drawn);
    liars.sort_unstable();
    liars
}

/// Gives each liar its part: in a mix silence first, then the others in turn.
fn play_parts(
    world: &mut World,
    cast: Cast<'_>,
    liars: &[NodeIx],
    victims: &[NodeIx],
    writers: &[NodeIx],
    seed: u64,
    rng: &mut Rng,
) {
    let mut kinds = cast.kinds().to_vec();
    let turn = seed as usize % kinds.len();
    kinds.rotate_left(turn);
    kinds.sort_by_key(|kind| *kind != Kind::Silent);
    let mut order = Vec::new();
    rng.sample(liars, liars.len(), &mut order);
    for (&i, &kind) in order.iter().zip(kinds.iter().cycle()) {
        let targets = if kind == Kind::Censor { writers } else { victims };
        world.corrupt_against(i, kind, if kind.aims() { targets } else { &[] });
    }
}

/// Three seeds of node `i`, one of them honest; each honest seed knows the one before it.
fn seeds_of(i: NodeIx, seeds: usize, honest: &[NodeIx], rng: &mut Rng) -> Vec<NodeIx> {
    let at = honest.iter().position(|&seed| seed == i);
    let first = match at {
        Some(at) => honest[(at + honest.len() - 1) % honest.len()],
        None => honest[rng.below(honest.len() as u32) as usize],
    };
    let mut out = vec![first];
    while out.len() < seeds.min(3) {
        let other = rng.below(seeds as u32) as NodeIx;
        if !out.contains(&other) {
            out.push(other);
        }
    }
    out.retain(|&seed| seed != i);
    out
}
