//! Forks of equivocators, and who has convicted them.

use hashbrown::{HashMap, HashSet};
use knhk_mesh_core::identity::NodeId;
use knhk_mesh_core::telemetry::Event;
use knhk_mesh_core::time::Time;

use crate::world::{NodeIx, World};

/// A fork that is not convicted everywhere.
struct Fork {
    liar: NodeId,
    at: Time,
    /// Each branch was sent to an honest node, on a network that loses nothing.
    arrived: bool,
    waiting: Vec<NodeIx>,
}

#[derive(Default)]
pub(super) struct Forks {
    open: Vec<Fork>,
    /// Who convicted whom.
    convicted:
        HashMap<NodeIx, HashSet<NodeId, foldhash::fast::FixedState>, foldhash::fast::FixedState>,
    /// Milliseconds from each fork until it was convicted everywhere.
    took_ms: Vec<u64>,
}

impl Forks {
    /// Node `liar` forks; `counted` are the honest nodes that have to convict it.
    pub(super) fn fork(
        &mut self,
        world: &mut World,
        liar: NodeIx,
        counted: &[NodeIx],
        lossy: bool,
    ) {
        let halves = world.fork(liar);
        let honest = |half: &Vec<NodeIx>| half.iter().any(|at| counted.contains(at));
        let arrived = !lossy && halves.iter().all(honest);
        let (liar, at, waiting) = (world.id(liar), world.now(), counted.to_vec());
        self.open.push(Fork { liar, at, arrived, waiting });
    }

    /// Takes what the honest nodes told.
    pub(super) fn look(&mut self, world: &mut World, honest: &[NodeIx]) {
        for &i in honest {
            for event in world.take_events(i) {
                if let Event::Convicted(node, _) = event {
                    self.convicted.entry(i).or_default().insert(node);
                }
            }
        }
        let (convicted, now) = (&self.convicted, world.now());
        for fork in &mut self.open {
            let has = |at: &NodeIx| convicted.get(at).is_some_and(|of| of.contains(&fork.liar));
            fork.waiting.retain(|at| !has(at));
            if fork.waiting.is_empty() {
                self.took_ms.push(now.since(fork.at).as_millis() as u64);
            }
        }
        self.open.retain(|fork| !fork.waiting.is_empty());
    }

    /// Node `i` stopped: nobody waits for its verdict.
    pub(super) fn stopped(&mut self, i: NodeIx) {
        self.open.iter_mut().for_each(|fork| fork.waiting.retain(|&at| at != i));
    }

    /// Honest nodes that an honest one convicted.
    pub(super) fn honest_convicted(&self, world: &World) -> u64 {
        let all: HashSet<&NodeId, foldhash::fast::FixedState> =
            self.convicted.values().flatten().collect();
        let honest = |id: &&&NodeId| world.by_id(id).is_none_or(|i| world.is_honest(i));
        all.iter().filter(honest).count() as u64
    }

    /// How long the slowest conviction took; none if nobody forked.
    pub(super) fn slowest_ms(&self) -> Option<u64> {
        self.took_ms.iter().copied().max()
    }

    /// Forks whose branches both reached honest nodes, and that took longer than `most_ms` or are
    /// not convicted yet. On a lossy network a branch arrived if somebody holds it, or convicted.
    pub(super) fn unconvicted(&self, world: &World, honest: &[NodeIx], most_ms: u64) -> u64 {
        let late = self.took_ms.iter().filter(|&&ms| ms > most_ms).count();
        let told = |liar: &NodeId| self.convicted.values().any(|of| of.contains(liar));
        let reached = |fork: &&Fork| {
            fork.arrived || told(&fork.liar) || world.branches(honest, &fork.liar) > 1
        };
        (late + self.open.iter().filter(reached).count()) as u64
    }
}
