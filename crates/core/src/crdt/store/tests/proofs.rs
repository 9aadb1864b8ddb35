//! What a replica exports, anybody can verify, and it says exactly what was asked for.

use proptest::prelude::*;

use super::script::{History, acts, any_act};
use super::*;
use crate::frame::header::{HEADER_LEN, MAX_BODY};
use crate::frame::{FrameRef, Header, SignedHeader, write_proof};

fn played(acts: &[(u8, super::script::Act)]) -> Store {
    let mut store = store();
    merge_all(&mut store, &History::play(acts).frames);
    store
}

/// Number of heads behind which something else stands.
fn heads_that_are_not_last(messages: &[Bytes]) -> usize {
    let heads = messages.iter().rev().skip_while(|m| Tag::of(m) == Some(Tag::Head));
    heads.filter(|m| Tag::of(m) == Some(Tag::Head)).count()
}

/// Messages from what a store keeps, one store after the other.
fn passed_on(messages: &[Bytes], stores: usize) -> Store {
    let mut last = store();
    for _ in 0..stores {
        let mut store = store();
        deliver_all(&mut store, messages);
        audit(&mut store);
        last = store;
    }
    last
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_subset_arrives_as_exactly_that(
        acts in acts(any_act(), 40), picks: u64, seeded in 0u32..4,
    ) {
        let from = played(&acts);
        let mut rng = crate::rng::Rng::new(picks);
        let wanted: Vec<EntryIx> =
            from.all_entries().filter(|_| rng.below(4) >= seeded).collect();
        let out = from.export(&wanted, ALL);
        prop_assert_eq!(out.len, out.messages.iter().map(Bytes::len).sum::<usize>());
        prop_assert_eq!(out.left_out, 0);
        prop_assert_eq!(heads_that_are_not_last(&out.messages), 0);
        let mut to = store();
        for message in &out.messages {
            let v = open(&to, message).unwrap();
            let merged = merge(&mut to, &v);
            prop_assert_eq!(merged.refused, None);
        }
        audit(&mut to);
        let whole = out.messages.iter().filter(|m| Tag::of(m) == Some(Tag::Frame)).count();
        let subset: State = wanted.iter().filter_map(|&ix| from.contribution(ix)).map(|c| {
            let bytes = c.record.head.encode(c.record.payload);
            ((c.author, c.record.head.slot), (c.incarnation, c.seq, c.id, bytes))
        }).collect();
        let got = state(&to);
        if whole == 0 {
            prop_assert_eq!(&got, &subset);
        }
        // A whole frame may bring frame-mates that live as well.
        prop_assert!(subset.iter().all(|(slot, r)| got.get(slot) == Some(r)));
        let all = state(&from);
        prop_assert!(got.iter().all(|(slot, r)| all.get(slot) == Some(r)));
        for &ix in &wanted {
            let e = &from.entries[ix as usize];
            let id = *from.authors[e.author as usize].id();
            if e.is_marker() {
                prop_assert!(to.convicted().any(|c| *c == id));
            } else if e.slot == Slot::HEAD {
                prop_assert_eq!(to.head(&id), from.head(&id));
            }
        }
    }

    #[test]
    fn a_store_is_copied_by_its_export(acts in acts(any_act(), 40)) {
        let mut from = played(&acts);
        let all: Vec<EntryIx> = from.all_entries().collect();
        let mut to = store();
        deliver_all(&mut to, &from.export(&all, ALL).messages);
        prop_assert_eq!(to.root(), from.root());
        // And once more: what a copy exports is as good, to the byte.
        let all: Vec<EntryIx> = to.all_entries().collect();
        let sent = to.export(&all, ALL).messages;
        let mut third = passed_on(&sent, 1);
        prop_assert_eq!(third.root(), from.root());
        prop_assert_eq!(state(&third), state(&from));
    }

    #[test]
    fn a_budget_ends_an_export_and_nothing_is_lost_by_coming_again(
        acts in acts(any_act(), 40), budget in 1usize..3_000,
    ) {
        let mut from = played(&acts);
        let mut to = store();
        let mut wanted: Vec<EntryIx> = from.all_entries().collect();
        // Exported in the order of frames: what was left out is asked for again.
        for round in 0.. {
            prop_assert!(round < 200, "ends");
            let out = from.export(&wanted, budget);
            // A convicted identity is one entry and three messages.
            let longest = 3 * out.messages.last().map_or(0, Bytes::len);
            prop_assert!(out.len < budget + longest);
            for message in &out.messages {
                let _ = deliver(&mut to, message);
            }
            if out.left_out == 0 {
                break;
            }
            prop_assert!(out.len >= budget);
            let have: BTreeSet<Hash> = to.entries.iter().map(|(_, e)| e.id).collect();
            let before = wanted.len();
            wanted.retain(|&ix| !have.contains(&from.entries[ix as usize].id));
            prop_assert!(wanted.len() < before && wanted.len() <= out.left_out, "progress");
        }
        prop_assert_eq!(to.root(), from.root());
    }
}

