use std::collections::BTreeSet;

use super::*;
use crate::identity::{Keypair, Signer};

const MESH: MeshId = MeshId([5; 32]);
const KEY: &str = "config/gossip.fanout";

/// The members of a committee in its own order.
fn members(count: u8) -> (Vec<Keypair>, Committee) {
    let mut pairs: Vec<_> = (1..=count).map(|n| Keypair::from_secret(&[n; 32])).collect();
    pairs.sort_by_key(Signer::node_id);
    let committee = Committee::new(pairs.iter().map(Signer::node_id).collect()).unwrap();
    (pairs, committee)
}

fn fact(version: u64, value: &[u8]) -> Fact {
    Fact::new(KEY, version, value.to_vec()).unwrap()
}

fn vote(pair: &Keypair, committee: &Committee, fact: &Fact) -> Vote {
    Vote::sign(pair, fact.clone(), committee, &MESH).unwrap()
}

/// `fact`, signed by the members `by` of four.
fn certified(fact: &Fact, by: &[usize]) -> Certified {
    let (pairs, committee) = members(4);
    let votes: Vec<_> = by.iter().map(|n| vote(&pairs[*n], &committee, fact)).collect();
    Certificate::join(&votes, &committee, &MESH).unwrap()
}

#[test]
fn a_fact_has_bounds_and_a_void_node_its_form() {
    let new = |key: &str, value: usize| Fact::new(key, 1, vec![0; value]).map(drop);
    assert_eq!(new("a", 0), Ok(()));
    assert_eq!(new(&"k".repeat(96), 1_024), Ok(()));
    for key in ["", " a", "a b", "ä", "a\n", &"k".repeat(97)] {
        assert_eq!(new(key, 0), Err(NotCertified::Key), "{key:?}");
    }
    assert_eq!(new("a", 1_025), Err(NotCertified::Value));
    let node = Keypair::from_secret(&[9; 32]).node_id();
    let void = Fact::void(&node, Incarnation(7));
    assert_eq!((void.voids(), void.version()), (Some((node, Incarnation(7))), 7));
    assert_eq!(Fact::new(void.key(), 7, Vec::new()), Ok(void.clone()));
    assert_eq!(new(void.key(), 1), Err(NotCertified::Void));
    assert_eq!(new("void/somebody", 0), Err(NotCertified::Void));
    assert_eq!(fact(1, b"").voids(), None);
}

#[test]
fn a_quorum_of_members_certifies_and_nothing_less_or_else() {
    let (pairs, committee) = members(4);
    let (good, other) = (fact(1, b"3"), fact(1, b"4"));
    let votes: Vec<_> = pairs.iter().map(|pair| vote(pair, &committee, &good)).collect();
    let join = |votes: &[Vote]| Certificate::join(votes, &committee, &MESH);
    let all = join(&votes).unwrap();
    assert_eq!(all.signers(&committee).count(), 3, "a quorum and no more");
    assert_eq!(all, join(&votes[..3]).unwrap());
    assert_eq!(join(&votes[..2]), Err(NotCertified::Count { have: 2, need: 3 }));
    assert_eq!(join(&[]), Err(NotCertified::Count { have: 0, need: 3 }));
    let twice = [votes[0].clone(), votes[1].clone(), votes[0].clone()];
    assert_eq!(join(&twice), Err(NotCertified::Twice(committee.members()[0])));
    let mixed = [votes[0].clone(), votes[1].clone(), vote(&pairs[2], &committee, &other)];
    assert_eq!(join(&mixed), Err(NotCertified::Different));
    let outsider = Keypair::from_secret(&[99; 32]);
    let refused = Err(NotCertified::Outsider(outsider.node_id()));
    assert_eq!(Vote::sign(&outsider, good, &committee, &MESH), refused);
    let mut stranger = votes[2].clone();
    stranger.signer = outsider.node_id();
    let strange = [votes[0].clone(), votes[1].clone(), stranger];
    assert_eq!(join(&strange).map(drop), refused.map(drop));
    let mut wrong = votes[2].clone();
    wrong.signer = committee.members()[3];
    let wrong = [votes[0].clone(), votes[1].clone(), wrong];
    assert_eq!(join(&wrong), Err(NotCertified::Signature));
    // What holds here holds in no other mesh and for no other committee.
    let (_, seven) = members(7);
    assert_eq!(Certificate::join(&votes, &committee, &MeshId([6; 32])), join(&wrong));
    assert_eq!(Certificate::join(&votes, &seven, &MESH), join(&wrong));
}

