//! What an adversary remembers, and what leaves it instead of what its node wanted to send.

use bytes::Bytes;
use knhk_mesh_core::digest::Root;
use knhk_mesh_core::identity::{MeshId, NodeId, PeerIx};
use knhk_mesh_core::messages::{Lane, Message};
use knhk_mesh_core::rng::Rng;

use super::crafting::{Tampering, altered, author_of, takes_back};
use super::{FLOOD_EVERY, FLOOD_MOST, Kind};
use crate::engine::Slot;

/// Times that a flooding node sends what it sends.
const FLOOD: usize = 50;
/// Old messages that a node keeps which repeats them.
const HOARD: usize = 32;

/// What an adversary remembers.
#[derive(Debug)]
pub(crate) struct Conduct {
    pub(crate) kind: Kind,
    /// Old signed messages, for who repeats them.
    hoard: Vec<Bytes>,
    /// Authors that a censor hides, or nodes that are surrounded.
    targets: Vec<NodeId>,
    /// Those who surround them together.
    pub(crate) allies: Vec<NodeId>,
    /// The period in which a flooding node added something last, and how much.
    flooded: (Slot, usize),
    tampering: Tampering,
}

/// One message for some peers.
pub(crate) type Sending = (Vec<PeerIx>, Lane, Message);

/// Where a message is bent.
pub(crate) struct Scene<'a> {
    pub(crate) slot: Slot,
    pub(crate) mesh: &'a MeshId,
    pub(crate) who: &'a dyn Fn(PeerIx) -> Option<NodeId>,
    pub(crate) rng: &'a mut Rng,
}

impl Conduct {
    pub(crate) fn new(kind: Kind) -> Self {
        let (hoard, targets, allies) = (Vec::new(), Vec::new(), Vec::new());
        let tampering = Tampering::default();
        Conduct { kind, hoard, targets, allies, flooded: (0, 0), tampering }
    }

    /// The same, hiding what these authors sign, or keeping the world from these nodes.
    pub(crate) fn against(self, targets: Vec<NodeId>) -> Self {
        Conduct { targets, ..self }
    }

    /// The same; what it signs itself it signs with `key`.
    pub(crate) fn signing_with(mut self, key: [u8; 32]) -> Self {
        self.tampering = Tampering::of(key);
        self
    }

    /// What leaves an adversary instead of what its node wanted to send.
    pub(crate) fn bend(&mut self, sending: Sending, scene: &mut Scene<'_>) -> Vec<Sending> {
        let (to, lane, message) = sending;
        match (self.kind, message) {
            (Kind::Silent, _) => Vec::new(),
            (Kind::Forge, Message::Signed(bytes)) => {
                vec![(to, lane, Message::Signed(altered(&bytes, scene.rng)))]
            }
            (Kind::Tamper, Message::Signed(bytes)) if !self.tampering.is_own(&bytes) => {
                let bytes = self.tampering.tamper(&bytes, scene.mesh, scene.rng);
                vec![(to, lane, Message::Signed(bytes))]
            }
            (Kind::Omit, Message::Signed(_)) => Vec::new(),
            (Kind::Censor, Message::Signed(bytes)) if self.hides(&bytes) => Vec::new(),
            (Kind::Suspect, Message::Signed(bytes)) if takes_back(&bytes) => Vec::new(),
            (Kind::Eclipse, Message::Signed(bytes)) if !self.is_of_allies(&bytes) => {
                let surrounded = |&peer: &PeerIx| {
                    (scene.who)(peer).is_some_and(|node| self.targets.contains(&node))
                };
                let others = to.into_iter().filter(|peer| !surrounded(peer)).collect();
                vec![(others, lane, Message::Signed(bytes))]
            }
            (Kind::ColdBoot, Message::Signed(bytes)) => {
                let instead = self.stale(lane, bytes, scene.rng);
                instead.map(|bytes| (to, lane, Message::Signed(bytes))).into_iter().collect()
            }
            (Kind::ColdBoot, Message::Recovered(_)) => vec![(to, lane, Message::Recovered(0))],
            (Kind::LieDigest, Message::Digest(mut digest)) => {
                let word = scene.rng.next_u64().to_le_bytes();
                digest.root = Root(core::array::from_fn(|i| word[i % 8] ^ i as u8));
                vec![(to, lane, Message::Digest(digest))]
            }
            (Kind::Flood, message) => {
                let times = 1 + self.may_add(scene.slot, to.len());
                (0..times).map(|_| (to.clone(), lane, message.clone())).collect()
            }
            (Kind::Replay, message) => self.repeated(to, lane, message),
            (_, message) => vec![(to, lane, message)],
        }
    }

    /// A message, and with each digest all old ones.
    fn repeated(&mut self, to: Vec<PeerIx>, lane: Lane, message: Message) -> Vec<Sending> {
        let mut out = Vec::new();
        if let Message::Signed(bytes) = &message
            && self.hoard.len() < HOARD
        {
            self.hoard.push(bytes.clone());
        }
        if let Message::Digest(_) = &message {
            let again = |old: &Bytes| (to.clone(), Lane::Delta, Message::Signed(old.clone()));
            out.extend(self.hoard.iter().map(again));
        }
        out.push((to, lane, message));
        out
    }

