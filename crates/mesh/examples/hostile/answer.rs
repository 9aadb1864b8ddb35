//! How many bytes the victim answers with before it admitted anybody, for each byte that it got.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use rustls::ClientConfig;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::process::Victim;
use crate::relay::{Counts, Relay};
use crate::tls::{self, Fault};
use crate::wire;

/// Longer than any deadline of a handshake, and than what TLS and QUIC say after it.
const AFTERWARDS: Duration = Duration::from_secs(6);

pub(crate) struct Answered {
    pub(crate) name: String,
    pub(crate) counts: Counts,
}

/// A way not to be admitted.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// Noise: its length (0: a few bytes), its first byte, and whether of an unknown version.
    Garbage(&'static str, usize, u8, bool),
    /// A good handshake of which so many datagrams arrive.
    Half(u64),
    Refused(&'static str, Fault),
    /// A key that would be admitted.
    Unfinished(Hello),
    /// A session of such a key; with early data or without.
    Resumed(bool),
}

impl Way {
    pub(crate) const ALL: [Way; 26] = [
        Way::Garbage("garbage, short header, 1,200 bytes", 1_200, 0x40, false),
        Way::Garbage("garbage, short header, 22 to 61 bytes", 0, 0x40, false),
        Way::Garbage("garbage, Initial, 1,200 bytes", 1_200, 0xc0, false),
        Way::Garbage("garbage, Handshake, 1,200 bytes", 1_200, 0xe0, false),
        Way::Garbage("unknown version, 1,200 bytes", 1_200, 0xc0, true),
        Way::Garbage("unknown version, 22 to 61 bytes", 0, 0xc0, true),
        Way::Half(1),
        Way::Half(2),
        Way::Half(3),
        Way::Half(4),
        Way::Half(5),
        Way::Half(6),
        Way::Refused("refused: not on the list", Fault::Nothing),
        Way::Refused("refused: other mesh", Fault::OtherMesh),
        Way::Refused("refused: expired", Fault::Expired),
        Way::Refused("refused: identity not signed by itself", Fault::Forged),
        Way::Refused("refused: leaf of another identity", Fault::Stolen),
        Way::Refused("refused: no certificate", Fault::NoCertificate),
        Way::Refused("refused: chain of 200", Fault::LongChain),
        Way::Unfinished(Hello::None),
        Way::Unfinished(Hello::Half),
        Way::Unfinished(Hello::Greedy),
        Way::Unfinished(Hello::Streams),
        Way::Unfinished(Hello::Garbage),
        Way::Resumed(true),
        Way::Resumed(false),
    ];

    fn name(self) -> String {
        match self {
            Way::Garbage(name, ..) | Way::Refused(name, _) => name.to_owned(),
            Way::Half(1) => "first packet, never answered".to_owned(),
            Way::Half(up) => format!("handshake that stops after {up} datagrams"),
            Way::Unfinished(hello) => format!("admitted key, {}", hello.name()),
            Way::Resumed(true) => "resumed with early data, then silent".to_owned(),
            Way::Resumed(false) => "resumed, then silent".to_owned(),
        }
    }

    /// `abreast` times at once, where that makes a difference, at a victim of its own. `member` is
    /// a key that this admits.
    pub(crate) async fn run(self, member: [u8; 32], abreast: usize) -> Answered {
        let victim = Victim::start(&[wire::Author::new(member).id()], 0, 0);
        let to = victim.addr;
        let counts = match self {
            Way::Garbage(_, length, first, version) => garbage(to, length, first, version).await,
            Way::Half(up) => many(abreast, || half(to, member, up)).await,
            Way::Refused(_, fault) => many(abreast, || refused(to, fault)).await,
            Way::Unfinished(hello) => unfinished(to, member, hello).await,
            Way::Resumed(data) => early(to, member, data).await,
        };
        Answered { name: self.name(), counts }
    }
}

async fn many<F: Future<Output = Counts>>(abreast: usize, run: impl Fn() -> F) -> Counts {
    let mut total = Counts::default();
    for counts in join((0..abreast).map(|_| run())).await {
        total.add(counts);
    }
    total
}

/// All at once, on this task.
pub(crate) async fn join<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.into_iter().map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in waiting.iter_mut().filter(|(_, output)| output.is_none()) {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                *output = Some(value);
            }
        }
        match waiting.iter().all(|(_, output)| output.is_some()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    waiting.into_iter().filter_map(|(_, output)| output).collect()
}

/// 500 datagrams of noise, of `length` bytes or of a few.
async fn garbage(to: SocketAddr, length: usize, first: u8, version: bool) -> Counts {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (mut counts, mut answer) = (Counts::default(), [0; 2_048]);
    for number in 0..500 {
        let mut datagram = wire::noise::<1_200>();
        datagram[0] = first | (datagram[0] & 0x3f);
        let known = if version { 0x1a2a_3a4au32 } else { 1 };
        datagram[1..5].copy_from_slice(&known.to_be_bytes());
        if first & 0x80 != 0 {
            // Two connection ids of eight bytes, so that the head reads.
            (datagram[5], datagram[14]) = (8, 8);
        }
        let length = if length > 0 { length } else { 22 + number % 40 };
        socket.send_to(&datagram[..length], to).await.unwrap();
        counts.send(length);
        while let Ok(Ok(got)) = timeout(Duration::from_millis(1), socket.recv(&mut answer)).await {
            counts.get(got);
        }
    }
    while let Ok(Ok(got)) = timeout(Duration::from_millis(200), socket.recv(&mut answer)).await {
        counts.get(got);
    }
    counts
}

