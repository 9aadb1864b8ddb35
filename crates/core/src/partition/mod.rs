//! Is this node cut off? Each node watches members that it chose itself, uniformly, and every few
//! heartbeats the two tell each other "I am here, and I hear you". Nobody's word about a third one
//! counts: pooled verdicts let a third of liars raise alarms at will, while a liar that is asked
//! about itself can only be there or not (ADR 0022).
//!
//! ```text
//!               fewer than required, twice in a row
//!      Healthy ------------------------------------> Partitioned
//!         ^                                           |       ^
//!         | 1 s of it, and the links agree            | enough| too few again
//!         | (or 5 s)                                  v       |
//!         `------------------------------------- Recovering --'
//! ```
//!
//! Required are n - f of n members where all are watched (up to 64), else half of the witnesses;
//! six in ten to come back. n counts members that died: silence must not lower the bar that it is
//! measured with. Safety never rests on this: it only fails early what would merge late.

mod pace;
mod sights;

use core::time::Duration;

use crate::config::Settings;
use crate::identity::PeerIx;
use crate::time::Time;
pub use pace::{EXACT, Pace};
use sights::{GRACE, Sights};

/// Looks in a row that must find too few.
const LOOKS: u8 = 2;
/// How long enough must be reachable before the node is healthy again.
const STEADY: Duration = Duration::from_secs(1);
/// How long a node catches up at most.
const RECOVERY: Duration = Duration::from_secs(5);
/// A look that comes so late says that this process did not run (Lifeguard's local health).
const STALL: Duration = Duration::from_millis(150);

/// Whether a node is cut off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PartitionStatus {
    /// Enough members are reachable.
    #[default]
    Healthy,
    /// Too few are.
    Partitioned {
        /// Members, or witnesses in a large mesh, that are reachable; the own node counts.
        reachable: u32,
        /// How many must be.
        required: u32,
    },
    /// Enough are again, and the node catches up.
    Recovering,
}

impl PartitionStatus {
    /// As status and errors write it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            PartitionStatus::Healthy => "healthy",
            PartitionStatus::Partitioned { .. } => "partitioned",
            PartitionStatus::Recovering => "recovering",
        }
    }
}

/// Who is a member, in numbers; the own node counts in each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Census {
    /// Members that have not left, dead ones among them.
    pub members: usize,
    /// Those that can be watched.
    pub listed: usize,
    /// `members` less those that may lie.
    pub quorum: usize,
}

/// A change of the status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Too few are reachable.
    Partitioned {
        /// As in [`PartitionStatus`].
        reachable: u32,
        /// As in [`PartitionStatus`].
        required: u32,
    },
    /// Enough are again.
    Recovering,
    /// The node has caught up, so long after enough were reachable.
    Healed(Duration),
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Detector {
    pace: Pace,
    sights: Sights,
    state: State,
    started: Time,
    /// Enough were reachable once, or had their time for it.
    formed: bool,
    /// How many there were at the last look.
    members: usize,
    next_beat: Time,
    next_look: Time,
    /// Looks in a row that found too few.
    low: u8,
    /// As of the last look.
    reachable: u32,
    required: u32,
    last_recovery: Option<Duration>,
    /// How late the last look was, if that was too late.
    stalled: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Healthy,
    Partitioned,
    Recovering { since: Time },
}

impl Detector {
    /// A detector that has seen nobody. `phase`, below a heartbeat's interval, keeps nodes that
    /// start together from falling into step.
    #[must_use]
    pub fn new(settings: &Settings, now: Time, phase: Duration) -> Self {
        let pace = Pace::of(settings, 1);
        Detector {
            pace,
            sights: Sights::default(),
            state: State::Healthy,
            started: now,
            formed: false,
            members: 0,
            next_beat: now + phase,
            next_look: now + pace.look,
            low: 0,
            reachable: 1,
            required: 1,
            last_recovery: None,
            stalled: None,
        }
    }

    /// When [`Detector::beat`] or [`Detector::look`] has something to do.
    #[must_use]
    pub fn next_timeout(&self) -> Time {
        self.next_beat.min(self.next_look)
    }

    /// A link came up: both ends heard each other.
    pub fn link_up(&mut self, peer: PeerIx, now: Time) {
        self.sights.link_up(peer, now);
    }

    /// A link ended. Its peer is lost when it has been silent for long enough.
    pub fn link_down(&mut self, peer: PeerIx) {
        self.sights.link_down(peer);
    }

    /// Something came from `peer`.
    pub fn heard(&mut self, peer: PeerIx, now: Time) {
        self.sights.heard(peer, now);
    }

    /// `peer` said whether it hears this node.
    pub fn told(&mut self, peer: PeerIx, hears_me: bool) {
        self.sights.hears_me(peer, hears_me);
    }

    /// The size of the mesh may have changed.
    pub fn set_members(&mut self, settings: &Settings, members: usize, now: Time) {
        let pace = Pace::of(settings, members);
        if pace != self.pace {
            self.pace = pace;
            self.next_beat = self.next_beat.min(now + pace.interval);
            self.next_look = self.next_look.min(now + pace.look);
        }
    }

    /// How many witnesses it wants.
    #[must_use]
    pub const fn wanted(&self) -> usize {
        self.pace.witnesses
    }

