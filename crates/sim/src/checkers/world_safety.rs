//! Bad things never happen in a world: no record that no process of its author signed, nobody
//! convicted that forked nothing, no map or list of links beyond its bound.

use knhk_mesh_core::telemetry::Event;

use crate::adversary::Kind;
use crate::world::{NodeIx, World};

/// What broke at node `i`, in words; empty if nothing did. What its neighbours signed is known from
/// what they gave their disks.
pub(crate) fn check(world: &World, i: NodeIx) -> Vec<String> {
    let mut broken: Vec<String> = records(world, i).collect();
    broken.extend(heads(world, i));
    broken.extend(convictions(world, i));
    broken.extend(bounds(world, i));
    broken.iter_mut().for_each(|what| *what = format!("node {i} {what}"));
    broken
}

/// Those that sign two frames for one place sign outside of their node.
fn forks(world: &World, i: NodeIx) -> bool {
    world.conduct(i) == Some(Kind::Equivocate)
}

fn records(world: &World, i: NodeIx) -> impl Iterator<Item = String> + '_ {
    let store = world.node(i).store();
    store.all_entries().filter_map(|entry| store.contribution(entry)).filter_map(|held| {
        let (author, slot, seq) = (held.author, held.record.head.slot.0, held.seq.0);
        match world.by_id(&author) {
            None => Some(format!("holds a record of {author}, which is nobody")),
            Some(a) if forks(world, a) || world.signed(a, &held) => None,
            Some(a) => {
                Some(format!("holds slot {slot}, record {seq} of node {a}, which never signed it"))
            }
        }
    })
}

fn heads(world: &World, i: NodeIx) -> impl Iterator<Item = String> + '_ {
    let store = world.node(i).store();
    store.authors().filter_map(|author| {
        let fields = &store.head(author)?.fields;
        let a = world.by_id(author)?;
        let known = forks(world, a) || world.signed_up_to(a, fields.incarnation, fields.seq_end());
        (!known).then(|| format!("holds a header of node {a}, which never signed it"))
    })
}

fn convictions(world: &World, i: NodeIx) -> impl Iterator<Item = String> + '_ {
    let honest = |author| world.by_id(author).is_none_or(|a| !forks(world, a));
    let told = world.events(i).iter().filter_map(move |event| match event {
        Event::Convicted(author, _) if honest(author) => Some(author),
        _ => None,
    });
    let held = world.node(i).store().convicted().filter(move |author| honest(author));
    told.chain(held).map(|author| format!("convicted {author}, which forked nothing"))
}

fn bounds(world: &World, i: NodeIx) -> impl Iterator<Item = String> + '_ {
    let node = world.node(i);
    let settings = node.settings();
    let limits = settings.genesis.limits;
    let (links, authors) = (node.linked().count(), node.store().author_count());
    let peers = node.registry().all().count();
    let most_peers = node.registry().members() + links;
    [
        (links, settings.most_links(), "links"),
        (authors, limits.max_authors as usize, "authors"),
        (peers, most_peers, "peers that are neither members nor linked"),
    ]
    .into_iter()
    .filter(|(found, most, _)| found > most)
    .map(|(found, most, what)| format!("has {found} {what}; the bound is {most}"))
}
