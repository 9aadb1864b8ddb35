//! TLS 1.3 with mutual authentication by ed25519 node keys and without configuration. A node shows
//! two certificates: a leaf with a fresh key, by default renewed every 24 h and valid for 48 h, and
//! its identity certificate, which signed the leaf. The identity key itself never enters TLS.
//!
//! ```text
//! [ leaf: fresh key, now-1h .. now+48h ] ──signed by──► [ identity: NodeId, signed by itself ]
//! ```
//!
//! Sessions are never resumed: a resumed one would skip the verifier, and with it every admission
//! that changed since.

mod certificate;
mod verify;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use data_encoding::BASE32_NOPAD;
use knhk_mesh_core::identity::NodeId;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::ring;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig, SignatureScheme};

use super::Settings;

pub(crate) use certificate::IdentityCertificate;
pub(crate) use verify::{Verifier, node_of_chain};

/// Version of the handshake and the batches; part of the application protocol's name.
const PROTOCOL: &str = "knhk-mesh/1/";
/// Behind the base32 node id in the name of a dialled server.
const NAME_SUFFIX: &str = ".mesh.invalid";
/// A leaf outlives its renewal by one more period: a failed renewal is no outage.
const LEAF_TTL_IN_ROTATIONS: u32 = 2;
/// The name of a server whose key is not known yet.
const SEED_NAME: &str = "seed.mesh.invalid";

/// The name under which a node is dialled; it tells the verifier which key must answer. Never on
/// the wire.
pub(crate) fn server_name(node: Option<NodeId>) -> String {
    node.map_or_else(|| SEED_NAME.to_owned(), |node| format!("{node}{NAME_SUFFIX}"))
}

/// Both sides of TLS for one node.
pub(crate) struct Tls {
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) server: Arc<ServerConfig>,
    identity: IdentityCertificate,
    resolver: Arc<HotResolver>,
}

impl Tls {
    pub(crate) fn new(settings: &Settings) -> Result<Self, TlsError> {
        let leaf_ttl = LEAF_TTL_IN_ROTATIONS * settings.rotate_every;
        let identity = IdentityCertificate::new(settings.keypair.clone(), leaf_ttl)?;
        let resolver = Arc::new(HotResolver(RwLock::new(identity.issue_leaf()?)));
        let mut provider = ring::default_provider();
        if settings.aes_256_only {
            provider.cipher_suites = vec![ring::cipher_suite::TLS13_AES_256_GCM_SHA384];
        }
        let provider = Arc::new(provider);
        let verifier = Arc::new(Verifier::new(settings.admission.clone(), &provider));
        let mesh = BASE32_NOPAD.encode(&settings.mesh.0);
        let protocol = format!("{PROTOCOL}{}", mesh.to_ascii_lowercase());
        let protocols = vec![protocol.into_bytes()];

        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_cert_resolver(resolver.clone());
        client.alpn_protocols.clone_from(&protocols);
        client.enable_sni = false;
        client.resumption = Resumption::disabled();

        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(resolver.clone());
        server.alpn_protocols = protocols;
        server.send_tls13_tickets = 0;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Tls { client: Arc::new(client), server: Arc::new(server), identity, resolver })
    }

    /// Gives the connections to come a fresh leaf key.
    pub(crate) fn rotate(&self) -> Result<(), TlsError> {
        let fresh = self.identity.issue_leaf()?;
        *self.resolver.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    #[error(transparent)]
    Certificate(#[from] rcgen::Error),
}

/// The leaf in use. It is swapped inside one resolver, so live connections notice nothing.
struct HotResolver(RwLock<Arc<CertifiedKey>>);

impl HotResolver {
    fn current(&self) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl ResolvesServerCert for HotResolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
}

impl ResolvesClientCert for HotResolver {
    fn resolve(&self, _roots: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for HotResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HotResolver")
    }
}
