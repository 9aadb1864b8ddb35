//! What an author can make a replica keep, whatever it signs.

use super::*;
use crate::codec::Writer;
use crate::crdt::store::index::MAX_DIRTY;
use crate::frame::{FrameRef, write_proof};

/// Bytes on the heap for one author: its frames and records, headers at their length on the wire.
fn heap(store: &Store, who: &Keypair) -> usize {
    let author = &store.authors[store.find_author(&who.node_id()).unwrap() as usize];
    let frames = author.frames.iter().map(|&f| {
        let state = &store.frames[f as usize];
        state.header.wire_len() + 32 * state.tree().map_or(0, <[Hash]>::len) + state.reserved()
    });
    let entries = store.entries_by(&who.node_id()).into_iter().map(|ix| {
        let e = &store.entries[ix as usize];
        e.bytes.len() + 32 * e.path.as_ref().map_or(0, |path| path.len())
    });
    frames.sum::<usize>() + entries.sum::<usize>()
}

#[test]
fn an_author_fills_its_slots_and_no_more() {
    let (mut chain, who) = (chain(1), keys(0));
    let mut store = store();
    for round in 0..6u64 {
        let records: Vec<_> = (0..64).map(|slot| lww(slot, slot as u8, round)).collect();
        for some in records.chunks(1 + 9 * round as usize) {
            merge(&mut store, &frame(&mut chain, &who, some));
        }
        audit(&mut store);
        assert_eq!(store.len(), 64 + 1);
        assert!(store.frames.len() <= 64 + NEWEST);
    }
    let beyond = frame(&mut chain, &who, &[lww(64, 1, 1)]);
    assert_eq!(deliver(&mut store, beyond.bytes()), Err(Refused::SlotLimit));
}

#[test]
fn one_record_of_a_frame_costs_its_path_and_its_header() {
    let settings = settings_with(Limits { max_slots: 300, ..Limits::default() });
    let who = keys(0);
    let all: Vec<_> = (16..272).map(|slot| lww(slot, 1, 0)).collect();
    // The last one lives: it outlived the others, came after what killed them, or alone.
    let outlived = |store: &mut Store, chain: &mut Chain| {
        merge(store, &seal(chain, &all, &[], &settings.mesh, &who));
        merge(store, &seal(chain, &all[..255], &[], &settings.mesh, &who));
    };
    let late = |store: &mut Store, chain: &mut Chain| {
        let first = seal(chain, &all, &[], &settings.mesh, &who);
        merge(store, &seal(chain, &all[..255], &[], &settings.mesh, &who));
        merge(store, &first);
    };
    let replaced_inside = |store: &mut Store, chain: &mut Chain| {
        let same: Vec<_> = (0..256).map(|n| lww(16, 1, n)).collect();
        merge(store, &seal(chain, &same, &[], &settings.mesh, &who));
    };
    type Way<'a> = &'a dyn Fn(&mut Store, &mut Chain);
    for way in [&outlived as Way<'_>, &late, &replaced_inside] {
        let mut store = Store::new(Arc::clone(&settings), Class::Cell, 7);
        way(&mut store, &mut chain(1));
        audit(&mut store);
        let first = FrameRef::of(&store.frames[store.authors[0].frames[0] as usize].header.fields);
        let [lives] = store.entries_of_frame(&first)[..] else { panic!("one record lives") };
        let e = &store.entries[lives as usize];
        let state = &store.frames[e.frame as usize];
        assert_eq!(e.path.as_ref().map(|path| path.len()), Some(8));
        assert!(state.tree().is_none() && state.reserved() <= 24, "{}", state.reserved());
    }
}

#[test]
fn dead_frames_cost_their_headers() {
    let settings = settings_with(Limits { max_slots: 300, ..Limits::default() });
    let (mut chain, who) = (chain(1), keys(0));
    let all: Vec<_> = (16..272).map(|slot| lww(slot, 1, 0)).collect();
    let mut frames: Vec<_> =
        (0..12).map(|_| seal(&mut chain, &all, &[], &settings.mesh, &who)).collect();
    let mut stores = [7, 8].map(|seed| Store::new(Arc::clone(&settings), Class::Cell, seed));
    for store in &mut stores {
        merge_all(store, &frames);
        frames.reverse();
        audit(store);
        assert_eq!((store.len(), store.frames.len()), (256 + 1, NEWEST));
        let records = 256 * all[0].len();
        assert!(heap(store, &who) <= NEWEST * 216 + records + 256 * (2 * 32 + 8));
    }
}

