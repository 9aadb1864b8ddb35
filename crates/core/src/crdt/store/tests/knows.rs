//! The gate: what costs a signature check and what does not.

use super::*;
use crate::frame::{FrameRef, write_proof};

/// A fork of `main`'s next frame: two frames that convict.
fn fork(main: &Chain, who: &Keypair) -> [Verified; 2] {
    let (mut a, mut b) = (main.clone(), main.clone());
    [frame(&mut a, who, &[lww(20, 1, 1)]), frame(&mut b, who, &[lww(20, 1, 2)])]
}

#[test]
fn what_was_merged_is_a_duplicate_and_a_proof_of_it_needs_no_signature_check() {
    let (mut chain, who) = (chain(1), keys(0));
    let whole = filled(&mut chain, &who, 16..24);
    let mut from = store();
    merge(&mut from, &whole);
    let named = FrameRef::of(&whole.header().fields);
    let entries = from.entries_of_frame(&named);
    let one = |n: usize| from.export(&entries[n..=n], ALL).messages.remove(0);
    let mut to = store();
    assert_eq!(knows(&to, whole.bytes()), Ok(Known::Nothing));
    assert!(!to.has_frame(&named));
    deliver(&mut to, &one(0)).unwrap();
    assert!(!to.has_frame(&named), "one record is not the frame");
    assert_eq!(knows(&to, &one(0)), Ok(Known::Duplicate));
    assert_eq!(knows(&to, &one(1)), Ok(Known::Header(Arc::clone(whole.header()))));
    assert_eq!(knows(&to, whole.bytes()), Ok(Known::Header(Arc::clone(whole.header()))));
    assert_eq!(knows(&to, &write_head(whole.header(), None)), Ok(Known::Duplicate));
    deliver(&mut to, whole.bytes()).unwrap();
    assert!(to.has_frame(&named));
    for bytes in [whole.bytes(), &one(0), &one(1)] {
        assert_eq!(knows(&to, bytes), Ok(Known::Duplicate));
    }
    audit(&mut to);
}

#[test]
fn other_signature_bytes_never_stand_in_the_way_of_the_right_ones() {
    let (mut chain, who) = (chain(1), keys(0));
    let good = filled(&mut chain, &who, 16..20);
    let head = write_head(good.header(), None);
    let signature_at = 1 + crate::frame::header::FIELDS_LEN;
    let altered = |bytes: &Bytes| {
        let mut bytes = bytes.to_vec();
        bytes[signature_at + 3] ^= 1;
        Bytes::from(bytes)
    };
    for bad_first in [true, false] {
        let mut store = store();
        for bytes in [good.bytes(), &head] {
            if bad_first {
                assert_eq!(deliver(&mut store, &altered(bytes)), Err(Refused::Signature));
            }
            deliver(&mut store, bytes).unwrap();
            assert_eq!(knows(&store, &altered(bytes)), Ok(Known::Nothing));
            assert_eq!(deliver(&mut store, &altered(bytes)), Err(Refused::Signature));
        }
        assert_eq!(state(&store).len(), 4);
        assert_eq!(knows(&store, good.bytes()), Ok(Known::Duplicate));
        audit(&mut store);
    }
}

#[test]
fn altered_records_under_a_known_header_are_refused() {
    let (mut chain, who) = (chain(1), keys(0));
    let good = filled(&mut chain, &who, 16..18);
    let mut store = store();
    deliver(&mut store, &write_head(good.header(), None)).unwrap();
    let mut bad = good.bytes().to_vec();
    *bad.last_mut().unwrap() ^= 1;
    let bad = Bytes::from(bad);
    assert!(matches!(knows(&store, &bad), Ok(Known::Header(_))));
    assert_eq!(deliver(&mut store, &bad), Err(Refused::Root));
    let path = [good.leaves()[1].id];
    let bad = write_proof(good.header(), &[(0, &path, &lww(16, 9, 9))]);
    assert_eq!(deliver(&mut store, &bad), Err(Refused::Root));
    assert_eq!(state(&store).len(), 0);
    deliver(&mut store, good.bytes()).unwrap();
    assert_eq!(state(&store).len(), 2);
}

#[test]
fn what_lies_below_the_floor_is_floored_and_what_crosses_it_is_taken_in_part() {
    let (mut chain, who) = (chain(1), keys(0));
    let dead = filled(&mut chain, &who, [16, 17]);
    let half = filled(&mut chain, &who, [18, 19]);
    chain.floor = (chain.incarnation, Seq(3));
    let raised = filled(&mut chain, &who, [20]);
    let mut store = store();
    deliver(&mut store, raised.bytes()).unwrap();
    let root = store.root();
    assert_eq!(deliver(&mut store, dead.bytes()), Err(Refused::Floored));
    assert_eq!(store.root(), root);
    assert!(store.has_frame(&FrameRef::of(&dead.header().fields)), "not worth asking for");
    let merged = deliver(&mut store, half.bytes()).unwrap().unwrap();
    assert_eq!((merged.won, merged.stale), (1, 1));
    assert_eq!(knows(&store, half.bytes()), Ok(Known::Duplicate));
    let slots: Vec<Slot> = state(&store).keys().map(|k| k.1).collect();
    assert_eq!(slots, [Slot(19), Slot(20)]);
    audit(&mut store);
}

