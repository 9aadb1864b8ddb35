//! Decides during the handshake who the other end is. The reason of a refusal travels as the TLS
//! alert, so both ends can count and report it: bad_certificate = another key than the dialled one,
//! access_denied = not admitted, certificate_expired = outside its validity, anything else = no
//! valid proof. A resumed session does not come by here: what is decided here is decided again
//! after each handshake.

use std::sync::Arc;

use knhk_mesh_core::identity::NodeId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::verify_tls13_signature;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use webpki::KeyUsage;

use super::NAME_SUFFIX;
use crate::admission::strict::OF_LEAVES;
use crate::admission::{Trust, Unproven};

fn alert(unproven: Unproven) -> Error {
    Error::InvalidCertificate(match unproven {
        Unproven::Expired => CertificateError::Expired,
        Unproven::NotIssued => CertificateError::ApplicationVerificationFailure,
        Unproven::BadProof => CertificateError::Other(OtherError(Arc::new(unproven))),
    })
}

/// Verifies both directions. One value for the life of a transport.
#[derive(Debug)]
pub(crate) struct Verifier(pub(crate) Arc<Trust>);

impl Verifier {
    fn prove(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<NodeId, Error> {
        let [identity] = rest else { return Err(alert(Unproven::BadProof)) };
        let chain = [leaf.clone(), identity.clone()];
        self.0.prove(&chain, now, usage).map(|proven| proven.node).map_err(alert)
    }
}

fn not_admitted() -> Error {
    CertificateError::ApplicationVerificationFailure.into()
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
            verify_tls13_signature(message, cert, signed, &OF_LEAVES)
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
        let node = self.prove(leaf, rest, now, KeyUsage::server_auth())?;
        if demanded(name).is_some_and(|demanded| demanded != node) {
            return Err(CertificateError::NotValidForName.into());
        }
        self.0.may_introduce(&node).map_err(|_| not_admitted())?;
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
        let node = self.prove(leaf, rest, now, KeyUsage::client_auth())?;
        // A denied node is refused right after the handshake: an alert has no room for the proof.
        self.0.may_dial(&node).map_err(|_| not_admitted())?;
        Ok(ClientCertVerified::assertion())
    }

    signed_by_the_leaf!();
}
