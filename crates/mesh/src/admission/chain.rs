//! What a chain of two certificates proves: which node is at the other end, and until when.
//!
//! ```text
//! [ leaf: a TLS key ] ──signed by──► [ identity: NodeId ] ──signed by──► itself, or a root
//! ```
//!
//! Under an operator's roots the identity names its node and its mesh in a URI, so that one
//! authority may serve several meshes and none of them mixes with another.

use knhk_mesh_core::identity::{MeshId, NodeId};
use knhk_mesh_core::time::WallMs;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::strict::STRICT;

/// DER before the 32 bytes of an ed25519 public key (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 3, 0x21, 0];
/// DER of the signature algorithm and the head of the 64-byte signature behind it.
const SIGNATURE_PREFIX: [u8; 10] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 3, 0x41, 0];
/// What the URI of a member begins with.
const URI_SCHEME: &str = "knhk-mesh://";

/// Why a chain of certificates proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Unproven {
    #[error("no valid proof of a node key")]
    BadProof,
    #[error("outside the validity of its certificate")]
    Expired,
    #[error("no certificate of an operator's root for this mesh")]
    NotIssued,
}

/// What a chain proves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Proven {
    pub(crate) node: NodeId,
    /// The first end of validity in the chain.
    pub(crate) until: WallMs,
}

/// Who signs identities.
#[derive(Clone, Debug)]
pub(crate) enum Anchors {
    /// Each node its own.
    Themselves,
    /// These roots, for members of this mesh.
    Roots(MeshId, Vec<TrustAnchor<'static>>),
}

impl Anchors {
    /// The node that a chain of [leaf, identity] proves, and until when it does.
    pub(crate) fn prove(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<Proven, Unproven> {
        let [leaf, identity] = chain else { return Err(Unproven::BadProof) };
        let node = public_key(identity).ok_or(Unproven::BadProof)?;
        node.verifying_key().ok_or(Unproven::BadProof)?;
        if matches!(self, Anchors::Themselves) {
            signed_by_itself(identity, &node).ok_or(Unproven::BadProof)?;
        }
        let own = [anchor_from_trusted_cert(identity).map_err(|_| Unproven::BadProof)?];
        let end = EndEntityCert::try_from(leaf).map_err(|_| Unproven::BadProof)?;
        end.verify_for_usage(&[STRICT], &own, &[], now, usage, None, None)
            .map_err(|error| unproven(&error))?;
        let mut until = end_of_validity(leaf)?;
        if let Anchors::Roots(mesh, roots) = self {
            let path = end
                .verify_for_usage(
                    ALL_VERIFICATION_ALGS,
                    roots,
                    std::slice::from_ref(identity),
                    now,
                    usage,
                    None,
                    None,
                )
                .map_err(|error| match unproven(&error) {
                    Unproven::BadProof => Unproven::NotIssued,
                    other => other,
                })?;
            let between = path.intermediate_certificates().count();
            if between != 1 || !names(identity, mesh, &node) {
                return Err(Unproven::NotIssued);
            }
            until = until.min(end_of_validity(identity)?);
        }
        Ok(Proven { node, until })
    }
}

fn unproven(error: &webpki::Error) -> Unproven {
    match error {
        webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => {
            Unproven::Expired
        }
        _ => Unproven::BadProof,
    }
}

/// The URI that an operator's root confirms.
pub(super) fn uri(mesh: &MeshId, node: &NodeId) -> String {
    format!("{URI_SCHEME}{mesh}/{node}")
}

/// Mesh and node of such a URI, as texts.
pub(super) fn parts_of_uri(uri: &str) -> Option<(&str, &str)> {
    uri.strip_prefix(URI_SCHEME)?.split_once('/')
}

/// Whether the certificate is for this node in this mesh, and for nobody else.
fn names(certificate: &CertificateDer<'_>, mesh: &MeshId, node: &NodeId) -> bool {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return false };
    let mut ours = certificate.valid_uri_names().filter(|name| name.starts_with(URI_SCHEME));
    ours.next().is_some_and(|name| name == uri(mesh, node)) && ours.next().is_none()
}

/// The node whose key a certificate holds.
pub(super) fn public_key(certificate: &CertificateDer<'_>) -> Option<NodeId> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let spki = certificate.subject_public_key_info();
    let key = spki.as_ref().strip_prefix(&SPKI_PREFIX)?;
    key.try_into().ok().map(NodeId)
}

fn end_of_validity(certificate: &CertificateDer<'_>) -> Result<WallMs, Unproven> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| Unproven::BadProof)?;
    let seconds = parsed.validity().not_after.timestamp();
    // The last second is valid to its end.
    Ok(WallMs(u64::try_from(seconds).unwrap_or(0).saturating_add(1).saturating_mul(1_000)))
}

fn signed_by_itself(certificate: &CertificateDer<'_>, node: &NodeId) -> Option<()> {
    let (signed, signature) = split_signed(certificate)?;
    STRICT.verify_signature(&node.0, signed, signature).ok()
}

/// Splits a certificate signed with ed25519 into what is signed and the signature:
/// `SEQUENCE { signed SEQUENCE, algorithm SEQUENCE, signature BIT STRING }`.
fn split_signed(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, content, []) = der_sequence(certificate)? else { return None };
    let (signed, _, rest) = der_sequence(content)?;
    let signature = rest.strip_prefix(&SIGNATURE_PREFIX)?;
    (signature.len() == 64).then_some((signed, signature))
}

/// The first DER SEQUENCE of `bytes`: whole, its content, what follows it.
fn der_sequence(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (head, length) = match *bytes {
        [0x30, short, ..] if short < 0x80 => (2, usize::from(short)),
        [0x30, 0x81, length, ..] if length >= 0x80 => (3, usize::from(length)),
        [0x30, 0x82, high, low, ..] if high > 0 => {
            (4, usize::from(u16::from_be_bytes([high, low])))
        }
        _ => return None,
    };
    let (whole, rest) = bytes.split_at_checked(head + length)?;
    Some((whole, &whole[head..], rest))
}