#[test]
fn every_altered_bit_and_every_cut_is_refused_before_anything_is_believed() {
    let (_, committee) = members(4);
    let (first, second) =
        (certified(&fact(1, b"3"), &[0, 1, 2]), certified(&fact(1, b"4"), &[1, 2, 3]));
    let conflict = Conflict::between(&first, &second).unwrap();
    let check =
        |bytes: &[u8]| Certificate::decode(bytes).and_then(|found| found.check(&committee, &MESH));
    let check_both = |bytes: &[u8]| {
        ConflictProof::decode(bytes).and_then(|found| found.check(&committee, &MESH))
    };
    let (one, both) = (first.certificate().encode(), conflict.proof().encode());
    assert!(one.len() <= Certificate::MAX_LEN && both.len() <= ConflictProof::MAX_LEN);
    assert_eq!((check(&one), check_both(&both)), (Ok(first.clone()), Ok(conflict)));
    for cut in 0..one.len() {
        assert!(check(&one[..cut]).is_err() && check_both(&both[..cut]).is_err());
    }
    for bit in 0..8 * one.len() {
        let mut bad = one.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(check(&bad).is_err(), "bit {bit}");
    }
    for bit in (0..8 * both.len()).step_by(3) {
        let mut bad = both.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(check_both(&bad).is_err(), "bit {bit}");
    }
    let (lower, higher) = (first.certificate().clone(), first.certificate().clone());
    let none = ConflictProof { lower, higher }.check(&committee, &MESH);
    assert_eq!(none, Err(NotCertified::NoConflict), "nobody lies by repeating itself");
    let vote = vote(&members(4).0[0], &committee, &fact(1, b"3"));
    assert_eq!(Vote::decode(&vote.encode()), Ok(vote.clone()));
    let (said, proof) = (vote.to_text(), first.certificate().to_text());
    assert_eq!(Vote::from_text(&format!(" {said}\n")), Ok(vote));
    assert_eq!(Certificate::from_text(&proof).as_ref(), Ok(first.certificate()));
    assert_eq!(Vote::from_text(&proof), Err(NotCertified::Malformed));
    assert_eq!(Certificate::from_text(&said), Err(NotCertified::Malformed));
    assert!(Vote::from_text(&said.to_uppercase()).is_err());
}

#[test]
fn another_number_of_signatures_than_a_quorum_or_one_of_nobody_is_not_checked_at_all() {
    let (_, committee) = members(4);
    let mut more = certified(&fact(1, b"3"), &[0, 1, 2]).certificate().clone();
    let checked = |certificate: &Certificate| certificate.clone().check(&committee, &MESH);
    more.signers = 1 << 15 | 3;
    assert_eq!(checked(&more), Err(NotCertified::Malformed));
    let mut few = more.clone();
    few.signers = 3;
    few.signatures.pop();
    assert_eq!(checked(&few), Err(NotCertified::Count { have: 2, need: 3 }));
    more.signers = 15;
    more.signatures.push(more.signatures[0]);
    assert_eq!(checked(&more), Err(NotCertified::Count { have: 4, need: 3 }));
}

/// All orders of `n` things.
fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(n - 1).into_iter();
    let grown = shorter.flat_map(|order| {
        (0..n).map(move |at| {
            let mut order = order.clone();
            order.insert(at, n - 1);
            order
        })
    });
    grown.collect()
}

