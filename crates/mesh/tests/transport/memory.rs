//! The network inside one process, under a virtual clock.

use std::time::Duration;

use bytes::Bytes;
use knhk_mesh::transport::memory::MemoryHub;
use knhk_mesh::transport::{DialError, Down, Event};
use knhk_mesh_core::messages::Lane;
use tokio::time::Instant;

use crate::pair::{Kind, id, link, linked};

#[tokio::test(start_paused = true)]
async fn a_batch_takes_the_latency_and_no_more() {
    let latency = Duration::from_millis(40);
    let kind = Kind::Memory(MemoryHub::with(latency, 0.0, 1));
    let [(_a, at_a), (mut b, _)] = linked(&kind).await;
    assert_eq!(at_a.rtt(), Some(2 * latency));
    let start = Instant::now();
    at_a.send(Lane::Delta, Bytes::from_static(b"slow")).unwrap();
    assert!(matches!(b.event().await, Event::Batch { .. }));
    assert_eq!(start.elapsed().as_millis(), 40);
}

#[tokio::test(start_paused = true)]
async fn the_seed_decides_which_batches_are_lost() {
    let run = async |seed| {
        let kind = Kind::Memory(MemoryHub::with(Duration::from_millis(1), 0.3, seed));
        let [(_a, at_a), (mut b, _)] = linked(&kind).await;
        for n in 0..200u8 {
            at_a.send(Lane::Delta, vec![n].into()).unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut arrived = Vec::new();
        while let Ok(Event::Batch { messages, .. }) = b.events.try_recv().map_err(|_| ()) {
            arrived.extend(messages.into_iter().map(|message| message[0]));
        }
        arrived
    };
    let arrived = run(7).await;
    assert!((100..180).contains(&arrived.len()), "{}", arrived.len());
    assert_eq!(arrived, run(7).await);
    assert_ne!(arrived, run(8).await);
}

#[tokio::test(start_paused = true)]
async fn a_split_silences_links_and_dials_until_it_heals() {
    let hub = MemoryHub::new();
    let kind = Kind::Memory(hub.clone());
    let [(mut a, at_a), (mut b, _)] = linked(&kind).await;
    let left = id(1);
    hub.split(move |node| u32::from(*node == left));
    at_a.send(Lane::Delta, Bytes::from_static(b"lost")).unwrap();
    assert_eq!((a.down().await, b.down().await), (Down::Silent, Down::Silent));
    a.transport.dial(b.target());
    assert_eq!(a.failed_dial().await, DialError::TimedOut);
    hub.heal();
    let [(_a, at_a), (mut b, _)] = link(a, b).await;
    at_a.send(Lane::Delta, Bytes::from_static(b"found")).unwrap();
    assert!(matches!(b.event().await, Event::Batch { .. }));
}
