use super::*;
use crate::admission::notices::{Heard, PIECE, decode, encode};
use knhk_mesh_core::admission::{NEVER, Token};
use knhk_mesh_core::certified::{Fact, NotCertified, Vote};
use knhk_mesh_core::identity::{Keypair, Signer};

const MESH: MeshId = MeshId([5; 32]);
const NOW: WallMs = WallMs(1_000_000);

fn pair(secret: u8) -> Keypair {
    Keypair::from_secret(&[secret; 32])
}

fn id(secret: u8) -> NodeId {
    pair(secret).node_id()
}

fn denied(node: u8) -> Notice {
    Notice::Denied(Denial::sign(&pair(1), &MESH, id(node), NOW))
}

/// Node 2 admitted `node` by the token `number`, which can be brought for 1 s.
fn used(number: u16, node: u8) -> Notice {
    let by = Token::sign(&pair(1), &MESH, [2; 16], NEVER, NEVER, Some(id(2)));
    let mut name = [0; 16];
    name[..2].copy_from_slice(&number.to_le_bytes());
    let token = Token::sign(&pair(1), &MESH, name, WallMs(NOW.0 + 1_000), NEVER, None);
    Notice::Used(Pass::sign(&pair(2), by, &MESH, token, id(node), NOW))
}

fn take(known: &mut Known, notice: &Notice) -> Result<bool, NotAdmitted> {
    let (admission_key, committee) = (Some(id(1)), None);
    let appointed = Appointed { mesh: MESH, admission_key, committee };
    known.take(notice.clone(), &appointed, NOW).map(|news| news.is_some())
}

/// Four of them, without an admission key.
fn committee() -> Appointed {
    let committee = Committee::new((11..15).map(id).collect()).ok();
    Appointed { mesh: MESH, admission_key: None, committee }
}

fn certified(fact: &Fact, by: [u8; 3]) -> Notice {
    let committee = committee().committee.unwrap();
    let vote = |n: u8| Vote::sign(&pair(n), fact.clone(), &committee, &MESH).unwrap();
    let joined = Certificate::join(&by.map(vote), &committee, &MESH).unwrap();
    Notice::Certified(joined.certificate().clone().into())
}

fn said(value: &[u8]) -> Fact {
    Fact::new("config/x", 1, value.to_vec()).unwrap()
}

#[test]
fn notices_survive_the_wire_in_bounded_pieces() {
    let mut all: Vec<Notice> = (0..=255).map(denied).collect();
    all.extend((0..300).map(|n| used(n, 9)));
    let versions = (0..60).map(|n| Fact::new("k", n, vec![7; Fact::MAX_VALUE]).unwrap());
    all.extend(versions.map(|fact| certified(&fact, [11, 12, 13])));
    all.push(contradiction([said(b"a"), said(b"b")]));
    let messages = encode(&all);
    assert!(messages.len() > 3 && messages.iter().all(|m| m.len() <= PIECE));
    let mut back = Vec::new();
    for message in &messages {
        let Ok(Heard::Notices(some)) = decode(message) else { panic!("not read") };
        back.extend(some);
        for cut in [0, 1, 3, message.len() - 1] {
            assert!(decode(&message[..cut]).is_err());
        }
    }
    assert_eq!(back, all);
}

#[test]
fn equal_knowledge_has_an_equal_summary_in_whatever_order_it_came() {
    let mut known = [Known::default(), Known::default()];
    let notices = [denied(3), used(1, 4), denied(5), used(2, 6)];
    for i in 0..notices.len() {
        assert_eq!(take(&mut known[0], &notices[i]), Ok(true));
        assert_eq!(take(&mut known[1], &notices[notices.len() - 1 - i]), Ok(true));
    }
    assert_eq!(known[0].summary(NOW), known[1].summary(NOW));
    assert_eq!(take(&mut known[0], &notices[0]), Ok(false), "nothing new");
    assert_ne!(known[0].hash(NOW), Known::default().hash(NOW));
    let Ok(Heard::Summary(hash)) = decode(&known[0].summary(NOW)) else { panic!("no summary") };
    assert_eq!(hash, known[1].hash(NOW));
    let later = WallMs(NOW.0 + 1_000 + GRACE_MS);
    assert_eq!(known[0].all(later).len(), 2, "only denials are for ever");
}

