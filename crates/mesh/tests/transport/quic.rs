//! What only QUIC promises: nothing in clear, and the end of dead connections.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use knhk_mesh::transport::{Down, Event, Profile, Settings, Target};
use knhk_mesh_core::messages::Lane;
use tokio::net::UdpSocket;

use crate::pair::{Kind, Node, settings};

/// Relays datagrams between whoever speaks to it and `server`, and records them.
async fn proxy(
    server: SocketAddr,
) -> (SocketAddr, Arc<Mutex<Vec<Vec<u8>>>>, tokio::task::AbortHandle) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    let tape = Arc::new(Mutex::new(Vec::new()));
    let record = tape.clone();
    let relay = tokio::spawn(async move {
        let mut client = None;
        let mut buffer = vec![0; 65_536];
        while let Ok((bytes, from)) = socket.recv_from(&mut buffer).await {
            record.lock().unwrap().push(buffer[..bytes].to_vec());
            let to = if from == server {
                client
            } else {
                client = Some(from);
                Some(server)
            };
            if let Some(to) = to {
                let _ = socket.send_to(&buffer[..bytes], to).await;
            }
        }
    });
    (addr, tape, relay.abort_handle())
}

fn holds(tape: &[Vec<u8>], text: &[u8]) -> bool {
    tape.iter().any(|packet| packet.windows(text.len()).any(|window| window == text))
}

#[tokio::test]
async fn nothing_on_the_wire_is_in_clear() {
    let plain = |number| Settings { compression: false, ..settings(number) };
    let mut a = Node::with(&Kind::Quic, plain(1), 64);
    let mut b = Node::with(&Kind::Quic, plain(2), 64);
    let (addr, tape, _relay) = proxy(b.transport.local_addr()).await;
    a.transport.dial(Target { node: Some(b.id), addr });
    let (link, _) = (a.up().await, b.up().await);
    let secret = b"nobody on the way may read this sentence";
    for lane in Lane::ALL {
        link.send(lane, Bytes::from_static(secret)).unwrap();
        assert!(matches!(b.event().await, Event::Batch { .. }));
    }
    let tape = tape.lock().unwrap();
    assert!(tape.len() >= 8, "the exchange went through the proxy");
    assert!(!holds(&tape, &secret[..8]));
    assert!(!holds(&tape, &a.id.0) && !holds(&tape, &b.id.0), "identities are hidden, too");
}

#[tokio::test]
async fn a_connection_dies_when_its_peer_falls_silent() {
    let idle_timeout = Duration::from_millis(300);
    let short = |number| Settings { idle_timeout, keep_alive: None, ..settings(number) };
    let mut a = Node::with(&Kind::Quic, short(1), 64);
    let mut b = Node::with(&Kind::Quic, short(2), 64);
    let (addr, _, relay) = proxy(b.transport.local_addr()).await;
    a.transport.dial(Target { node: Some(b.id), addr });
    a.up().await;
    b.up().await;
    relay.abort();
    assert_eq!((a.down().await, b.down().await), (Down::Silent, Down::Silent));
}

#[tokio::test]
async fn many_lean_nodes_link_to_one() {
    let lean = |number: u8| Settings { profile: Profile::Lean, ..settings(number) };
    let mut hub = Node::with(&Kind::Quic, lean(1), 64);
    let mut others = Vec::new();
    for number in 2..12 {
        let node = Node::with(&Kind::Quic, lean(number), 64);
        node.transport.dial(hub.target());
        others.push(node);
    }
    for node in &mut others {
        let link = node.up().await;
        hub.up().await;
        assert!(link.rtt().is_some());
    }
}
