//! Who is refused, at both ends, with the reason.

use knhk_mesh::transport::{BindError, DialError, Refusal, Settings, Target, Transport};
use knhk_mesh_core::config::Admission;
use knhk_mesh_core::identity::MeshId;
use tokio::sync::mpsc::channel;

use crate::pair::{Node, id, kinds, settings};

/// Waits until `node` has counted `reason`: the refused end hears of it a moment later.
async fn counted(node: &Node, reason: Refusal) {
    let counted = async {
        while node.transport.counters().refused(reason) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    let seconds = std::time::Duration::from_secs(20);
    tokio::time::timeout(seconds, counted).await.unwrap_or_else(|_| panic!("no {reason:?}"));
}

async fn refused(mut a: Node, b: Node, target: Target, why: DialError, reason: Refusal) {
    a.transport.dial(target);
    assert_eq!(a.failed_dial().await, why);
    counted(&a, reason).await;
    counted(&b, reason).await;
    for node in [a, b] {
        let only = Refusal::ALL.into_iter().filter(|r| node.transport.counters().refused(*r) > 0);
        assert_eq!(only.collect::<Vec<_>>(), [reason]);
        assert!(node.events.is_empty(), "no link came of it");
    }
}

#[tokio::test]
async fn another_key_than_the_dialled_one_is_refused() {
    for kind in kinds() {
        let (a, b) = (Node::new(&kind, 1), Node::new(&kind, 2));
        let target = Target { node: Some(id(3)), addr: b.transport.local_addr() };
        refused(a, b, target, DialError::WrongKey, Refusal::WrongKey).await;
    }
}

#[tokio::test]
async fn another_mesh_is_refused() {
    for kind in kinds() {
        let a = Node::new(&kind, 1);
        let other = Settings { mesh: MeshId([8; 32]), ..settings(2) };
        let b = Node::with(&kind, other, 8);
        let target = b.target();
        refused(a, b, target, DialError::OtherMesh, Refusal::OtherMesh).await;
    }
}

#[tokio::test]
async fn who_is_not_on_the_allowlist_is_refused_by_either_end() {
    let listed =
        |number, nodes| Settings { admission: Admission::allowlist(nodes), ..settings(number) };
    for kind in kinds() {
        for (a, b) in [
            (settings(1), listed(2, vec![id(2), id(3)])),
            (listed(1, vec![id(1), id(3)]), settings(2)),
        ] {
            let (a, b) = (Node::with(&kind, a, 8), Node::with(&kind, b, 8));
            let target = b.target();
            refused(a, b, target, DialError::NotAdmitted, Refusal::NotAdmitted).await;
        }
        let members = vec![id(1), id(2)];
        let a = Node::with(&kind, listed(1, members.clone()), 8);
        let b = Node::with(&kind, listed(2, members), 8);
        crate::pair::link(a, b).await;
    }
}

#[tokio::test]
async fn a_node_without_room_refuses_more_links() {
    for kind in kinds() {
        let full = Settings { max_links: 1, ..settings(1) };
        let mut a = Node::with(&kind, full, 8);
        let (mut b, mut c) = (Node::new(&kind, 2), Node::new(&kind, 3));
        b.transport.dial(a.target());
        a.up().await;
        b.up().await;
        c.transport.dial(a.target());
        assert_eq!(c.failed_dial().await, DialError::Full);
        assert_eq!(a.transport.counters().refused(Refusal::Full), 1);
        a.transport.dial(c.target());
        assert_eq!(a.failed_dial().await, DialError::NoRoom);
    }
}

#[tokio::test]
async fn nobody_answers_an_empty_address() {
    for kind in kinds() {
        let quick = std::time::Duration::from_millis(300);
        let mut a = Node::with(&kind, Settings { handshake_timeout: quick, ..settings(1) }, 8);
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        a.transport.dial(Target { node: None, addr: silent.local_addr().unwrap() });
        let why = a.failed_dial().await;
        assert!(matches!(why, DialError::TimedOut | DialError::Unreachable(_)), "{why:?}");
    }
}

#[tokio::test]
async fn open_admission_and_plaintext_stay_on_loopback() {
    let exposed = Settings { bind: ([0, 0, 0, 0], 0).into(), ..settings(1) };
    let listed = Settings { admission: Admission::allowlist(vec![id(1)]), ..exposed.clone() };
    let insecure = Settings { insecure: true, ..exposed.clone() };
    let quic = |settings| Transport::quic(settings, channel(1).0);
    let tcp = |settings| Transport::tcp(settings, channel(1).0);
    assert!(matches!(quic(exposed.clone()), Err(BindError::OpenBeyondLoopback(_))));
    assert!(matches!(tcp(exposed), Err(BindError::OpenBeyondLoopback(_))));
    assert!(quic(listed.clone()).is_ok());
    assert!(matches!(tcp(listed), Err(BindError::PlaintextBeyondLoopback(_))));
    assert!(tcp(insecure).is_ok());
}
