//! Makes the two certificates of a node.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use knhk_mesh_core::identity::{Keypair, Signer};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, PublicKeyData,
    SignatureAlgorithm, SigningKey, date_time_ymd,
};
use rustls::crypto::ring::sign::any_eddsa_type;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::TlsError;

/// A leaf is valid this long before it is made: clocks differ.
const BACKDATED: Duration = Duration::from_secs(3_600);

/// Signs certificates with the identity key without handing out its secret.
struct IdentityKey {
    keypair: Arc<Keypair>,
    public: [u8; 32],
}

impl PublicKeyData for IdentityKey {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl SigningKey for IdentityKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.keypair.sign(message).to_vec())
    }
}

/// The certificate that says "this key is this node", and what it takes to sign leaves under it.
pub(crate) struct IdentityCertificate {
    issuer: Issuer<'static, IdentityKey>,
    der: CertificateDer<'static>,
    /// A leaf is valid this long after it is made; it is renewed after half of it.
    leaf_ttl: Duration,
}

impl IdentityCertificate {
    pub(crate) fn new(keypair: Arc<Keypair>, leaf_ttl: Duration) -> Result<Self, TlsError> {
        let public = keypair.node_id().0;
        let key = IdentityKey { keypair, public };
        let mut params = CertificateParams::default();
        params.distinguished_name = named("knhk-mesh node");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key)?;
        let (der, issuer) = (certificate.into(), Issuer::new(params, key));
        Ok(IdentityCertificate { issuer, der, leaf_ttl })
    }

    /// A leaf with a fresh key, valid from an hour ago for `leaf_ttl`.
    pub(crate) fn issue_leaf(&self) -> Result<Arc<CertifiedKey>, TlsError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.issue_leaf_at(now)
    }

    fn issue_leaf_at(&self, since_1970: Duration) -> Result<Arc<CertifiedKey>, TlsError> {
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let leaf = self.sign_leaf(&key, since_1970)?;
        let secret = any_eddsa_type(&PrivatePkcs8KeyDer::from(key.serialized_der()))?;
        Ok(Arc::new(CertifiedKey::new(vec![leaf.into(), self.der.clone()], secret)))
    }

    fn sign_leaf(&self, key: &KeyPair, since_1970: Duration) -> Result<Certificate, TlsError> {
        let epoch = date_time_ymd(1970, 1, 1);
        let mut params = CertificateParams::default();
        params.distinguished_name = named("knhk-mesh link");
        params.not_before = epoch + since_1970.saturating_sub(BACKDATED);
        params.not_after = epoch + since_1970 + self.leaf_ttl;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        Ok(params.signed_by(key, &self.issuer)?)
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

#[cfg(test)]
mod tests {
    use super::super::verify::{Refused, identify};
    use super::*;
    use rustls::pki_types::UnixTime;

    const DAY: Duration = Duration::from_secs(24 * 3_600);
    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn identity(secret: u8) -> IdentityCertificate {
        IdentityCertificate::new(Arc::new(Keypair::from_secret(&[secret; 32])), 2 * DAY).unwrap()
    }

    fn at(time: Duration) -> UnixTime {
        UnixTime::since_unix_epoch(time)
    }

    fn chain(identity: &IdentityCertificate) -> Vec<CertificateDer<'static>> {
        identity.issue_leaf_at(NOW).unwrap().cert.clone()
    }

    fn check(chain: &[CertificateDer<'static>], time: Duration) -> Result<[u8; 32], Refused> {
        identify(&chain[0], &chain[1..], at(time), webpki::KeyUsage::client_auth())
            .map(|node| node.0)
    }

    #[test]
    fn a_chain_proves_its_node_while_the_leaf_is_valid() {
        let own = Keypair::from_secret(&[1; 32]).node_id().0;
        let chain = chain(&identity(1));
        let hour = Duration::from_secs(3_600);
        for time in [NOW, NOW - hour, NOW + 47 * hour] {
            assert_eq!(check(&chain, time), Ok(own));
        }
        assert_eq!(check(&chain, NOW - 2 * hour), Err(Refused::Expired));
        assert_eq!(check(&chain, NOW + 49 * hour), Err(Refused::Expired));
    }

    #[test]
    fn a_leaf_of_another_identity_is_refused() {
        let [ours, theirs] = [chain(&identity(1)), chain(&identity(2))];
        let mixed = [ours[0].clone(), theirs[1].clone()];
        assert_eq!(check(&mixed, NOW), Err(Refused::BadProof));
    }

    #[test]
    fn an_identity_is_no_leaf_and_chains_have_two_certificates() {
        let chain = chain(&identity(1));
        let twice = [chain[1].clone(), chain[1].clone()];
        assert_eq!(check(&twice, NOW), Err(Refused::BadProof));
        assert_eq!(check(&chain[..1], NOW), Err(Refused::BadProof));
        let thrice = [chain[0].clone(), chain[1].clone(), chain[1].clone()];
        assert_eq!(check(&thrice, NOW), Err(Refused::BadProof));
    }

    #[test]
    fn every_altered_byte_of_the_identity_or_the_leaf_is_refused() {
        let chain = chain(&identity(1));
        for which in 0..2 {
            for at in 0..chain[which].len() {
                let mut bad = chain.clone();
                let mut bytes = bad[which].to_vec();
                bytes[at] ^= 1;
                bad[which] = bytes.into();
                assert!(check(&bad, NOW).is_err(), "byte {at} of certificate {which}");
            }
        }
    }

    #[test]
    fn a_leaf_is_fresh_each_time() {
        let identity = identity(1);
        assert_ne!(chain(&identity)[0], chain(&identity)[0]);
        assert_eq!(chain(&identity)[1], chain(&identity)[1]);
    }
}