#[test]
fn what_stands_does_not_depend_on_the_order_it_came_in() {
    let all = [
        certified(&fact(1, b"a"), &[0, 1, 2]),
        certified(&fact(2, b"b"), &[0, 1, 2]),
        certified(&fact(2, b"c"), &[1, 2, 3]),
        certified(&fact(2, b"b"), &[0, 1, 3]),
        certified(&Fact::new("other", 9, b"d".to_vec()).unwrap(), &[0, 1, 2]),
    ];
    let expected = *[b"b", b"c"].iter().min_by_key(|v| fact(2, **v).value_hash()).unwrap();
    for order in orders(all.len()) {
        let (mut facts, mut conflicts) = (Facts::default(), 0);
        for n in order {
            let certified = all[n].clone();
            let idle = facts.needs_no_check(certified.certificate());
            let before = facts.clone();
            match facts.insert(certified) {
                Taken::Conflict(found) => {
                    conflicts += 1;
                    assert_eq!(found.sides()[0].fact().value(), expected);
                }
                Taken::Known => assert!(idle && facts == before),
                Taken::News => assert!(!idle && facts != before),
                Taken::Full => unreachable!("five are not too many"),
            }
        }
        assert_eq!(facts.get(KEY).map(|held| held.fact()), Some(&fact(2, expected)));
        assert_eq!((facts.iter().count(), conflicts, facts.conflicts().count()), (2, 1, 1));
    }
}

#[test]
fn a_conflict_says_both_and_comes_through_to_who_is_further_already() {
    let (old, new) = (certified(&fact(2, b"b"), &[0, 1, 2]), certified(&fact(3, b"c"), &[0, 1, 2]));
    let conflict = Conflict::between(&old, &certified(&fact(2, b"d"), &[1, 2, 3])).unwrap();
    assert_eq!(Conflict::between(&old, &new), None);
    let mut ahead = Facts::default();
    assert_eq!(ahead.insert(new.clone()), Taken::News);
    assert!(ahead.needs_no_check(old.certificate()));
    assert!(!ahead.conflict_needs_no_check(&conflict.proof()));
    assert!(ahead.insert_conflict(&conflict) && !ahead.insert_conflict(&conflict));
    assert!(ahead.conflict_needs_no_check(&conflict.proof()));
    let mut behind = Facts::default();
    assert!(behind.insert_conflict(&conflict));
    assert_eq!(behind.get(KEY), Some(conflict.sides()[0]));
    assert_eq!(behind.insert(new), Taken::News);
    assert_eq!(ahead, behind);
}

#[test]
fn facts_and_conflicts_are_bounded() {
    let of = |key: String, value: &[u8], by: &[usize]| {
        let mut made = certified(&fact(1, value), by);
        // No need to sign so many.
        made.certificate.fact.key = key;
        made
    };
    let key = |n: usize| format!("k{n:05}");
    let mut facts = Facts::default();
    for n in 0..Facts::MAX {
        assert_eq!(facts.insert(of(key(n), b"a", &[0, 1, 2])), Taken::News);
    }
    let more = of(key(Facts::MAX), b"a", &[0, 1, 2]);
    assert!(facts.needs_no_check(more.certificate()));
    assert_eq!(facts.insert(more), Taken::Full);
    let other = |n: usize| of(key(n), b"b", &[0, 1, 2]);
    let mut met = 0;
    for n in (1..=Facts::MAX_CONFLICTS + 1).rev() {
        met += usize::from(matches!(facts.insert(other(n)), Taken::Conflict(_)));
    }
    assert_eq!(met, Facts::MAX_CONFLICTS + 1, "a smaller one drives the last out");
    assert_eq!(facts.conflicts().count(), Facts::MAX_CONFLICTS);
    let beyond = other(Facts::MAX_CONFLICTS + 1);
    assert!(matches!(facts.insert(beyond.clone()), Taken::Known));
    assert!(facts.needs_no_check(beyond.certificate()));
}

