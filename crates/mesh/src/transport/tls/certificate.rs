//! Makes the two certificates of a node.

use std::sync::Arc;
use std::time::Duration;

use knhk_mesh_core::identity::Keypair;
use knhk_mesh_core::time::WallMs;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ED25519, SerialNumber,
};
use ring::digest::{SHA256, digest};
use rustls::crypto::ring::sign::any_eddsa_type;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::TlsError;
use crate::admission::certificates::{CertificateKey, named, set_dates};

/// The certificate that says "this key is this node", and what it takes to sign leaves under it.
pub(crate) struct IdentityCertificate {
    issuer: Issuer<'static, CertificateKey>,
    der: CertificateDer<'static>,
    /// A leaf is valid this long after it is made; it is renewed after half of it.
    leaf_ttl: Duration,
}

impl IdentityCertificate {
    /// The one that an authority `issued`, else one that the key signs itself.
    pub(crate) fn new(
        keypair: Arc<Keypair>,
        leaf_ttl: Duration,
        issued: Option<CertificateDer<'static>>,
    ) -> Result<Self, TlsError> {
        let key = CertificateKey::new(keypair);
        if let Some(der) = issued {
            let issuer = Issuer::from_ca_cert_der(&der, key)?;
            return Ok(IdentityCertificate { issuer, der, leaf_ttl });
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = named("knhk-mesh node");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key)?;
        let (der, issuer) = (certificate.into(), Issuer::new(params, key));
        Ok(IdentityCertificate { issuer, der, leaf_ttl })
    }

    /// A leaf with a fresh key, valid from an hour before `now` for `leaf_ttl`.
    pub(crate) fn issue_leaf(&self, now: WallMs) -> Result<Arc<CertifiedKey>, TlsError> {
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let leaf = self.sign_leaf(&key, now)?;
        let secret = any_eddsa_type(&PrivatePkcs8KeyDer::from(key.serialized_der()))?;
        Ok(Arc::new(CertifiedKey::new(vec![leaf.into(), self.der.clone()], secret)))
    }

    fn sign_leaf(&self, key: &KeyPair, now: WallMs) -> Result<Certificate, TlsError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named("knhk-mesh link");
        params.serial_number = Some(serial(key.public_key_raw()));
        set_dates(&mut params, now, self.leaf_ttl);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        Ok(params.signed_by(key, &self.issuer)?)
    }
}

/// As rcgen makes it, but of one length: the size of a handshake depends on no key.
fn serial(public_key: &[u8]) -> SerialNumber {
    let mut serial = digest(&SHA256, public_key).as_ref()[..20].to_vec();
    serial[0] = serial[0] & 0x3f | 0x40;
    serial.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::{Anchors, Unproven};
    use knhk_mesh_core::identity::Signer;
    use rustls::pki_types::UnixTime;

    const DAY: Duration = Duration::from_secs(24 * 3_600);
    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn identity(secret: u8) -> IdentityCertificate {
        let pair = Arc::new(Keypair::from_secret(&[secret; 32]));
        IdentityCertificate::new(pair, 2 * DAY, None).unwrap()
    }

    fn at(time: Duration) -> UnixTime {
        UnixTime::since_unix_epoch(time)
    }

    fn chain(identity: &IdentityCertificate) -> Vec<CertificateDer<'static>> {
        identity.issue_leaf(WallMs(NOW.as_millis() as u64)).unwrap().cert.clone()
    }

    fn check(chain: &[CertificateDer<'static>], time: Duration) -> Result<[u8; 32], Unproven> {
        let proven = Anchors::Themselves.prove(chain, at(time), webpki::KeyUsage::client_auth());
        proven.map(|proven| proven.node.0)
    }

    #[test]
    fn a_chain_proves_its_node_while_the_leaf_is_valid() {
        let own = Keypair::from_secret(&[1; 32]).node_id().0;
        let chain = chain(&identity(1));
        let hour = Duration::from_secs(3_600);
        for time in [NOW, NOW - hour, NOW + 47 * hour] {
            assert_eq!(check(&chain, time), Ok(own));
        }
        assert_eq!(check(&chain, NOW - 2 * hour), Err(Unproven::Expired));
        assert_eq!(check(&chain, NOW + 49 * hour), Err(Unproven::Expired));
    }

    #[test]
    fn a_leaf_of_another_identity_is_refused() {
        let [ours, theirs] = [chain(&identity(1)), chain(&identity(2))];
        let mixed = [ours[0].clone(), theirs[1].clone()];
        assert_eq!(check(&mixed, NOW), Err(Unproven::BadProof));
    }

    #[test]
    fn an_identity_is_no_leaf_and_chains_have_two_certificates() {
        let chain = chain(&identity(1));
        let twice = [chain[1].clone(), chain[1].clone()];
        assert_eq!(check(&twice, NOW), Err(Unproven::BadProof));
        assert_eq!(check(&chain[..1], NOW), Err(Unproven::BadProof));
        let thrice = [chain[0].clone(), chain[1].clone(), chain[1].clone()];
        assert_eq!(check(&thrice, NOW), Err(Unproven::BadProof));
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
