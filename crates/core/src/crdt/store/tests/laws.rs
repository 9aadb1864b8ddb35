//! Laws of merge: the order, the company and the number of deliveries do not matter.

use proptest::prelude::*;

use super::script::{Act, History, acts, any_act, honest, shuffled};
use super::*;

/// A replica that got `messages` in an order of its own; slots never go back on the way.
fn replica(messages: &[Bytes], seed: u64) -> Store {
    let mut store = store();
    let mut before = State::new();
    for message in shuffled(messages, seed) {
        let root = store.root();
        let result = deliver(&mut store, &message);
        if result.is_err() || result == Ok(None) {
            assert_eq!(store.root(), root, "what is refused or known changes nothing");
        }
        let now = state(&store);
        for (slot, old) in &before {
            let newer = now.get(slot).is_none_or(|new| (new.0, new.1) >= (old.0, old.1));
            assert!(newer, "a slot never goes back");
        }
        before = now;
    }
    audit(&mut store);
    store
}

fn assert_same(stores: &mut [Store]) {
    let (root, first) = (stores[0].root(), state(&stores[0]));
    for store in stores {
        assert_eq!(state(store), first);
        assert_eq!(store.root(), root);
    }
}

/// Authors that forked, by what was signed.
fn forkers(history: &History) -> BTreeSet<NodeId> {
    history.forks.iter().map(|[a, _]| a.fields.author).collect()
}

fn assert_honest_is_safe(history: &History, store: &Store) {
    let convicted: BTreeSet<NodeId> = store.convicted().copied().collect();
    assert!(convicted.is_subset(&forkers(history)), "an honest author is never convicted");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn honest_histories_lead_to_one_state_in_any_order(
        acts in acts(honest(), 40), seeds: [u64; 3],
    ) {
        let history = History::play(&acts);
        let messages = history.messages();
        let mut stores = seeds.map(|seed| replica(&messages, seed));
        assert_same(&mut stores);
        prop_assert_eq!(state(&stores[0]), history.model());
        for store in &mut stores {
            prop_assert_eq!(store.convicted().count(), 0);
            let root = store.root();
            for message in &messages {
                if let Ok(v) = open(store, message) {
                    let merged = merge(store, &v);
                    prop_assert_eq!((merged.won, merged.convicted), (0, None));
                }
            }
            prop_assert_eq!(store.root(), root, "merge is idempotent");
            audit(store);
        }
    }

    /// Replicas need not tell each other of a fork while all headers fit in the newest eight.
    #[test]
    fn one_fork_an_author_is_found_by_everybody_alone(
        honest in acts((0u8..2).prop_flat_map(|_| honest_frames()), 10),
        fork in honest_frames(),
        liar in 0u8..4,
        seeds: [u64; 3],
    ) {
        let mut acts: Vec<_> = honest;
        let Act::Frame(drafts, _) = fork else { unreachable!() };
        acts.push((liar, Act::Fork(drafts)));
        let history = History::play(&acts);
        let mut counts = BTreeMap::new();
        for v in &history.frames {
            *counts.entry(v.header().fields.author).or_insert(0) += 1;
        }
        prop_assume!(counts.values().all(|&n| n <= 8));
        let messages = history.messages();
        let mut stores = seeds.map(|seed| replica(&messages, seed));
        for store in &stores {
            let convicted: BTreeSet<NodeId> = store.convicted().copied().collect();
            prop_assert_eq!(convicted, forkers(&history));
        }
        assert_same(&mut stores);
        prop_assert_eq!(state(&stores[0]), history.model());
    }

    #[test]
    fn liars_do_not_keep_replicas_apart(acts in acts(any_act(), 40), seeds: [u64; 3]) {
        let history = History::play(&acts);
        let mut messages = history.messages();
        messages.extend(history.convictions().into_iter().step_by(2));
        let mut stores = seeds.map(|seed| replica(&messages, seed));
        for _ in 0..2 {
            for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 2), (2, 1), (1, 0)] {
                let [from, to] = stores.get_disjoint_mut([from, to]).unwrap();
                repair(from, to, false);
                audit(to);
            }
        }
        for store in &stores {
            assert_honest_is_safe(&history, store);
        }
        assert_same(&mut stores);
    }

    /// With all convictions known everywhere, the state is the model's.
    #[test]
    fn convictions_are_all_that_replicas_have_to_tell_each_other(
        acts in acts(any_act(), 24), seeds: [u64; 2],
    ) {
        let history = History::play(&acts);
        let mut messages = history.messages();
        messages.extend(history.convictions());
        let mut stores = seeds.map(|seed| replica(&messages, seed));
        let [a, b] = &mut stores;
        repair(a, b, true);
        repair(b, a, true);
        assert_same(&mut stores);
        prop_assert_eq!(state(&stores[0]), history.model());
    }

    #[test]
    fn what_was_tampered_with_is_refused_and_does_no_harm(
        acts in acts(honest(), 12), at: prop::sample::Index, bit in 0u8..8, seed: u64,
    ) {
        let history = History::play(&acts);
        let messages = history.messages();
        let mut store = store();
        for message in shuffled(&messages, seed) {
            let mut bad = message.to_vec();
            let at = at.index(bad.len());
            bad[at] ^= 1 << bit;
            let root = store.root();
            // A flipped tag can cut a frame down to something shorter, which does not read.
            let taken = deliver(&mut store, &bad.into());
            prop_assert!(matches!(taken, Err(_) | Ok(None)), "{:?}", taken);
            prop_assert_eq!(store.root(), root);
            let _ = deliver(&mut store, &message);
        }
        audit(&mut store);
        prop_assert_eq!(state(&store), history.model());
    }
}