#[test]
fn the_word_that_reaches_furthest_makes_a_node_void() {
    let node = Keypair::from_secret(&[9; 32]).node_id();
    let up_to = |n: u64| certified(&Fact::void(&node, Incarnation(n)), &[0, 1, 2]);
    let mut facts = Facts::default();
    assert_eq!(facts.void_up_to(&node), None);
    for (n, stands) in [(5, 5), (3, 5), (u64::MAX, u64::MAX), (9, u64::MAX)] {
        facts.insert(up_to(n));
        assert_eq!(facts.void_up_to(&node), Some(Incarnation(stands)));
    }
}

#[test]
fn an_honest_member_signs_one_value_of_a_version_and_that_again() {
    let mut ballots = Ballots::default();
    assert_eq!(ballots.note(&fact(1, b"a")), Ok(true));
    assert_eq!(ballots.note(&fact(1, b"a")), Ok(false));
    assert_eq!(ballots.note(&fact(1, b"b")), Err(SignedOther));
    assert_eq!(ballots.note(&fact(2, b"b")), Ok(true));
    assert_eq!(ballots.note_hash(KEY, 2, fact(2, b"a").value_hash()), Err(SignedOther));
}

/// Every state that a committee of `count` with `liars` can come to while two values of one version
/// are asked for in any order: honest members keep to their ballots, liars sign both. Whether two
/// certificates contradicted each other somewhere, and whom the proofs named.
fn explore(count: u8, liars: usize) -> (usize, BTreeSet<Vec<NodeId>>) {
    let (pairs, committee) = members(count);
    let values = [fact(1, b"a"), fact(1, b"b")];
    let votes = |n: usize| values.each_ref().map(|value| vote(&pairs[n], &committee, value));
    let votes: Vec<[Vote; 2]> = (0..pairs.len()).map(votes).collect();
    let honest = pairs.len() - liars;
    // What each honest member has let go out.
    let mut seen = BTreeSet::from([vec![None; honest]]);
    let mut waiting: Vec<(Vec<Option<usize>>, Vec<Ballots>)> =
        vec![(vec![None; honest], vec![Ballots::default(); honest])];
    let mut named = BTreeSet::new();
    while let Some((out, ballots)) = waiting.pop() {
        let certificates = [0, 1].map(|value| {
            let lied = (honest..pairs.len()).map(|n| votes[n][value].clone());
            let said = (0..honest).filter(|n| out[*n] == Some(value));
            let all: Vec<_> = lied.chain(said.map(|n| votes[n][value].clone())).collect();
            Certificate::join(&all, &committee, &MESH).ok()
        });
        if let [Some(one), Some(other)] = &certificates {
            named.insert(Conflict::between(one, other).unwrap().signers_of_both(&committee));
        }
        for asked in 0..honest * 2 {
            let (n, value) = (asked / 2, asked % 2);
            let (mut out, mut ballots) = (out.clone(), ballots.clone());
            if ballots[n].note(&values[value]).is_ok() {
                out[n] = Some(value);
            }
            if seen.insert(out.clone()) {
                waiting.push((out, ballots));
            }
        }
    }
    (seen.len(), named)
}

#[test]
fn up_to_f_liars_never_bring_two_values_of_a_version_about() {
    for (count, honest) in [(4, 3), (7, 5)] {
        let (states, named) = explore(count, usize::from(count) - honest);
        assert_eq!(states, 3usize.pow(honest as u32), "each has signed nothing, one or the other");
        assert!(named.is_empty(), "{named:?}");
    }
}

#[test]
fn more_than_f_liars_do_and_the_proof_names_them_and_nobody_else() {
    for (count, liars) in [(4, 2), (7, 3)] {
        let (_, named) = explore(count, liars);
        let (_, committee) = members(count);
        let honest = usize::from(count) - liars;
        assert!(!named.is_empty(), "of {count} with {liars} liars");
        for proven in named {
            assert!(proven.len() > committee.faulty());
            assert!(proven.iter().all(|liar| committee.place(liar) >= Some(honest)), "slander");
        }
    }
}
