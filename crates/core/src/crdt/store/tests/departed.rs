//! Authors that left, and what was forgotten: how much is kept, and that replicas agree.

use super::*;

/// A member record; a goodbye may go with its author.
fn member(goodbye: bool, at: u64) -> Vec<u8> {
    let mut head = RecordHead::new(Slot::MEMBER, Kind::MEMBER, hlc(at));
    head.ephemeral = goodbye;
    head.encode(&[u8::from(goodbye), 1, 0, 0, 0])
}

fn few(authors: u32) -> Store {
    let limits = Limits { max_slots: 64, max_authors: authors, ..Limits::default() };
    let settings = settings_with(limits);
    Store::new(settings, Class::Cell, 7)
}

fn seal_for(store: &Store, chain: &mut Chain, who: &Keypair, records: &[Vec<u8>]) -> Verified {
    seal(chain, records, &[], &store.settings.mesh, who)
}

/// Author `n` comes with a record of its own and leaves, purged: both of its frames.
fn life(store: &Store, n: u8) -> [Verified; 2] {
    let (mut chain, who) = (chain(1), keys(n));
    let first = [member(false, 0), lww(20, n, 1)];
    let came = seal_for(store, &mut chain, &who, &first);
    chain.floor = (chain.incarnation, chain.next);
    [came, seal_for(store, &mut chain, &who, &[member(true, u64::from(n))])]
}

#[test]
fn more_authors_than_there_is_room_for_come_and_go() {
    let mut store = few(4);
    for n in 0..60 {
        let [came, left] = life(&store, n);
        assert!(deliver(&mut store, came.bytes()).unwrap().is_some_and(|m| m.won == 2), "{n}");
        assert_eq!(store.contributions(Family::Lww, &[b'k', n]).len(), 1);
        deliver(&mut store, left.bytes()).unwrap();
        assert_eq!(store.contributions(Family::Lww, &[b'k', n]).len(), 0, "purged");
        audit(&mut store);
        assert!(store.author_count() <= 5 && store.authors.len() <= 6, "{n}");
        assert_eq!(store.departed_count(), usize::from(n + 1).min(4));
    }
    let [came, _] = life(&store, 58);
    assert_eq!(deliver(&mut store, came.bytes()), Err(Refused::Floored), "old records stay out");
}

#[test]
fn the_latest_goodbyes_are_kept_whatever_came_first() {
    let lives: Vec<[Verified; 2]> = (0..12).map(|n| life(&few(4), n)).collect();
    let mut ordered = few(4);
    let mut backwards = few(4);
    for [came, left] in &lives {
        deliver_all(&mut ordered, &[came.bytes().clone(), left.bytes().clone()]);
    }
    for [_, left] in lives.iter().rev() {
        deliver(&mut backwards, left.bytes()).unwrap();
    }
    assert_eq!(state(&ordered), state(&backwards));
    assert_eq!(ordered.root(), backwards.root());
    let mut kept = (8..12).map(|n| keys(n).node_id());
    assert!(kept.all(|id| ordered.record(&id, Slot::MEMBER).is_some()));
    assert_eq!(ordered.author_count(), 4);
}

#[test]
fn who_left_something_behind_keeps_its_place_and_who_returns_takes_one() {
    let mut store = few(2);
    let (mut chain, who) = (chain(1), keys(1));
    let goodbye = seal_for(&store, &mut chain, &who, &[member(true, 5)]);
    merge(&mut store, &goodbye);
    assert_eq!(store.departed_count(), 1);
    let late = seal_for(&store, &mut chain, &who, &[lww(20, 1, 1)]);
    merge(&mut store, &late);
    assert_eq!(store.departed_count(), 0, "its register outlives it");
    let back = seal_for(&store, &mut chain, &who, &[member(false, 6)]);
    merge(&mut store, &back);
    assert_eq!((store.departed_count(), store.author_count()), (0, 1));
    audit(&mut store);
}

#[test]
fn what_is_forgotten_vanishes_and_a_later_start_is_an_author_again() {
    for others in [0, 30] {
        let mut store = few(40);
        for n in 1..=others {
            let mut chain = chain(1);
            let filler = seal_for(&store, &mut chain, &keys(n), &[lww(20, n, 1)]);
            merge(&mut store, &filler);
        }
        let (root, who) = (store.root(), keys(0));
        let mut old = chain(7);
        let before = [member(false, 1), lww(20, 0, 1)];
        let before = seal_for(&store, &mut old, &who, &before);
        merge(&mut store, &before);
        store.drop_up_to(&who.node_id(), Incarnation(7), &mut |_, _| ());
        audit(&mut store);
        assert_eq!((store.root(), store.author_count()), (root, usize::from(others)));
        let mut new = chain(8);
        let after = seal_for(&store, &mut new, &who, &[member(false, 2)]);
        merge(&mut store, &after);
        audit(&mut store);
        store.drop_up_to(&who.node_id(), Incarnation(7), &mut |_, _| ());
        audit(&mut store);
        assert!(store.record(&who.node_id(), Slot::MEMBER).is_some(), "what is above stays");
        assert_eq!(store.author_count(), usize::from(others) + 1);
    }
}

#[test]
fn forgetting_takes_the_proofs_of_those_incarnations_along_and_no_others() {
    let fork = |incarnation: u64| {
        [1, 2].map(|value| frame(&mut chain(incarnation), &keys(0), &[lww(20, 1, value)]))
    };
    let (mut early, mut late) = (store(), store());
    for incarnation in [3, 5, 7] {
        merge_all(&mut early, &fork(incarnation));
    }
    assert!(early.is_convicted(&keys(0).node_id()));
    early.drop_up_to(&keys(0).node_id(), Incarnation(5), &mut |_, _| ());
    audit(&mut early);
    merge_all(&mut late, &fork(7));
    assert!(!early.is_convicted(&keys(0).node_id()), "two of three are void");
    assert_eq!((early.root(), early.len()), (late.root(), late.len()));
}

/// Ways to be kept after one came in where goodbyes need no place: none of them is one.
#[test]
fn nobody_gets_a_place_through_the_door_of_those_who_leave() {
    let flagged = |slot: u16, at: u64| {
        let mut head = RecordHead::new(Slot(slot), Kind::LWW, hlc(at));
        head.ephemeral = true;
        head.encode(&lww(slot, 1, 1)[24..])
    };
    for way in 0..4 {
        let mut store = few(4);
        for n in 0..4 {
            let frame = seal_for(&store, &mut chain(1), &keys(n), &[lww(20, n, 1)]);
            merge(&mut store, &frame);
        }
        for n in 10..60 {
            let (mut chain, who) = (chain(1), keys(n));
            let mut other = chain.clone();
            let goodbye = [member(true, u64::from(n))];
            let mut frames = Vec::new();
            if way > 0 {
                frames.push(seal_for(&store, &mut chain, &who, &goodbye));
            }
            match way {
                0 => frames.push(seal_for(&store, &mut chain, &who, &[flagged(20, 1)])),
                1 => frames.push(seal_for(&store, &mut chain, &who, &[lww(20, n, 1)])),
                2 => frames.push(seal_for(&store, &mut other, &who, &[member(true, 1)])),
                _ => {
                    chain.floor = (chain.incarnation, chain.next);
                    frames.push(seal_for(&store, &mut chain, &who, &[flagged(20, 1)]));
                }
            }
            for frame in &frames {
                let _ = deliver(&mut store, frame.bytes());
            }
            audit(&mut store);
        }
        let (kept, places) = (store.author_count(), store.authors.len());
        assert!(kept <= 8 && places <= 10, "way {way}: {kept} authors, {places} places");
    }
}