/// A good handshake of which only the first `up` datagrams arrive.
async fn half(to: SocketAddr, member: [u8; 32], up: u64) -> Counts {
    let relay = Relay::start(to, up, up > 1).await;
    watch(&relay, tls::config(member, Fault::Nothing)).await
}

/// A handshake that the victim has to refuse.
async fn refused(to: SocketAddr, fault: Fault) -> Counts {
    let relay = Relay::start(to, u64::MAX, true).await;
    watch(&relay, tls::config(wire::noise(), fault)).await
}

/// Dials, and listens to what follows.
async fn watch(relay: &Relay, tls: ClientConfig) -> Counts {
    let (endpoint, end) = (tls::endpoint([127, 0, 0, 1]), Instant::now() + AFTERWARDS);
    let connection = timeout_at(end, tls::handshake(&endpoint, relay.addr, tls)).await;
    sleep_until(end).await;
    drop(connection);
    relay.counts()
}

#[derive(Clone, Copy)]
pub(crate) enum Hello {
    None,
    Half,
    Greedy,
    Streams,
    Garbage,
}

impl Hello {
    fn name(self) -> &'static str {
        match self {
            Hello::None => "no hello",
            Hello::Half => "half a hello",
            Hello::Greedy => "a hello of 64 KiB",
            Hello::Streams => "bytes on every stream there is, none finished",
            Hello::Garbage => "garbage for a hello",
        }
    }

    /// Says it, as far as it goes.
    pub(crate) async fn say(self, connection: &quinn::Connection) -> Vec<quinn::SendStream> {
        let mut open = Vec::new();
        let bytes = match self {
            Hello::None => return open,
            Hello::Half => wire::batch_head(wire::DIGEST, false, 47),
            Hello::Greedy => {
                [wire::batch_head(wire::DIGEST, false, 65_536), vec![0; 65_536]].concat()
            }
            Hello::Streams => wire::batch_head(wire::DIGEST, false, wire::MAX_BODY as u32),
            Hello::Garbage => wire::noise::<47>().to_vec(),
        };
        let streams = if matches!(self, Hello::Streams) { 64 } else { 1 };
        for _ in 0..streams {
            let wait = Duration::from_millis(300);
            let Ok(Ok(mut stream)) = timeout(wait, connection.open_uni()).await else { break };
            let _ = timeout(wait, stream.write_all(&bytes)).await;
            if matches!(self, Hello::Streams) {
                let _ = timeout(wait, stream.write_all(&vec![0; 1 << 20])).await;
            }
            if matches!(self, Hello::Garbage) {
                let _ = stream.finish();
            }
            open.push(stream);
        }
        open
    }
}

/// A good handshake with a key that is admitted, and a hello that is none.
async fn unfinished(to: SocketAddr, member: [u8; 32], hello: Hello) -> Counts {
    let relay = Relay::start(to, u64::MAX, true).await;
    let endpoint = tls::endpoint([127, 0, 0, 1]);
    let dial = tls::handshake(&endpoint, relay.addr, tls::config(member, Fault::Nothing));
    let connection = dial.await.unwrap();
    let streams = hello.say(&connection).await;
    sleep(AFTERWARDS).await;
    drop(streams);
    relay.counts()
}

/// A session of a node that is admitted: its first flight comes, as if it were replayed.
async fn early(to: SocketAddr, member: [u8; 32], data: bool) -> Counts {
    let endpoint = tls::endpoint([127, 0, 0, 1]);
    let tls = tls::config(member, Fault::Nothing);
    let quic = Arc::new(QuicClientConfig::try_from(tls).unwrap());
    let config = quinn::ClientConfig::new(quic);
    // The first one is for its ticket; with the welcome it is a whole link.
    let first = endpoint.connect_with(config.clone(), to, "node").unwrap().await.unwrap();
    tls::stream(&first, &wire::batch(wire::DIGEST, &[])).await.unwrap();
    let _ = timeout(Duration::from_secs(3), first.accept_uni()).await;
    sleep(Duration::from_millis(500)).await;
    first.close(0u8.into(), b"");
    sleep(Duration::from_millis(500)).await;
    let flight = if data { 2 } else { 1 };
    let relay = Relay::start(to, flight, false).await;
    let connecting = endpoint.connect_with(config, relay.addr, "node").unwrap();
    match connecting.into_0rtt() {
        Ok((connection, _)) => {
            if data {
                let digest = wire::digest(wire::noise(), 7);
                tls::stream(&connection, &wire::batch(wire::DIGEST, &[digest])).await.unwrap();
            }
            sleep(AFTERWARDS).await;
        }
        Err(_) => panic!("no session to resume"),
    }
    relay.counts()
}
