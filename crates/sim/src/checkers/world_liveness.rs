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

/// What is wrong with the directory of node `i`, which should list `members` at the addresses where
/// they listen; itself it does not list.
pub(crate) fn directory(world: &World, i: NodeIx, members: &[NodeIx]) -> Option<String> {
    let listed = world.node(i).registry().members();
    if listed != members.len() {
        return Some(format!("node {i} knows {listed} members of {}", members.len()));
    }
    let moved = |&&other: &&NodeIx| {
        let registry = world.node(i).registry();
        let peer = registry.by_id(&world.id(other)).and_then(|peer| registry.get(peer));
        other != i && peer.is_none_or(|peer| !peer.addresses.contains(&world.address(other)))
    };
    let other = members.iter().find(moved)?;
    Some(format!("node {i} does not know where node {other} listens"))
}