#[test]
fn a_convicted_incarnation_and_those_before_it_are_refused() {
    let who = keys(0);
    let mut store = store();
    let mut old = chain(4);
    let before = filled(&mut old, &who, [16]);
    let [a, b] = fork(&chain(5), &who);
    let later = filled(&mut chain(6), &who, [17]);
    let proof = write_head(a.header(), Some(b.header()));
    assert_eq!(knows(&store, &proof), Ok(Known::Nothing));
    merge(&mut store, &before);
    merge(&mut store, &later);
    let merged = deliver(&mut store, &proof).unwrap().unwrap();
    assert_eq!(merged.convicted, Some(Incarnation(5)));
    let root = store.root();
    for v in [&before, &a, &b] {
        assert_eq!(deliver(&mut store, v.bytes()), Err(Refused::Convicted));
        assert_eq!(merge(&mut store, v).refused, Some(Refused::Convicted));
        assert!(store.has_frame(&FrameRef::of(&v.header().fields)), "not worth asking for");
    }
    let turned = write_head(b.header(), Some(a.header()));
    assert_eq!(knows(&store, &proof), Ok(Known::Duplicate));
    assert_eq!(knows(&store, &turned), Ok(Known::Duplicate));
    assert_eq!(store.root(), root);
    assert_eq!(state(&store).len(), 1, "what the author signed later lives");
    audit(&mut store);
    let [a, b] = fork(&chain(4), &who);
    let earlier = write_head(a.header(), Some(b.header()));
    assert_eq!(knows(&store, &earlier), Ok(Known::Nothing), "it counts for the identity");
}

#[test]
fn two_proofs_of_one_fork_lead_to_one_state() {
    let who = keys(0);
    let [a, b] = fork(&chain(5), &who);
    let mut third = chain(5);
    let c = frame(&mut third, &who, &[lww(20, 1, 3), lww(21, 1, 3)]);
    let mut stores = [[&a, &b], [&c, &b], [&a, &c]].map(|pair| {
        let mut store = store();
        merge_all(&mut store, pair);
        audit(&mut store);
        store.root()
    });
    stores.sort();
    assert_eq!(stores[0], stores[2]);
}

#[test]
fn a_full_scope_refuses_new_authors_and_nobody_else() {
    let settings = settings_with(Limits { max_authors: 3, max_slots: 64, ..Limits::default() });
    let mut store = Store::new(Arc::clone(&settings), Class::Cell, 7);
    let sign = |n: u8, slot: u16, chain: &mut Chain| {
        seal(chain, &[lww(slot, 1, 1)], &[], &settings.mesh, &keys(n))
    };
    let mut chains = [chain(1), chain(1), chain(1), chain(1)];
    for (n, chain) in (0..).zip(&mut chains[..3]) {
        deliver(&mut store, sign(n, 16, chain).bytes()).unwrap();
    }
    let root = store.root();
    let (mut fork, mut other) = (chains[3].clone(), chains[3].clone());
    let [a, b] = [sign(3, 16, &mut fork), sign(3, 17, &mut other)];
    let proof = write_head(a.header(), Some(b.header()));
    for bytes in [a.bytes(), &write_head(a.header(), None), &proof] {
        assert_eq!(knows(&store, bytes), Err(Refused::AuthorLimit));
        let v = open(&store, bytes).unwrap();
        let (mut won, mut heard) = (Vec::new(), 0);
        let merged = store.merge(&v, &mut won, &mut |_, _| heard += 1);
        let nothing = Merged { refused: Some(Refused::AuthorLimit), ..Merged::default() };
        assert_eq!((merged, won.len(), heard), (nothing, 0, 0));
    }
    assert_eq!((store.root(), store.author_count()), (root, 3));
    deliver(&mut store, sign(0, 17, &mut chains[0]).bytes()).unwrap();
    assert_eq!(store.len(), 3 + 1 + 3);
    audit(&mut store);
}

/// A header older than eight others is not kept, so a message of it brings nothing if its records
/// are old. One that is newer is kept for forks, although its records are old as well.
#[test]
fn old_news_is_a_duplicate_but_a_fork_is_never_overlooked() {
    let (mut chain, who) = (chain(1), keys(0));
    let frames: Vec<_> = (0..12).map(|_| filled(&mut chain, &who, [16])).collect();
    let mut store = store();
    deliver(&mut store, frames[11].bytes()).unwrap();
    for v in frames.iter().rev().skip(1).take(7) {
        assert_eq!(knows(&store, v.bytes()), Ok(Known::Nothing));
        deliver(&mut store, v.bytes()).unwrap();
    }
    for v in &frames[..4] {
        assert_eq!(knows(&store, v.bytes()), Ok(Known::Duplicate));
        assert!(store.has_frame(&FrameRef::of(&v.header().fields)));
    }
    let mut other = Chain { next: Seq(7), last_root: [9; 32], ..super::chain(1) };
    let branch = frame(&mut other, &who, &[lww(16, 0, 0)]);
    assert_eq!(knows(&store, branch.bytes()), Ok(Known::Nothing));
    deliver(&mut store, branch.bytes()).unwrap();
    assert_eq!(store.convicted().count(), 1);
    audit(&mut store);
}
