//! A node that offers AES-256-GCM only refuses whoever does not have it.

use std::sync::Arc;

use knhk_mesh::identity::{Keypair, MeshId};
use knhk_mesh::transport::{Profile, Settings, Transport};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, ConnectionError, Endpoint};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::{cipher_suite, default_provider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme, SupportedCipherSuite};
use tokio::sync::mpsc;

/// TLS alert 40, handshake_failure: no suite in common.
const NO_SUITE: u64 = 0x128;

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// How a handshake ends whose client has this suite only.
async fn refusal(aes_256_only: bool, suite: SupportedCipherSuite) -> u64 {
    let keypair = Arc::new(Keypair::from_secret(&[1; 32]));
    let settings =
        Settings { aes_256_only, ..Settings::new(keypair, MeshId([7; 32]), Profile::Normal) };
    let (events, _heard) = mpsc::channel(16);
    let node = Transport::quic(settings, events).unwrap();
    let mut provider = default_provider();
    provider.cipher_suites = vec![suite];
    let client = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let first = cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().unwrap().quic_suite().unwrap();
    let crypto = QuicClientConfig::with_initial(Arc::new(client), first).unwrap();
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let config = ClientConfig::new(Arc::new(crypto));
    let ended =
        endpoint.connect_with(config, node.local_addr(), "seed.mesh.invalid").unwrap().await;
    match ended {
        Err(ConnectionError::ConnectionClosed(close)) => close.error_code.into(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn aes_256_only_refuses_the_other_suites_of_tls_1_3() {
    for suite in
        [cipher_suite::TLS13_CHACHA20_POLY1305_SHA256, cipher_suite::TLS13_AES_128_GCM_SHA256]
    {
        assert_eq!(refusal(true, suite).await, NO_SUITE, "{suite:?}");
        assert_ne!(refusal(false, suite).await, NO_SUITE, "{suite:?}: refused for another reason");
    }
    assert_ne!(refusal(true, cipher_suite::TLS13_AES_256_GCM_SHA384).await, NO_SUITE);
}
