//! Batches, ends and duplicates.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use knhk_mesh::transport::{DialError, Down, Event, Refusal, Target};
use knhk_mesh_core::messages::{Close, Lane};

use crate::pair::{Kind, Node, kinds, link, linked, settings};

#[tokio::test]
async fn every_lane_carries_messages_both_ways() {
    for kind in kinds() {
        let [(mut a, at_a), (mut b, at_b)] = linked(&kind).await;
        assert_eq!((at_a.node(), at_b.node()), (b.id, a.id));
        assert!(at_a.dialled() && !at_b.dialled() && at_a.id() != at_b.id());
        for lane in Lane::ALL {
            // Larger than a datagram or a packet, and once as small as can be.
            for sent in [Bytes::from(vec![lane as u8; 5_000]), Bytes::from_static(b"")] {
                at_a.send(lane, sent.clone()).unwrap();
                at_b.send(lane, sent.clone()).unwrap();
                for (node, link) in [(&mut a, &at_a), (&mut b, &at_b)] {
                    let Event::Batch { link: from, lane: on, messages } = node.event().await else {
                        panic!("no batch");
                    };
                    assert_eq!((from, on, messages), (link.id(), lane, vec![sent.clone()]));
                }
            }
        }
        assert_eq!(at_a.traffic().messages_in, 8);
        assert_eq!(at_a.traffic().messages_out, 8);
        assert_eq!(at_a.traffic().bytes_in, at_b.traffic().bytes_out);
    }
}

#[tokio::test]
async fn large_messages_and_many_small_ones_arrive_whole() {
    for kind in kinds() {
        let [(_a, at_a), (mut b, _)] = linked(&kind).await;
        let large = Bytes::from_iter((0..300_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8));
        at_a.send(Lane::Bulk, large.clone()).unwrap();
        (0..500u32).for_each(|n| at_a.send(Lane::Delta, n.to_le_bytes().to_vec().into()).unwrap());
        let (mut small, mut found) = (Vec::new(), false);
        while small.len() < 500 || !found {
            match b.event().await {
                Event::Batch { lane: Lane::Delta, messages, .. } => small.extend(messages),
                Event::Batch { lane: Lane::Bulk, messages, .. } => found = messages == [&large],
                other => panic!("{other:?}"),
            }
        }
        small.sort_by_key(|m| u32::from_le_bytes(m[..].try_into().unwrap()));
        assert!(small.iter().enumerate().all(|(n, m)| m[..] == (n as u32).to_le_bytes()));
    }
}

#[tokio::test]
async fn a_seed_is_dialled_without_its_key() {
    for kind in kinds() {
        let (mut a, mut b) = (Node::new(&kind, 1), Node::new(&kind, 2));
        let seed = Target { node: None, addr: b.transport.local_addr() };
        a.transport.dial(seed);
        assert_eq!(a.up().await.node(), b.id);
        b.up().await;
        a.transport.dial(seed);
        assert_eq!(a.failed_dial().await, DialError::AlreadyLinked);
        a.transport.dial(b.target());
        assert_eq!(a.failed_dial().await, DialError::AlreadyLinked);
    }
}

#[tokio::test]
async fn a_node_does_not_link_to_itself() {
    for kind in kinds() {
        let mut a = Node::new(&kind, 1);
        a.transport.dial(a.target());
        assert_eq!(a.failed_dial().await, DialError::Myself);
        a.transport.dial(Target { node: None, addr: a.transport.local_addr() });
        assert_eq!(a.failed_dial().await, DialError::Myself);
        assert!(a.transport.counters().refused(Refusal::Myself) >= 2);
    }
}

