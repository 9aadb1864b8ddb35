use super::*;
use crate::identity::Keypair;

const MESH: MeshId = MeshId([5; 32]);
const OTHER: MeshId = MeshId([6; 32]);
const NOW: WallMs = WallMs(1_800_000_000_000);
const HOUR: u64 = 3_600_000;

fn pair(secret: u8) -> Keypair {
    Keypair::from_secret(&[secret; 32])
}

fn id(secret: u8) -> NodeId {
    pair(secret).node_id()
}

/// A token of the admission key 1, to be brought within an hour, good for two.
fn token(number: u8, node: Option<NodeId>) -> Token {
    let (by, until) = (WallMs(NOW.0 + HOUR), WallMs(NOW.0 + 2 * HOUR));
    Token::sign(&pair(1), &MESH, [number; 16], by, until, node)
}

/// Node 2 admits node 3.
fn admitted(at: WallMs) -> Pass {
    Pass::sign(&pair(2), token(2, Some(id(2))), &MESH, token(9, None), id(3), at)
}

fn check(pass: &Pass, mesh: &MeshId, at: u64) -> Result<Claim, NotAdmitted> {
    pass.check(&id(1), mesh, WallMs(NOW.0 + at))
}

#[test]
fn a_bound_token_is_a_pass_that_may_admit_until_its_end() {
    let pass = Pass::of_token(token(2, Some(id(2)))).unwrap();
    let claim = check(&pass, &MESH, HOUR + 1).unwrap();
    assert_eq!((claim.node, claim.may_admit, claim.token), (id(2), true, [2; 16]));
    assert_eq!(check(&pass, &MESH, 2 * HOUR), Err(NotAdmitted::Expired));
    assert_eq!(check(&pass, &OTHER, 0), Err(NotAdmitted::Signature));
    assert_eq!(pass.check(&id(8), &MESH, NOW), Err(NotAdmitted::Signature));
    assert_eq!(Pass::of_token(token(9, None)), Err(NotAdmitted::OtherNode));
}

#[test]
fn the_word_of_an_admitting_node_is_good_beyond_the_time_to_redeem() {
    let pass = admitted(NOW);
    let claim = check(&pass, &MESH, 2 * HOUR - 1).unwrap();
    assert_eq!((claim.node, claim.may_admit, claim.token), (id(3), false, [9; 16]));
    assert_eq!(check(&pass, &MESH, 2 * HOUR), Err(NotAdmitted::Expired));
    assert_eq!(check(&pass, &OTHER, 0), Err(NotAdmitted::Signature));
    let late = admitted(WallMs(NOW.0 + HOUR));
    assert_eq!(check(&late, &MESH, HOUR), Err(NotAdmitted::Expired), "admitted too late");
}

#[test]
fn only_a_node_with_a_bound_token_of_this_mesh_admits() {
    let by_bearer = Pass::sign(&pair(2), token(8, None), &MESH, token(9, None), id(3), NOW);
    assert_eq!(check(&by_bearer, &MESH, 0), Err(NotAdmitted::CannotAdmit));
    assert_eq!(Pass::decode(&by_bearer.encode()), Err(NotAdmitted::Malformed));
    let by_other = Pass::sign(&pair(4), token(2, Some(id(2))), &MESH, token(9, None), id(3), NOW);
    assert_eq!(check(&by_other, &MESH, 0), Err(NotAdmitted::Signature));
    let own = Token::sign(&pair(4), &MESH, [4; 16], NEVER, NEVER, Some(id(4)));
    let by_itself = Pass::sign(&pair(4), own, &MESH, token(9, None), id(3), NOW);
    assert_eq!(check(&by_itself, &MESH, 0), Err(NotAdmitted::Signature));
    let forged = Token::sign(&pair(4), &MESH, [9; 16], NEVER, NEVER, None);
    let forged = Pass::sign(&pair(2), token(2, Some(id(2))), &MESH, forged, id(3), NOW);
    assert_eq!(check(&forged, &MESH, 0), Err(NotAdmitted::Signature));
    let bound =
        Pass::sign(&pair(2), token(2, Some(id(2))), &MESH, token(3, Some(id(3))), id(4), NOW);
    assert_eq!(check(&bound, &MESH, 0), Err(NotAdmitted::OtherNode));
    assert_eq!(Pass::decode(&bound.encode()), Err(NotAdmitted::Malformed), "too long to hold");
}

#[test]
fn every_altered_bit_is_refused_and_every_cut() {
    for pass in [Pass::of_token(token(2, Some(id(2)))).unwrap(), admitted(NOW)] {
        let bytes = pass.encode();
        assert!(bytes.len() <= Pass::MAX_LEN);
        assert_eq!(Pass::decode(&bytes), Ok(pass));
        for bit in 0..8 * bytes.len() {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let verdict = Pass::decode(&bad).and_then(|pass| check(&pass, &MESH, 0));
            assert!(verdict.is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert_eq!(Pass::decode(&bytes[..cut]), Err(NotAdmitted::Malformed));
        }
        assert!(Pass::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
}

#[test]
fn a_token_survives_its_text_which_begins_as_people_know_it() {
    for token in [token(9, None), token(2, Some(id(2)))] {
        let text = token.to_text();
        assert!(text.starts_with("knhk1"));
        assert_eq!(Token::from_text(&format!(" {text}\n")), Ok(token.clone()));
        assert_eq!(Token::from_text(&text.to_uppercase()), Err(NotAdmitted::Malformed));
        assert_eq!(Token::from_text(&text[1..]), Err(NotAdmitted::Malformed));
        assert!(!format!("{token:?}").contains(&text[5..20]), "a secret is not printed");
    }
    assert_eq!(Token::from_text(""), Err(NotAdmitted::Malformed));
}

#[test]
fn denials_merge_in_any_order_and_are_the_admission_keys_own() {
    let deny = |node: u8, at: u64| Denial::sign(&pair(1), &MESH, id(node), WallMs(at));
    let (early, late) = (deny(3, 1), deny(3, 2));
    let mut lists = [Denials::default(), Denials::default()];
    for (list, order) in lists.iter_mut().zip([[early, late], [late, early]]) {
        assert!(list.insert(order[0]) && !list.insert(order[1]));
        assert!(list.denies(&id(3)) && !list.denies(&id(4)));
        assert!(list.needs_no_check(&early) && list.needs_no_check(&late));
    }
    assert_eq!(lists[0], lists[1]);
    assert_eq!(Denial::decode(&early.encode()), Ok(early));
    assert_eq!(early.check(&id(1), &MESH), Ok(()));
    assert_eq!(early.check(&id(1), &OTHER), Err(NotAdmitted::Signature));
    let own = Denial::sign(&pair(4), &MESH, id(3), NOW);
    assert_eq!(own.check(&id(1), &MESH), Err(NotAdmitted::Signature));
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_are_read_calmly_and_admit_nobody(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400),
    ) {
        if let Ok(pass) = Pass::decode(&bytes) {
            proptest::prop_assert!(check(&pass, &MESH, 0).is_err());
        }
        if let Ok(token) = Token::decode(&bytes) {
            proptest::prop_assert!(token.check(&id(1), &MESH).is_err());
        }
        let _ = Denial::decode(&bytes);
    }
}
