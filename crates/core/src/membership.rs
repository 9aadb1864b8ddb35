//! Who is there: the member record in slot 0 of each author is the directory, replicated like any
//! other record, and links are kept to members chosen at random from it.
//!
//! ```text
//!   member record --merge--> registry --random--> dial --> link
//!        ^                                                  |
//!        `---- written by the node itself, only             `-- one replaced every 10 s
//! ```

use core::time::Duration;
use std::net::{IpAddr, SocketAddr};

use crate::codec::{Reader, Writer};
use crate::error::Refused;
use crate::identity::{NodeId, PeerIx};
use crate::links::{Link, Links};
use crate::messages::Sink;
use crate::peer_registry::{PeerInfo, PeerRegistry};
use crate::rng::Rng;
use crate::time::Time;

/// Dials under way at a time.
const MAX_DIALS: usize = 3;
/// A dial of which the driver never told the end has failed after this long.
const DIAL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the links are looked after when nothing happens.
const CARE: Duration = Duration::from_millis(500);
/// How often one chosen link is replaced by another.
const ROTATION: Duration = Duration::from_secs(10);

/// What a node says about itself in its slot 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// It said goodbye.
    pub left: bool,
    /// The highest wire version that it reads.
    pub wire_version: u8,
    /// Its region.
    pub region: String,
    /// Its zone.
    pub zone: String,
    /// Where others dial it; at most [`PeerInfo::MAX_ADDRESSES`].
    pub addresses: Vec<SocketAddr>,
}

impl Member {
    /// The payload of the member record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.u8(u8::from(self.left)).u8(self.wire_version);
        for text in [&self.region, &self.zone] {
            w.u8(text.len() as u8).bytes(text.as_bytes());
        }
        w.u8(self.addresses.len() as u8);
        for address in &self.addresses {
            match address.ip() {
                IpAddr::V4(ip) => w.u8(4).bytes(&ip.octets()),
                IpAddr::V6(ip) => w.u8(6).bytes(&ip.octets()),
            };
            w.u16(address.port());
        }
        w.into_vec()
    }

    /// Reads the payload of a member record. Bytes behind the known fields are of later versions
    /// and passed over, as are addresses that name no single host.
    ///
    /// # Errors
    /// [`Refused`] if it is no member record; the author is then no member.
    pub fn decode(payload: &[u8]) -> Result<Self, Refused> {
        let mut r = Reader::new(payload);
        let (left, wire_version) = (r.u8()?, r.u8()?);
        let (region, zone) = (read_text(&mut r)?, read_text(&mut r)?);
        let count = usize::from(r.u8()?);
        if left > 1 || count > PeerInfo::MAX_ADDRESSES {
            return Err(Refused::Malformed);
        }
        let read = (0..count).map(|_| read_address(&mut r));
        let mut addresses = read.collect::<Result<Vec<_>, _>>()?;
        addresses.retain(is_dialable);
        Ok(Member { left: left == 1, wire_version, region, zone, addresses })
    }
}

fn read_text(r: &mut Reader<'_>) -> Result<String, Refused> {
    let len = usize::from(r.u8()?);
    if len > PeerInfo::MAX_NAME {
        return Err(Refused::Oversize);
    }
    let text = core::str::from_utf8(r.take(len)?).map_err(|_| Refused::Malformed)?;
    Ok(text.into())
}

fn read_address(r: &mut Reader<'_>) -> Result<SocketAddr, Refused> {
    let ip = match r.u8()? {
        4 => IpAddr::from(r.array::<4>()?),
        6 => IpAddr::from(r.array::<16>()?),
        _ => return Err(Refused::Malformed),
    };
    Ok(SocketAddr::new(ip, r.u16()?))
}

/// Whether the address names one other host: "any" would be the dialling host itself, and a group
/// or everybody is nobody to shake hands with.
fn is_dialable(address: &SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let everybody = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !everybody
}

/// Keeps the node linked.
#[derive(Debug, Default)]
pub struct Membership {
    /// While there are some.
    dials: Option<Box<Dials>>,
    next_care: Time,
    next_rotation: Time,
}

/// Nodes that are being dialled, and when each dial has failed.
#[derive(Debug, Default)]
struct Dials(Vec<(NodeId, Time)>);

/// What the membership room may touch for the length of one call.
pub struct Scene<'a, S: Sink> {
    /// The time of the call.
    pub now: Time,
    /// Links that the node wants to choose itself.
    pub wanted: usize,
    /// The members.
    pub registry: &'a mut PeerRegistry,
    /// The links.
    pub links: &'a mut Links,
    /// Randomness of the node.
    pub rng: &'a mut Rng,
    /// The way out.
    pub sink: &'a mut S,
}

impl Membership {
    /// When the links want to be looked after.
    #[must_use]
    pub const fn next_timeout(&self) -> Time {
        self.next_care
    }

    /// Links or members changed: look soon.
    pub fn care_soon(&mut self, now: Time) {
        self.next_care = self.next_care.min(now + Duration::from_millis(5));
    }

