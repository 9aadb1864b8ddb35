//! The rules of single operations, each by its smallest example.

use core::time::Duration;

use super::*;

fn pair() -> (Replica, Replica, Key) {
    (Replica::new(1), Replica::new(2), key("k"))
}

#[test]
fn a_key_has_1_to_255_bytes() {
    assert_eq!(Key::try_from(""), Err(WriteError::KeyLength { len: 0, max: 255 }));
    assert_eq!(Key::try_from("x".repeat(256)), Err(WriteError::KeyLength { len: 256, max: 255 }));
    assert_eq!(Key::try_from("x".repeat(255)).unwrap().as_bytes().len(), 255);
    assert_eq!(Key::try_from(&b"a\xff"[..]).unwrap().to_string(), "a\u{fffd}");
}

#[test]
fn writers_that_know_of_each_other_leave_one_value_and_others_leave_both() {
    let (mut a, mut b, k) = pair();
    a.write(&put(&k, b"1"), 1_000, NO_ID).unwrap();
    b.merge_all(&a);
    b.write(&put(&k, b"2"), 10, NO_ID).unwrap();
    a.merge_all(&b);
    assert_eq!(a.multi(&k), [b"2"]);
    a.write(&put(&k, b"3"), 2_000, NO_ID).unwrap();
    b.write(&put(&k, b"4"), 2_001, NO_ID).unwrap();
    b.merge_all(&a);
    assert_eq!(b.multi(&k), [b"4", b"3"]);
    b.write(&put(&k, b"5"), 2_002, NO_ID).unwrap();
    assert_eq!(b.multi(&k), [b"5"]);
}

#[test]
fn what_was_removed_stays_removed_where_the_remove_never_arrived() {
    // b's re-add takes the slot of its remove; c sees only the re-add; d sees all but the remove.
    let (mut a, mut b, k) = pair();
    let (mut c, mut d) = (Replica::new(3), Replica::new(4));
    a.write(&add(&k, b"m"), 1_000, NO_ID).unwrap();
    b.merge_all(&a);
    b.write(&remove(&k, b"m"), 1_001, NO_ID).unwrap();
    b.write(&add(&k, b"m"), 1_002, NO_ID).unwrap();
    b.slots.retain(|(author, _), _| *author == b.me);
    c.merge_all(&b);
    c.write(&remove(&k, b"m"), 1_003, NO_ID).unwrap();
    [&a, &b, &c].iter().for_each(|replica| d.merge_all(replica));
    assert_eq!(d.slots.len(), 3);
    assert!(d.set(&k).is_empty());
}

#[test]
fn a_concurrent_add_wins_over_a_remove() {
    let (mut a, mut b, k) = pair();
    a.write(&add(&k, b"m"), 1_000, NO_ID).unwrap();
    b.merge_all(&a);
    b.write(&remove(&k, b"m"), 5_000, NO_ID).unwrap();
    a.write(&add(&k, b"m"), 1_001, NO_ID).unwrap();
    a.merge_all(&b);
    assert_eq!(a.set(&k), [b"m"]);
    assert_eq!(a.slots.len(), 2, "an add takes the slot of the add before it");
    assert_eq!(a.write(&remove(&k, b"other"), 6_000, NO_ID), Ok(false));
}

#[test]
fn a_close_different_value_of_another_author_is_reported() {
    let (mut a, mut b, k) = pair();
    a.write(&set(&k, b"old", None), 1_000, NO_ID).unwrap();
    b.write(&set(&k, b"new", None), 1_500, NO_ID).unwrap();
    b.merge_all(&a);
    let winner = b.lww(&k, 0).unwrap();
    assert_eq!((winner.value, winner.author, winner.concurrent), (&b"new"[..], b.me, true));
    b.write(&set(&k, b"new", None), 1_501, NO_ID).unwrap();
    assert!(!b.lww(&k, 0).unwrap().concurrent, "501 ms apart");
    b.write(&set(&k, b"old", None), 1_400, NO_ID).unwrap();
    assert!(!b.lww(&k, 0).unwrap().concurrent, "the same value");
}

#[test]
fn an_expired_value_is_concurrent_with_nothing() {
    let (mut a, mut b, k) = pair();
    a.write(&set(&k, b"brief", Some(Duration::from_millis(300))), 1_000, NO_ID).unwrap();
    b.write(&set(&k, b"new", None), 1_100, NO_ID).unwrap();
    b.merge_all(&a);
    assert!(b.lww(&k, 1_299).unwrap().concurrent);
    assert!(!b.lww(&k, 1_300).unwrap().concurrent);
}

