//! What must never be found at a node, whatever the world around it: a record or a header that no
//! process of its author signed, a conviction of who forked nothing, a map or a queue beyond its
//! bound.
//!
//! ```text
//!   what each process gave its disk --prints--> Signers <--is it theirs?-- what a node holds
//! ```

use hashbrown::HashMap;
use knhk_mesh_core::crdt::Contribution;
use knhk_mesh_core::identity::{Incarnation, NodeId, Seq};
use knhk_mesh_core::node::Node;

use crate::world::NodeIx;

/// Who is who, and what their processes signed.
pub(crate) trait Signers {
    /// The machine of this id.
    fn machine(&self, id: &NodeId) -> Option<NodeIx>;
    /// Whether it signs two frames for one place, outside of its node.
    fn forks(&self, i: NodeIx) -> bool;
    /// Whether a process of it signed this record: its place in the chain and every byte.
    fn signed(&self, i: NodeIx, held: &Contribution<'_>) -> bool;
    /// Whether a process of it signed a frame that ends before `seq_end`.
    fn signed_up_to(&self, i: NodeIx, incarnation: Incarnation, seq_end: Seq) -> bool;
}

/// What broke at `node`, in words; empty if nothing did.
pub(crate) fn check(signers: &impl Signers, node: &Node) -> Vec<String> {
    let mut broken: Vec<String> = records(signers, node).collect();
    broken.extend(heads(signers, node));
    broken.extend(convictions(signers, node));
    broken.extend(bounds(node));
    broken
}

/// Records and headers at `node` that their author never signed.
pub(crate) fn forged(signers: &impl Signers, node: &Node) -> u64 {
    (records(signers, node).count() + heads(signers, node).count()) as u64
}

fn records<'a>(signers: &'a impl Signers, node: &'a Node) -> impl Iterator<Item = String> + 'a {
    let store = node.store();
    store.all_entries().filter_map(|entry| store.contribution(entry)).filter_map(|held| {
        let (author, slot, seq) = (held.author, held.record.head.slot.0, held.seq.0);
        match signers.machine(&author) {
            None => Some(format!("holds a record of {author}, which is nobody")),
            Some(a) if signers.forks(a) || signers.signed(a, &held) => None,
            Some(a) => {
                Some(format!("holds slot {slot}, record {seq} of node {a}, which never signed it"))
            }
        }
    })
}

fn heads<'a>(signers: &'a impl Signers, node: &'a Node) -> impl Iterator<Item = String> + 'a {
    let store = node.store();
    store.authors().filter_map(|author| {
        let fields = &store.head(author)?.fields;
        let a = signers.machine(author)?;
        let known =
            signers.forks(a) || signers.signed_up_to(a, fields.incarnation, fields.seq_end());
        (!known).then(|| format!("holds a header of node {a}, which never signed it"))
    })
}

/// Identities and single incarnations.
fn convictions<'a>(signers: &'a impl Signers, node: &'a Node) -> impl Iterator<Item = String> + 'a {
    let honest = |author: &&NodeId| !signers.machine(author).is_some_and(|a| signers.forks(a));
    let convicted = node.store().convicted().filter(honest);
    convicted.map(|author| format!("convicted {author}, which forked nothing"))
}

fn bounds(node: &Node) -> impl Iterator<Item = String> {
    let (settings, store) = (node.settings(), node.store());
    let limits = settings.genesis.limits;
    let mut by_author: HashMap<NodeId, usize, foldhash::fast::FixedState> = HashMap::default();
    for held in store.all_entries().filter_map(|entry| store.contribution(entry)) {
        *by_author.entry(held.author).or_default() += 1;
    }
    let most_records = by_author.values().copied().max().unwrap_or_default();
    let (held, most_held) = node.held();
    let (waiting, most_waiting) = node.waiting_writes();
    [
        (node.linked().count(), settings.most_links(), "links"),
        (store.author_count() - store.departed_count(), limits.max_authors as usize, "authors"),
        (store.departed_count(), limits.max_authors as usize, "authors that left"),
        (most_records, limits.max_slots.into(), "records of one author"),
        (held, most_held, "messages held back"),
        (waiting, most_waiting, "writes waiting"),
    ]
    .into_iter()
    .filter(|(found, most, _)| found > most)
    .map(|(found, most, what)| format!("has {found} {what}; the bound is {most}"))
}
