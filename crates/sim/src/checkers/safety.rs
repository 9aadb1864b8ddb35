//! Bad things never happen: no record that its author did not write, no map or queue beyond its
//! bound, nobody honest convicted.

use knhk_mesh_core::crdt::store::EntryIx;
use knhk_mesh_core::identity::NodeId;
use knhk_mesh_core::node::Node;

use crate::crowd::{Crowd, Plan};

/// Most broken invariants that are told.
const MOST: usize = 10;

/// What broke, in words; empty if nothing did.
pub(crate) fn check(crowd: &Crowd, plan: &Plan) -> Vec<String> {
    let mut broken = Vec::new();
    let truth = Truth::of(crowd, plan);
    for (i, host) in crowd.engine.hosts().filter(|(_, host)| host.is_honest()) {
        broken.extend(truth.against(&host.node).map(|what| format!("node {i}: {what}")));
        let links = host.node.linked().count();
        if links > plan.settings.most_links() {
            broken.push(format!("node {i}: {links} links"));
        }
        if broken.len() >= MOST {
            break;
        }
    }
    broken.truncate(MOST);
    broken
}

/// What the honest authors wrote, as their own nodes hold it.
struct Truth<'a> {
    authors: Vec<(NodeId, &'a Node)>,
}

impl<'a> Truth<'a> {
    fn of(crowd: &'a Crowd, plan: &Plan) -> Self {
        let one = |&i: &usize| {
            let node = &crowd.engine.host(i).node;
            (node.id(), node)
        };
        Truth { authors: plan.writers.iter().map(one).collect() }
    }

    /// The first thing that `node` holds of an honest author and that its author does not.
    fn against(&self, node: &Node) -> Option<String> {
        for (id, author) in &self.authors {
            if node.store().is_convicted(id) {
                return Some(format!("holds {id} convicted, which is honest"));
            }
            let differs = |&entry: &EntryIx| {
                let held = node.store().contribution(entry)?;
                let wrote = author.store().record(id, held.record.head.slot)?;
                let newer = (held.incarnation, held.seq) > (wrote.incarnation, wrote.seq);
                let same = held.record.payload == wrote.record.payload;
                let other = (held.incarnation, held.seq) == (wrote.incarnation, wrote.seq) && !same;
                (newer || other).then(|| format!("holds a record that {id} never wrote"))
            };
            if let Some(what) = node.store().entries_by(id).iter().find_map(differs) {
                return Some(what);
            }
        }
        None
    }
}
