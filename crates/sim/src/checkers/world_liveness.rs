//! Good things happen in time in a world: honest nodes reach one state and know the same members.

use std::collections::BTreeMap;

use knhk_mesh_core::digest::Root;
use knhk_mesh_core::frame::Slot;
use knhk_mesh_core::membership::Member;

use crate::world::{NodeIx, World};

/// How many of `live` hold the state that most of them hold.
pub(crate) fn in_agreement(world: &mut World, live: &[NodeIx]) -> usize {
    agreeing(world, live).len()
}

/// Those of `live` that hold the state that most of them hold.
pub(crate) fn agreeing(world: &mut World, live: &[NodeIx]) -> Vec<NodeIx> {
    let mut holders: BTreeMap<Root, Vec<NodeIx>> = BTreeMap::new();
    for &i in live {
        holders.entry(world.node_mut(i).root()).or_default().push(i);
    }
    holders.into_values().max_by_key(Vec::len).unwrap_or_default()
}

/// Whether node `at` holds the goodbye of node `other`. That it does not list it proves nothing: a
/// node that has just started lists nobody.
pub(crate) fn knows_goodbye(world: &World, at: NodeIx, other: NodeIx) -> bool {
    let record = world.node(at).store().record(&world.id(other), Slot::MEMBER);
    record.is_some_and(|r| Member::decode(r.record.payload).is_ok_and(|member| member.left))
}

/// Whether node `at` knows node `other` as a member; everybody knows itself.
pub(crate) fn lists(world: &World, at: NodeIx, other: NodeIx) -> bool {
    let registry = world.node(at).registry();
    let peer = registry.by_id(&world.id(other)).and_then(|peer| registry.get(peer));
    // Strangers whose link stands have no incarnation yet.
    at == other || peer.is_some_and(|peer| peer.incarnation.0 > 0)
}

/// What is wrong with the directory of node `i`, which should list `members` at the addresses where
/// they listen, and nobody of `gone`.
pub(crate) fn directory(
    world: &World,
    i: NodeIx,
    members: &[NodeIx],
    gone: &[NodeIx],
) -> Option<String> {
    if let Some(other) = members.iter().find(|&&other| !lists(world, i, other)) {
        return Some(format!("node {i} does not know member {other}"));
    }
    if let Some(other) = gone.iter().find(|&&other| other != i && lists(world, i, other)) {
        return Some(format!("node {i} lists {other}, which has left"));
    }
    let moved = |&&other: &&NodeIx| {
        let registry = world.node(i).registry();
        let peer = registry.by_id(&world.id(other)).and_then(|peer| registry.get(peer));
        world.is_up(other)
            && peer.is_some_and(|peer| !peer.addresses.contains(&world.address(other)))
    };
    let other = members.iter().find(moved)?;
    Some(format!("node {i} does not know where node {other} listens"))
}
