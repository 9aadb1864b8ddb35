//! TLS 1.3 with mutual authentication by ed25519 node keys and without configuration. A node shows
//! two certificates: a leaf with a fresh key, by default renewed every 24 h and valid for 48 h, and
//! its identity certificate, which signed the leaf. The identity key itself never enters TLS.
//!
//! ```text
//! [ leaf: fresh key, now-1h .. now+48h ] ──signed by──► [ identity: NodeId, signed by itself ]
//! ```
//!
//! Under an operator's authority the identity is signed by its root instead of itself. Sessions are
//! resumed with nodes that were met before. A resumed session skips the verifier, so whoever holds
//! a connection judges the chain again.

mod certificate;
mod sessions;
mod verify;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use data_encoding::BASE32_NOPAD;
use knhk_mesh_core::identity::{Keypair, NodeId};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::ring;
use rustls::pki_types::UnixTime;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig, SignatureScheme};

use super::{BindError, Settings};
use crate::admission::{AdmissionError, Trust};
use crate::clock::WallClock;
use certificate::IdentityCertificate;
use sessions::{Accepted, Dialled};
use verify::Verifier;

/// Version of the handshake and the batches; part of the application protocol's name.
const PROTOCOL: &str = "knhk-mesh/1/";
/// Behind the base32 node id in the name of a dialled server.
const NAME_SUFFIX: &str = ".mesh.invalid";
/// A leaf outlives its renewal by one more period: a failed renewal is no outage.
const LEAF_TTL_IN_ROTATIONS: u32 = 2;
/// Sessions that are kept for each link, each way: links come and go.
const SESSIONS_PER_LINK: usize = 2;
/// The name of a server whose key is not known yet.
const SEED_NAME: &str = "seed.mesh.invalid";

/// The name under which a node is dialled; it tells the verifier which key must answer. Never on
/// the wire.
pub(crate) fn server_name(node: Option<NodeId>) -> String {
    node.map_or_else(|| SEED_NAME.to_owned(), |node| format!("{node}{NAME_SUFFIX}"))
}

/// Both sides of TLS for one node.
pub(crate) struct Tls {
    /// Resumes sessions, if the settings allow it.
    pub(crate) client: Arc<ClientConfig>,
    /// Never does.
    pub(crate) afresh: Arc<ClientConfig>,
    pub(crate) server: Arc<ServerConfig>,
    trust: Arc<Trust>,
    keypair: Arc<Keypair>,
    leaf_ttl: Duration,
    identity: Mutex<IdentityCertificate>,
    resolver: Arc<HotResolver>,
    sessions: Option<(Arc<Accepted>, Arc<Dialled>)>,
}

impl Tls {
    pub(crate) fn new(settings: &Settings, trust: &Arc<Trust>) -> Result<Self, TlsError> {
        let (keypair, leaf_ttl) =
            (settings.keypair.clone(), LEAF_TTL_IN_ROTATIONS * settings.rotate_every);
        let issued = trust.certificate()?;
        let identity = IdentityCertificate::new(keypair.clone(), leaf_ttl, issued)?;
        let leaf = identity.issue_leaf(trust.now())?;
        trust.check_own(&leaf.cert)?;
        let resolver = Arc::new(HotResolver(RwLock::new(leaf)));
        let most = SESSIONS_PER_LINK * settings.max_links;
        let sessions = settings
            .zero_rtt
            .then(|| (Arc::new(Accepted::new(most)), Arc::new(Dialled::new(most))));
        let mut provider = ring::default_provider();
        if settings.aes_256_only {
            provider.cipher_suites = vec![ring::cipher_suite::TLS13_AES_256_GCM_SHA384];
        }
        let provider = Arc::new(provider);
        let verifier = Arc::new(Verifier(trust.clone()));
        let clock: Arc<dyn TimeProvider> = Arc::new(Clock(settings.clock.clone()));
        let mesh = BASE32_NOPAD.encode(&settings.mesh.0);
        let protocol = format!("{PROTOCOL}{}", mesh.to_ascii_lowercase());
        let protocols = vec![protocol.into_bytes()];

        let mut afresh = ClientConfig::builder_with_details(provider.clone(), clock.clone())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_cert_resolver(resolver.clone());
        afresh.alpn_protocols.clone_from(&protocols);
        afresh.enable_sni = false;
        afresh.resumption = Resumption::disabled();
        let mut client = afresh.clone();

        let mut server = ServerConfig::builder_with_details(provider, clock)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(resolver.clone());
        server.alpn_protocols = protocols;
        server.send_tls13_tickets = 0;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        if let Some((accepted, dialled)) = &sessions {
            client.resumption = Resumption::store(dialled.clone());
            client.enable_early_data = true;
            server.send_tls13_tickets = 1;
            server.session_storage = accepted.clone();
            // QUIC has limits of its own and knows only this value (RFC 9001, 4.6.1).
            server.max_early_data_size = u32::MAX;
        }
        let (client, afresh, server) = (Arc::new(client), Arc::new(afresh), Arc::new(server));
        let (trust, identity) = (trust.clone(), Mutex::new(identity));
        Ok(Tls { client, afresh, server, trust, keypair, leaf_ttl, identity, resolver, sessions })
    }

    /// Gives the connections to come a fresh leaf key.
    pub(crate) fn rotate(&self) -> Result<(), TlsError> {
        let fresh = self.identity().issue_leaf(self.trust.now())?;
        self.show(fresh);
        Ok(())
    }

    /// Reads the identity certificate again where an authority issues it, and shows it.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let issued = self.trust.certificate()?;
        let identity = IdentityCertificate::new(self.keypair.clone(), self.leaf_ttl, issued)?;
        let leaf = identity.issue_leaf(self.trust.now())?;
        self.trust.check_own(&leaf.cert)?;
        *self.identity() = identity;
        self.show(leaf);
        Ok(())
    }

    fn show(&self, leaf: Arc<CertifiedKey>) {
        *self.resolver.0.write().unwrap_or_else(PoisonError::into_inner) = leaf;
        if let Some((_, dialled)) = &self.sessions {
            // Others hold the old chain with the sessions; a fresh handshake shows the new one.
            dialled.forget();
        }
    }

    /// From now on everybody proves again who it is.
    pub(crate) fn forget_sessions(&self) {
        if let Some((accepted, dialled)) = &self.sessions {
            accepted.forget();
            dialled.forget();
        }
    }

    fn identity(&self) -> MutexGuard<'_, IdentityCertificate> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The node's clock, for validity.
#[derive(Debug)]
struct Clock(WallClock);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(self.0.now().0)))
    }
}

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    #[error(transparent)]
    Certificate(#[from] rcgen::Error),
    #[error(transparent)]
    Admission(#[from] AdmissionError),
}

impl From<TlsError> for BindError {
    fn from(error: TlsError) -> Self {
        match error {
            TlsError::Admission(error) => BindError::Admission(error),
            other => BindError::Certificate(other.to_string()),
        }
    }
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
