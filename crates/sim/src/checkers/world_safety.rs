//! Bad things never happen in a world: what holds for every node, and what only real membership and
//! recorded events show.

use knhk_mesh_core::crdt::Contribution;
use knhk_mesh_core::identity::{Incarnation, NodeId, Seq};
use knhk_mesh_core::telemetry::Event;

use super::node_safety::{self, Signers};
use crate::adversary::Kind;
use crate::world::{NodeIx, World};

/// Events that may wait for a node in the mean: messages on their way and timers, those of a flood
/// included.
const QUEUED_EACH: usize = 4_096;

/// What broke at node `i`, in words; empty if nothing did. What its neighbours signed is known from
/// what they gave their disks.
pub(crate) fn check(world: &World, i: NodeIx) -> Vec<String> {
    let mut broken = node_safety::check(world, world.node(i));
    broken.extend(told_convictions(world, i));
    broken.extend(strangers(world, i));
    broken.iter_mut().for_each(|what| *what = format!("node {i} {what}"));
    broken
}

/// Whether more is under way than nodes can have sent.
pub(crate) fn queues(world: &World) -> Option<String> {
    let (found, most) = (world.queued(), world.len() * QUEUED_EACH);
    (found > most).then(|| format!("{found} events wait in the queues; the bound is {most}"))
}

impl Signers for World {
    fn machine(&self, id: &NodeId) -> Option<NodeIx> {
        self.by_id(id)
    }
    fn forks(&self, i: NodeIx) -> bool {
        self.conduct(i) == Some(Kind::Equivocate)
    }
    fn signed(&self, i: NodeIx, held: &Contribution<'_>) -> bool {
        World::signed(self, i, held)
    }
    fn signed_up_to(&self, i: NodeIx, incarnation: Incarnation, seq_end: Seq) -> bool {
        World::signed_up_to(self, i, incarnation, seq_end)
    }
}

fn told_convictions(world: &World, i: NodeIx) -> impl Iterator<Item = String> + '_ {
    let honest = |author| world.by_id(author).is_none_or(|a| !world.forks(a));
    let told = world.events(i).iter().filter_map(move |event| match event {
        Event::Convicted(author, _) if honest(author) => Some(author),
        _ => None,
    });
    told.map(|author| format!("told of a conviction of {author}, which forked nothing"))
}

fn strangers(world: &World, i: NodeIx) -> Option<String> {
    let node = world.node(i);
    let (found, most) =
        (node.registry().all().count(), node.registry().members() + node.linked().count());
    let what = "peers that are neither members nor linked";
    (found > most).then(|| format!("has {found} {what}; the bound is {most}"))
}