#[test]
fn the_conviction_of_an_incarnation_is_never_that_of_the_identity() {
    let fork = |incarnation: u64| {
        let branch = |value| frame(&mut chain(incarnation), &keys(0), &[lww(1, 1, value)]);
        write_head(branch(1).header(), Some(branch(2).header()))
    };
    let (mut incarnation, mut identity) = (store(), store());
    deliver_all(&mut incarnation, &[fork(u64::MAX)]);
    deliver_all(&mut identity, &[fork(3), fork(2), fork(1)]);
    let convicted = |store: &Store| store.is_convicted(&keys(0).node_id());
    assert!(convicted(&identity) && !convicted(&incarnation));
    assert_ne!(incarnation.root(), identity.root());
}

#[test]
fn the_smaller_of_frame_and_proofs_is_sent() {
    let (mut chain, who) = (chain(1), keys(0));
    let mut store = store();
    merge(&mut store, &filled(&mut chain, &who, 0..32));
    let entries = store.entries_by(&who.node_id());
    let tags = |store: &Store, entries: &[EntryIx]| -> Vec<Option<Tag>> {
        store.export(entries, ALL).messages.iter().map(|m| Tag::of(m)).collect()
    };
    assert_eq!(tags(&store, &entries), [Some(Tag::Frame)], "the frame brings its header along");
    assert_eq!(tags(&store, &entries[..1]), [Some(Tag::Proof)]);
    let some_and_head = [entries[0], entries[1], entries[32]];
    assert_eq!(tags(&store, &some_and_head), [Some(Tag::Proof)]);
    assert_eq!(tags(&store, &entries[32..]), [Some(Tag::Head)]);
    let proof = &store.export(&entries[..1], ALL).messages[0];
    assert_eq!(proof.len(), 3 + HEADER_LEN + 2 + 5 * 32 + lww(0, 0, 0).len());
    merge(&mut store, &frame(&mut chain, &who, &[lww(0, 0, 9)]));
    let first = store.entries_of_frame(&FrameRef::of(&store.frames[0].header.fields));
    assert_eq!(first.len(), 31);
    assert_eq!(tags(&store, &first), [Some(Tag::Proof)], "a frame-mate is dead");
}

/// Records die one after the other; those that live can be proven all the time.
#[test]
fn proofs_hold_while_frame_mates_die() {
    for count in [1u16, 2, 3, 4, 5, 7, 8, 16, 33, 60] {
        let (mut chain, who) = (chain(1), keys(0));
        let mut from = store();
        merge(&mut from, &filled(&mut chain, &who, 0..count));
        for dies in 0..count {
            merge(&mut from, &frame(&mut chain, &who, &[lww(dies, 9, 1)]));
            audit(&mut from);
            let all: Vec<EntryIx> = from.all_entries().collect();
            let mut to = passed_on(&from.export(&all, ALL).messages, 1);
            assert_eq!(to.root(), from.root(), "{count} records, {dies} dead");
            assert_eq!(state(&to), state(&from));
        }
    }
}

#[test]
fn what_nobody_knows_travels_through_three_stores_to_the_byte() {
    let (mut chain, who) = (chain(1), keys(0));
    let strange = |slot: u16| {
        let mut head = RecordHead::new(Slot(slot), Kind(233), hlc(1));
        (head.ttl_ds, head.ephemeral, head.trace) = (77, true, Some([5; 24]));
        head.encode(&[0xee; 100])
    };
    let records = [strange(20), strange(21), lww(22, 1, 1)];
    let unknown = [Extension { kind: 9, value: b"x" }, Extension { kind: 4_000, value: &[7; 90] }];
    let own = seal(&mut chain, &records, &unknown, &settings().mesh, &who);
    for wanted in [vec![Slot(20)], vec![Slot(20), Slot(21), Slot(22), Slot::HEAD]] {
        let export = |store: &Store| {
            let at = |slot: &Slot| store.entry_at(&who.node_id(), *slot).unwrap();
            store.export(&wanted.iter().map(at).collect::<Vec<_>>(), ALL).messages
        };
        let mut first = store();
        merge(&mut first, &own);
        let sent = export(&first);
        let mut messages = sent.clone();
        for _ in 0..3 {
            messages = export(&passed_on(&messages, 1));
            assert_eq!(messages, sent);
        }
        let last = passed_on(&messages, 1);
        assert_eq!(last.head(&who.node_id()).unwrap().extensions().collect::<Vec<_>>(), unknown);
        let record = last.record(&who.node_id(), Slot(20)).unwrap();
        assert_eq!(record.record.head.encode(record.record.payload), strange(20));
    }
}

