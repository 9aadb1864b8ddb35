//! What only code beside the transport can do: speak raw QUIC with a valid certificate, and look at
//! the certificates of a link.

use std::time::Duration;

use knhk_mesh_core::identity::{Keypair, MeshId, NodeId, Signer};
use knhk_mesh_core::messages::Lane;
use quinn::SendStream;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::timeout;

use crate::test_folder::Folder;

use super::super::batch::{self, BatchError, MAX_BODY_BYTES};
use super::super::counters::Refusal;
use super::super::link::Wire as LinkWire;
use super::super::tls::server_name;
use super::super::{DialError, Down, HandshakeLimits, Link, Profile};
use super::*;

mod admission;
mod early;
mod moving;
mod parting;
mod wire;

const MESH: MeshId = MeshId([5; 32]);

/// The operator's key, which nobody here runs a node with.
const OPERATOR: u8 = 200;

type Node = (Quic, Receiver<Event>);

fn pair(secret: u8) -> Keypair {
    Keypair::from_secret(&[secret; 32])
}

fn node(secret: u8) -> NodeId {
    pair(secret).node_id()
}

fn settings(secret: u8) -> Settings {
    Settings::new(Arc::new(pair(secret)), MESH, Profile::Normal)
}

fn bound(secret: u8) -> (Quic, Receiver<Event>) {
    bound_with(settings(secret))
}

fn bound_with(settings: Settings) -> (Quic, Receiver<Event>) {
    let (events, received) = channel(64);
    (Quic::bind(settings, events).unwrap(), received)
}

fn target(quic: &Quic) -> Target {
    Target { node: Some(quic.shared.local.own), addr: quic.local_addr() }
}

async fn refused(events: &mut Receiver<Event>) -> DialError {
    match next(events).await {
        Event::DialFailed { why, .. } => why,
        other => panic!("no refusal but {other:?}"),
    }
}

async fn down(events: &mut Receiver<Event>) -> Down {
    loop {
        match next(events).await {
            Event::Down { why, .. } => return why,
            Event::Batch { .. } => {}
            other => panic!("no end but {other:?}"),
        }
    }
}

/// The folder of one test, gone with it.
fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    std::fs::create_dir_all(&folder.0).unwrap();
    folder
}

async fn next(events: &mut Receiver<Event>) -> Event {
    timeout(Duration::from_secs(20), events.recv()).await.expect("an event").expect("an event")
}

async fn up(events: &mut Receiver<Event>) -> Link {
    match next(events).await {
        Event::Up(link) => link,
        other => panic!("no link but {other:?}"),
    }
}

async fn linked(a: &mut Node, b: &mut Node) -> [Link; 2] {
    a.0.dial(target(&b.0));
    [up(&mut a.1).await, up(&mut b.1).await]
}

/// A client with a valid certificate that then writes whatever it likes.
async fn raw_client(server: &Quic) -> (Endpoint, Connection) {
    let settings = settings(66);
    let trust = Trust::open(&settings).unwrap();
    let tls = Tls::new(&settings, &trust).unwrap();
    let Opened { endpoint, client, ledger, .. } = endpoint::open(&settings, &tls).unwrap();
    let name = server_name(None);
    // For as long as the test runs.
    std::mem::forget(ledger.free(server.local_addr(), true));
    let connecting = endpoint.connect_with(client, server.local_addr(), &name).unwrap();
    (endpoint, connecting.await.unwrap())
}

async fn stream_of(connection: &Connection, bytes: &[u8]) -> SendStream {
    let mut stream = connection.open_uni().await.unwrap();
    // The receiver may refuse it before it is whole.
    let _ = stream.write_all(bytes).await;
    let _ = stream.finish();
    stream
}

async fn hostile_stream(bytes: Vec<u8>) -> (BatchError, Refusal) {
    let (server, mut events) = bound(1);
    let (_endpoint, connection) = raw_client(&server).await;
    stream_of(&connection, &batch::encode(Lane::Control, &[], false)).await;
    up(&mut events).await;
    let _stream = stream_of(&connection, &bytes).await;
    let Event::Down { why: Down::Protocol(error), .. } = next(&mut events).await else {
        panic!("the link survived");
    };
    let closed = timeout(Duration::from_secs(20), connection.closed()).await.unwrap();
    let quinn::ConnectionError::ApplicationClosed(close) = closed else {
        panic!("closed otherwise: {closed}");
    };
    assert_eq!(close.error_code, code(Close::Protocol));
    let counted = Refusal::ALL.into_iter().filter(|r| server.counters().refused(*r) > 0);
    (error, counted.exclusive())
}

trait Exclusive<T> {
    fn exclusive(self) -> T;
}

impl<T, I: Iterator<Item = T>> Exclusive<T> for I {
    fn exclusive(mut self) -> T {
        let only = self.next().expect("one");
        assert!(self.next().is_none(), "only one");
        only
    }
}

fn whole() -> Vec<u8> {
    batch::encode(Lane::Delta, &["a message".into()], false)
}

#[tokio::test]
async fn a_truncated_stream_closes_the_link_and_is_counted() {
    let whole = whole();
    let cut = hostile_stream(whole[..whole.len() - 1].to_vec()).await;
    assert_eq!(cut, (BatchError::Truncated, Refusal::Truncated));
    let empty = hostile_stream(Vec::new()).await;
    assert_eq!(empty, (BatchError::Truncated, Refusal::Truncated));
}

