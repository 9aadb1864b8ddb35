//! Liars among honest nodes: each kind alone, then all kinds together, and whether what is promised
//! to the honest holds beside them.
//!
//! ```text
//!   share of the nodes = liars, from the first moment, some of them seeds
//!        |
//!   join ──> writes; crashes with and without disk; forks, accusations, sieges ──> quiet
//!        |      every write: rounds until the last honest node has it                |
//!        `-- run: the course    book: writes    forks: who was convicted          Figures
//! ```
//!
//! A run counts with its slowest write. Liars stay liars in the quiet; only what they do of
//! themselves (accuse, write) ends with the load, else no two states would ever be equal.

mod book;
mod forks;
mod run;

use core::fmt;

use knhk_mesh_core::config::{Config, Detect, OutOfRange, Settings};
use serde::Serialize;

use crate::adversary::Kind;
use crate::latency::Latency;
use crate::spread::Spread;
use run::Run;

/// What all kinds together are called.
pub const MIXED: &str = "mixed";

/// Liars of some kinds, each kind alone and then all of them mixed, played `runs` times each.
#[derive(Clone, Debug)]
pub struct Byzantine {
    /// Nodes.
    pub agents: u32,
    /// Share of the nodes that lie, 0-1; what is promised is promised up to a third.
    pub share: f64,
    /// Kinds of liars; of several the mix is played as well.
    pub kinds: Vec<Kind>,
    /// Seeds.
    pub runs: u32,
    /// The first of them.
    pub seed: u64,
    /// Share of the messages that are lost.
    pub loss: f64,
    /// How long messages take.
    pub latency: Latency,
    /// Runs at a time.
    pub threads: usize,
    /// Ticks of 100 ms in which a write is made each.
    pub writes: u32,
}

impl Default for Byzantine {
    /// A third of a hundred nodes lies, once, in every way.
    fn default() -> Self {
        Byzantine {
            agents: 100,
            share: 0.33,
            kinds: Kind::ALL.to_vec(),
            runs: 1,
            seed: 1,
            loss: 0.0,
            latency: Latency::default(),
            threads: 1,
            writes: 80,
        }
    }
}

/// A drill that cannot be played. Nothing was.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unplayable {
    /// The share is less than one node, or leaves fewer than two honest ones.
    #[error("{share} of {agents} agents are {liars} liars; allowed is 1 up to two less than all")]
    Liars {
        /// What was asked for.
        share: String,
        /// Nodes.
        agents: u32,
        /// What the share is of them.
        liars: u32,
    },
    /// No kind was named.
    #[error("no kind of liar was named")]
    NoKind,
    /// A setting of the nodes.
    #[error(transparent)]
    Setting(#[from] OutOfRange),
}

/// What one kind of liars, or the mix, did to the honest.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct KindFigures {
    /// The kind, or [`MIXED`].
    pub kind: String,
    /// Nodes.
    pub agents: u32,
    /// How many of them lied.
    pub liars: u32,
    /// Runs.
    pub runs: u32,
    /// In every run all honest nodes came to one state in time, those that had crashed among them.
    pub converged: bool,
    /// Whole rounds until the last honest node had a write, of the slowest write of all runs.
    pub rounds: u64,
    /// Rounds within which the specification wants it.
    pub bound: u64,
    /// Honest nodes that an honest one convicted, in all runs.
    pub honest_convicted: u64,
    /// Honest nodes that ran and that an honest one did not list at the end.
    pub honest_evicted: u64,
    /// Forks of which both branches reached honest nodes, and that one of them had not convicted
    /// two rounds after the bound.
    pub equivocators_unconvicted: u64,
    /// Records and headers at honest nodes that their author never signed.
    pub forged_accepted: u64,
    /// Acknowledged writes of honest nodes that an honest one lacked at the end.
    pub lost_writes: u64,
    /// Whole rounds from a fork until all honest nodes had convicted it, of the slowest; none where
    /// nobody forks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conviction_rounds: Option<u64>,
}

/// What a drill showed.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Figures {
    /// Share of the nodes that lied.
    pub share: f64,
    /// Of all kinds together.
    pub converged: bool,
    /// The most of any kind.
    pub rounds: u64,
    /// Of all kinds together.
    pub honest_convicted: u64,
    /// Of all kinds together.
    pub honest_evicted: u64,
    /// Of all kinds together.
    pub equivocators_unconvicted: u64,
    /// Of all kinds together.
    pub forged_accepted: u64,
    /// Each kind alone, and the mix.
    pub kinds: Vec<KindFigures>,
}

