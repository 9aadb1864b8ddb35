//! Decides who the other end is. The reason of a refusal travels as the TLS alert, so both ends can
//! count and report it: bad_certificate = another key than the dialled one, access_denied = not
//! admitted, anything else = no valid proof.

use std::sync::Arc;

use knhk_mesh_core::config::Admission;
use knhk_mesh_core::identity::NodeId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, ring::ED25519};

use super::NAME_SUFFIX;

/// DER before the 32 bytes of an ed25519 public key (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 3, 0x21, 0];
/// DER of the signature algorithm and the head of the 64-byte signature behind it.
const SIGNATURE_PREFIX: [u8; 10] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 3, 0x41, 0];

/// Why a chain of certificates proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("no valid proof of a node key")]
    BadProof,
    #[error("outside the validity of its certificate")]
    Expired,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Error::InvalidCertificate(match refused {
            Refused::Expired => CertificateError::Expired,
            Refused::BadProof => CertificateError::Other(OtherError(Arc::new(refused))),
        })
    }
}

/// The node that a chain of [leaf, identity] proves.
pub(crate) fn identify(
    leaf: &CertificateDer<'_>,
    rest: &[CertificateDer<'_>],
    now: UnixTime,
    usage: KeyUsage,
) -> Result<NodeId, Refused> {
    let [identity] = rest else { return Err(Refused::BadProof) };
    let node = node_of_identity(identity).ok_or(Refused::BadProof)?;
    let anchors = [anchor_from_trusted_cert(identity).map_err(|_| Refused::BadProof)?];
    EndEntityCert::try_from(leaf)
        .and_then(|leaf| {
            leaf.verify_for_usage(&[ED25519], &anchors, &[], now, usage, None, None).map(|_| ())
        })
        .map_err(|error| match error {
            webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => {
                Refused::Expired
            }
            _ => Refused::BadProof,
        })?;
    Ok(node)
}

/// The node of a chain that a handshake has verified already.
pub(crate) fn node_of_chain(chain: &[CertificateDer<'_>]) -> Option<NodeId> {
    public_key(chain.get(1)?)
}

/// The key of an identity certificate, if that key signed it and is one that only its holder can
/// sign with.
fn node_of_identity(certificate: &CertificateDer<'_>) -> Option<NodeId> {
    let node = public_key(certificate)?;
    node.verifying_key()?;
    let (signed, signature) = split_signed(certificate)?;
    ED25519.verify_signature(&node.0, signed, signature).ok()?;
    Some(node)
}

fn public_key(certificate: &CertificateDer<'_>) -> Option<NodeId> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let spki = certificate.subject_public_key_info();
    let key = spki.as_ref().strip_prefix(&SPKI_PREFIX)?;
    key.try_into().ok().map(NodeId)
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

/// Verifies both directions. One value for the life of a transport.
#[derive(Debug)]
pub(crate) struct Verifier {
    admission: Admission,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(crate) fn new(admission: Admission, provider: &CryptoProvider) -> Self {
        Verifier { admission, algorithms: provider.signature_verification_algorithms }
    }

    fn admit(&self, node: &NodeId) -> Result<(), Error> {
        if self.admission.admits(node) {
            return Ok(());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }
}

/// The key that the name of a dialled server demands.
fn demanded(name: &ServerName<'_>) -> Option<NodeId> {
    let ServerName::DnsName(name) = name else { return None };
    name.as_ref().strip_suffix(NAME_SUFFIX)?.parse().ok()
}

/// The leaf's key signs the handshake alike in both directions; rustls has two traits for it.
macro_rules! signed_by_the_leaf {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::General("TLS 1.3 only".into()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, signed, &self.algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }
    };
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let node = identify(leaf, rest, now, KeyUsage::server_auth())?;
        if demanded(name).is_some_and(|demanded| demanded != node) {
            return Err(CertificateError::NotValidForName.into());
        }
        self.admit(&node)?;
        Ok(ServerCertVerified::assertion())
    }

    signed_by_the_leaf!();
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let node = identify(leaf, rest, now, KeyUsage::client_auth())?;
        self.admit(&node)?;
        Ok(ClientCertVerified::assertion())
    }

    signed_by_the_leaf!();
}
