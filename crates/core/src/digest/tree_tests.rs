use proptest::prelude::*;

use super::super::{Id, Position, Prefix, Summary, tag};
use super::Tree;

/// What the tree stands for: items in the order of position and tag.
#[derive(Default)]
struct Model(Vec<(Position, Id, u32)>);

impl Model {
    fn sort(&mut self) {
        self.0.sort_by_key(|(at, id, item)| (*at, tag(id), *item));
    }

    fn summary(&self, prefix: Prefix) -> Summary {
        let mut all = Summary::default();
        for (_, id, _) in self.0.iter().filter(|(at, ..)| prefix.contains(*at)) {
            all += Summary::one(tag(id));
        }
        all
    }

    fn rebuilt(&self) -> Tree {
        let mut tree = Tree::default();
        self.0.iter().for_each(|(at, id, item)| tree.insert(*at, id, *item));
        tree
    }
}

#[derive(Clone, Debug)]
enum Change {
    Insert(Position, Id),
    /// Of the item at this place of the model, modulo its length.
    Remove(usize),
    Replace(usize, Id),
}

/// Positions as an attacker would choose them: spread, in a few crowded subtrees, or equal.
fn positions() -> impl Strategy<Value = Position> {
    prop_oneof![
        any::<u64>(),
        (0u64..64).prop_map(|n| 0xabcd_ef00_0000_0000 | n),
        (0u64..64).prop_map(|n| 0xabcd_0000_0000_0000 | (n << 36)),
        Just(u64::MAX),
        Just(0),
    ]
    .prop_map(Position)
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        6 => (positions(), any::<Id>()).prop_map(|(at, id)| Change::Insert(at, id)),
        4 => any::<usize>().prop_map(Change::Remove),
        2 => (any::<usize>(), any::<Id>()).prop_map(|(i, id)| Change::Replace(i, id)),
    ];
    // A phase that grows, then one that mixes: both thresholds are crossed in both directions.
    let grow = (positions(), any::<Id>()).prop_map(|(at, id)| Change::Insert(at, id));
    let phases =
        (prop::collection::vec(grow, 0..120), prop::collection::vec(change, 0..200), 0usize..120);
    phases.prop_map(|(mut all, mixed, removals)| {
        all.extend(mixed);
        all.extend((0..removals).map(|i| Change::Remove(i * 7)));
        all
    })
}

fn apply(tree: &mut Tree, model: &mut Model, change: &Change, item: u32) {
    let len = model.0.len();
    match *change {
        Change::Insert(at, id) => {
            tree.insert(at, &id, item);
            model.0.push((at, id, item));
        }
        Change::Remove(i) if len > 0 => {
            let (at, id, item) = model.0.swap_remove(i % len);
            assert_eq!(tree.remove(at, &id), Some(item));
            assert_eq!(tree.remove(at, &id), None);
        }
        Change::Replace(i, new) if len > 0 => {
            let (at, old, _) = &mut model.0[i % len];
            assert!(tree.replace(*at, old, &new));
            assert!(!tree.replace(*at, old, &new));
            *old = new;
        }
        Change::Remove(_) | Change::Replace(..) => {
            assert_eq!(tree.remove(Position(1), &[1; 32]), None);
            assert!(!tree.replace(Position(1), &[1; 32], &[2; 32]));
        }
    }
}

fn items(tree: &Tree, prefix: Prefix) -> Vec<(Position, u32)> {
    let mut found = Vec::new();
    tree.items(prefix, |at, item| found.push((at, item)));
    found
}

fn assert_equal(tree: &Tree, model: &mut Model, probes: &[Prefix]) {
    model.sort();
    assert_eq!(tree.len(), model.0.len());
    assert_eq!(tree.is_empty(), model.0.is_empty());
    for &prefix in probes {
        let expected = model.summary(prefix);
        assert_eq!(tree.summary(prefix), expected, "{prefix:?}");
        let mut sum_of_children = Summary::default();
        for (n, child) in (0..).zip(tree.children(prefix)) {
            let named = prefix.child(n).map_or(Summary::default(), |p| tree.summary(p));
            assert_eq!(child, named, "{prefix:?} {n}");
            sum_of_children += child;
        }
        if prefix.depth() < Prefix::MAX_DEPTH {
            assert_eq!(sum_of_children, expected, "{prefix:?}");
        }
        let inside = model.0.iter().filter(|(at, ..)| prefix.contains(*at));
        let expected: Vec<_> = inside.map(|(at, _, item)| (*at, *item)).collect();
        assert_eq!(items(tree, prefix), expected, "{prefix:?}");
    }
}