#[test]
fn a_short_proof_that_says_256_reserves_little() {
    let (mut chain, who) = (chain(1), keys(0));
    let records: Vec<_> = (0..256).map(|n| lww(16, 1, n)).collect();
    let v = frame(&mut chain, &who, &records);
    let ids: Vec<Hash> = v.leaves().iter().map(|leaf| leaf.id).collect();
    let path = &merkle::paths(&ids, &[255])[0];
    let proof = write_proof(v.header(), &[(255, path, &records[255])]);
    let mut claims = proof.to_vec();
    claims[1 + 216..][..2].copy_from_slice(&256u16.to_le_bytes());
    assert!(Sealed::read(&claims.into(), &Limits::default()).is_err());
    let mut store = store();
    deliver(&mut store, &proof).unwrap();
    assert!(heap(&store, &who) <= 216 + 8 * 32 + records[255].len() + 16);
    // Every record proven at once, all but the newest of them stale.
    let paths = merkle::paths(&ids, &(0..256).collect::<Vec<_>>());
    let parts: Vec<_> = (0..256).map(|i| (i as u16, &paths[i][..], &records[i][..])).collect();
    let mut store = super::store();
    deliver(&mut store, &write_proof(v.header(), &parts)).unwrap();
    assert!(heap(&store, &who) <= 216 + 8 * 32 + records[255].len() + 16);
    audit(&mut store);
}

#[test]
fn a_convicted_identity_leaves_one_marker() {
    let who = keys(0);
    let mut stores = [store(), store()];
    let forks: Vec<[Verified; 2]> = (1..=5)
        .map(|i| [1, 2].map(|n| frame(&mut chain(i), &who, &[lww(16, 1, n), lww(17, 2, n)])))
        .collect();
    let proof = |pair: &[Verified; 2]| write_head(pair[0].header(), Some(pair[1].header()));
    for (n, pair) in forks.iter().enumerate() {
        let merged = deliver(&mut stores[0], &proof(pair));
        assert_eq!(matches!(merged, Ok(Some(_))), n < 3);
        assert_eq!(stores[0].len(), [1, 2, 1, 1, 1][n]);
        audit(&mut stores[0]);
    }
    let live = filled(&mut chain(9), &who, 0..40);
    merge(&mut stores[1], &live);
    for pair in forks.iter().rev() {
        let _ = deliver(&mut stores[1], &proof(pair));
        audit(&mut stores[1]);
    }
    assert_eq!(deliver(&mut stores[0], live.bytes()), Err(Refused::Convicted));
    let [a, b] = &mut stores;
    assert_eq!(a.root(), b.root(), "whichever three incarnations convicted it");
    assert_eq!((a.frames.len(), b.frames.len(), b.len()), (0, 0, 1));
    // One marker is exported as what convicts the identity anew.
    let mut third = store();
    repair(b, &mut third, true);
    assert_eq!(third.root(), b.root());
}

#[test]
fn each_marker_is_exported_with_its_own_proof_and_within_the_budget() {
    let mut from = store();
    for n in 0..20 {
        for incarnation in 1..=2 {
            let pair = [1, 2].map(|v| frame(&mut chain(incarnation), &keys(n), &[lww(16, 1, v)]));
            let _ = deliver(&mut from, &write_head(pair[0].header(), Some(pair[1].header())));
        }
    }
    let all: Vec<EntryIx> = from.all_entries().collect();
    assert_eq!(all.len(), 40);
    let out = from.export(&all, ALL);
    assert_eq!((out.messages.len(), out.left_out), (40, 0));
    let out = from.export(&all, 1_000);
    assert_eq!((out.messages.len(), out.left_out), (3, 37));
    audit(&mut from);
}

