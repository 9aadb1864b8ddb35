//! The views over arbitrary records, such as no honest author writes.

use proptest::collection::vec;
use proptest::prelude::*;

use super::seen::Seen;
use super::value::{Body, Payload};
use super::*;
use crate::codec::Writer;
use crate::rng::Rng;

/// Few authors, stamps and members, so that records meet.
fn any_stored() -> impl Strategy<Value = Stored> {
    let head = (1u8..4, 0u64..3, 0u64..4, 16u8..25, 0u64..8, 0u32..3, any::<bool>());
    let content = (vec((1u8..5, 0u64..10), 0..4), vec(0u8..3, 0..3), vec(any::<u8>(), 0..40));
    let record = (head, content, 0u8..8);
    record.prop_map(|((author, incarnation, seq, kind, hlc, ttl_ds, tombstone), content, wild)| {
        let (mut seen, text, garbage) = content;
        seen.sort_unstable();
        seen.dedup_by_key(|entry| entry.0);
        let mut w = Writer::default();
        seen.iter().for_each(|&(author, hlc)| {
            w.bytes(&[author; 8]).u64(hlc << 16);
        });
        let entries = w.into_vec();
        let (seen, number) = (Seen::of(&entries), i64::from_le_bytes([author; 8]));
        let body = match kind {
            16 => Body::Lww(&text),
            17 => Body::Multi { seen, value: &text },
            18 => Body::Counter { up: number as u64, down: u64::MAX - hlc },
            19 => Body::Add { member: &text, seen },
            20 => Body::Remove { member: &text, seen },
            21 => Body::Max(number),
            _ => Body::Min(number),
        };
        let payload = if wild == 0 { garbage } else { Payload { key: b"k", body }.encode() };
        let mut head = RecordHead::new(Slot(16), Kind(kind), Hlc(hlc << 16));
        (head.tombstone, head.ttl_ds) = (tombstone, ttl_ds);
        Stored {
            author: NodeId([author; 32]),
            incarnation: Incarnation(incarnation),
            seq: Seq(seq),
            // Two records have one id only if they are the same.
            id: {
                let mut id = [0; 32];
                id[..8].copy_from_slice(&hash(&head.encode(&payload)).to_le_bytes());
                id
            },
            bytes: head.encode(&payload),
        }
    })
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(7, |sum, byte| crate::rng::mix(sum ^ u64::from(*byte)))
}

fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut rng = Rng::new(seed);
    for last in (1..items.len()).rev() {
        items.swap(last, rng.below(last as u32 + 1) as usize);
    }
}

proptest! {
    #[test]
    fn no_fold_depends_on_order(stored in vec(any_stored(), 0..12), seed: u64, now in 0u64..300) {
        let mut mixed = stored.clone();
        shuffle(&mut mixed, seed);
        let now = WallMs(now);
        let a = stored.iter().map(Stored::contribution);
        let b = mixed.iter().map(Stored::contribution);
        prop_assert_eq!(view::lww(a.clone(), now), view::lww(b.clone(), now));
        prop_assert_eq!(view::multi(a.clone(), now), view::multi(b.clone(), now));
        prop_assert_eq!(view::counter(a.clone(), now), view::counter(b.clone(), now));
        prop_assert_eq!(view::set(a.clone(), now), view::set(b.clone(), now));
        prop_assert_eq!(view::max(a.clone(), now), view::max(b.clone(), now));
        prop_assert_eq!(view::min(a, now), view::min(b, now));
    }

    #[test]
    fn a_write_over_anything_overwrites_it_and_fits(
        stored in vec(any_stored(), 0..12), me in 1u8..5, op in 0usize..7, limit in 20u16..200,
    ) {
        let k = key("k");
        let ops = [
            set(&k, b"new", None), put(&k, b"new"), add(&k, b"new"), remove(&k, b"\x01"),
            Op::Delete { key: k.clone() }, Op::Max { key: k.clone(), value: 3 },
            Op::Incr { key: k.clone(), by: -3 },
        ];
        let mut replica = Replica::new(me);
        replica.limits.max_payload = limit;
        let held: Vec<_> = stored.iter().map(Stored::contribution).collect();
        let (me, limits) = (replica.me, &replica.limits);
        let result = draft(&ops[op], me, &held, limits, &mut replica.clock, WallMs(0));
        let Ok(Some(draft)) = result else { return Ok(()) };
        prop_assert!(draft.payload.len() <= usize::from(limit));
        prop_assert!(Payload::decode(draft.kind, &draft.payload).is_ok());
        // Garbage may read as a record of another key.
        let others = |c: &&Contribution<'_>| {
            let of = key_of(c.record.head.kind, c.record.payload);
            c.author != me && of.is_some_and(|(_, key)| key == b"k")
        };
        let head = RecordHead::new(Slot(16), draft.kind, draft.hlc);
        let record = Record { head, payload: &draft.payload };
        let (incarnation, seq) = (Incarnation(9), Seq(9));
        let new = Contribution { author: me, incarnation, seq, id: NO_ID, record };
        let after = held.iter().filter(others).copied().chain([new]);
        match op {
            0 => prop_assert_eq!(view::lww(after, WallMs(0)).map(|v| v.value), Some(&b"new"[..])),
            1 => prop_assert_eq!(view::multi(after, WallMs(0)).len(), 1),
            2 => prop_assert!(view::set(after, WallMs(0)).contains(&&b"new"[..])),
            3 => prop_assert!(!view::set(after, WallMs(0)).contains(&&b"\x01"[..])),
            _ => {}
        }
    }
}