proptest! {
    #[test]
    fn every_answer_is_the_one_of_a_tree_built_anew(
        changes in changes(),
        probes in prop::collection::vec((positions(), 0u8..=16), 1..12),
    ) {
        let probes: Vec<_> = probes.iter().map(|(at, depth)| Prefix::of(*at, *depth)).collect();
        let (mut tree, mut model) = (Tree::default(), Model::default());
        for (item, change) in (0..).zip(changes) {
            apply(&mut tree, &mut model, &change, item);
            tree.check_shape();
        }
        assert_equal(&tree, &mut model, &[Prefix::ROOT]);
        assert_equal(&tree, &mut model, &probes);
        let rebuilt = model.rebuilt();
        rebuilt.check_shape();
        assert_equal(&rebuilt, &mut model, &probes);
    }

    #[test]
    fn order_of_arrival_does_not_matter(
        set in prop::collection::hash_map(positions(), any::<Id>(), 0..200),
    ) {
        let mut forth = Tree::default();
        let mut sorted: Vec<_> = set.into_iter().collect();
        (0..).zip(&sorted).for_each(|(i, (at, id))| forth.insert(*at, id, i));
        sorted.sort_unstable();
        let mut back = Tree::default();
        sorted.iter().rev().for_each(|(at, id)| back.insert(*at, id, 0));
        for at in sorted.iter().map(|(at, _)| *at).chain([Position(1)]) {
            for depth in [0, 1, 5, 15, 16] {
                let prefix = Prefix::of(at, depth);
                prop_assert_eq!(forth.summary(prefix), back.summary(prefix));
                prop_assert_eq!(forth.children(prefix), back.children(prefix));
            }
        }
    }
}

fn id(n: u64) -> Id {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&n.to_le_bytes());
    id
}

#[test]
fn equal_positions_stay_bounded_in_depth() {
    let mut tree = Tree::default();
    for n in 0..2_000 {
        tree.insert(Position(42), &id(n), n as u32);
    }
    tree.check_shape();
    assert_eq!(tree.summary(Prefix::of(Position(42), 16)).count, 2_000);
    assert_eq!(items(&tree, Prefix::ROOT).len(), 2_000);
    assert!(tree.replace(Position(42), &id(1_000), &id(5_000)));
    assert!(tree.replace(Position(42), &id(5_000), &id(1_000)));
    for n in 0..2_000 {
        assert_eq!(tree.remove(Position(42), &id(n)), Some(n as u32));
    }
    tree.check_shape();
    assert!(tree.is_empty());
}

#[test]
fn a_small_set_has_no_nodes_and_a_shrunken_one_gives_them_back() {
    use super::Shape;
    let mut tree = Tree::default();
    let is_flat = |tree: &Tree| matches!(tree.0, Shape::Flat(_));
    for n in 0..33u64 {
        assert!(is_flat(&tree));
        tree.insert(Position(n << 60 | n), &id(n), 0);
    }
    assert!(!is_flat(&tree));
    for n in 0..17u64 {
        assert!(!is_flat(&tree), "{n}");
        assert!(tree.remove(Position(n << 60 | n), &id(n)).is_some());
    }
    assert!(is_flat(&tree));
}

#[test]
fn one_changed_record_in_ten_thousand_is_found_by_descent() {
    let mut ours = Tree::default();
    for n in 0..10_000 {
        ours.insert(Position::of(7, n), &id(n.into()), n.into());
    }
    let mut theirs = ours.clone();
    assert!(theirs.replace(Position::of(7, 1_234), &id(1_234), &id(99_999)));
    let mut prefix = Prefix::ROOT;
    while ours.summary(prefix).count > 8 {
        let (a, b) = (ours.children(prefix), theirs.children(prefix));
        let differing: Vec<u8> =
            (0..16).filter(|n| a[usize::from(*n)] != b[usize::from(*n)]).collect();
        assert_eq!(differing.len(), 1);
        prefix = prefix.child(differing[0]).unwrap();
    }
    assert!(items(&ours, prefix).contains(&(Position::of(7, 1_234), 1_234)));
}
