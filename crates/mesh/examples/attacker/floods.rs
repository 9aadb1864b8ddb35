//! What an attacker can send: bytes of no meaning, the beginnings of handshakes, and as a member
//! whatever a member may send, only far too much of it.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use data_encoding::BASE32_NOPAD;
use knhk_mesh::core::digest::Root;
use knhk_mesh::core::frame::{Chain, Class, Kind as RecordKind, RecordHead, Slot, seal};
use knhk_mesh::core::identity::Signer;
use knhk_mesh::identity::{Incarnation, Keypair, MeshId, NodeId};
use knhk_mesh::messages::{Digest, Lane, Message};
use knhk_mesh::rng::Rng;
use knhk_mesh::time::{Hlc, WallMs};
use knhk_mesh::transport::{EVENT_CAPACITY, Event, Profile, Settings, Target, Transport};
use knhk_mesh::{Identity, Mesh, Options};
use quinn::crypto::rustls::QuicClientConfig;
use tokio::sync::mpsc;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Random bytes.
    Garbage,
    /// First packets of handshakes, from one address.
    Initials,
    /// The same from 200 addresses of loopback.
    Spread,
    /// Whole handshakes, as many at a time as it gets, under keys of no node.
    Handshakes,
    /// As a member: new frames of its own, each with a signature to check.
    Frames,
    /// New frames of 16 KiB.
    Bytes,
    /// One frame again and again.
    Duplicates,
    /// States that nobody has.
    Digests,
    /// "Send me my records".
    Recover,
    /// Frames with a wrong signature.
    Forged,
}

impl Kind {
    pub(crate) const ALL: [Kind; 10] = [
        Kind::Garbage,
        Kind::Initials,
        Kind::Spread,
        Kind::Handshakes,
        Kind::Frames,
        Kind::Bytes,
        Kind::Duplicates,
        Kind::Digests,
        Kind::Recover,
        Kind::Forged,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Kind::Garbage => "garbage",
            Kind::Initials => "initials",
            Kind::Spread => "spread",
            Kind::Handshakes => "handshakes",
            Kind::Frames => "frames",
            Kind::Bytes => "bytes",
            Kind::Duplicates => "duplicates",
            Kind::Digests => "digests",
            Kind::Recover => "recover",
            Kind::Forged => "forged",
        }
    }
}

impl Kind {
    /// Whether it takes a link.
    pub(crate) const fn is_member(self) -> bool {
        !matches!(self, Kind::Garbage | Kind::Initials | Kind::Spread | Kind::Handshakes)
    }
}

/// The attacker becomes a member as anybody does.
pub(crate) async fn enlist(victim: SocketAddr) {
    let options = Options {
        seeds: vec![victim],
        identity: Identity::New(key()),
        profile: Profile::Lean,
        ..Options::default()
    };
    let mesh = Mesh::join(options).await.unwrap();
    while mesh.status().await.unwrap().node.members < 6 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    mesh.close().await;
}

fn key() -> Keypair {
    Keypair::from_secret(&[0xbd; 32])
}

pub(crate) fn attacker_id() -> NodeId {
    key().node_id()
}

/// What the attacker tried to send, and what was taken of it: by the socket, or by the outbox of a
/// link, which empties as the victim reads.
#[derive(Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) offered: u64,
    pub(crate) taken: u64,
}

/// Sends for `length`; answers how much.
pub(crate) fn start(
    kind: Kind,
    victim: SocketAddr,
    mesh: MeshId,
    rate: u32,
    length: Duration,
) -> JoinHandle<Sent> {
    let runtime = tokio::runtime::Handle::current();
    std::thread::spawn(move || match kind {
        Kind::Garbage => garbage(victim, rate, length),
        Kind::Initials => initials(victim, &mesh, 1, rate, length),
        Kind::Spread => initials(victim, &mesh, 200, rate, length),
        Kind::Handshakes => runtime.block_on(handshakes(victim, mesh, rate, length)),
        _ => {
            let _inside = runtime.enter();
            member(kind, victim, mesh, rate, length)
        }
    })
}

