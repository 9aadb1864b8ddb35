//! Member records: what decodes is bounded, and its encoding is how the payload begins.

use knhk_mesh_core::membership::Member;
use knhk_mesh_core::peer_registry::PeerInfo;

use crate::Reached;

/// Addresses of each kind, and what a member may say.
pub const PATHS: [&str; 6] = ["no address", "v4", "v6", "four addresses", "left", "later fields"];

/// Runs one input.
pub fn run(input: &[u8], reached: Reached<'_>) {
    let Ok(member) = Member::decode(input) else { return };
    let again = member.encode();
    assert!(input.starts_with(&again), "one member, one encoding");
    assert!(member.addresses.len() <= PeerInfo::MAX_ADDRESSES);
    assert!(member.region.len() <= PeerInfo::MAX_NAME && member.zone.len() <= PeerInfo::MAX_NAME);
    let said = [
        ("no address", member.addresses.is_empty()),
        ("v4", member.addresses.iter().any(|a| a.is_ipv4())),
        ("v6", member.addresses.iter().any(|a| a.is_ipv6())),
        ("four addresses", member.addresses.len() == PeerInfo::MAX_ADDRESSES),
        ("left", member.left),
        ("later fields", input.len() > again.len()),
    ];
    said.into_iter().filter(|s| s.1).for_each(|s| reached(s.0));
}
