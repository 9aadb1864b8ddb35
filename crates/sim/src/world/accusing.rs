//! Liars who accuse: signed lists of members that they pretend not to reach.

use knhk_mesh_core::frame::Slot;
use knhk_mesh_core::membership::{Suspicion, Words};

use super::{NodeIx, World};
use crate::adversary::Kind;

impl World {
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
