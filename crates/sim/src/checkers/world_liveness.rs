//! Good things happen in time in a world: honest nodes reach one state and know the same members.

use std::collections::BTreeMap;

use knhk_mesh_core::digest::Root;

use crate::world::{NodeIx, World};

/// How many of `live` hold the state that most of them hold.
pub(crate) fn in_agreement(world: &mut World, live: &[NodeIx]) -> usize {
    let mut roots: BTreeMap<Root, usize> = BTreeMap::new();
    for &i in live {
        *roots.entry(world.node_mut(i).root()).or_default() += 1;
    }
    roots.into_values().max().unwrap_or_default()
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
