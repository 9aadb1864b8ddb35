//! Opens the socket and sets every limit that quinn leaves too high for a mesh.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use knhk_mesh_core::identity::{Keypair, Signer};
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use quinn::{
    AsyncUdpSocket, ClientConfig, Connection, Endpoint, EndpointConfig, IdleTimeout,
    MtuDiscoveryConfig, Runtime, ServerConfig, TokioRuntime, TransportConfig,
    ValidationTokenConfig, VarInt,
};
use quinn_proto::{HashedConnectionIdGenerator, NoneTokenLog, NoneTokenStore};
use ring::digest::{SHA256, digest};
use ring::hmac;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::quic::Suite;
use socket2::{Domain, Protocol, Socket, Type};

use super::super::tls::Tls;
use super::super::{BindError, Profile, Settings};
use super::SOCKET_BUFFER_BYTES;
use super::ledger::{Counted, Ledger};

/// No frame, hello or certificate begins like this, so nobody else gets a signature over it.
const RESET_DOMAIN: &[u8] = b"knhk-mesh 1 quic stateless reset";
const MAX_INCOMING: usize = 1_024;
/// Of a first flight, until it is accepted or not: at once.
const INCOMING_BYTES: u64 = 8 << 10;
const INCOMING_BYTES_TOTAL: u64 = 1 << 20;
/// Bytes that whoever is not admitted yet may send: a hello and a token.
const HELLO_WINDOW: VarInt = VarInt::from_u32(4 << 10);

/// A bound endpoint, and two ways to dial from it.
pub(super) struct Opened {
    pub(super) endpoint: Endpoint,
    /// Under the session of an earlier connection, where there is one.
    pub(super) client: ClientConfig,
    /// With a whole handshake in any case.
    pub(super) afresh: ClientConfig,
    /// What goes to strangers.
    pub(super) ledger: Arc<Ledger>,
}

pub(super) fn open(settings: &Settings, tls: &Tls) -> Result<Opened, BindError> {
    let initial = first_packets()?;
    let transport = Arc::new(transport_config(settings));
    let mut accepting = transport_config(settings);
    // The hello only, until the handshake has ended: the dialler remembers this limit, and may
    // send no more than that as early data.
    accepting.max_concurrent_uni_streams(VarInt::from_u32(1)).receive_window(HELLO_WINDOW);

    let crypto = QuicServerConfig::with_initial(tls.server.clone(), initial).map_err(no_suite)?;
    let mut server = ServerConfig::with_crypto(Arc::new(crypto));
    let mut tokens = ValidationTokenConfig::default();
    // Tokens let a peer skip the address check; that is asked for under pressure only, and the
    // stores of tokens are larger than all the rest of an endpoint.
    tokens.sent(0).log(Arc::new(NoneTokenLog));
    server
        .transport_config(Arc::new(accepting))
        .validation_token_config(tokens)
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES_TOTAL)
        .migration(settings.profile == Profile::Normal);

    let client = |tls: &Arc<rustls::ClientConfig>| {
        let crypto = QuicClientConfig::with_initial(tls.clone(), initial).map_err(no_suite)?;
        let mut client = ClientConfig::new(Arc::new(crypto));
        client.transport_config(transport.clone()).token_store(Arc::new(NoneTokenStore));
        Ok::<_, BindError>(client)
    };
    let (client, afresh) = (client(&tls.client)?, client(&tls.afresh)?);

    let failed = |source| BindError::Socket { addr: settings.bind, source };
    let ledger = Arc::default();
    let socket = socket(settings.bind, settings, &ledger).map_err(failed)?;
    let mut config = endpoint_config(&settings.keypair);
    if let Some(underlay) = &settings.underlay {
        config.rng_seed(underlay.seed(settings.bind));
    }
    let runtime = Arc::new(TokioRuntime);
    let endpoint = Endpoint::new_with_abstract_socket(config, Some(server), socket, runtime);
    let endpoint = endpoint.map_err(failed)?;
    Ok(Opened { endpoint, client, afresh, ledger })
}