#[tokio::test]
async fn an_oversize_or_overlong_stream_closes_the_link_and_is_counted() {
    let mut oversize = whole();
    oversize[2..6].copy_from_slice(&(MAX_BODY_BYTES as u32 + 1).to_le_bytes());
    assert_eq!(hostile_stream(oversize).await, (BatchError::Oversize, Refusal::Oversize));
    let overlong = [whole(), vec![0; 100_000]].concat();
    assert_eq!(hostile_stream(overlong).await, (BatchError::Trailing, Refusal::Malformed));
}

#[tokio::test]
async fn garbage_closes_the_link_and_is_counted() {
    let garbage = hostile_stream(vec![0xa5; 3_000]).await;
    assert_eq!(garbage, (BatchError::Unknown, Refusal::Malformed));
    let mut inside = whole();
    inside[6..10].fill(0xff);
    assert_eq!(hostile_stream(inside).await, (BatchError::Oversize, Refusal::Oversize));
}

#[tokio::test]
async fn a_garbage_datagram_closes_the_link_and_is_counted() {
    let (server, mut events) = bound(1);
    let (_endpoint, connection) = raw_client(&server).await;
    stream_of(&connection, &batch::encode(Lane::Control, &[], false)).await;
    up(&mut events).await;
    connection.send_datagram(vec![9; 50].into()).unwrap();
    let Event::Down { why, .. } = next(&mut events).await else { panic!("the link survived") };
    assert_eq!(why, Down::Protocol(BatchError::Unknown));
    assert_eq!(server.counters().refused(Refusal::Malformed), 1);
}

#[tokio::test]
async fn a_datagram_of_another_lane_than_the_digests_closes_the_link() {
    // A datagram may be early data, which somebody could replay.
    let (server, mut events) = bound(1);
    let (_endpoint, connection) = raw_client(&server).await;
    stream_of(&connection, &batch::encode(Lane::Control, &[], false)).await;
    up(&mut events).await;
    connection.send_datagram(whole().into()).unwrap();
    let Event::Down { why, .. } = next(&mut events).await else { panic!("the link survived") };
    assert_eq!(why, Down::Protocol(BatchError::Unknown));
}

#[tokio::test]
async fn a_reset_stream_is_forgotten_and_an_open_one_delays_no_other() {
    let (server, mut events) = bound(1);
    let (_endpoint, connection) = raw_client(&server).await;
    stream_of(&connection, &batch::encode(Lane::Control, &[], false)).await;
    let link = up(&mut events).await;
    let mut open = connection.open_uni().await.unwrap();
    open.write_all(&whole()[..8]).await.unwrap();
    stream_of(&connection, &whole()).await;
    assert!(matches!(next(&mut events).await, Event::Batch { .. }));
    open.reset(quinn::VarInt::from_u32(1)).unwrap();
    stream_of(&connection, &whole()).await;
    assert!(matches!(next(&mut events).await, Event::Batch { .. }));
    assert_eq!(link.ended(), None);
    assert_eq!(link.traffic().messages_in, 2);
}

#[tokio::test]
async fn who_says_no_hello_gets_no_link_and_its_place_is_free_again() {
    let (events, mut received) = channel(64);
    let handshakes = HandshakeLimits { under_way: 1, ..HandshakeLimits::default() };
    let handshake_timeout = Duration::from_millis(300);
    let settings = Settings { handshakes, handshake_timeout, ..settings(1) };
    let server = Quic::bind(settings, events).unwrap();
    let (_endpoint, silent) = raw_client(&server).await;
    let (other, mut others) = bound(2);
    let target = Target { node: None, addr: server.local_addr() };
    other.dial(target);
    let Event::DialFailed { why: DialError::Busy, .. } = next(&mut others).await else {
        panic!("there was room for a second handshake");
    };
    assert_eq!(server.counters().refused(Refusal::Busy), 1);
    timeout(Duration::from_secs(20), silent.closed()).await.unwrap();
    assert_eq!(server.counters().refused(Refusal::TimedOut), 1);
    other.dial(target);
    up(&mut others).await;
    up(&mut received).await;
}

fn leaf_of(link: &Link) -> Vec<u8> {
    let LinkWire::Quic(Wire { connection, .. }) = link.wire() else { panic!("no QUIC") };
    let identity = connection.peer_identity().unwrap();
    let chain = identity.downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>().unwrap();
    chain[0].to_vec()
}

#[tokio::test]
async fn rotation_keeps_live_links_and_gives_new_ones_the_new_key() {
    let (server, mut events) = bound(1);
    let target = Target { node: Some(server.shared.local.own), addr: server.local_addr() };
    let (first, mut firsts) = bound(2);
    first.dial(target);
    let old = up(&mut firsts).await;
    let accepted = up(&mut events).await;
    server.rotate().unwrap();
    let (second, mut seconds) = bound(3);
    second.dial(target);
    let new = up(&mut seconds).await;
    up(&mut events).await;
    assert_ne!(leaf_of(&old), leaf_of(&new));
    old.send(Lane::Delta, "still here".into()).unwrap();
    let Event::Batch { link, .. } = next(&mut events).await else { panic!("no batch") };
    assert_eq!(link, accepted.id());
    // The next handshake of a node that keeps its old link shows the new key, too.
    assert_eq!(old.ended(), None);
}