    /// Looks after the links if it is time.
    pub fn on_timeout<S: Sink>(&mut self, scene: &mut Scene<'_, S>) {
        if scene.now < self.next_care {
            return;
        }
        let jitter = CARE / 4 * scene.rng.below(4);
        self.next_care = scene.now + CARE + jitter;
        self.keep_dials(|_, deadline| deadline > scene.now);
        let missing = scene.wanted.saturating_sub(scene.links.chosen());
        if scene.wanted == 0 {
            // Nobody is there, or this node has left.
        } else if missing > 0 {
            self.choose(scene, missing);
        } else if scene.now >= self.next_rotation {
            let first = self.next_rotation == Time::ZERO;
            self.next_rotation = scene.now + ROTATION + ROTATION / 10 * scene.rng.below(4);
            if !first {
                self.rotate(scene);
            }
        }
    }

    /// Chooses `missing` more members: links that stand already, or dials.
    fn choose<S: Sink>(&mut self, scene: &mut Scene<'_, S>, missing: usize) {
        let mut open = missing.saturating_sub(self.dials().len());
        let mut drawn = Vec::new();
        scene.registry.random(2 * missing, scene.rng, &mut drawn);
        for peer in drawn {
            if open == 0 {
                return;
            }
            match scene.links.get_mut(peer) {
                Some(link) if link.chosen() => {}
                Some(link) => {
                    link.set_chosen(true);
                    open -= 1;
                }
                None => open -= usize::from(self.dial(scene, peer)),
            }
        }
    }

    fn dial<S: Sink>(&mut self, scene: &mut Scene<'_, S>, peer: PeerIx) -> bool {
        let Some(member) = scene.registry.get(peer) else { return false };
        let known = self.dials().iter().any(|(node, _)| *node == member.id);
        if known || member.addresses.is_empty() || self.dials().len() >= MAX_DIALS {
            return false;
        }
        let dials = &mut self.dials.get_or_insert_default().0;
        dials.push((member.id, scene.now + DIAL_TIMEOUT));
        scene.sink.connect(member.id);
        true
    }

    /// One more link; the one that it replaces goes when the new one stands.
    fn rotate<S: Sink>(&mut self, scene: &mut Scene<'_, S>) {
        let mut drawn = Vec::new();
        scene.registry.random(4, scene.rng, &mut drawn);
        let unlinked = drawn.into_iter().find(|&peer| scene.links.get(peer).is_none());
        if let Some(peer) = unlinked {
            self.dial(scene, peer);
        }
    }

    /// A dial ended, well or not.
    pub fn dial_ended(&mut self, node: &NodeId) {
        self.keep_dials(|dialled, _| dialled != node);
    }

    fn dials(&self) -> &[(NodeId, Time)] {
        self.dials.as_ref().map_or(&[], |dials| &dials.0)
    }

    fn keep_dials(&mut self, keeps: impl Fn(&NodeId, Time) -> bool) {
        if let Some(dials) = &mut self.dials {
            dials.0.retain(|(node, deadline)| keeps(node, *deadline));
        }
        self.dials.take_if(|dials| dials.0.is_empty());
    }

    /// The link to end when one of its own choice came up and is one too many; outside of the
    /// tree if possible.
    pub fn surplus<S: Sink>(&self, scene: &mut Scene<'_, S>, newest: PeerIx) -> Option<PeerIx> {
        if scene.links.chosen() <= scene.wanted {
            return None;
        }
        let candidates = |eager: bool| {
            let fits = |l: &&Link| l.chosen() && l.eager() == eager && l.peer != newest;
            scene.links.iter().filter(fits).map(|l| l.peer).collect::<Vec<_>>()
        };
        let mut from = candidates(false);
        if from.is_empty() {
            from = candidates(true);
        }
        let count = u32::try_from(from.len()).ok().filter(|&n| n > 0)?;
        Some(from[scene.rng.below(count) as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_member_survives_its_encoding(
            left: bool, wire_version: u8, region in "[a-z0-9-]{0,20}", zone in "\\PC{0,8}",
            addresses in proptest::collection::vec(any::<SocketAddr>(), 0..4),
        ) {
            // Flow and scope of an IPv6 address mean nothing to another machine.
            let plain = |a: SocketAddr| SocketAddr::new(a.ip(), a.port());
            let addresses = addresses.into_iter().map(plain).filter(is_dialable).collect();
            let member = Member { left, wire_version, region, zone, addresses };
            let mut bytes = member.encode();
            prop_assert_eq!(Member::decode(&bytes), Ok(member.clone()));
            bytes.extend_from_slice(b"of a later version");
            prop_assert_eq!(Member::decode(&bytes), Ok(member));
        }

        #[test]
        fn arbitrary_bytes_are_refused_calmly(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            if let Ok(member) = Member::decode(&bytes) {
                prop_assert!(member.addresses.len() <= PeerInfo::MAX_ADDRESSES);
            }
        }
    }

    #[test]
    fn addresses_of_nobody_or_of_everybody_are_passed_over() {
        let texts = ["10.0.0.1:0", "0.0.0.0:9", "[::]:9", "224.0.0.1:9", "[ff02::1]:9"];
        let more = ["255.255.255.255:9", "[::ffff:0.0.0.0]:9", "127.0.0.1:9", "[2001:db8::1]:9"];
        let (region, zone) = (String::new(), String::new());
        let mut kept = Vec::new();
        for text in texts.iter().chain(&more) {
            let addresses = vec![text.parse().unwrap()];
            let (region, zone) = (region.clone(), zone.clone());
            let member = Member { left: false, wire_version: 1, region, zone, addresses };
            kept.extend(Member::decode(&member.encode()).unwrap().addresses);
        }
        let good: Vec<SocketAddr> = more[2..].iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(kept, good);
    }
}
