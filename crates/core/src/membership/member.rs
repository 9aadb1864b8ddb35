//! The member record: what a node says about itself in its slot 0. Replicated like any other
//! record, it is the directory.

use std::net::{IpAddr, SocketAddr};

use crate::codec::{Reader, Writer};
use crate::error::Refused;
use crate::peer_registry::PeerInfo;

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
