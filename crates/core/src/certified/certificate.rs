//! One member's vote and a quorum's certificate. What arrives is a [`Certificate`], which says
//! nothing; only [`Certificate::check`] and [`Certificate::join`] make a [`Certified`].

use super::{Fact, NotCertified};
use crate::codec::{Reader, Writer};
use crate::identity::{Committee, MeshId, NodeId, Signer, from_base32, to_base32};

/// What the texts of votes and certificates begin with: people tell them apart by that.
const VOTE_PREFIX: &str = "knhkvote1";
const CERTIFICATE_PREFIX: &str = "knhkcert1";

/// One member's signature of a fact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vote {
    fact: Fact,
    pub(super) signer: NodeId,
    signature: [u8; 64],
}

impl Vote {
    /// Longest encoding in bytes.
    pub const MAX_LEN: usize = Fact::MAX_LEN + 32 + 64;

    /// Votes for `fact`. Whoever calls this has noted the fact durably: [`super::Ballots`].
    ///
    /// # Errors
    /// [`NotCertified::Outsider`] if the signer is no member.
    pub fn sign(
        member: &impl Signer,
        fact: Fact,
        committee: &Committee,
        mesh: &MeshId,
    ) -> Result<Self, NotCertified> {
        let signer = member.node_id();
        committee.place(&signer).ok_or(NotCertified::Outsider(signer))?;
        let signature = member.sign(&fact.statement(committee, mesh));
        Ok(Vote { fact, signer, signature })
    }

    /// Where its signer stands in the committee, if the vote is good.
    fn check(&self, committee: &Committee, mesh: &MeshId) -> Result<usize, NotCertified> {
        let place = committee.place(&self.signer).ok_or(NotCertified::Outsider(self.signer))?;
        let holds = self.signer.has_signed(&self.fact.statement(committee, mesh), &self.signature);
        if holds { Ok(place) } else { Err(NotCertified::Signature) }
    }

    /// What it is for.
    #[must_use]
    pub fn fact(&self) -> &Fact {
        &self.fact
    }

    /// The vote as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(Self::MAX_LEN);
        self.fact.write(&mut w);
        w.bytes(&self.signer.0).bytes(&self.signature);
        w.into_vec()
    }

    /// Reads the bytes of a vote; whether it is a good one, [`Certificate::join`] says.
    ///
    /// # Errors
    /// [`NotCertified`].
    pub fn decode(bytes: &[u8]) -> Result<Self, NotCertified> {
        let mut r = Reader::new(bytes);
        let vote =
            Vote { fact: Fact::read(&mut r)?, signer: NodeId(r.array()?), signature: r.array()? };
        r.end()?;
        Ok(vote)
    }

    /// The vote as a line of text.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{VOTE_PREFIX}{}", to_base32(&self.encode()))
    }

    /// Reads a line of text; blanks around it are passed over.
    ///
    /// # Errors
    /// [`NotCertified`].
    pub fn from_text(text: &str) -> Result<Self, NotCertified> {
        Vote::decode(&bytes_of(text, VOTE_PREFIX)?)
    }
}

fn bytes_of(text: &str, prefix: &str) -> Result<Vec<u8>, NotCertified> {
    let bytes = text.trim().strip_prefix(prefix).and_then(from_base32);
    bytes.ok_or(NotCertified::Malformed)
}

/// A fact and who is said to have signed it. Nothing but its key can be read off it before it
/// was checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    pub(super) fact: Fact,
    /// Bit n stands for member n of the committee, whose signature is the next.
    pub(super) signers: u16,
    pub(super) signatures: Vec<[u8; 64]>,
}

impl Certificate {
    /// Longest encoding in bytes.
    pub const MAX_LEN: usize = Fact::MAX_LEN + 2 + 64 * Committee::MAX;

    /// What it claims to be about.
    #[must_use]
    pub fn key(&self) -> &str {
        self.fact.key()
    }

