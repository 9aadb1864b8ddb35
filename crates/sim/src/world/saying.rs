//! What is said about members: by themselves when they go, by the operator, and by liars who accuse
//! others. And what other liars do of themselves: whom they surround they dial.

use std::collections::BTreeSet;

use knhk_mesh_core::frame::Slot;
use knhk_mesh_core::identity::{Incarnation, NodeId};
use knhk_mesh_core::membership::{Suspicion, Words};
use knhk_mesh_core::messages::Input;

use super::{NodeIx, World};
use crate::adversary::{FORKED, Kind};

impl World {
    /// Node `i` leaves the mesh and takes its records along; its process goes on.
    pub fn purge(&mut self, i: NodeIx) {
        self.handle(i, Input::Leave { purge: true });
    }

    /// Node `i` hears that the operator made void what `node` signed up to an incarnation. How such
    /// words travel is the shell's business.
    pub fn deny(&mut self, i: NodeIx, node: NodeId, up_to: Incarnation) {
        self.handle(i, Input::Denied(node, up_to));
    }

    /// Node `i` signs that it has not reached `victims` for two hours.
    pub fn accuse(&mut self, i: NodeIx, victims: &[NodeIx]) {
        let store = self.node(i).store();
        let since = (self.clock().wall.0 / 1_000) as u32 - 7_200;
        let entry = |&victim: &NodeIx| {
            let node = self.id(victim);
            let record = store.record(&node, Slot::MEMBER)?;
            Some(Suspicion { node, age: (record.incarnation, record.seq), since })
        };
        let missing = Some(victims.iter().filter_map(entry).collect());
        let now = self.engine.now;
        let (shard, local, shared) = self.engine.place(i);
        shard.say(now, local, shared, Words { missing, refute: false });
        self.after_call(i);
    }

    /// Everybody of [`Kind::Suspect`] accuses all others that are honest and up: the same victims
    /// at the same time. Of too many for one list all name the first.
    pub fn accuse_all(&mut self) {
        let up = (0..self.len()).filter(|&i| self.is_up(i));
        let honest: Vec<NodeIx> = up.filter(|&i| self.is_honest(i)).collect();
        self.accuse_together(&honest);
    }

    /// The same of these few.
    pub fn accuse_together(&mut self, victims: &[NodeIx]) {
        self.liars(Kind::Suspect).into_iter().for_each(|i| self.accuse(i, victims));
    }

    /// Everybody of `kind` dials each of `victims` that it has no link with.
    pub fn surround(&mut self, kind: Kind, victims: &[NodeIx]) {
        for i in self.liars(kind) {
            for &victim in victims {
                let (a, b) = (i.min(victim), i.max(victim));
                if !self.links.contains(&(a, b)) {
                    self.dial(i, victim);
                }
            }
        }
    }

    /// Those of `kind` that run.
    #[must_use]
    pub fn liars(&self, kind: Kind) -> Vec<NodeIx> {
        let up = (0..self.len()).filter(|&i| self.is_up(i));
        up.filter(|&i| self.conduct(i) == Some(kind)).collect()
    }

    /// How many different records of `liar` the nodes `at` hold in the slot that liars fork.
    pub(crate) fn branches(&self, at: &[NodeIx], liar: &NodeId) -> usize {
        let held = |&i: &NodeIx| {
            let record = self.node(i).store().record(liar, FORKED)?;
            Some(record.record.payload.to_vec())
        };
        at.iter().filter_map(held).collect::<BTreeSet<_>>().len()
    }

    /// All that surround somebody know each other.
    pub(super) fn ally(&mut self) {
        let all = self.liars(Kind::Eclipse);
        let allies: Vec<NodeId> = all.iter().map(|&i| self.id(i)).collect();
        for i in all {
            if let Some(conduct) = &mut self.engine.host_mut(i).own().conduct {
                conduct.allies.clone_from(&allies);
            }
        }
    }
}
