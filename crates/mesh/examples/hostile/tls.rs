//! What a node shows when it dials, made from docs/WIRE.md alone, and everything wrong with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint, TransportConfig};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use crate::wire;

/// What is wrong with a dialler.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    Nothing,
    OtherMesh,
    Expired,
    /// The identity is signed by another key.
    Forged,
    /// The leaf is signed by another identity.
    Stolen,
    NoCertificate,
    /// A chain of as many certificates as TLS takes.
    LongChain,
}

pub(crate) fn config(secret: [u8; 32], fault: Fault) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    let mut config = if fault == Fault::NoCertificate {
        builder.with_no_client_auth()
    } else {
        let (chain, key) = chain(secret, fault);
        builder.with_client_auth_cert(chain, key.into()).unwrap()
    };
    let other = || wire::mesh_named("other", None);
    let mesh = if fault == Fault::OtherMesh { other() } else { wire::mesh_id() };
    config.alpn_protocols = vec![format!("knhk-mesh/1/{}", wire::text(&mesh)).into_bytes()];
    config.enable_sni = false;
    config.enable_early_data = true;
    config
}

fn chain(
    secret: [u8; 32],
    fault: Fault,
) -> (Vec<CertificateDer<'static>>, PrivatePkcs8KeyDer<'static>) {
    let identity = pair(secret);
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let other = pair(wire::noise());
    let authority = if fault == Fault::Forged {
        params.signed_by(&identity, &Issuer::from_params(&params, &other)).unwrap()
    } else {
        params.self_signed(&identity).unwrap()
    };
    let issuer =
        Issuer::from_params(&params, if fault == Fault::Stolen { &other } else { &identity });
    let leaf_key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let mut leaf = CertificateParams::default();
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let now = Duration::from_millis(wire::now_ms());
    let age = if fault == Fault::Expired { 84 } else { 1 };
    leaf.not_before = rcgen::date_time_ymd(1970, 1, 1) + now - Duration::from_secs(age * 3_600);
    leaf.not_after = leaf.not_before + Duration::from_secs(49 * 3_600);
    let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();
    let mut chain = vec![leaf.der().clone(), authority.der().clone()];
    if fault == Fault::LongChain {
        chain.resize(200, authority.der().clone());
    }
    (chain, PrivatePkcs8KeyDer::from(leaf_key.serialize_der()))
}

/// A key of rcgen from the 32 bytes of RFC 8032, by RFC 8410.
fn pair(secret: [u8; 32]) -> KeyPair {
    let mut der = data_encoding::HEXLOWER.decode(b"302e020100300506032b657004220420").unwrap();
    der.extend(secret);
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der), &PKCS_ED25519).unwrap()
}

/// A socket of its own, which never asks for a bigger datagram than the least.
pub(crate) fn endpoint(from: [u8; 4]) -> Endpoint {
    Endpoint::client(SocketAddr::from((from, 0))).unwrap()
}

pub(crate) fn quic(tls: ClientConfig) -> quinn::ClientConfig {
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let mut transport = TransportConfig::default();
    transport.max_concurrent_uni_streams(100u8.into());
    transport.datagram_receive_buffer_size(Some(1 << 20));
    transport.max_idle_timeout(Some(Duration::from_secs(30).try_into().unwrap()));
    transport.mtu_discovery_config(None);
    config.transport_config(Arc::new(transport));
    config
}

/// TLS only; no hello.
pub(crate) async fn handshake(
    endpoint: &Endpoint,
    to: SocketAddr,
    tls: ClientConfig,
) -> Result<Connection, quinn::ConnectionError> {
    endpoint.connect_with(quic(tls), to, "node").unwrap().await
}

/// A whole link: handshake, hello, welcome.
pub(crate) async fn link(
    endpoint: &Endpoint,
    to: SocketAddr,
    secret: [u8; 32],
) -> Result<Connection, Box<dyn std::error::Error>> {
    let connection = handshake(endpoint, to, config(secret, Fault::Nothing)).await?;
    stream(&connection, &wire::batch(wire::DIGEST, &[])).await?;
    let welcome =
        async { connection.accept_uni().await?.read_to_end(4_096).await.map_err(Box::from) };
    let welcome: Result<_, Box<dyn std::error::Error>> =
        tokio::time::timeout(Duration::from_secs(4), welcome).await?;
    welcome?;
    Ok(connection)
}

/// One batch.
pub(crate) async fn stream(
    connection: &Connection,
    batch: &[u8],
) -> Result<(), Box<dyn std::error::Error>> {
    let mut stream = connection.open_uni().await?;
    stream.write_all(batch).await?;
    stream.finish()?;
    Ok(())
}

/// Believes whoever answers: the victim is known by its address.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