/// Splits `v` into proofs of one record each, under the fields that `lie` made of its own.
fn proofs_under(v: &Verified, who: &Keypair, lie: impl Fn(&mut Header)) -> Vec<Bytes> {
    let mut fields = v.header().fields.clone();
    lie(&mut fields);
    let header = SignedHeader::sign(fields, &[], &settings().mesh, who);
    let ids: Vec<Hash> = v.leaves().iter().map(|leaf| leaf.id).collect();
    let proof = |leaf: &crate::frame::Leaf| {
        let path = &merkle::paths(&ids, &[leaf.index])[0];
        write_proof(&header, &[(leaf.index, path, v.record_bytes(leaf))])
    };
    v.leaves().iter().map(proof).collect()
}

/// An author can sign a length or a stamp that its records do not have, and spread proofs only. A
/// whole frame of it would be refused by everybody, and repair would send it for ever.
#[test]
fn a_frame_that_would_not_read_is_exported_as_proofs() {
    let lies: [fn(&mut Header); 3] =
        [|f| f.body_len = 1, |f| f.body_len -= 1, |f| f.hlc_max = hlc(9_999)];
    for lie in lies {
        let (mut chain, who) = (chain(1), keys(0));
        let v = filled(&mut chain, &who, 0..8);
        let mut from = passed_on(&proofs_under(&v, &who, lie), 1);
        let all: Vec<EntryIx> = from.all_entries().collect();
        assert_eq!(all.len(), 9);
        let mut to = passed_on(&from.export(&all, ALL).messages, 1);
        assert_eq!(to.root(), from.root());
    }
    let (mut chain, who) = (chain(1), keys(0));
    let v = filled(&mut chain, &who, 0..8);
    let from = passed_on(&proofs_under(&v, &who, |_| ()), 1);
    let all: Vec<EntryIx> = from.entries_by(&who.node_id());
    assert_eq!(from.export(&all, ALL).messages[0], v.bytes(), "an honest one is whole again");
}

/// All but one of 256 long records: their proofs are longer than one message may be.
#[test]
fn no_message_is_longer_than_a_frame_can_be() {
    let settings = settings_with(Limits { max_slots: 300, ..Limits::default() });
    let (mut chain, who) = (chain(1), keys(0));
    let long = |slot: u16| RecordHead::new(Slot(slot), Kind(99), hlc(0)).encode(&[1; 990]);
    let records: Vec<_> = (16..272).map(long).collect();
    let mut from = Store::new(Arc::clone(&settings), Class::Cell, 7);
    merge(&mut from, &seal(&mut chain, &records, &[], &settings.mesh, &who));
    merge(&mut from, &seal(&mut chain, &records[..1], &[], &settings.mesh, &who));
    let all: Vec<EntryIx> = from.all_entries().collect();
    let out = from.export(&all, ALL);
    assert!(out.messages.iter().all(|m| m.len() <= MAX_BODY + HEADER_LEN + 3));
    let mut to = Store::new(settings, Class::Cell, 8);
    deliver_all(&mut to, &out.messages);
    assert_eq!(to.root(), from.root());
    let out = from.export(&all, 1);
    assert_eq!((out.messages.len(), out.left_out > 0), (1, true));
    let sent = Sealed::read(&out.messages[0], &Limits { max_slots: 300, ..Limits::default() });
    assert_eq!(sent.unwrap().records().count() + out.left_out, all.len());
}

#[test]
fn a_frame_is_answered_with_what_lives_of_it_or_with_its_authors_head() {
    let (mut chain, who) = (chain(1), keys(0));
    let mut store = store();
    let first = filled(&mut chain, &who, [16, 17]);
    let named = FrameRef::of(&first.header().fields);
    assert_eq!(store.entries_of_frame(&named), []);
    merge(&mut store, &first);
    let at = |store: &Store, slot| store.entry_at(&who.node_id(), slot).unwrap();
    assert_eq!(store.entries_of_frame(&named), [at(&store, Slot(16)), at(&store, Slot(17))]);
    assert_eq!(store.frame_ref(at(&store, Slot(16))), Some(named));
    assert_eq!(store.frame_ref(at(&store, Slot::HEAD)), Some(named));
    merge(&mut store, &filled(&mut chain, &who, [16, 17]));
    assert_eq!(store.entries_of_frame(&named), [at(&store, Slot::HEAD)]);
    assert_ne!(store.frame_ref(at(&store, Slot::HEAD)), Some(named));
    let other = FrameRef { tag: named.tag ^ 1, ..named };
    assert_eq!(store.entries_of_frame(&other), []);
    assert_eq!(store.frame_ref(9_999), None);
    assert_eq!(store.export(&[9_999], ALL), Exported::default());
}