fn honest_frames() -> impl Strategy<Value = Act> {
    honest().prop_filter("frames only", |act| matches!(act, Act::Frame(..)))
}

#[test]
fn a_frame_that_overwrites_its_own_records_is_taken_at_any_age() {
    let (mut chain, who) = (chain(1), keys(0));
    let early = frame(&mut chain, &who, &[lww(16, 1, 1), lww(16, 1, 2), lww(17, 1, 3)]);
    let twice = frame(&mut chain, &who, &[lww(18, 1, 1), lww(18, 2, 2)]);
    let later: Vec<_> = (20..32).map(|slot| filled(&mut chain, &who, [slot])).collect();
    let mut store = store();
    for v in later.iter().chain([&early, &twice]) {
        merge(&mut store, v);
        audit(&mut store);
    }
    let newest = store.record(&who.node_id(), Slot(18)).unwrap();
    assert_eq!(newest.seq, Seq(4));
    let mut won = Vec::new();
    let mut fresh = Store::new(settings(), Class::Cell, 7);
    let merged = fresh.merge(&early, &mut won, &mut |_, _| ());
    assert_eq!((merged.won, merged.stale), (2, 1));
    let slots: Vec<_> = won.iter().map(|&ix| fresh.entries[ix as usize].slot.0).collect();
    assert_eq!(slots, [16, 17, Slot::HEAD.0], "each entry once, in the order of the frame");
}

#[test]
fn a_change_of_key_is_heard_under_both_keys() {
    let (mut chain, who) = (chain(1), keys(0));
    let mut store = store();
    let mut heard = |v: &Verified| {
        let mut keys = Vec::new();
        store.merge(v, &mut Vec::new(), &mut |family, key| keys.push((family, key.to_vec())));
        keys.sort();
        keys
    };
    let first = frame(&mut chain, &who, &[lww(16, 1, 1)]);
    let second = frame(&mut chain, &who, &[lww(16, 2, 1)]);
    let mut floor = chain.clone();
    floor.floor = (chain.incarnation, chain.next);
    let raised = frame(&mut floor, &who, &[lww(17, 3, 1)]);
    let key = |n| (Family::Lww, vec![b'k', n]);
    assert_eq!(heard(&first), [key(1)]);
    assert_eq!(heard(&second), [key(1), key(2)]);
    assert_eq!(heard(&raised), [key(2), key(3)], "what a floor drops is heard");
    let mut fork = floor.clone();
    fork.next = Seq(0);
    fork.last_root = [0; 32];
    fork.floor = Default::default();
    assert_eq!(heard(&frame(&mut fork, &who, &[lww(20, 9, 9), lww(21, 9, 9)])), [key(3)]);
}

#[test]
fn replicas_agree_also_about_an_author_that_lowers_its_floor() {
    let (mut chain, who) = (chain(1), keys(0));
    let old = filled(&mut chain, &who, [16, 17]);
    chain.floor = (chain.incarnation, chain.next);
    let raised = filled(&mut chain, &who, [20]);
    chain.floor = Default::default();
    let lowered = filled(&mut chain, &who, [21]);
    let mut stores = [store(), store()];
    for (store, order) in
        stores.iter_mut().zip([[&old, &raised, &lowered], [&lowered, &raised, &old]])
    {
        deliver_all(store, &order.map(|v| v.bytes().clone()));
        audit(store);
    }
    let [a, b] = &mut stores;
    repair(a, b, false);
    repair(b, a, false);
    assert_same(&mut stores);
    assert_eq!(state(&stores[0]).len(), 4);
}
