//! Full queues, slow owners.

use bytes::Bytes;
use knhk_mesh::transport::{Event, SendError};
use knhk_mesh_core::messages::Lane;

use crate::pair::{Node, kinds, settings};

const CHUNK: usize = 50_000;

#[tokio::test]
async fn a_slow_owner_stops_its_peers_who_are_refused_and_recover() {
    for kind in kinds() {
        // One event at a time, and none is taken at first.
        let mut b = Node::with(&kind, settings(2), 1);
        let mut a = Node::new(&kind, 1);
        a.transport.dial(b.target());
        let link = a.up().await;
        b.up().await;
        let mut sent = 0;
        let mut refusals = 0;
        // Sockets and windows take some megabytes before the outbox fills for good.
        while refusals < 200 {
            match link.send(Lane::Bulk, Bytes::from(vec![3; CHUNK])) {
                Ok(()) => sent += 1,
                Err(error) => {
                    assert_eq!(error, SendError::Full);
                    refusals += 1;
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
            }
        }
        let mut received = 0;
        while received < sent {
            match b.event().await {
                Event::Batch { messages, .. } => received += messages.len(),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(received, sent, "nothing was lost on the way");
        link.send(Lane::Bulk, Bytes::from_static(b"again")).unwrap();
        assert!(matches!(b.event().await, Event::Batch { .. }));
    }
}

#[tokio::test]
async fn two_owners_that_wait_for_each_other_do_not_lock_up() {
    for kind in kinds() {
        let mut a = Node::with(&kind, settings(1), 1);
        let mut b = Node::with(&kind, settings(2), 1);
        a.transport.dial(b.target());
        let links = [a.up().await, b.up().await];
        let total = 300;
        let flood = async |node: &mut Node, link: &knhk_mesh::transport::Link| {
            let (mut sent, mut received) = (0, 0);
            while sent < total || received < total {
                while sent < total && link.send(Lane::Delta, Bytes::from(vec![1; 10_000])).is_ok() {
                    sent += 1;
                }
                match node.event().await {
                    Event::Batch { messages, .. } => received += messages.len(),
                    other => panic!("{other:?}"),
                }
            }
        };
        tokio::join!(flood(&mut a, &links[0]), flood(&mut b, &links[1]));
    }
}