#[test]
fn hostile_floors_and_sequences_do_no_harm_at_the_edges() {
    let who = keys(0);
    let mut store = store();
    let top = u64::MAX - 2;
    let mut last = Chain { next: Seq(top), last_root: [1; 32], ..chain(u64::MAX) };
    last.floor = (last.incarnation, Seq(top));
    merge(&mut store, &filled(&mut chain(1), &who, 16..20));
    let v = frame(&mut last, &who, &[lww(16, 1, 1), lww(17, 1, 1)]);
    deliver(&mut store, v.bytes()).unwrap();
    audit(&mut store);
    assert_eq!(state(&store).len(), 2);
    assert_eq!(
        deliver(&mut store, filled(&mut chain(1), &who, [18]).bytes()),
        Err(Refused::Floored)
    );
    let mut w = Writer::default();
    w.u8(Tag::Head as u8);
    v.header().write(&mut w);
    assert_eq!(deliver(&mut store, &w.into_vec().into()), Ok(None));
}

/// Nobody asks for a root, and the changes that wait for it stay few all the same.
#[test]
fn changes_wait_in_bounded_number() {
    let settings = settings_with(Limits::default());
    let mut store = Store::new(Arc::clone(&settings), Class::Cell, 7);
    let mut writers: Vec<_> = (0..5).map(|n| (chain(1), keys(n))).collect();
    for round in 0..2 {
        for (chain, who) in &mut writers {
            for first in [0, 256, 512, 768] {
                let records: Vec<_> = (first..first + 256).map(|s| lww(s, 1, round)).collect();
                merge(&mut store, &seal(chain, &records, &[], &settings.mesh, who));
                let waiting = store.index.as_ref().map_or(0, |index| index.waiting());
                assert!(waiting < MAX_DIRTY);
            }
        }
    }
    assert_eq!(store.len(), 5 * 1_024 + 5);
    audit_digests(&mut store);
}

#[test]
fn an_old_frame_whose_later_record_overwrites_its_last_live_one_stays_until_it_is_merged() {
    let (who, mut chain, mut store) = (keys(0), chain(1), store());
    let records = [lww(20, 1, 1), lww(20, 1, 2)];
    let old = frame(&mut chain, &who, &records);
    for _ in 0..2 * NEWEST {
        merge(&mut store, &filled(&mut chain, &who, [30]));
    }
    let ids: Vec<Hash> = old.leaves().iter().map(|leaf| leaf.id).collect();
    let paths = merkle::paths(&ids, &[0, 1]);
    for (index, path) in (0..).zip(&paths) {
        let record = &records[usize::from(index)][..];
        let proof = crate::frame::write_proof(old.header(), &[(index, path, record)]);
        let merged = deliver(&mut store, &proof).unwrap().unwrap();
        assert_eq!(merged.won, 1);
        audit(&mut store);
    }
    assert_eq!(state(&store)[&(who.node_id(), Slot(20))].1, Seq(1));
}

#[test]
fn nothing_is_left_of_an_author_that_is_dropped_whatever_was_known_of_it() {
    let (gone, stays) = (keys(0), keys(1));
    let kept = filled(&mut chain(1), &stays, 0..30);
    let forks = [1, 2].map(|n| frame(&mut chain(1), &gone, &[lww(16, 1, n)]));
    let later = filled(&mut chain(5), &gone, 0..20);
    let mut clean = store();
    merge(&mut clean, &kept);
    let histories: [&[&Verified]; 4] =
        [&[], &[&later], &[&forks[0], &forks[1]], &[&forks[0], &forks[1], &later]];
    for history in histories {
        let mut store = store();
        merge(&mut store, &kept);
        merge_all(&mut store, history.iter().copied());
        let mut told = 0;
        store.drop_up_to(&gone.node_id(), Incarnation(u64::MAX), &mut |_, _| told += 1);
        assert_eq!(told > 0, history.iter().any(|v| v.leaves().len() > 1), "watchers hear of it");
        assert_eq!(store.root(), clean.root());
        assert_eq!(store.len(), clean.len());
    }
}
