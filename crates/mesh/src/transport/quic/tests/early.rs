//! Early data: nodes that met before need one round trip, and a replay brings nobody anything.

use std::net::SocketAddr;

use bytes::Bytes;
use knhk_mesh_core::digest::Root;
use knhk_mesh_core::frame::Class;
use knhk_mesh_core::messages::{Digest, Message};
use knhk_mesh_core::time::WallMs;

use super::wire::{Flights, Relay};
use super::*;

fn digest(root: u8, reply: bool) -> Message {
    let (root, wall) = (Root([root; 32]), WallMs(1));
    Message::Digest(Digest { class: Class::Cell, reply, root, count: 1, wall })
}

/// Two nodes that say digests of their own.
fn pair() -> [(Quic, Receiver<Event>); 2] {
    [1, 2].map(|secret| {
        let node = bound(secret);
        node.0.shared.local.greeting.set(&digest(secret, false));
        node
    })
}

async fn heard_digest(events: &mut Receiver<Event>) -> Bytes {
    match next(events).await {
        Event::Batch { lane: Lane::Digest, mut messages, .. } => messages.remove(0),
        other => panic!("no digest but {other:?}"),
    }
}

/// Links and parts again, so that each knows the other.
async fn acquaint(a: &mut (Quic, Receiver<Event>), b: &mut (Quic, Receiver<Event>)) {
    a.0.dial(target(&b.0));
    let link = up(&mut a.1).await;
    up(&mut b.1).await;
    // The ticket comes behind the welcome; what b sends now comes behind the ticket.
    let _ = heard_digest(&mut a.1).await;
    let _ = heard_digest(&mut b.1).await;
    let at_b = b.0.shared.local.registry.links().remove(0);
    at_b.send(Lane::Delta, "after the ticket".into()).unwrap();
    assert!(matches!(next(&mut a.1).await, Event::Batch { .. }));
    link.close(Close::Leaving);
    down(&mut a.1).await;
    down(&mut b.1).await;
}

fn through(proxy: SocketAddr, to: &Quic) -> Target {
    Target { node: Some(to.shared.local.own), addr: proxy }
}

#[tokio::test]
async fn a_stranger_answers_after_two_round_trips_and_an_acquaintance_after_one() {
    let [mut a, mut b] = pair();
    let mut flights = Flights::to(b.0.local_addr()).await;
    a.0.dial(through(flights.addr, &b.0));
    flights.waits(1).await;
    flights.permit(1);
    flights.waits(2).await;
    assert!(a.1.is_empty() && b.1.is_empty(), "one round trip is not enough for strangers");
    flights.permit(1);
    let link = up(&mut a.1).await;
    assert_eq!(heard_digest(&mut a.1).await, digest(2, true).encode());
    up(&mut b.1).await;
    assert_eq!(heard_digest(&mut b.1).await, digest(1, false).encode());
    flights.permit(100);
    link.close(Close::Leaving);
    down(&mut a.1).await;
    down(&mut b.1).await;
    drop(flights);
    acquaint(&mut a, &mut b).await;

    let mut flights = Flights::to(b.0.local_addr()).await;
    a.0.dial(through(flights.addr, &b.0));
    flights.waits(1).await;
    flights.permit(1);
    up(&mut a.1).await;
    assert_eq!(heard_digest(&mut a.1).await, digest(2, true).encode());
    assert!(b.1.is_empty(), "no link comes of early data alone");
    flights.waits(2).await;
    flights.permit(100);
    up(&mut b.1).await;
    assert_eq!(heard_digest(&mut b.1).await, digest(1, false).encode());
}

#[tokio::test]
async fn without_early_data_an_acquaintance_takes_two_round_trips() {
    let off = |secret| bound_with(Settings { zero_rtt: false, ..settings(secret) });
    let [mut a, mut b] = [off(1), off(2)];
    for (node, root) in [(&a, 1), (&b, 2)] {
        node.0.shared.local.greeting.set(&digest(root, false));
    }
    acquaint(&mut a, &mut b).await;
    let mut flights = Flights::to(b.0.local_addr()).await;
    a.0.dial(through(flights.addr, &b.0));
    flights.waits(1).await;
    flights.permit(1);
    flights.waits(2).await;
    assert!(a.1.is_empty(), "one round trip is not enough");
    flights.permit(100);
    up(&mut a.1).await;
}

#[tokio::test]
async fn a_replayed_first_flight_is_not_heard_again() {
    let [mut a, mut b] = pair();
    acquaint(&mut a, &mut b).await;
    let relay = Relay::to(b.0.local_addr()).await;
    a.0.dial(through(relay.addr, &b.0));
    let link = up(&mut a.1).await;
    let _ = heard_digest(&mut a.1).await;
    up(&mut b.1).await;
    let _ = heard_digest(&mut b.1).await;
    let flight = relay.tape.lock().unwrap().clone();
    let thief = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut others = Vec::new();
    for stands in [true, false] {
        if !stands {
            link.close(Close::Leaving);
            assert!(matches!(down(&mut b.1).await, Down::There(_)));
        }
        for packet in &flight {
            thief.send_to(packet, b.0.local_addr()).await.unwrap();
        }
        // An honest node that comes after the replay is served after it.
        let (other, mut heard) = bound(3 + u8::from(stands));
        other.dial(target(&b.0));
        up(&mut heard).await;
        let came = up(&mut b.1).await;
        assert_eq!(came.node(), other.shared.local.own);
        assert!(b.1.is_empty(), "nothing came of the replay");
        others.push(other);
    }
    let of_b: Vec<_> = b.0.shared.local.registry.links().iter().map(Link::node).collect();
    assert!(!of_b.contains(&a.0.shared.local.own));
}

#[tokio::test]
async fn early_data_with_anything_but_a_digest_closes_the_connection() {
    let [mut a, mut b] = pair();
    acquaint(&mut a, &mut b).await;
    let config = a.0.shared.client.clone();
    let name = server_name(Some(b.0.shared.local.own));
    let _free = a.0.shared.ledger.free(b.0.local_addr(), true);
    let connecting = a.0.shared.endpoint.connect_with(config, b.0.local_addr(), &name).unwrap();
    let (connection, accepted) = connecting.into_0rtt().expect("a session to resume");
    stream_of(&connection, &whole()).await;
    let more = timeout(Duration::from_millis(300), connection.open_uni()).await;
    assert!(!matches!(more, Ok(Ok(_))), "early data has one stream");
    let _ = accepted.await;
    timeout(Duration::from_secs(20), connection.closed()).await.unwrap();
    assert!(b.1.is_empty(), "no link, no message");
    assert_eq!(b.0.counters().refused(Refusal::BadProof), 1);
}

#[tokio::test]
async fn a_session_that_the_other_end_lost_costs_a_round_trip_and_nothing_else() {
    let [mut a, mut b] = pair();
    acquaint(&mut a, &mut b).await;
    b.0.shared.tls.forget_sessions();
    a.0.dial(target(&b.0));
    up(&mut a.1).await;
    assert_eq!(heard_digest(&mut a.1).await, digest(2, true).encode());
    up(&mut b.1).await;
    assert_eq!(heard_digest(&mut b.1).await, digest(1, false).encode());
    assert!(b.1.is_empty(), "the digest is heard once");
}