/// Calls `send` `rate` times a second, one after the other; it says whether it was taken.
fn pace(rate: u32, length: Duration, mut send: impl FnMut(u64) -> bool) -> Sent {
    let (start, mut offered, mut taken) = (Instant::now(), 0, 0);
    while start.elapsed() < length {
        let due = (start.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        // What was missed is made up for, but not all at once.
        for _ in 0..(due - offered).min(20) {
            taken += u64::from(send(offered));
            offered += 1;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    Sent { offered, taken }
}

fn socket(host: u8) -> UdpSocket {
    UdpSocket::bind(SocketAddr::from(([127, 0, 0, host], 0))).unwrap()
}

fn garbage(victim: SocketAddr, rate: u32, length: Duration) -> Sent {
    let (socket, mut rng) = (socket(1), Rng::new(1));
    pace(rate, length, |_| {
        let mut bytes = vec![0; 40 + rng.below(1_160) as usize];
        bytes.iter_mut().for_each(|byte| *byte = rng.next_u64() as u8);
        socket.send_to(&bytes, victim).is_ok()
    })
}

fn tls(mesh: &MeshId) -> Arc<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone());
    let mut config = builder
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let name = BASE32_NOPAD.encode(&mesh.0).to_ascii_lowercase();
    config.alpn_protocols = vec![format!("knhk-mesh/1/{name}").into_bytes()];
    Arc::new(config)
}

/// Whoever answers is as good as any other, whatever version of TLS asks.
macro_rules! any_signature {
    ($verify:ident) => {
        fn $verify(
            &self,
            _: &[u8],
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }
    };
}

/// Takes whoever answers.
#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }
    any_signature!(verify_tls12_signature);
    any_signature!(verify_tls13_signature);
    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// First packets that differ from each other, made beforehand.
fn initials(victim: SocketAddr, mesh: &MeshId, hosts: u8, rate: u32, length: Duration) -> Sent {
    let crypto = QuicClientConfig::try_from(tls(mesh)).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let mut endpoint = quinn_proto::Endpoint::new(Arc::default(), None, false, None);
    let sockets: Vec<UdpSocket> = (1..=hosts).map(socket).collect();
    pace(rate, length, |number| {
        let now = Instant::now();
        let made = endpoint.connect(now, config.clone(), victim, "seed.mesh.invalid");
        let (handle, mut connection) = made.unwrap();
        let mut packet = Vec::new();
        let transmit = connection.poll_transmit(now, 1, &mut packet).unwrap();
        endpoint.handle_event(handle, quinn_proto::EndpointEvent::drained());
        let socket = &sockets[number as usize % sockets.len()];
        socket.send_to(&packet[..transmit.size], victim).is_ok()
    })
}

/// Handshakes that answer whatever is asked, a new one whenever one has failed.
async fn handshakes(victim: SocketAddr, mesh: MeshId, rate: u32, length: Duration) -> Sent {
    let crypto = QuicClientConfig::try_from(tls(&mesh)).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let endpoint = quinn::Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    let abreast = 128;
    for _ in 0..abreast {
        let (endpoint, config) = (endpoint.clone(), config.clone());
        tasks.spawn(async move {
            let (start, mut tried) = (Instant::now(), 0);
            let pause = Duration::from_secs(1) * abreast / rate;
            while start.elapsed() < length {
                let next = tokio::time::Instant::now() + pause;
                let made = endpoint.connect_with(config.clone(), victim, "seed.mesh.invalid");
                tried += 1;
                if let Ok(connection) = made.unwrap().await {
                    // The victim ends it, because no certificate was shown.
                    connection.closed().await;
                }
                tokio::time::sleep_until(next).await;
            }
            tried
        });
    }
    let taken = tasks.join_all().await.into_iter().sum();
    Sent { offered: taken, taken }
}

fn wall() -> WallMs {
    knhk_mesh::clock::WallClock::system().now()
}

/// A link as any member has it, and then too much over it. Ended, it is dialled again.
fn member(kind: Kind, victim: SocketAddr, mesh: MeshId, rate: u32, length: Duration) -> Sent {
    let (events, mut received) = mpsc::channel(EVENT_CAPACITY);
    let settings = Settings::new(Arc::new(key()), mesh, Profile::Normal);
    let transport = Transport::quic(settings, events).unwrap();
    let dial = || transport.dial(Target { node: None, addr: victim });
    dial();
    let incarnation = Incarnation((wall().0 / 1_000) << 24);
    let mut chain = Chain::start(Class::Cell, incarnation, Default::default());
    let mut frame = |number: u64, records: usize, bytes: usize| {
        let mut payload = vec![1, b'k'];
        payload.resize(2 + bytes, b'x');
        payload.extend_from_slice(number.to_string().as_bytes());
        let slot = |at: usize| Slot(16 + ((number as usize * records + at) % 900) as u16);
        let record =
            |at| RecordHead::new(slot(at), RecordKind::LWW, Hlc::at(wall())).encode(&payload);
        let records: Vec<Vec<u8>> = (0..records).map(record).collect();
        seal(&mut chain, &records, &[], &mesh, &key()).bytes().clone()
    };
    let again = frame(0, 1, 100);
    let mut rng = Rng::new(2);
    let mut link = None;
    pace(rate, length, |number| {
        while let Ok(event) = received.try_recv() {
            match event {
                Event::Up(up) => link = Some(up),
                Event::Down { .. } | Event::DialFailed { .. } => {
                    link = None;
                    dial();
                }
                Event::Batch { .. } => {}
            }
        }
        let Some(link) = &link else { return false };
        let (lane, message) = match kind {
            Kind::Bytes => (Lane::Delta, frame(number, 16, 900)),
            Kind::Duplicates => (Lane::Delta, again.clone()),
            Kind::Digests => {
                let mut root = [0; 32];
                root[..8].copy_from_slice(&rng.next_u64().to_le_bytes());
                let (class, root, wall) = (Class::Cell, Root(root), wall());
                let digest = Digest { class, reply: false, root, count: 9, wall };
                // Not of the digest lane, whose queue keeps the newest only.
                (Lane::Control, Message::Digest(digest).encode())
            }
            Kind::Recover => (Lane::Control, Message::Recover.encode()),
            Kind::Forged => {
                let mut bytes = frame(number, 1, 100).to_vec();
                bytes[200] ^= 1;
                (Lane::Delta, Bytes::from(bytes))
            }
            _ => (Lane::Delta, frame(number, 1, 100)),
        };
        link.send(lane, message).is_ok()
    })
}
