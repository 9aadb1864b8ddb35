//! Member records: what decodes is bounded and survives its encoding, which is how the payload
//! begins unless addresses in it were passed over.

use knhk_mesh_core::membership::Member;
use knhk_mesh_core::peer_registry::PeerInfo;

use crate::Reached;

/// Addresses of each kind, and what a member may say.
pub const PATHS: [&str; 7] =
    ["no address", "v4", "v6", "four addresses", "address of nobody", "left", "later fields"];

/// Runs one input.
pub fn run(input: &[u8], reached: Reached<'_>) {
    let Ok(member) = Member::decode(input) else { return };
    let again = member.encode();
    assert_eq!(Member::decode(&again).as_ref(), Ok(&member), "it says the same again");
    let counted = 4 + member.region.len() + member.zone.len();
    let passed_over = input[counted] != again[counted];
    assert!(passed_over || input.starts_with(&again), "one member, one encoding");
    assert!(member.addresses.len() <= PeerInfo::MAX_ADDRESSES);
    assert!(member.region.len() <= PeerInfo::MAX_NAME && member.zone.len() <= PeerInfo::MAX_NAME);
    let said = [
        ("no address", member.addresses.is_empty()),
        ("v4", member.addresses.iter().any(|a| a.is_ipv4())),
        ("v6", member.addresses.iter().any(|a| a.is_ipv6())),
        ("four addresses", member.addresses.len() == PeerInfo::MAX_ADDRESSES),
        ("address of nobody", passed_over),
        ("left", member.left),
        ("later fields", !passed_over && input.len() > again.len()),
    ];
    said.into_iter().filter(|s| s.1).for_each(|s| reached(s.0));
}
