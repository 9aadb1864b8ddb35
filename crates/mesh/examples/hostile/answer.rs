//! How many bytes the victim answers with before it admitted anybody, for each byte that it got.

use std::net::SocketAddr;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

use crate::relay::{Counts, Relay};
use crate::tls::{self, Fault};
use crate::victim::Victim;
use crate::wire;

/// Longer than any deadline of a handshake, and than what TLS and QUIC say after it.
const AFTERWARDS: Duration = Duration::from_secs(6);

pub(crate) struct Answered {
    pub(crate) name: String,
    pub(crate) counts: Counts,
}

/// Every way there is not to be admitted. `member` is a key that the victim would admit.
pub(crate) async fn all(member: [u8; 32], id: [u8; 32], abreast: usize) -> Vec<Answered> {
    let victim = Victim::start(&[id], 0);
    let to = victim.addr;
    let mut all = Vec::new();
    for (name, length, first) in [
        ("garbage, short header, 1,200 bytes", 1_200, 0x40),
        ("garbage, short header, 22 to 60 bytes", 0, 0x40),
        ("garbage, Initial, 1,200 bytes", 1_200, 0xc0),
        ("garbage, Handshake, 1,200 bytes", 1_200, 0xe0),
    ] {
        let counts = garbage(to, length, first, false).await;
        all.push(Answered { name: name.into(), counts });
    }
    let counts = garbage(to, 1_200, 0xc0, true).await;
    all.push(Answered { name: "unknown version, 1,200 bytes".into(), counts });
    let counts = garbage(to, 0, 0xc0, true).await;
    all.push(Answered { name: "unknown version, 22 to 60 bytes".into(), counts });
    for up in 1..=6 {
        let name = match up {
            1 => "Initial, never answered".to_owned(),
            _ => format!("handshake that stops after {up} datagrams"),
        };
        let run = |_| half(to, member, up, up > 1);
        all.push(Answered { name, counts: many(abreast, run).await });
    }
    for (name, fault) in [
        ("refused: not on the list", Fault::Nothing),
        ("refused: other mesh", Fault::OtherMesh),
        ("refused: expired", Fault::Expired),
        ("refused: identity not signed by itself", Fault::Forged),
        ("refused: leaf of another identity", Fault::Stolen),
        ("refused: no certificate", Fault::NoCertificate),
        ("refused: chain of 200", Fault::LongChain),
    ] {
        let run = |_| refused(to, fault);
        all.push(Answered { name: name.into(), counts: many(abreast, run).await });
    }
    for hello in Hello::ALL {
        let name = format!("admitted key, {}", hello.name());
        all.push(Answered { name, counts: many(1, |_| unfinished(to, member, hello)).await });
    }
    let counts = early(to, member, true).await;
    all.push(Answered { name: "resumed with early data, falls silent".into(), counts });
    let counts = early(to, member, false).await;
    all.push(Answered { name: "resumed without early data, falls silent".into(), counts });
    all
}

async fn many<F: Future<Output = Counts>>(abreast: usize, run: impl Fn(usize) -> F) -> Counts {
    let mut total = Counts::default();
    let mut runs = Vec::new();
    for number in 0..abreast {
        runs.push(run(number));
    }
    for counts in join(runs).await {
        total.add(counts);
    }
    total
}

/// All at once, on this task.
async fn join<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.into_iter().map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(|context| {
        let mut ready = true;
        for (future, output) in &mut waiting {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => ready = false,
                }
            }
        }
        if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
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
async fn half(to: SocketAddr, member: [u8; 32], up: u64, down: bool) -> Counts {
    let relay = Relay::start(to, up, down).await;
    let endpoint = tls::endpoint([127, 0, 0, 1]);
    let dial = tls::handshake(&endpoint, relay.addr, tls::config(member, Fault::Nothing));
    let connection = timeout(AFTERWARDS, dial).await;
    sleep(AFTERWARDS).await;
    drop(connection);
    relay.counts()
}

/// A handshake that the victim has to refuse, and what follows.
async fn refused(to: SocketAddr, fault: Fault) -> Counts {
    let relay = Relay::start(to, u64::MAX, true).await;
    let endpoint = tls::endpoint([127, 0, 0, 1]);
    let dial = tls::handshake(&endpoint, relay.addr, tls::config(wire::noise(), fault));
    let connection = timeout(AFTERWARDS, dial).await;
    sleep(Duration::from_secs(1)).await;
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
    pub(crate) const ALL: [Hello; 5] =
        [Hello::None, Hello::Half, Hello::Greedy, Hello::Streams, Hello::Garbage];

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
            Hello::Streams => wire::batch_head(wire::DIGEST, false, 1 << 20),
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
    let quic = std::sync::Arc::new(QuicClientConfig::try_from(tls).unwrap());
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
