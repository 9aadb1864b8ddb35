//! Bad things never happen in a crowd: what holds for every node holds for each honest one.

use knhk_mesh_core::crdt::Contribution;
use knhk_mesh_core::identity::{Incarnation, NodeId, Seq};

use super::node_safety::{self, Signers};
use crate::adversary::Kind;
use crate::crowd::Crowd;
use crate::world::NodeIx;

/// Most broken invariants that are told.
const MOST: usize = 10;

/// What broke, in words; empty if nothing did.
pub(crate) fn check(crowd: &Crowd) -> Vec<String> {
    let honest = crowd.engine.hosts().filter(|(_, host)| host.is_honest());
    let found = honest.flat_map(|(i, host)| {
        let broken = node_safety::check(crowd, &host.node).into_iter();
        broken.map(move |what| format!("node {i} {what}"))
    });
    found.take(MOST).collect()
}

impl Signers for Crowd {
    /// All share one directory, in which nobody finds itself: the index in it is the machine's.
    fn machine(&self, id: &NodeId) -> Option<NodeIx> {
        let other = usize::from(self.engine.host(0).node.id() == *id);
        self.engine.host(other).node.registry().by_id(id).map(|peer| peer.index())
    }
    fn forks(&self, i: NodeIx) -> bool {
        let own = self.engine.host(i).own.as_ref();
        let conduct = own.and_then(|own| own.conduct.as_ref());
        conduct.is_some_and(|conduct| conduct.kind == Kind::Equivocate)
    }
    fn signed(&self, i: NodeIx, held: &Contribution<'_>) -> bool {
        self.engine.host(i).signed(held)
    }
    fn signed_up_to(&self, i: NodeIx, incarnation: Incarnation, seq_end: Seq) -> bool {
        self.engine.host(i).signed_up_to(incarnation, seq_end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crowd::Plan;
    use crate::network::Network;
    use crate::world::Drive;
    use knhk_mesh_core::config::{Config, Settings};
    use knhk_mesh_core::crdt::{Key, Op};

    /// Four nodes that hold what nodes 1 and 2 wrote, and what `liar` forked.
    fn crowd(liar: Option<NodeIx>) -> Crowd {
        let plan = Plan {
            settings: Settings::new(Config::default()).unwrap(),
            network: Network::default(),
            nodes: 6,
            seed: 1,
            drive: Drive::default(),
            corrupt: liar.into_iter().map(|i| (i, Kind::Equivocate)).collect(),
            writers: vec![1, 2],
        };
        let mut crowd = Crowd::new(&plan, |_| ());
        crowd.run_until(100, |_| false);
        for i in [1, 2] {
            let key = Key::try_from("k").unwrap();
            let value = bytes::Bytes::from(i.to_string());
            crowd.write(i, &Op::Set { key, value, ttl: None });
        }
        liar.into_iter().for_each(|i| crowd.fork(i));
        crowd.run_until(3_000, |_| false);
        crowd
    }

    #[test]
    fn what_was_signed_is_no_news() {
        assert_eq!(check(&crowd(None)), Vec::<String>::new());
        assert_eq!(check(&crowd(Some(4))), Vec::<String>::new());
    }

    #[test]
    fn a_record_that_its_author_never_signed_is_found() {
        // Of an author that wrote something else, and of one that never wrote at all.
        for forget_all in [false, true] {
            let mut crowd = crowd(None);
            let signed = &mut crowd.engine.host_mut(1).own().signed;
            signed.values_mut().for_each(|print| *print ^= 1);
            if forget_all {
                signed.clear();
            }
            let found = check(&crowd);
            let told = |what: &&String| what.contains("of node 1, which never signed it");
            assert_eq!(found.iter().filter(told).count(), if forget_all { 10 } else { 6 });
        }
    }

    #[test]
    fn a_conviction_of_one_incarnation_of_who_forked_nothing_is_found() {
        let mut crowd = crowd(Some(4));
        // As if it had never forked: what others can prove of it is against somebody honest now.
        let other = Kind::Omit;
        crowd.engine.host_mut(4).own().conduct = Some(crate::adversary::Conduct::new(other));
        let found = check(&crowd);
        assert!(found.iter().any(|what| what.contains("forked nothing")), "{found:?}");
    }
}
