//! A node whose address changes keeps its links, and nothing that was sent is lost.

use super::wire::Relay;
use super::*;

/// Sends numbered messages from one end and counts them at the other.
async fn all_arrive(link: &Link, events: &mut Receiver<Event>, numbers: std::ops::Range<u32>) {
    let mut left: std::collections::BTreeSet<u32> = numbers.clone().collect();
    for number in numbers {
        link.send(Lane::Delta, number.to_le_bytes().to_vec().into()).unwrap();
    }
    while !left.is_empty() {
        let Event::Batch { messages, .. } = next(events).await else { panic!("the link ended") };
        for message in messages {
            let number = u32::from_le_bytes(message.as_ref().try_into().unwrap());
            assert!(left.remove(&number), "{number} came twice");
        }
    }
}

#[tokio::test]
async fn a_link_survives_a_router_that_gives_its_node_another_address() {
    let ((a, mut at_a), (b, mut at_b)) = (bound(1), bound(2));
    let relay = Relay::to(b.local_addr()).await;
    a.dial(Target { node: Some(b.shared.local.own), addr: relay.addr });
    let (from_a, from_b) = (up(&mut at_a).await, up(&mut at_b).await);
    let before = from_b.addr();
    for turn in 0..4 {
        let first = 1_000 * turn;
        all_arrive(&from_a, &mut at_b, first..first + 300).await;
        all_arrive(&from_b, &mut at_a, first..first + 300).await;
        relay.change_address();
    }
    all_arrive(&from_a, &mut at_b, 9_000..9_300).await;
    assert_ne!(from_b.addr(), before, "the link says where its peer is now");
    assert_eq!((from_a.ended(), from_b.ended()), (None, None));
}

#[tokio::test]
async fn a_node_that_moves_keeps_what_it_dialled_and_dials_back_what_others_did() {
    let ((a, mut at_a), (b, mut at_b), (c, mut at_c)) = (bound(1), bound(2), bound(3));
    a.dial(target(&b));
    let (to_b, _) = (up(&mut at_a).await, up(&mut at_b).await);
    c.dial(target(&a));
    let (from_c, at_a_of_c) = (up(&mut at_c).await, up(&mut at_a).await);
    // A link as young as a handshake could be one of two simultaneous dials.
    tokio::time::sleep(Duration::from_millis(3_100)).await;
    let before = a.local_addr();
    a.rebind(([127, 0, 0, 1], 0).into()).unwrap();
    assert_ne!(a.local_addr(), before);
    all_arrive(&to_b, &mut at_b, 0..300).await;
    assert_eq!(to_b.ended(), None, "what it dialled goes on");
    let back = renewed(&mut at_a, &at_a_of_c).await;
    assert!(back.dialled() && back.node() == c.shared.local.own);
    let anew = renewed(&mut at_c, &from_c).await;
    assert_eq!(anew.addr(), a.local_addr());
    all_arrive(&anew, &mut at_a, 0..100).await;
}

/// The link that came in place of `old`; its end and the new one's begin come in either order.
async fn renewed(events: &mut Receiver<Event>, old: &Link) -> Link {
    let mut anew = None;
    let mut ended = false;
    while anew.is_none() || !ended {
        match next(events).await {
            Event::Up(link) => anew = Some(link),
            Event::Down { link, .. } => ended = link == old.id(),
            other => panic!("unexpected: {other:?}"),
        }
    }
    anew.unwrap()
}