    /// What comes new passes; who asks for what was gets nothing, the oldest of the author, or a
    /// forgery.
    fn stale(&mut self, lane: Lane, bytes: Bytes, rng: &mut Rng) -> Option<Bytes> {
        let author = author_of(&bytes);
        let first = self.hoard.iter().find(|old| author_of(old) == author).cloned();
        if first.is_none() && self.hoard.len() < HOARD {
            self.hoard.push(bytes.clone());
        }
        match (lane, rng.below(8)) {
            (Lane::Bulk, 0) => Some(altered(&bytes, rng)),
            (Lane::Bulk, 1..4) => first,
            (Lane::Bulk, _) => None,
            _ => Some(bytes),
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
        author_of(bytes).is_some_and(|author| self.targets.contains(&author))
    }

    fn is_of_allies(&self, bytes: &Bytes) -> bool {
        author_of(bytes).is_some_and(|author| self.allies.contains(&author))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::forked;
    use knhk_mesh_core::config::{Config, Settings};
    use knhk_mesh_core::identity::{Keypair, Signer as _};
    use knhk_mesh_core::time::WallMs;

    /// Node `i` has `i` as the first byte of its id.
    fn id(peer: PeerIx) -> NodeId {
        NodeId([peer.index() as u8; 32])
    }

    fn bent(liar: &mut Conduct, slot: Slot, sending: Sending) -> Vec<Sending> {
        let (mesh, mut rng) = (MeshId([3; 32]), Rng::new(1));
        let mut scene = Scene { slot, mesh: &mesh, who: &|peer| Some(id(peer)), rng: &mut rng };
        liar.bend(sending, &mut scene)
    }

    fn peers(n: usize) -> Vec<PeerIx> {
        (0..n).map(|i| PeerIx::new(i, 0)).collect()
    }

    /// A frame of each of two authors.
    fn signed() -> [(NodeId, Bytes); 2] {
        let settings = Settings::new(Config::default()).unwrap();
        [[1; 32], [2; 32]].map(|key| {
            let bytes = forked(&settings, &key, WallMs(5))[0].clone();
            (Keypair::from_secret(&key).node_id(), bytes)
        })
    }

    #[test]
    fn a_flood_has_a_bound_in_each_period() {
        let mut flooder = Conduct::new(Kind::Flood);
        let mut sent = |slot| -> usize {
            let sending = (peers(3), Lane::Control, Message::Recover);
            bent(&mut flooder, slot, sending).iter().map(|(to, ..)| to.len()).sum()
        };
        assert_eq!(sent(0), 3 * FLOOD);
        let rest: usize = (1..FLOOD_EVERY).map(&mut sent).sum();
        let own = 3 * FLOOD_EVERY as usize;
        assert!((FLOOD_MOST - 3..=FLOOD_MOST).contains(&(3 * FLOOD + rest - own)));
        assert_eq!(sent(FLOOD_EVERY), 3 * FLOOD, "the next period");
    }

    #[test]
    fn a_censor_hides_an_author_and_nothing_else() {
        let [hidden, other] = signed();
        let mut censor = Conduct::new(Kind::Censor).against(vec![hidden.0]);
        let mut sent =
            |message: Message| bent(&mut censor, 0, (peers(1), Lane::Delta, message)).len();
        assert_eq!(sent(Message::Signed(hidden.1)), 0);
        assert_eq!(sent(Message::Signed(other.1)), 1);
        assert_eq!(sent(Message::Signed(Bytes::from_static(&[1, 9]))), 1, "not a message at all");
        assert_eq!(sent(Message::Recover), 1);
    }

    #[test]
    fn who_is_surrounded_hears_of_the_allies_and_of_nobody_else() {
        let [ally, other] = signed();
        let mut liar = Conduct::new(Kind::Eclipse).against(vec![id(PeerIx::new(1, 0))]);
        liar.allies = vec![ally.0];
        let mut sent = |message: Message| -> Vec<usize> {
            let out = bent(&mut liar, 0, (peers(3), Lane::Bulk, message));
            out.iter().flat_map(|(to, ..)| to.iter().map(|peer| peer.index())).collect()
        };
        assert_eq!(sent(Message::Signed(ally.1)), [0, 1, 2]);
        assert_eq!(sent(Message::Signed(other.1)), [0, 2]);
        assert_eq!(sent(Message::Recover), [0, 1, 2]);
    }

    #[test]
    fn who_asks_a_cold_boot_liar_for_its_past_gets_none_of_it() {
        let [(_, bytes), _] = signed();
        let mut liar = Conduct::new(Kind::ColdBoot);
        let news = bent(&mut liar, 0, (peers(1), Lane::Delta, Message::Signed(bytes.clone())));
        assert!(matches!(&news[..], [(_, _, Message::Signed(sent))] if *sent == bytes));
        let told = bent(&mut liar, 0, (peers(1), Lane::Bulk, Message::Recovered(7)));
        assert!(matches!(told[..], [(_, _, Message::Recovered(0))]));
    }
}