/// A process that starts again after a crash on the same address knows nothing of the connections
/// before it. With keys that follow from the identity it can tell their other ends so (RFC 9000,
/// 10.3), and these dial again at once instead of waiting for the idle timeout.
fn endpoint_config(keypair: &Keypair) -> EndpointConfig {
    let secret = keypair.sign(RESET_DOMAIN);
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &secret)));
    let ids = digest(&SHA256, &[RESET_DOMAIN, b" ids", &secret].concat());
    let ids = ids.as_ref().first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
    config
}

/// The first packets are protected with AES-128 whatever TLS agrees on later (RFC 9001, 5.2).
fn first_packets() -> Result<Suite, BindError> {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().and_then(|suite| suite.quic_suite());
    suite.ok_or_else(|| BindError::Certificate("no suite for the first packets".into()))
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn no_suite(error: NoInitialCipherSuite) -> BindError {
    BindError::Certificate(error.to_string())
}

/// A socket on `addr` under the ledger.
pub(super) fn socket(
    addr: SocketAddr,
    settings: &Settings,
    ledger: &Arc<Ledger>,
) -> std::io::Result<Arc<dyn AsyncUdpSocket>> {
    let (socket, ledger) = (plain_socket(addr, settings)?, Arc::clone(ledger));
    Ok(Arc::new(Counted { socket, ledger }))
}

/// Of the underlay where the settings name one.
fn plain_socket(addr: SocketAddr, settings: &Settings) -> std::io::Result<Arc<dyn AsyncUdpSocket>> {
    match &settings.underlay {
        Some(underlay) => underlay.socket(addr),
        None => system_socket(addr, settings.profile),
    }
}

/// A socket of the system; doc-hidden where it is visible outside, as [`super::Underlay`].
pub fn system_socket(
    addr: SocketAddr,
    profile: Profile,
) -> std::io::Result<Arc<dyn AsyncUdpSocket>> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if profile == Profile::Normal {
        // The system may allow less; it then takes as much as it allows.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    TokioRuntime.wrap_udp_socket(socket.into())
}

/// Gives whoever is admitted now the room of a link.
pub(super) fn widen(connection: &Connection, profile: Profile) {
    connection.set_receive_window(VarInt::from_u32(Windows::of(profile).receive_kib << 10));
    connection.set_max_concurrent_uni_streams(VarInt::from_u32(uni_streams(profile)));
}

/// Streams that a peer may have open towards this node.
pub(super) const fn uni_streams(profile: Profile) -> u32 {
    match profile {
        Profile::Normal => 32,
        Profile::Lean => 16,
    }
}

/// What one connection may hold.
struct Windows {
    stream_kib: u32,
    receive_kib: u32,
    send_kib: u64,
    datagram_kib: usize,
}

impl Windows {
    const fn of(profile: Profile) -> Self {
        let (stream_kib, receive_kib, send_kib, datagram_kib) = match profile {
            Profile::Normal => (256, 2_048, 1_024, 64),
            Profile::Lean => (64, 256, 256, 16),
        };
        Windows { stream_kib, receive_kib, send_kib, datagram_kib }
    }
}

fn transport_config(settings: &Settings) -> TransportConfig {
    let Windows { stream_kib, receive_kib, send_kib, datagram_kib } = Windows::of(settings.profile);
    let mut config = TransportConfig::default();
    config
        .max_concurrent_uni_streams(VarInt::from_u32(uni_streams(settings.profile)))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(stream_kib << 10))
        .receive_window(VarInt::from_u32(receive_kib << 10))
        .send_window(send_kib << 10)
        .datagram_receive_buffer_size(Some(datagram_kib << 10))
        .datagram_send_buffer_size(datagram_kib << 10)
        .keep_alive_interval(settings.keep_alive)
        .max_idle_timeout(idle_timeout(settings.idle_timeout));
    if settings.profile == Profile::Lean {
        config.mtu_discovery_config(None::<MtuDiscoveryConfig>);
    }
    config
}

/// Zero is "never"; what QUIC cannot express is never, too.
fn idle_timeout(idle: Duration) -> Option<IdleTimeout> {
    if idle.is_zero() { None } else { IdleTimeout::try_from(idle).ok() }
}
