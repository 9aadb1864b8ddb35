//! Nodes that break the protocol. Each runs the real node and is dishonest on its way out: what it
//! would send is dropped, changed, repeated or joined by lies.
//!
//! ```text
//!   Node --what it wants to send--> conduct: bend --what it sends--> network
//!                                      `-- crafting: forgeries, tampering, forks
//!   World: what liars do of themselves (fork, accuse, dial whom they surround)
//! ```

mod conduct;
mod crafting;

use core::fmt;
use core::str::FromStr;

use crate::engine::Slot;
pub(crate) use conduct::{Conduct, Scene, Sending};
pub(crate) use crafting::{FORKED, forked};

/// How a node misbehaves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Receives and never sends.
    Silent,
    /// Alters a byte of every signed message that it passes on.
    Forge,
    /// Sends old signed messages again, to everybody, all the time.
    Replay,
    /// Sends up to fifty times as much as it should, within [`FLOOD_MOST`] messages each
    /// [`FLOOD_EVERY`] milliseconds.
    Flood,
    /// Its clock is an hour ahead, and it writes.
    TimeShift,
    /// Claims a state that nobody has.
    LieDigest,
    /// Takes part in everything and passes no signed message on, its own included.
    Omit,
    /// Passes on and repairs everything but what chosen authors signed.
    Censor,
    /// Signs two different frames for one place in its chain, one for each half of its peers.
    Equivocate,
    /// Says that it does not reach certain honest members, or any, again and again; all of the kind
    /// name the same at the same time.
    Suspect,
    /// A man in the middle: alters what it passes on so that it keeps its form.
    Tamper,
    /// Dials certain nodes all the time, never leaves them, and together with its like tells them
    /// of nobody else.
    Eclipse,
    /// Tells who starts, with or without its state, that there is nothing, or what was long ago.
    ColdBoot,
}

/// A text that names no [`Kind`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoSuchKind {
    /// No adversary of this name is planned.
    #[error("no adversary is called `{0}`: there are {all}", all = Kind::names())]
    Unknown(String),
    /// One of [`Kind::LATER`], and what it waits for.
    #[error("the adversary `{0}` comes later; it waits for {1}")]
    Later(&'static str, &'static str),
}

impl Kind {
    /// Every kind there is.
    pub const ALL: [Kind; 13] = [
        Kind::Silent,
        Kind::Forge,
        Kind::Replay,
        Kind::Flood,
        Kind::TimeShift,
        Kind::LieDigest,
        Kind::Omit,
        Kind::Censor,
        Kind::Equivocate,
        Kind::Suspect,
        Kind::Tamper,
        Kind::Eclipse,
        Kind::ColdBoot,
    ];

    /// Adversaries whose mechanism does not exist yet, and what they wait for.
    pub const LATER: [(&str, &str); 2] =
        [("split-vote", "elected leaders"), ("lying-aggregator", "the hierarchy's summaries")];

    /// The name on the command line and in scenario files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Silent => "silent",
            Kind::Forge => "forge",
            Kind::Replay => "replay",
            Kind::Flood => "flood",
            Kind::TimeShift => "time-shift",
            Kind::LieDigest => "lie-digest",
            Kind::Omit => "omit",
            Kind::Censor => "censor",
            Kind::Equivocate => "equivocate",
            Kind::Suspect => "suspect",
            Kind::Tamper => "tamper",
            Kind::Eclipse => "eclipse",
            Kind::ColdBoot => "cold-boot",
        }
    }

    fn names() -> String {
        Kind::ALL.map(Kind::name).join(", ")
    }

    /// Whether it needs to be told whom: authors to hide, or nodes to surround.
    #[must_use]
    pub const fn aims(self) -> bool {
        matches!(self, Kind::Censor | Kind::Eclipse)
    }

    /// Whether it writes something of its own when the measured update is made.
    #[must_use]
    pub const fn writes(self) -> bool {
        matches!(self, Kind::TimeShift | Kind::Equivocate)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = NoSuchKind;
    fn from_str(text: &str) -> Result<Self, NoSuchKind> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == text);
        let later = Kind::LATER.into_iter().find(|(name, _)| *name == text);
        kind.ok_or_else(|| match later {
            Some((name, needs)) => NoSuchKind::Later(name, needs),
            None => NoSuchKind::Unknown(text.into()),
        })
    }
}

/// Messages that a flooding node adds in a period at most, each receiver counted: some twenty times
/// what a busy node sends in an interval. Flooders answer each other, so that without a bound each
/// answer is multiplied again, and the run never ends.
pub const FLOOD_MOST: usize = 200;
/// The period, in simulated milliseconds.
pub const FLOOD_EVERY: Slot = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_kinds_match() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        let unknown = "kind".parse::<Kind>().map_err(|e| e.to_string());
        assert!(unknown.is_err_and(|text| text.contains("silent, forge")));
        for (name, needs) in Kind::LATER {
            let later = name.parse::<Kind>().map_err(|e| e.to_string());
            assert!(later.is_err_and(|text| text.contains("comes later") && text.contains(needs)));
        }
    }
}