#[test]
fn a_token_is_used_once_and_forged_notices_are_refused() {
    let mut known = Known::default();
    assert_eq!(take(&mut known, &used(1, 4)), Ok(true));
    assert_eq!(take(&mut known, &used(1, 5)), Ok(false), "the first one stays");
    assert_eq!(known.used(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap().node, id(4));
    let forged = Notice::Denied(Denial::sign(&pair(2), &MESH, id(4), NOW));
    assert_eq!(take(&mut known, &forged), Err(NotAdmitted::Signature));
    assert!(!known.denials.denies(&id(4)));
}

#[test]
fn passes_that_need_not_be_remembered_cost_no_signature() {
    let mut known = Known::default();
    let by = Token::sign(&pair(1), &MESH, [2; 16], NEVER, NEVER, Some(id(2)));
    // Whoever holds one may send it without end, and nothing would be noted.
    let bound = Notice::Used(Pass::of_token(by.clone()).unwrap());
    assert_eq!(take(&mut known, &bound), Err(NotAdmitted::Malformed));
    // Signed by nobody: a check of the signatures would tell.
    let nobody = |until| Token::sign(&pair(9), &MESH, [7; 16], NEVER, until, None);
    let pass = |until| Pass::sign(&pair(2), by.clone(), &MESH, nobody(until), id(4), WallMs(0));
    assert_eq!(take(&mut known, &Notice::Used(pass(WallMs(1)))), Ok(false), "it is over");
    assert_eq!(take(&mut known, &Notice::Used(pass(NEVER))), Err(NotAdmitted::Signature));
    let Notice::Used(good) = used(1, 4) else { return };
    for n in 0..MAX_USES as u128 {
        let (token, redeem_by) = (n.to_le_bytes(), WallMs(NOW.0 + 1));
        let claim = Claim { node: id(4), until: NEVER, token, redeem_by, may_admit: false };
        known.note_use(&claim, good.clone(), NOW).unwrap();
    }
    assert_eq!(take(&mut known, &Notice::Used(pass(NEVER))), Ok(false), "no room");
}

#[test]
fn two_nodes_that_heard_of_different_bringers_of_a_token_have_nothing_to_tell_each_other() {
    let mut known = [Known::default(), Known::default()];
    for (known, node) in known.iter_mut().zip([4, 5]) {
        assert_eq!(take(known, &used(1, node)), Ok(true));
    }
    assert_eq!(known[0].hash(NOW), known[1].hash(NOW));
}

/// The proof that a quorum certified both.
fn contradiction(facts: [Fact; 2]) -> Notice {
    let (mut known, appointed) = (Known::default(), committee());
    let [one, other] = facts.map(|fact| certified(&fact, [11, 12, 13]));
    known.take(one, &appointed, NOW).unwrap();
    known.take(other, &appointed, NOW).unwrap().unwrap().notice
}

#[test]
fn a_quorum_makes_void_and_nobody_else_does() {
    let (mut known, mut appointed) = (Known::default(), committee());
    let denied_by_quorum = certified(&Fact::void(&id(5), Denial::FOR_EVER), [11, 13, 14]);
    appointed.admission_key = Some(id(1));
    let alone = known.take(denied(5), &appointed, NOW);
    assert_eq!(alone, Err(NotAdmitted::NeedsQuorum));
    let news = known.take(denied_by_quorum.clone(), &appointed, NOW).unwrap().unwrap();
    assert_eq!(news.void, Some((id(5), Denial::FOR_EVER)));
    assert!(known.denies(&id(5)) && !known.denies(&id(6)));
    assert_eq!(known.take(denied_by_quorum.clone(), &appointed, NOW), Ok(None), "no news");
    let voids: Vec<_> = known.voids().collect();
    assert_eq!(voids, [Void { node: id(5), up_to: Denial::FOR_EVER, at: None }]);
    // The same certificate is nobody's word in another mesh or where nobody was appointed.
    for (mesh, committee) in [(MeshId([6; 32]), appointed.committee), (MESH, None)] {
        let other = Appointed { mesh, admission_key: Some(id(1)), committee };
        let refused = Known::default().take(denied_by_quorum.clone(), &other, NOW);
        let why = NotAdmitted::Uncertified(NotCertified::Signature);
        let why = if other.committee.is_some() { why } else { NotAdmitted::NoCommittee };
        assert_eq!(refused, Err(why));
    }
}

#[test]
fn a_contradiction_is_told_as_one_and_whoever_knows_it_says_the_same_in_short() {
    let appointed = committee();
    let (a, b) = (certified(&said(b"a"), [11, 12, 13]), certified(&said(b"b"), [12, 13, 14]));
    let mut met = Known::default();
    assert_eq!(met.take(a.clone(), &appointed, NOW), Ok(Some(a.clone().into())));
    let told = met.take(b.clone(), &appointed, NOW).unwrap().unwrap().notice;
    assert!(matches!(told, Notice::Conflict(_)));
    // Another order, another quorum for the same: the same is known.
    let mut other = Known::default();
    let by_others = certified(&said(b"b"), [11, 13, 14]);
    for notice in [by_others, a.clone()] {
        assert!(other.take(notice, &appointed, NOW).unwrap().is_some());
    }
    let mut heard = Known::default();
    assert!(heard.take(told.clone(), &appointed, NOW).unwrap().is_some());
    assert_eq!([other.hash(NOW), heard.hash(NOW)], [met.hash(NOW); 2]);
    for notice in [a, b, told] {
        assert_eq!(heard.take(notice, &appointed, NOW), Ok(None));
    }
    // Also who is further already lacks it, and hears so.
    let later = certified(&Fact::new("config/x", 2, Vec::new()).unwrap(), [11, 12, 13]);
    let mut ahead = Known::default();
    for known in [&mut ahead, &mut heard] {
        assert!(known.take(later.clone(), &appointed, NOW).unwrap().is_some());
    }
    assert_ne!(ahead.hash(NOW), heard.hash(NOW));
    assert!(!heard.is_empty(NOW) && Known::default().is_empty(NOW));
    assert_eq!(heard.all(NOW).len(), 2, "what stands, and the proof");
}

#[test]
fn used_tokens_are_bounded_and_room_comes_back_with_time() {
    let mut known = Known::default();
    let claim = |n: u64, by: u64| {
        let mut token = [0; 16];
        token[..8].copy_from_slice(&n.to_le_bytes());
        let (redeem_by, until) = (WallMs(by), NEVER);
        Claim { node: id(4), until, token, redeem_by, may_admit: false }
    };
    let Notice::Used(pass) = used(1, 4) else { return };
    for n in 0..MAX_USES as u64 {
        assert_eq!(known.note_use(&claim(n, NOW.0 + 1), pass.clone(), NOW), Ok(true));
    }
    let more = claim(u64::MAX, NOW.0 + 1);
    assert_eq!(known.note_use(&more, pass.clone(), NOW), Err(NotAdmitted::Busy));
    let later = WallMs(NOW.0 + 1 + GRACE_MS);
    let more = claim(u64::MAX, later.0 + 1);
    assert_eq!(known.note_use(&more, pass, later), Ok(true));
}