    /// The witnesses, by index.
    pub fn witnesses(&self) -> impl Iterator<Item = PeerIx> + '_ {
        self.sights.witnesses()
    }

    /// Those of them without a link.
    pub fn unlinked(&self) -> impl Iterator<Item = PeerIx> + '_ {
        self.sights.unlinked()
    }

    /// Whether `peer` is one of the witnesses.
    #[must_use]
    pub fn is_witness(&self, peer: PeerIx) -> bool {
        self.sights.is_witness(peer)
    }

    /// Whether the link with `peer` carries both ways.
    #[must_use]
    pub fn reaches(&self, peer: PeerIx, now: Time) -> bool {
        self.sights.reaches(peer, now, self.pace.silence)
    }

    /// Adds a witness; it has some seconds to be linked.
    pub fn add_witness(&mut self, peer: PeerIx, now: Time) -> bool {
        self.sights.add_witness(peer, now)
    }

    /// Drops the witnesses that `keeps` does not want.
    pub fn retain_witnesses(&mut self, keeps: impl Fn(PeerIx) -> bool) {
        self.sights.retain_witnesses(keeps);
    }

    /// If heartbeats are due: the links to which they go, those heard lately and the others.
    pub fn beat(&mut self, now: Time, jitter: Duration) -> Option<[Vec<PeerIx>; 2]> {
        if now < self.next_beat {
            return None;
        }
        self.next_beat = now + self.pace.interval.saturating_sub(jitter);
        Some(self.sights.linked(now, self.pace.silence))
    }

    /// The interval of heartbeats.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.pace.interval
    }

    /// Links over which nothing came for so long that only a new one can help.
    #[must_use]
    pub fn dead_links(&self, now: Time) -> Vec<PeerIx> {
        let [_, silent] = self.sights.linked(now, self.pace.give_up());
        silent
    }

    /// Whether [`Detector::look`] is due.
    #[must_use]
    pub fn is_due(&self, now: Time) -> bool {
        now >= self.next_look
    }

    /// Counts who is reachable and judges. `converged`: the links agree with this node.
    pub fn look(&mut self, now: Time, census: Census, converged: bool) -> Option<Change> {
        let late = now.since(self.next_look);
        self.stalled = (late > STALL).then_some(late);
        if let Some(late) = self.stalled {
            self.sights.forgive(late);
        }
        self.next_look = now + self.pace.look;
        let reachable = 1 + self.sights.reachable(now, self.pace.silence);
        let watched = 1 + self.sights.witnesses().count();
        let [enter, leave] = thresholds(census, watched);
        if 4 * census.members > 5 * self.members {
            // Many at once are a directory that has arrived: none of them was ever here.
            (self.formed, self.started) = (false, now);
        }
        self.members = census.members;
        (self.reachable, self.required) = (reachable as u32, enter as u32);
        self.formed |= reachable >= leave || now.since(self.started) >= GRACE;
        self.low = if reachable >= enter || !self.formed { 0 } else { (self.low + 1).min(LOOKS) };
        self.judge(now, reachable >= leave, converged)
    }

    fn judge(&mut self, now: Time, enough: bool, converged: bool) -> Option<Change> {
        let cut = self.low >= LOOKS;
        match self.state {
            State::Healthy | State::Recovering { .. } if cut => {
                self.state = State::Partitioned;
                let (reachable, required) = (self.reachable, self.required);
                Some(Change::Partitioned { reachable, required })
            }
            State::Partitioned if enough => {
                self.state = State::Recovering { since: now };
                Some(Change::Recovering)
            }
            State::Recovering { since } => {
                let span = now.since(since);
                if span < STEADY || (!converged && span < RECOVERY) {
                    return None;
                }
                self.state = State::Healthy;
                self.last_recovery = Some(span);
                Some(Change::Healed(span))
            }
            _ => None,
        }
    }

    /// Whether this node is cut off.
    #[must_use]
    pub const fn status(&self) -> PartitionStatus {
        let (reachable, required) = (self.reachable, self.required);
        match self.state {
            State::Healthy => PartitionStatus::Healthy,
            State::Partitioned => PartitionStatus::Partitioned { reachable, required },
            State::Recovering { .. } => PartitionStatus::Recovering,
        }
    }

    /// How many were reachable at the last look, and how many were required.
    #[must_use]
    pub const fn counted(&self) -> (u32, u32) {
        (self.reachable, self.required)
    }

    /// How long this process did not run before the last look, if it should have.
    #[must_use]
    pub const fn stalled(&self) -> Option<Duration> {
        self.stalled
    }

    /// How long the last recovery took.
    #[must_use]
    pub const fn last_recovery(&self) -> Option<Duration> {
        self.last_recovery
    }
}

/// How many must be reachable to be healthy, and how many to become it again. A sample is taken
/// from those that are listed and stands for all.
fn thresholds(census: Census, watched: usize) -> [usize; 2] {
    let Census { members, listed, quorum } = census;
    if members <= EXACT {
        return [quorum; 2];
    }
    let listed = listed.max(1);
    let enter = (watched * members).div_ceil(2 * listed);
    // Six in ten, of which a sample may not have as many as it takes.
    let leave = (6 * watched * members).div_ceil(10 * listed).min(watched).max(enter);
    [enter, leave]
}

#[cfg(test)]
mod tests;
