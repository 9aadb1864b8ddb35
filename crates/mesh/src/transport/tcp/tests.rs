//! Hostile diallers: with a wrong proof, and with a good one and bad batches.

use knhk_mesh_core::identity::{Keypair, MeshId, Signer};
use knhk_mesh_core::messages::Lane;
use tokio::sync::mpsc::{Receiver, channel};

use super::super::{Profile, Refusal};
use super::*;

fn settings(secret: u8) -> Settings {
    let keypair = Arc::new(Keypair::from_secret(&[secret; 32]));
    Settings::new(keypair, MeshId([5; 32]), Profile::Normal)
}

fn bound() -> (Tcp, Receiver<Event>) {
    let (events, received) = channel(16);
    (Tcp::bind(settings(1), events).unwrap(), received)
}

async fn next(events: &mut Receiver<Event>) -> Event {
    timeout(Duration::from_secs(20), events.recv()).await.expect("an event").expect("an event")
}

async fn until_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let closed = timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    // A reset is an end, too.
    let _ = closed.expect("the server closes");
}

#[tokio::test]
async fn without_a_valid_proof_there_is_no_link() {
    let intro = [[5u8; 32], settings(2).keypair.node_id().0, [0; 32]].concat();
    let magic = b"knhk-mesh tcp/1\n".as_slice();
    // Its first half is a valid introduction, its second one no signature of that node.
    let forged = [magic, &intro, &[0], &[0x33; 64]].concat();
    let weak = [magic, &[5; 32], &[0; 32], &[0; 32], &[0], &[0; 64]].concat();
    for said in [vec![0x16; 400], forged, weak] {
        let (server, events) = bound();
        let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
        stream.write_all(&said).await.unwrap();
        until_closed(&mut stream).await;
        assert_eq!(server.counters().refused(Refusal::BadProof), 1);
        assert!(events.is_empty());
    }
}

#[tokio::test]
async fn a_bad_batch_behind_a_good_hello_closes_the_link() {
    let whole = batch::encode(Lane::Delta, &["fine".into()], false);
    let mut oversize = whole.clone();
    oversize[2..6].fill(0x7f);
    let mut inside = whole.clone();
    inside[6] = 200;
    for (said, error, reason) in [
        (vec![0x42; 64], BatchError::Unknown, Refusal::Malformed),
        (oversize, BatchError::Oversize, Refusal::Oversize),
        (inside, BatchError::Truncated, Refusal::Truncated),
    ] {
        let (server, mut events) = bound();
        let local =
            Arc::new(Local::new(settings(2), Trust::open(&settings(2)).unwrap(), channel(1).0));
        let target = Target { node: None, addr: server.local_addr() };
        let mut claim = local.registry.claim(target, false).unwrap();
        let mut stream = TcpStream::connect(target.addr).await.unwrap();
        hello::dial(&local, None, &mut claim, &mut stream).await.unwrap();
        stream.write_all(&said).await.unwrap();
        assert!(matches!(next(&mut events).await, Event::Up(_)));
        let Event::Down { why, .. } = next(&mut events).await else { panic!("it survived") };
        assert_eq!(why, Down::Protocol(error));
        assert_eq!(server.counters().refused(reason), 1);
        until_closed(&mut stream).await;
    }
}
