//! Digests are those of the entries, whatever happened before and whenever they are read.

use proptest::prelude::*;

use super::script::{History, acts, any_act};
use super::*;
use crate::digest::salted::salted_summary;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Reading digests at some times and not at others must not matter: they are worked in lazily.
    #[test]
    fn digests_are_right_after_any_history(
        acts in acts(any_act(), 50), reads in proptest::collection::vec(0u8..8, 50), depth in 0u8..4,
    ) {
        let history = History::play(&acts);
        let mut store = store();
        for (v, read) in history.frames.iter().zip(reads) {
            merge(&mut store, v);
            match read {
                0 => audit(&mut store),
                1 => store.flush(),
                2 => drop(store.root()),
                3 => drop(store.items(Prefix::ROOT)),
                _ => {}
            }
        }
        audit(&mut store);
        let all = store.items(Prefix::ROOT);
        for &(at, _, _) in &all {
            let prefix = Prefix::of(at, depth);
            let inside: Vec<_> = all.iter().copied().filter(|i| prefix.contains(i.0)).collect();
            prop_assert_eq!(store.items(prefix), inside);
            let mut sums = [Summary::default(); 16];
            let placed = |(_, e): (usize, &Entry)| (store.position(e), e.id);
            let ids: Vec<_> = store.entries.iter().map(placed).collect();
            for (at, id) in ids.iter().filter(|i| prefix.contains(i.0)) {
                sums[usize::from(at.nibble(depth))] += Summary::one(crate::digest::tag(id));
            }
            prop_assert_eq!(store.children(prefix, 0), sums);
            let ids = ids.iter().map(|(at, id)| (*at, id));
            prop_assert_eq!(store.children(prefix, 99), salted_summary(99, prefix, ids));
        }
    }

    #[test]
    fn roots_are_equal_if_and_only_if_the_sets_are(
        acts in acts(any_act(), 30), left in 0usize..30, right in 0usize..30,
    ) {
        let history = History::play(&acts);
        let ids = |store: &Store| -> BTreeSet<Hash> {
            store.entries.iter().map(|(_, e)| e.id).collect()
        };
        let mut stores = [left, right].map(|n| {
            let mut store = store();
            merge_all(&mut store, history.frames.iter().take(n));
            store
        });
        let same = ids(&stores[0]) == ids(&stores[1]);
        let [a, b] = &mut stores;
        prop_assert_eq!(a.root() == b.root(), same);
    }
}

#[test]
fn the_index_is_built_at_the_seventeenth_entry_and_changes_nothing() {
    for first in [1u16, 5, 15, 16, 17, 40] {
        let (mut chain, who) = (chain(1), keys(0));
        let mut store = store();
        merge(&mut store, &filled(&mut chain, &who, 0..first));
        audit(&mut store);
        for slot in 0..45 {
            merge(&mut store, &frame(&mut chain, &who, &[lww(slot, 1, 1)]));
            audit(&mut store);
            assert_eq!(store.index.is_some(), store.len() > 16);
        }
        assert_eq!(store.contributions(Family::Lww, b"k\x01").len(), 45);
    }
}

#[test]
fn a_scope_that_shrinks_keeps_its_digests() {
    let (mut chain, who, other) = (chain(1), keys(0), keys(1));
    let mut store = store();
    merge(&mut store, &filled(&mut super::chain(1), &other, 0..3));
    merge(&mut store, &filled(&mut chain, &who, 0..40));
    chain.floor = (chain.incarnation, Seq(38));
    merge(&mut store, &filled(&mut chain, &who, [50]));
    audit(&mut store);
    assert_eq!(store.len(), 3 + 2 + 3);
    merge(&mut store, &filled(&mut super::chain(1), &who, [60]));
    audit(&mut store);
    assert_eq!(store.len(), 3 + 1 + 1, "one author's records and head, one conviction");
    merge(&mut store, &filled(&mut super::chain(2), &who, 0..40));
    audit(&mut store);
}

/// The same record anywhere else is another one: else a slot written again would not change the
/// root, and a proof could be moved.
#[test]
fn an_id_says_mesh_class_author_incarnation_and_sequence_number() {
    let who = keys(0);
    let same = [lww(16, 1, 1)];
    let own = settings().mesh;
    let other = settings_with(Limits { max_slots: 65, ..Limits::default() }).mesh;
    let starts = [
        (chain(1), own),
        (chain(1), other),
        (chain(2), own),
        (Chain { class: Class::Region, ..chain(1) }, own),
        (Chain { next: Seq(1), last_root: [1; 32], ..chain(1) }, own),
    ];
    let id = |v: &Verified| v.leaves()[0].id;
    let mut ids: BTreeSet<Hash> =
        starts.map(|(mut chain, mesh)| id(&seal(&mut chain, &same, &[], &mesh, &who))).into();
    ids.insert(id(&frame(&mut chain(1), &keys(1), &same)));
    assert_eq!(ids.len(), 6);
    let (mut chain, mut store) = (chain(1), store());
    merge(&mut store, &frame(&mut chain, &who, &same));
    let root = store.root();
    merge(&mut store, &frame(&mut chain, &who, &same));
    assert_ne!(store.root(), root);
}

#[test]
fn a_root_is_kept_until_something_changes() {
    let (mut chain, who) = (chain(1), keys(0));
    let mut store = store();
    let v = filled(&mut chain, &who, 0..20);
    merge(&mut store, &v);
    let root = store.root();
    merge(&mut store, &v);
    assert_eq!(store.root, Some(root), "old news does not cost a new root");
    merge(&mut store, &filled(&mut chain, &who, [3]));
    assert_eq!(store.root, None);
    // A proof under the header that is the head already changes its slot only.
    let mut other = super::store();
    let head = write_head(store.head(&who.node_id()).unwrap(), None);
    deliver(&mut other, &head).unwrap();
    let before = other.root();
    let slot = store.entry_at(&who.node_id(), Slot(3)).unwrap();
    deliver_all(&mut other, &store.export(&[slot], ALL).messages);
    assert_ne!(other.root(), before);
    audit(&mut other);
}
