//! Makes and reads the certificates of an operator's authority. The authority's key is a key file
//! like a node's, so the same key can sign tokens and denials; it never leaves its file.
//!
//! ```text
//!   authority: ca.key ──self-signed──► ca.crt          every node trusts it
//!                     ──signs────────► node.crt         "this NodeId belongs to this mesh, until"
//!   node:      node.key ──signs──────► a fresh TLS key each day
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use knhk_mesh_core::identity::{Keypair, MeshId, NodeId, Signer};
use knhk_mesh_core::time::WallMs;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyUsagePurpose,
    PKCS_ED25519, PublicKeyData, SanType, SignatureAlgorithm, SigningKey, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::chain::{parts_of_uri, public_key, uri};

/// A certificate is valid this long before it is made: clocks differ.
pub(crate) const BACKDATED: Duration = Duration::from_secs(3_600);
/// Certificates in one file at most.
const MAX_CERTIFICATES: usize = 64;
/// Larger files hold something else.
const MAX_BYTES: u64 = 1 << 20;

/// Why a certificate could not be made or read. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The file could not be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It holds no certificate, or one that cannot be read.
    #[error("{path} holds no certificate: expected PEM, `-----BEGIN CERTIFICATE-----`")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The certificate is not one of this key.
    #[error("the certificate belongs to another key than {node}")]
    OtherKey {
        /// The key's own id.
        node: NodeId,
    },
    /// The library refused.
    #[error("cannot make the certificate: {0}")]
    Failed(String),
}

impl From<rcgen::Error> for CertificateError {
    fn from(error: rcgen::Error) -> Self {
        CertificateError::Failed(error.to_string())
    }
}

/// Signs with a node's or an authority's key without handing out its secret.
pub(crate) struct CertificateKey {
    keypair: Arc<Keypair>,
    public: [u8; 32],
}

impl CertificateKey {
    pub(crate) fn new(keypair: Arc<Keypair>) -> Self {
        let public = keypair.node_id().0;
        CertificateKey { keypair, public }
    }
}

impl PublicKeyData for CertificateKey {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl SigningKey for CertificateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.keypair.sign(message).to_vec())
    }
}

/// The public half of a node, as a certificate's subject.
struct NodeKey([u8; 32]);

impl PublicKeyData for NodeKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

/// An operator's authority: its key and its certificate.
pub struct Authority {
    issuer: Issuer<'static, CertificateKey>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    /// A new authority that signs itself, valid from now for `valid`.
    ///
    /// # Errors
    /// [`CertificateError::Failed`].
    pub fn create(
        keypair: Keypair,
        name: &str,
        now: WallMs,
        valid: Duration,
    ) -> Result<Self, CertificateError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        set_dates(&mut params, now, valid);
        // One certificate of a node below it, and the TLS key below that.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = CertificateKey::new(Arc::new(keypair));
        let certificate = params.self_signed(&key)?.into();
        Ok(Authority { issuer: Issuer::new(params, key), certificate })
    }

    /// The authority with the key `keypair` and the first certificate of `file`.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn open(file: &Path, keypair: Keypair) -> Result<Self, CertificateError> {
        let malformed = || CertificateError::Malformed { path: file.into() };
        let certificate = read(file)?.into_iter().next().ok_or_else(malformed)?;
        let node = keypair.node_id();
        if public_key(&certificate) != Some(node) {
            return Err(CertificateError::OtherKey { node });
        }
        let key = CertificateKey::new(Arc::new(keypair));
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Authority { issuer, certificate })
    }

    /// Its own certificate as PEM: what nodes trust.
    #[must_use]
    pub fn pem(&self) -> String {
        pem(&self.certificate)
    }

    /// The certificate of `node` in `mesh` as PEM, valid from now for `valid`.
    ///
    /// # Errors
    /// [`CertificateError::Failed`].
    pub fn issue(
        &self,
        mesh: &MeshId,
        node: &NodeId,
        now: WallMs,
        valid: Duration,
    ) -> Result<String, CertificateError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(&format!("knhk-mesh node {}", node.short()));
        set_dates(&mut params, now, valid);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.subject_alt_names = vec![SanType::URI(uri(mesh, node).as_str().try_into()?)];
        Ok(pem(params.signed_by(&NodeKey(node.0), &self.issuer)?.der()))
    }
}

pub(crate) fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// From an hour before `now` to `valid` after it.
pub(crate) fn set_dates(params: &mut CertificateParams, now: WallMs, valid: Duration) {
    let (epoch, now) = (date_time_ymd(1970, 1, 1), Duration::from_millis(now.0));
    params.not_before = epoch + now.saturating_sub(BACKDATED);
    params.not_after = epoch + now + valid;
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = BASE64.encode(certificate);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

/// Every certificate of a PEM file, at least one.
pub(crate) fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    use std::io::Read;
    let failed = |source| CertificateError::Io { path: path.into(), source };
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MAX_BYTES).read_to_end(&mut text).map_err(failed)?;
    let malformed = |_| CertificateError::Malformed { path: path.into() };
    let read: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&text).take(MAX_CERTIFICATES).collect();
    match read.map_err(malformed)? {
        found if found.is_empty() => Err(CertificateError::Malformed { path: path.into() }),
        found => Ok(found),
    }
}

/// The roots in a PEM file.
pub(crate) fn read_roots(path: &Path) -> Result<Vec<TrustAnchor<'static>>, CertificateError> {
    let anchor = |certificate: &CertificateDer<'_>| {
        let anchor = webpki::anchor_from_trusted_cert(certificate).map(|anchor| anchor.to_owned());
        anchor.map_err(|_| CertificateError::Malformed { path: path.into() })
    };
    read(path)?.iter().map(anchor).collect()
}

/// What a certificate says, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Description {
    /// `authority`, `node` or `other`.
    pub kind: &'static str,
    /// Its subject, as X.509 writes names.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Its key as a node id, if it is an ed25519 key.
    pub key: Option<NodeId>,
    /// The mesh that it is for, if it is a node's.
    pub mesh: Option<String>,
    /// The node that it is for, if it is a node's.
    pub node: Option<NodeId>,
    /// Valid from this second since 1970 on.
    pub not_before: i64,
    /// Valid until this second since 1970, included.
    pub not_after: i64,
}

/// Describes each certificate of a PEM file.
///
/// # Errors
/// [`CertificateError`].
pub fn describe(path: &Path) -> Result<Vec<Description>, CertificateError> {
    let malformed = || CertificateError::Malformed { path: path.into() };
    let one = |der: &CertificateDer<'_>| {
        let (_, parsed) = X509Certificate::from_der(der).map_err(|_| malformed())?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.iter().flat_map(|names| &names.value.general_names);
        let mut ours = names.filter_map(|name| match name {
            GeneralName::URI(uri) => parts_of_uri(uri),
            _ => None,
        });
        let ours = ours.next_back();
        Ok(Description {
            kind: match ours {
                Some(_) => "node",
                None if parsed.is_ca() => "authority",
                None => "other",
            },
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            key: public_key(der),
            mesh: ours.map(|(mesh, _)| mesh.to_owned()),
            node: ours.and_then(|(_, node)| node.parse().ok()),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
        })
    };
    read(path)?.iter().map(one).collect()
}