    /// The certificate of these votes, checked. Of more votes than a quorum the first members in
    /// the order of the committee sign it.
    ///
    /// # Errors
    /// [`NotCertified`] says which vote is wrong, or that more are needed.
    pub fn join(
        votes: &[Vote],
        committee: &Committee,
        mesh: &MeshId,
    ) -> Result<Certified, NotCertified> {
        let need = committee.quorum();
        let few = NotCertified::Count { have: votes.len(), need };
        let fact = votes.first().ok_or(few)?.fact.clone();
        let mut signed = [None; Committee::MAX];
        for vote in votes {
            if vote.fact != fact {
                return Err(NotCertified::Different);
            }
            let place = vote.check(committee, mesh)?;
            if signed[place].replace(vote.signature).is_some() {
                return Err(NotCertified::Twice(vote.signer));
            }
        }
        if votes.len() < need {
            return Err(few);
        }
        let mut certificate = Certificate { fact, signers: 0, signatures: Vec::new() };
        let quorum = signed.iter().enumerate().filter_map(|(place, by)| Some((place, (*by)?)));
        for (place, signature) in quorum.take(need) {
            certificate.signers |= 1 << place;
            certificate.signatures.push(signature);
        }
        let value_hash = certificate.fact.value_hash();
        Ok(Certified { certificate, value_hash })
    }

    /// Whether exactly a quorum of the committee signed it. At most eleven signatures are checked,
    /// and none behind the first that does not hold.
    ///
    /// # Errors
    /// [`NotCertified`] says what is wrong with it.
    pub fn check(self, committee: &Committee, mesh: &MeshId) -> Result<Certified, NotCertified> {
        let (have, need) = (self.signatures.len(), committee.quorum());
        if have != need {
            return Err(NotCertified::Count { have, need });
        }
        let statement = self.fact.statement(committee, mesh);
        for (place, signature) in places(self.signers).zip(&self.signatures) {
            // A bit beyond the last member is nobody's.
            let member = committee.members().get(place).ok_or(NotCertified::Malformed)?;
            if !member.has_signed(&statement, signature) {
                return Err(NotCertified::Signature);
            }
        }
        let value_hash = self.fact.value_hash();
        Ok(Certified { certificate: self, value_hash })
    }

    /// The certificate as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(Self::MAX_LEN);
        self.fact.write(&mut w);
        w.u16(self.signers);
        for signature in &self.signatures {
            w.bytes(signature);
        }
        w.into_vec()
    }

    /// Reads the bytes of a certificate.
    ///
    /// # Errors
    /// [`NotCertified`].
    pub fn decode(bytes: &[u8]) -> Result<Self, NotCertified> {
        let mut r = Reader::new(bytes);
        let (fact, signers) = (Fact::read(&mut r)?, r.u16()?);
        let signatures = places(signers).map(|_| r.array()).collect::<Result<_, _>>()?;
        r.end()?;
        Ok(Certificate { fact, signers, signatures })
    }

    /// The certificate as a line of text.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{CERTIFICATE_PREFIX}{}", to_base32(&self.encode()))
    }

    /// Reads a line of text; blanks around it are passed over.
    ///
    /// # Errors
    /// [`NotCertified`].
    pub fn from_text(text: &str) -> Result<Self, NotCertified> {
        Certificate::decode(&bytes_of(text, CERTIFICATE_PREFIX)?)
    }
}

/// The places whose bit is set, from the lowest.
fn places(signers: u16) -> impl Iterator<Item = usize> {
    (0..Committee::MAX).filter(move |place| signers & (1 << place) != 0)
}

/// A certificate that was checked: a quorum of the committee stands for its fact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certified {
    pub(super) certificate: Certificate,
    value_hash: [u8; 32],
}

impl Certified {
    /// What was certified.
    #[must_use]
    pub fn fact(&self) -> &Fact {
        &self.certificate.fact
    }

    /// SHA-256 of the value.
    #[must_use]
    pub fn value_hash(&self) -> &[u8; 32] {
        &self.value_hash
    }

    /// The proof for others.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Who signed it; `committee` is the one that it was checked with.
    pub fn signers<'a>(&self, committee: &'a Committee) -> impl Iterator<Item = &'a NodeId> {
        places(self.certificate.signers).filter_map(|place| committee.members().get(place))
    }
}
