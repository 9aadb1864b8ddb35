//! The mesh's one rule for ed25519 signatures, for the libraries of certificates and of TLS: what
//! judges a record judges a handshake too, in two thirds of the time of the rule that they bring.

use knhk_mesh_core::identity::NodeId;
use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};

/// See [`NodeId::has_signed`].
pub(crate) const STRICT: &dyn SignatureVerificationAlgorithm = &Strict;

/// What the keys of leaves sign with.
pub(crate) const OF_LEAVES: WebPkiSupportedAlgorithms =
    WebPkiSupportedAlgorithms { all: &[STRICT], mapping: &[(SignatureScheme::ED25519, &[STRICT])] };

#[derive(Debug)]
struct Strict;

impl SignatureVerificationAlgorithm for Strict {
    fn verify_signature(
        &self,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let (Ok(key), Ok(signature)) = (key.try_into(), signature.try_into()) else {
            return Err(InvalidSignature);
        };
        if NodeId(key).has_signed(message, signature) { Ok(()) } else { Err(InvalidSignature) }
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use knhk_mesh_core::identity::{Keypair, Signer};

    #[test]
    fn a_signature_holds_for_its_key_and_message_alone() {
        let pair = Keypair::from_secret(&[7; 32]);
        let (key, signature) = (pair.node_id().0, pair.sign(b"message"));
        assert!(STRICT.verify_signature(&key, b"message", &signature).is_ok());
        assert!(STRICT.verify_signature(&key, b"massage", &signature).is_err());
        assert!(STRICT.verify_signature(&key, b"message", &signature[1..]).is_err());
        assert!(STRICT.verify_signature(&key[1..], b"message", &signature).is_err());
        let mut point = [0; 32];
        point[0] = 1;
        let anybody = [point, [0; 32]].concat();
        assert!(STRICT.verify_signature(&point, b"message", &anybody).is_err(), "of small order");
    }
}
