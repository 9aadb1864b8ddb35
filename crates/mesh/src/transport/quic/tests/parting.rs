//! What a node learns by the closing of a connection: that it is denied, if that is proved.

use bytes::Bytes;
use knhk_mesh_core::admission::Denial;
use knhk_mesh_core::certified::{Certificate, Fact, Vote};
use knhk_mesh_core::config::Admission;
use knhk_mesh_core::identity::Committee;
use knhk_mesh_core::time::WallMs;
use quinn::VarInt;

use super::*;

fn denial(of: u8) -> Denial {
    Denial::sign(&pair(OPERATOR), &MESH, node(of), WallMs(1))
}

/// A node of a mesh with an operator.
fn member(secret: u8) -> Node {
    bound_with(Settings { admission_key: Some(node(OPERATOR)), ..settings(secret) })
}

async fn not_admitted(a: &mut Node, b: &Node) {
    a.0.dial(target(&b.0));
    assert_eq!(refused(&mut a.1).await, DialError::NotAdmitted);
}

/// Which nodes it knows to be denied.
fn known(of: &Node) -> Vec<NodeId> {
    of.0.shared.local.trust.denied().into_iter().map(|void| void.node).collect()
}

/// Notices of one kind, as one message.
fn message(kind: u8, notice: &[u8]) -> Vec<u8> {
    [&[32, kind], (notice.len() as u16).to_le_bytes().as_slice(), notice].concat()
}

#[tokio::test]
async fn who_is_denied_gets_the_proof_where_a_link_ends_and_where_none_begins() {
    let (mut a, mut b) = (member(1), member(2));
    linked(&mut b, &mut a).await;
    a.0.shared.local.trust.deny(denial(2)).await.unwrap();
    assert_eq!(down(&mut b.1).await, Down::There(Some(Close::Denied)));
    assert_eq!(known(&b), [node(2)], "its link ended");
    // It has forgotten everything, and comes again.
    let mut b = member(2);
    not_admitted(&mut b, &a).await;
    assert_eq!(known(&b), [node(2)], "it dialled");
    // Not each time: what the acceptor gives for a whole handshake is dear.
    let mut b = member(2);
    not_admitted(&mut b, &a).await;
    assert_eq!(known(&b), []);
}

#[tokio::test]
async fn who_is_refused_for_another_reason_gets_no_proof() {
    let allowlist = Admission::Allowlist([node(1), node(3)].into());
    let admission_key = Some(node(OPERATOR));
    let a = bound_with(Settings { admission: allowlist, admission_key, ..settings(1) });
    a.0.shared.local.trust.deny(denial(4)).await.unwrap();
    let mut stranger = member(2);
    not_admitted(&mut stranger, &a).await;
    assert!(known(&stranger).is_empty());
}

#[tokio::test]
async fn the_proof_of_the_largest_committee_fits() {
    let members: Vec<u8> = (101..=116).collect();
    let committee = Committee::new(members.iter().copied().map(node).collect()).unwrap();
    let appointed = |secret| {
        let committee = Some(committee.clone());
        bound_with(Settings { committee, ..settings(secret) })
    };
    let fact = Fact::void(&node(2), Denial::FOR_EVER);
    let sign = |by: &u8| Vote::sign(&pair(*by), fact.clone(), &committee, &MESH).unwrap();
    let votes: Vec<Vote> = members[..11].iter().map(sign).collect();
    let certified = Certificate::join(&votes, &committee, &MESH).unwrap();
    let (mut a, mut b) = (appointed(1), appointed(2));
    linked(&mut b, &mut a).await;
    let certificate = message(3, &certified.certificate().encode());
    a.0.shared.local.trust.heard(&certificate, false).unwrap();
    assert_eq!(down(&mut b.1).await, Down::There(Some(Close::Denied)));
    assert_eq!(known(&b), [node(2)]);
    // Also within the bytes that a stranger may be sent.
    let mut b = appointed(2);
    not_admitted(&mut b, &a).await;
    assert_eq!(known(&b), [node(2)]);
}

#[tokio::test]
async fn a_reason_that_proves_nothing_denies_nobody() {
    let mut a = member(1);
    let forged = Denial::sign(&pair(66), &MESH, node(1), WallMs(1)).encode();
    let elsewhere = Denial::sign(&pair(OPERATOR), &MeshId([6; 32]), node(1), WallMs(1)).encode();
    let good = message(1, &denial(1).encode());
    let cut = good[..good.len() - 1].to_vec();
    let of_another = message(1, &denial(9).encode());
    let several = [of_another.as_slice(), &good[2..]].concat();
    let wrong = [message(1, &forged), message(1, &elsewhere), of_another, several];
    let said = wrong.into_iter().chain([cut, vec![0xff; 900], vec![32, 0], Vec::new()]);
    let said = said.map(|reason| (Close::Denied, reason));
    for (why, reason) in said.chain([(Close::Leaving, good.clone())]) {
        let (_endpoint, connection) = raw_client(&a.0).await;
        stream_of(&connection, &batch::encode(Lane::Control, &[], false)).await;
        up(&mut a.1).await;
        connection.close(code(why), &reason);
        assert_eq!(down(&mut a.1).await, Down::There(Some(why)));
        assert!(known(&a).is_empty(), "{reason:?}");
    }
    let (_endpoint, connection) = raw_client(&a.0).await;
    stream_of(&connection, &batch::encode(Lane::Control, &[], false)).await;
    up(&mut a.1).await;
    connection.close(code(Close::Denied), &good);
    down(&mut a.1).await;
    assert_eq!(known(&a), [node(1)], "the operator's word counts, whoever brings it");
}

#[test]
fn what_the_other_end_says_of_a_failed_dial_reaches_no_terminal() {
    let reason = Bytes::from_static(b"\x1b[31mlies\x07\n");
    let code = VarInt::from_u32(99);
    let by_application = quinn::ApplicationClose { error_code: code, reason: reason.clone() };
    let error_code = quinn::TransportErrorCode::INTERNAL_ERROR;
    let by_transport = quinn::ConnectionClose { error_code, frame_type: None, reason };
    for error in [
        quinn::ConnectionError::ApplicationClosed(by_application),
        quinn::ConnectionError::ConnectionClosed(by_transport),
    ] {
        let said = handshake::dial_error(&error).to_string();
        assert!(!said.contains("lies") && !said.contains(char::is_control), "{said:?}");
    }
}