impl KindFigures {
    /// Which promises are broken, in words; empty if none is.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        let counts = [
            (self.honest_convicted, "honest nodes convicted"),
            (self.honest_evicted, "honest nodes evicted"),
            (self.equivocators_unconvicted, "equivocators not convicted"),
            (self.forged_accepted, "forged records accepted"),
            (self.lost_writes, "acknowledged writes lost"),
        ];
        let mut broken = Vec::new();
        if !self.converged {
            broken.push("no convergence".into());
        }
        if self.rounds > self.bound {
            broken.push(format!("{} rounds, the bound is {}", self.rounds, self.bound));
        }
        let counted = counts.into_iter().filter(|(count, _)| *count > 0);
        broken.extend(counted.map(|(count, what)| format!("{count} {what}")));
        broken
    }

    /// One more run.
    fn add(&mut self, run: &KindFigures) {
        self.converged &= run.converged;
        self.rounds = self.rounds.max(run.rounds);
        self.honest_convicted += run.honest_convicted;
        self.honest_evicted += run.honest_evicted;
        self.equivocators_unconvicted += run.equivocators_unconvicted;
        self.forged_accepted += run.forged_accepted;
        self.lost_writes += run.lost_writes;
        self.conviction_rounds = self.conviction_rounds.max(run.conviction_rounds);
    }
}

impl Figures {
    /// Which promises are broken and beside whom; none if all held.
    #[must_use]
    pub fn broken(&self) -> Option<String> {
        let of = |kind: &KindFigures| {
            let broken = kind.broken();
            (!broken.is_empty()).then(|| format!("{}: {}", kind.kind, broken.join(", ")))
        };
        let all: Vec<String> = self.kinds.iter().filter_map(of).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// Who lies in a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cast<'a> {
    Alone(Kind),
    Mixed(&'a [Kind]),
}

impl Cast<'_> {
    fn kinds(&self) -> &[Kind] {
        match self {
            Cast::Alone(kind) => core::slice::from_ref(kind),
            Cast::Mixed(kinds) => kinds,
        }
    }
}

impl fmt::Display for Cast<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cast::Alone(kind) => kind.fmt(f),
            Cast::Mixed(_) => f.write_str(MIXED),
        }
    }
}

impl Byzantine {
    /// Plays all runs; `done` is told how many of how many are over. Equal arguments give equal
    /// figures, whatever the threads.
    ///
    /// # Errors
    /// [`Unplayable`] if there are too few liars or honest nodes, or too many nodes for the mesh.
    ///
    /// # Panics
    /// If an invariant of the engine breaks.
    pub fn run(&self, done: &(dyn Fn(u64, u64) + Sync)) -> Result<Figures, Unplayable> {
        Settings::new(self.config())?;
        let liars = self.liars();
        if !(1..self.agents.saturating_sub(1)).contains(&liars) {
            let share = self.share.to_string();
            return Err(Unplayable::Liars { share, agents: self.agents, liars });
        }
        let casts = self.casts();
        if casts.is_empty() {
            return Err(Unplayable::NoKind);
        }
        let (runs, total) = (u64::from(self.runs), casts.len() as u64 * u64::from(self.runs));
        let play = |n: u64| Run::new(self, casts[(n / runs) as usize], self.seed + n % runs).play();
        let outcomes = super::play_all(total, self.threads, &play, &|over| done(over, total));
        let each = casts.iter().zip(outcomes.chunks(runs.max(1) as usize));
        let kinds = each.map(|(cast, runs)| self.sum(cast, runs)).collect();
        Ok(self.together(kinds))
    }

    fn casts(&self) -> Vec<Cast<'_>> {
        let alone = self.kinds.iter().map(|&kind| Cast::Alone(kind));
        let mixed = (self.kinds.len() > 1).then_some(Cast::Mixed(&self.kinds));
        alone.chain(mixed).collect()
    }

    /// Never more than the share.
    fn liars(&self) -> u32 {
        (f64::from(self.agents) * self.share + 1e-9).floor() as u32
    }

    fn config(&self) -> Config {
        let mut config = Config { detect: Detect::BySize, ..Config::default() };
        let limits = &mut config.genesis.limits;
        limits.max_authors = limits.max_authors.max(self.agents + 1);
        config
    }

    /// The rounds of the specification, and how long one is.
    fn spread(&self) -> Spread {
        Spread { agents: self.agents, latency: self.latency.clone(), ..Spread::default() }
    }

    fn sum(&self, cast: &Cast<'_>, runs: &[KindFigures]) -> KindFigures {
        let mut sum = KindFigures {
            kind: cast.to_string(),
            agents: self.agents,
            liars: self.liars(),
            runs: self.runs,
            converged: true,
            bound: self.spread().bound().into(),
            ..KindFigures::default()
        };
        runs.iter().for_each(|run| sum.add(run));
        sum
    }

    fn together(&self, kinds: Vec<KindFigures>) -> Figures {
        let mut all = KindFigures { converged: true, ..KindFigures::default() };
        kinds.iter().for_each(|kind| all.add(kind));
        Figures {
            share: self.share,
            converged: all.converged,
            rounds: all.rounds,
            honest_convicted: all.honest_convicted,
            honest_evicted: all.honest_evicted,
            equivocators_unconvicted: all.equivocators_unconvicted,
            forged_accepted: all.forged_accepted,
            kinds,
        }
    }
}
