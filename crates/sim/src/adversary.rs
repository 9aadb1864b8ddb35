//! Nodes that break the protocol. Each runs the real node and is dishonest on its way out: what it
//! would send is dropped, changed, repeated or joined by lies.

use core::fmt;
use core::str::FromStr;

use bytes::{Bytes, BytesMut};
use knhk_mesh_core::codec::Reader;
use knhk_mesh_core::config::Settings;
use knhk_mesh_core::digest::Root;
use knhk_mesh_core::frame::{self, Chain, Class, Record, RecordHead, Sealed, SignedHeader, seal};
use knhk_mesh_core::identity::{Incarnation, Keypair, Limits, NodeId, PeerIx};
use knhk_mesh_core::messages::{Lane, Message};
use knhk_mesh_core::rng::Rng;
use knhk_mesh_core::time::{Hlc, WallMs};

use crate::engine::Slot;

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
    pub const ALL: [Kind; 10] = [
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
    ];

    /// Adversaries whose mechanism does not exist yet, and what they wait for.
    pub const LATER: [(&str, &str); 3] = [
        (
            "eclipse",
            "the shell's peer cache: simulated nodes that start again know their seeds only",
        ),
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
            Kind::Censor => "censor",
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
/// Messages that a flooding node adds in a period at most, each receiver counted: some twenty times
/// what a busy node sends in an interval. Flooders answer each other, so that without a bound each
/// answer is multiplied again, and the run never ends.
pub const FLOOD_MOST: usize = 200;
/// The period, in simulated milliseconds.
pub const FLOOD_EVERY: Slot = 100;
/// Old messages that a replaying node keeps.
const HOARD: usize = 32;

/// What an adversary remembers.
#[derive(Debug)]
pub(crate) struct Conduct {
    pub(crate) kind: Kind,
    /// Signed messages that a replaying node repeats.
    hoard: Vec<Bytes>,
    /// Authors that a censor hides.
    hidden: Vec<NodeId>,
    /// The period in which a flooding node added something last, and how much.
    flooded: (Slot, usize),
}

/// One message for some peers.
pub(crate) type Sending = (Vec<PeerIx>, Lane, Message);

impl Conduct {
    pub(crate) fn new(kind: Kind) -> Self {
        Conduct { kind, hoard: Vec::new(), hidden: Vec::new(), flooded: (0, 0) }
    }

    /// The same, hiding what these authors sign, if it is a censor.
    pub(crate) fn hiding(self, hidden: Vec<NodeId>) -> Self {
        Conduct { hidden, ..self }
    }

    /// What leaves an adversary instead of what its node wanted to send.
    pub(crate) fn bend(&mut self, slot: Slot, sending: Sending, rng: &mut Rng) -> Vec<Sending> {
        let (to, lane, message) = sending;
        match (self.kind, message) {
            (Kind::Silent, _) => Vec::new(),
            (Kind::Forge, Message::Signed(bytes)) => {
                vec![(to, lane, Message::Signed(altered(&bytes, rng)))]
            }
            (Kind::Omit, Message::Signed(_)) => Vec::new(),
            (Kind::Censor, Message::Signed(bytes)) if self.hides(&bytes) => Vec::new(),
            (Kind::Suspect, Message::Signed(bytes)) if takes_back(&bytes) => Vec::new(),
            (Kind::LieDigest, Message::Digest(mut digest)) => {
                let word = rng.next_u64().to_le_bytes();
                digest.root = Root(core::array::from_fn(|i| word[i % 8] ^ i as u8));
                vec![(to, lane, Message::Digest(digest))]
            }
            (Kind::Flood, message) => {
                let times = 1 + self.may_add(slot, to.len());
                (0..times).map(|_| (to.clone(), lane, message.clone())).collect()
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

    /// How often a flooding node may repeat a message for so many peers now.
    fn may_add(&mut self, slot: Slot, peers: usize) -> usize {
        let period = slot / FLOOD_EVERY;
        if self.flooded.0 != period {
            self.flooded = (period, 0);
        }
        let times = ((FLOOD_MOST - self.flooded.1) / peers.max(1)).min(FLOOD - 1);
        self.flooded.1 += times * peers;
        times
    }

    fn hides(&self, bytes: &Bytes) -> bool {
        let mut reader = Reader::new(bytes);
        let header = reader.u8().and_then(|_| SignedHeader::read(&mut reader));
        header.is_ok_and(|header| self.hidden.contains(&header.fields.author))
    }
}

/// Two different frames for the first place in the chain of one incarnation: proof of a fork to
/// whoever sees both.
pub(crate) fn forked(settings: &Settings, key: &[u8; 32], wall: WallMs) -> [Bytes; 2] {
    let signer = Keypair::from_secret(key);
    [b"heads".as_slice(), b"tails"].map(|value| {
        let mut chain = Chain::start(Class::Cell, Incarnation(wall.0), Default::default());
        let payload = [&[4][..], b"coin", value].concat();
        let record =
            RecordHead::new(frame::Slot(20), frame::Kind::LWW, Hlc::at(wall)).encode(&payload);
        seal(&mut chain, &[record], &[], &settings.mesh, &signer).bytes().clone()
    })
}

/// Whether somebody suspects nobody any more in it: what the node of a liar says by itself.
fn takes_back(bytes: &Bytes) -> bool {
    let sealed = Sealed::read(bytes, &Limits::default());
    let empty =
        |record: &Record<'_>| record.head.slot == frame::Slot::MISSING && record.payload == [0];
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
    use knhk_mesh_core::identity::Signer as _;

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
    fn a_flood_has_a_bound_in_each_period() {
        let (mut flooder, mut rng) = (Conduct::new(Kind::Flood), Rng::new(1));
        let to: Vec<PeerIx> = (0..3).map(|i| PeerIx::new(i, 0)).collect();
        let mut sent = |slot| -> usize {
            let sending = (to.clone(), Lane::Control, Message::Recover);
            flooder.bend(slot, sending, &mut rng).iter().map(|(to, ..)| to.len()).sum()
        };
        assert_eq!(sent(0), 3 * FLOOD);
        let rest: usize = (1..FLOOD_EVERY).map(&mut sent).sum();
        let own = 3 * FLOOD_EVERY as usize;
        assert!((FLOOD_MOST - 3..=FLOOD_MOST).contains(&(3 * FLOOD + rest - own)));
        assert_eq!(sent(FLOOD_EVERY), 3 * FLOOD, "the next period");
    }

    #[test]
    fn a_censor_hides_an_author_and_nothing_else() {
        let settings = Settings::new(knhk_mesh_core::config::Config::default()).unwrap();
        let mut rng = Rng::new(1);
        let [hidden, other] = [[1; 32], [2; 32]].map(|key| {
            let bytes = forked(&settings, &key, WallMs(5))[0].clone();
            (Keypair::from_secret(&key).node_id(), bytes)
        });
        let mut censor = Conduct::new(Kind::Censor).hiding(vec![hidden.0]);
        let mut sent = |message: Message| {
            let sending = (vec![PeerIx::new(0, 0)], Lane::Delta, message);
            censor.bend(0, sending, &mut rng).len()
        };
        assert_eq!(sent(Message::Signed(hidden.1)), 0);
        assert_eq!(sent(Message::Signed(other.1)), 1);
        assert_eq!(sent(Message::Signed(Bytes::from_static(&[1, 9]))), 1, "not a message at all");
        assert_eq!(sent(Message::Recover), 1);
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
