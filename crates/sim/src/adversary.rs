//! Nodes that break the protocol. Each runs the real node and is dishonest on its way out: what it
//! would send is dropped, changed, repeated or joined by lies.

use core::fmt;
use core::str::FromStr;

use bytes::{Bytes, BytesMut};
use knhk_mesh_core::config::Settings;
use knhk_mesh_core::digest::Root;
use knhk_mesh_core::frame::{self, Chain, Class, Record, RecordHead, Sealed, Slot, seal};
use knhk_mesh_core::identity::{Incarnation, Keypair, Limits, PeerIx};
use knhk_mesh_core::messages::{Lane, Message};
use knhk_mesh_core::rng::Rng;
use knhk_mesh_core::time::{Hlc, WallMs};

/// How a node misbehaves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Receives and never sends.
    Silent,
    /// Alters a byte of every signed message that it passes on.
    Forge,
    /// Sends old signed messages again, to everybody, all the time.
    Replay,
    /// Sends fifty times as much as it should.
    Flood,
    /// Its clock is an hour ahead, and it writes.
    TimeShift,
    /// Claims a state that nobody has.
    LieDigest,
    /// Takes part in everything and passes no signed message on.
    Omit,
    /// Signs two different frames for one place in its chain, one for each half of its peers.
    Equivocate,
    /// Says of every honest member that it does not reach it, again and again.
    Suspect,
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
    pub const ALL: [Kind; 9] = [
        Kind::Silent,
        Kind::Forge,
        Kind::Replay,
        Kind::Flood,
        Kind::TimeShift,
        Kind::LieDigest,
        Kind::Omit,
        Kind::Equivocate,
        Kind::Suspect,
    ];

    /// Adversaries whose mechanism does not exist yet, and what they wait for.
    pub const LATER: [(&str, &str); 3] = [
        ("eclipse", "join from hostile seeds: simulated nodes start with a directory"),
        ("split-vote", "elected leaders"),
        ("lying-aggregator", "the hierarchy's summaries"),
    ];

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
            Kind::Equivocate => "equivocate",
            Kind::Suspect => "suspect",
        }
    }

    fn names() -> String {
        Kind::ALL.map(Kind::name).join(", ")
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

/// Times that a flooding node sends what it sends.
const FLOOD: usize = 50;
/// Old messages that a replaying node keeps.
const HOARD: usize = 32;

/// What an adversary remembers.
#[derive(Debug)]
pub(crate) struct Conduct {
    pub(crate) kind: Kind,
    hoard: Vec<Bytes>,
}

/// One message for some peers.
pub(crate) type Sending = (Vec<PeerIx>, Lane, Message);

impl Conduct {
    pub(crate) fn new(kind: Kind) -> Self {
        Conduct { kind, hoard: Vec::new() }
    }

    /// What leaves an adversary instead of what its node wanted to send.
    pub(crate) fn bend(&mut self, sending: Sending, rng: &mut Rng) -> Vec<Sending> {
        let (to, lane, message) = sending;
        match (self.kind, message) {
            (Kind::Silent, _) => Vec::new(),
            (Kind::Forge, Message::Signed(bytes)) => {
                vec![(to, lane, Message::Signed(altered(&bytes, rng)))]
            }
            (Kind::Omit, Message::Signed(_)) => Vec::new(),
            (Kind::Suspect, Message::Signed(bytes)) if takes_back(&bytes) => Vec::new(),
            (Kind::LieDigest, Message::Digest(mut digest)) => {
                let word = rng.next_u64().to_le_bytes();
                digest.root = Root(core::array::from_fn(|i| word[i % 8] ^ i as u8));
                vec![(to, lane, Message::Digest(digest))]
            }
            (Kind::Flood, message) => {
                (0..FLOOD).map(|_| (to.clone(), lane, message.clone())).collect()
            }
            (Kind::Replay, message) => {
                let mut out = Vec::new();
                if let Message::Signed(bytes) = &message
                    && self.hoard.len() < HOARD
                {
                    self.hoard.push(bytes.clone());
                }
                if let Message::Digest(_) = &message {
                    let again =
                        |old: &Bytes| (to.clone(), Lane::Delta, Message::Signed(old.clone()));
                    out.extend(self.hoard.iter().map(again));
                }
                out.push((to, lane, message));
                out
            }
            (_, message) => vec![(to, lane, message)],
        }
    }
}

/// Two different frames for the first place in the chain of one incarnation: proof of a fork to
/// whoever sees both.
pub(crate) fn forked(settings: &Settings, key: &[u8; 32], wall: WallMs) -> [Bytes; 2] {
    let signer = Keypair::from_secret(key);
    [b"heads".as_slice(), b"tails"].map(|value| {
        let mut chain = Chain::start(Class::Cell, Incarnation(wall.0), Default::default());
        let payload = [&[4][..], b"coin", value].concat();
        let record = RecordHead::new(Slot(20), frame::Kind::LWW, Hlc::at(wall)).encode(&payload);
        seal(&mut chain, &[record], &[], &settings.mesh, &signer).bytes().clone()
    })
}

/// Whether somebody suspects nobody any more in it: what the node of a liar says by itself.
fn takes_back(bytes: &Bytes) -> bool {
    let sealed = Sealed::read(bytes, &Limits::default());
    let empty = |record: &Record<'_>| record.head.slot == Slot::MISSING && record.payload == [0];
    sealed.is_ok_and(|sealed| sealed.records().any(|(_, record)| empty(&record)))
}

/// `bytes` with one byte changed, anywhere behind the tag.
fn altered(bytes: &Bytes, rng: &mut Rng) -> Bytes {
    let mut copy = BytesMut::from(&bytes[..]);
    if copy.len() > 1 {
        let at = 1 + rng.below(copy.len() as u32 - 1) as usize;
        copy[at] ^= 1 << rng.below(8);
    }
    copy.freeze()
}

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

    #[test]
    fn a_forger_changes_one_bit() {
        let mut rng = Rng::new(1);
        let bytes = Bytes::from_static(&[1; 40]);
        let forged = altered(&bytes, &mut rng);
        let bits: u32 = bytes.iter().zip(&forged).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!((bits, forged[0]), (1, 1));
    }
}