#[test]
fn an_expired_winner_shows_nothing() {
    let (mut a, mut b, k) = pair();
    a.write(&set(&k, b"old", None), 1_000, NO_ID).unwrap();
    b.merge_all(&a);
    b.write(&set(&k, b"brief", Some(Duration::from_millis(150))), 2_000, NO_ID).unwrap();
    assert_eq!(b.lww(&k, 2_199).map(|v| v.value), Some(&b"brief"[..]));
    assert_eq!(b.lww(&k, 2_200), None);
    assert_eq!(b.write(&Op::Delete { key: k.clone() }, 2_200, NO_ID), Ok(false));
    let ttl = |ttl| a.clone().draft(&set(&k, b"", Some(ttl)), WallMs(0)).unwrap().unwrap().ttl_ds;
    assert_eq!(ttl(Duration::ZERO), 1);
    assert_eq!(ttl(Duration::MAX), u32::MAX);
}

#[test]
fn delete_empties_the_register_that_shows_a_value() {
    let (mut a, _, k) = pair();
    let delete = Op::Delete { key: k.clone() };
    assert_eq!(a.write(&delete, 1_000, NO_ID), Ok(false));
    a.write(&set(&k, b"1", None), 1_000, NO_ID).unwrap();
    a.write(&put(&k, b"2"), 1_000, NO_ID).unwrap();
    a.write(&Op::Incr { key: k.clone(), by: 3 }, 1_000, NO_ID).unwrap();
    assert_eq!(a.write(&delete, 1_000, NO_ID), Ok(true));
    assert_eq!((a.lww(&k, 0), a.multi(&k).len()), (None, 1));
    assert_eq!(a.write(&delete, 1_000, NO_ID), Ok(true));
    assert_eq!((a.lww(&k, 0), a.multi(&k).len()), (None, 0));
    assert_eq!(a.write(&delete, 1_000, NO_ID), Ok(false));
    assert_eq!(view::counter(a.of(&k), NOW), 3);
    assert_eq!(a.slots.len(), 3, "one slot for each family");
}

#[test]
fn a_write_that_does_not_fit_changes_nothing() {
    let (mut a, _, k) = pair();
    let too_large = |len| Err(WriteError::TooLarge { len, max: 1_024 });
    assert_eq!(a.write(&set(&k, &[0; 1_022], None), 0, NO_ID), Ok(true));
    assert_eq!(a.write(&set(&k, &[0; 1_023], None), 0, NO_ID), too_large(1_025));
    assert_eq!(a.write(&put(&k, &[0; 1_022]), 0, NO_ID), too_large(1_025));
    assert_eq!(a.write(&add(&k, &[0; 70_000]), 0, NO_ID), too_large(70_005));
    let incr = |by| Op::Incr { key: k.clone(), by };
    for _ in 0..2 {
        a.write(&incr(i64::MAX), 0, NO_ID).unwrap();
    }
    assert_eq!(a.write(&incr(1), 0, NO_ID), Ok(true));
    assert_eq!(a.write(&incr(1), 0, NO_ID), Err(WriteError::Overflow));
    assert_eq!(view::counter(a.of(&k), NOW), i128::from(u64::MAX));
    assert_eq!(a.write(&incr(0), 0, NO_ID), Ok(false));
}

#[test]
fn more_writers_than_a_record_can_name_are_an_error_and_the_newest_are_shown() {
    let (mut all, k) = (Replica::new(0), key("k"));
    all.limits.max_payload = 16_384;
    for n in 1..=64 {
        let mut other = Replica::new(n);
        other.write(&put(&k, &[n]), 1_000 + u64::from(n), NO_ID).unwrap();
        all.merge_all(&other);
    }
    let mut full = all.clone();
    assert_eq!(full.write(&put(&k, b"one"), 0, NO_ID), Ok(true));
    assert_eq!(full.multi(&k), [b"one"]);
    let mut other = Replica::new(65);
    other.write(&put(&k, &[65]), 2_000, NO_ID).unwrap();
    all.merge_all(&other);
    let shown = all.multi(&k);
    assert_eq!((shown.len(), &shown[0][..], &shown[63][..]), (64, &[65][..], &[2][..]));
    assert!(matches!(all.write(&put(&k, b""), 0, NO_ID), Err(WriteError::TooLarge { .. })));
}

#[test]
fn a_candidate_counts_for_its_own_author() {
    let (mut a, mut b, k) = pair();
    let max = |value| Op::Max { key: k.clone(), value };
    a.write(&max(7), 0, NO_ID).unwrap();
    b.merge_all(&a);
    assert_eq!(b.write(&max(5), 0, NO_ID), Ok(true), "a may leave");
    assert_eq!(b.write(&max(5), 0, NO_ID), Ok(false));
    assert_eq!(view::max(b.of(&k), NOW), Some(7));
}