/// Follows the events of `node` until it is quiet; the links that are up.
async fn settled(node: &mut Node) -> HashMap<String, bool> {
    let mut up = HashMap::new();
    while let Ok(Some(event)) =
        tokio::time::timeout(Duration::from_millis(700), node.events.recv()).await
    {
        match event {
            Event::Up(link) => {
                up.insert(format!("{:?}", link.id()), link.dialled());
            }
            Event::Down { link, .. } => {
                up.remove(&format!("{link:?}")).expect("up before down");
            }
            Event::DialFailed { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    up
}

async fn dial_each_other(kind: Kind, number: u8) {
    let mut a = Node::new(&kind, 10 + number);
    let mut b = Node::new(&kind, 20 + number);
    a.transport.dial(b.target());
    b.transport.dial(a.target());
    let (at_a, at_b) = tokio::join!(settled(&mut a), settled(&mut b));
    let dialled = |up: HashMap<String, bool>| up.into_values().collect::<Vec<_>>();
    let (at_a, at_b) = (dialled(at_a), dialled(at_b));
    assert_eq!((at_a.len(), at_b.len()), (1, 1));
    assert_ne!(at_a, at_b, "both ends kept the same one");
}

#[tokio::test]
async fn simultaneous_dials_end_in_one_link_at_both_ends() {
    let mut pairs = tokio::task::JoinSet::new();
    for kind in kinds() {
        (0..5).for_each(|number| _ = pairs.spawn(dial_each_other(kind.clone(), number)));
    }
    while let Some(pair) = pairs.join_next().await {
        pair.unwrap();
    }
}

#[tokio::test]
async fn a_close_is_seen_at_both_ends_with_its_reason() {
    for kind in kinds() {
        for why in [Close::Rotated, Close::Full, Close::Leaving] {
            let [(mut a, at_a), (mut b, at_b)] = linked(&kind).await;
            at_a.close(why);
            assert_eq!(a.down().await, Down::Here(why));
            assert_eq!(b.down().await, Down::There(Some(why)));
            let closed = Err(knhk_mesh::transport::SendError::Closed);
            assert_eq!(at_a.send(Lane::Delta, Bytes::new()), closed);
            assert_eq!(at_b.send(Lane::Delta, Bytes::new()), closed);
        }
    }
}

#[tokio::test]
async fn a_node_that_came_back_replaces_its_lost_link() {
    for kind in kinds() {
        let [(a, at_a), (mut b, at_b)] = linked(&kind).await;
        at_a.close(Close::Rotated);
        assert_eq!(b.down().await, Down::There(Some(Close::Rotated)));
        let [(_, again), _] = {
            let mut a = a;
            a.down().await;
            link(a, b).await
        };
        assert_ne!(again.id(), at_b.id());
    }
}

#[tokio::test]
async fn shutdown_delivers_what_was_queued() {
    for kind in kinds() {
        let [(mut a, at_a), (mut b, _)] = linked(&kind).await;
        for n in 0..200u8 {
            at_a.send(Lane::Delta, vec![n; 1_000].into()).unwrap();
        }
        for n in 0..10u8 {
            at_a.send(Lane::Bulk, vec![n; 90_000].into()).unwrap();
        }
        a.transport.shutdown(Duration::from_secs(20)).await;
        let mut received = 0;
        let why = loop {
            match b.event().await {
                Event::Batch { messages, .. } => received += messages.len(),
                Event::Down { why, .. } => break why,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((received, why), (210, Down::There(Some(Close::Leaving))));
        assert_eq!(a.down().await, Down::Here(Close::Leaving));
        a.transport.dial(b.target());
        assert_eq!(a.failed_dial().await, DialError::Leaving);
    }
}

#[tokio::test]
async fn shutdown_is_bounded_by_its_grace() {
    for kind in [Kind::Quic, Kind::Tcp] {
        let a = Node::new(&kind, 1);
        // An owner that never takes an event.
        let b = Node::with(&kind, settings(2), 1);
        let [(a, at_a), _b] = {
            let (mut a, mut b) = (a, b);
            a.transport.dial(b.target());
            let links = (a.up().await, b.up().await);
            [(a, links.0), (b, links.1)]
        };
        while at_a.send(Lane::Bulk, vec![1; 100_000].into()).is_ok() {
            tokio::task::yield_now().await;
        }
        let ended = a.transport.shutdown(Duration::from_millis(100));
        tokio::time::timeout(Duration::from_secs(20), ended).await.expect("it ends");
    }
}
