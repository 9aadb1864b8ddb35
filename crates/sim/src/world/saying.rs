//! What is said about members: by themselves when they go, by the operator, and by liars who accuse
//! others.

use knhk_mesh_core::frame::Slot;
use knhk_mesh_core::identity::{Incarnation, NodeId};
use knhk_mesh_core::membership::{Suspicion, Words};
use knhk_mesh_core::messages::Input;

use super::{NodeIx, World};
use crate::adversary::Kind;

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

    /// Everybody of [`Kind::Suspect`] accuses all others that are honest and up.
    pub fn accuse_all(&mut self) {
        let up = (0..self.len()).filter(|&i| self.is_up(i));
        let (honest, others): (Vec<NodeIx>, Vec<_>) = up.partition(|&i| self.is_honest(i));
        for i in others {
            if self.conduct(i) == Some(Kind::Suspect) {
                self.accuse(i, &honest);
            }
        }
    }
}
