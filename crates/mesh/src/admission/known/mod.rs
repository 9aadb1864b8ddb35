//! What a node knows of admission and of what the committee certified: what it takes in of a
//! notice, whose signatures count, and what it would tell.

use std::collections::BTreeMap;

use bytes::Bytes;
use knhk_mesh_core::admission::{Claim, Denial, Denials, NotAdmitted, Pass};
use knhk_mesh_core::certified::{Certificate, Fact, Facts, Taken};
use knhk_mesh_core::codec::Writer;
use knhk_mesh_core::identity::{Committee, Incarnation, MeshId, NodeId};
use knhk_mesh_core::time::WallMs;
use ring::digest::{Context, SHA256};

use super::Void;
use super::notices::{self, CERTIFIED, CONFLICT, Notice};

/// Used tokens that are remembered; each until nobody could bring it any more.
pub(crate) const MAX_USES: usize = 1_024;
/// A used token is remembered so long beyond its end: clocks differ.
const GRACE_MS: u64 = 600_000;

/// Whose signatures count: those whom the genesis names.
#[derive(Clone, Debug)]
pub(crate) struct Appointed {
    pub(crate) mesh: MeshId,
    pub(crate) admission_key: Option<NodeId>,
    /// If there is one, the admission key alone denies nobody.
    pub(crate) committee: Option<Committee>,
}

impl Appointed {
    /// Whether anything can be said at all.
    pub(crate) fn anybody(&self) -> bool {
        self.admission_key.is_some() || self.committee.is_some()
    }

    fn admission_key(&self) -> Result<&NodeId, NotAdmitted> {
        self.admission_key.as_ref().ok_or(NotAdmitted::Signature)
    }

    fn committee(&self) -> Result<&Committee, NotAdmitted> {
        self.committee.as_ref().ok_or(NotAdmitted::NoCommittee)
    }
}

/// What a notice brought: what is to be told on, and what it makes void.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct News {
    pub(super) notice: Notice,
    pub(super) void: Option<(NodeId, Incarnation)>,
}

impl From<Notice> for News {
    fn from(notice: Notice) -> Self {
        News { notice, void: None }
    }
}

/// A token that came in, and with whom.
#[derive(Clone, Debug)]
pub(super) struct Use {
    pub(super) node: NodeId,
    pub(super) pass: Pass,
    until: WallMs,
}

/// How long a token is remembered that had to be brought before `redeem_by`.
fn until(redeem_by: WallMs) -> WallMs {
    WallMs(redeem_by.0.saturating_add(GRACE_MS))
}

/// Everything that is known.
#[derive(Default, Debug)]
pub(super) struct Known {
    pub(super) denials: Denials,
    pub(super) facts: Facts,
    uses: BTreeMap<[u8; 16], Use>,
}

impl Known {
    /// Takes in what is new of `notice`, if anything is.
    pub(super) fn take(
        &mut self,
        notice: Notice,
        appointed: &Appointed,
        now: WallMs,
    ) -> Result<Option<News>, NotAdmitted> {
        match notice {
            Notice::Denied(denial) => self.take_denial(denial, appointed),
            Notice::Used(pass) => self.take_use(pass, appointed, now),
            Notice::Certified(certificate) => self.take_certificate(*certificate, appointed),
            Notice::Conflict(proof) => {
                let committee = appointed.committee()?;
                if self.facts.conflict_needs_no_check(&proof) {
                    return Ok(None);
                }
                let conflict = proof.clone().check(committee, &appointed.mesh)?;
                let new = self.facts.insert_conflict(&conflict);
                Ok(new.then(|| Notice::Conflict(proof).into()))
            }
        }
    }

    fn take_denial(
        &mut self,
        denial: Denial,
        appointed: &Appointed,
    ) -> Result<Option<News>, NotAdmitted> {
        if appointed.committee.is_some() {
            return Err(NotAdmitted::NeedsQuorum);
        }
        if self.denials.needs_no_check(&denial) {
            return Ok(None);
        }
        denial.check(appointed.admission_key()?, &appointed.mesh)?;
        let void = Some((denial.node, denial.up_to));
        let new = self.denials.insert(denial);
        Ok(new.then_some(News { notice: Notice::Denied(denial), void }))
    }

    fn take_certificate(
        &mut self,
        certificate: Certificate,
        appointed: &Appointed,
    ) -> Result<Option<News>, NotAdmitted> {
        let committee = appointed.committee()?;
        if self.facts.needs_no_check(&certificate) {
            return Ok(None);
        }
        let certified = certificate.clone().check(committee, &appointed.mesh)?;
        let void = certified.fact().voids();
        Ok(match self.facts.insert(certified) {
            Taken::Known | Taken::Full => None,
            Taken::News => Some(News { notice: Notice::Certified(certificate.into()), void }),
            // It says both, so it is told instead.
            Taken::Conflict(found) => Some(Notice::Conflict(found.proof().into()).into()),
        })
    }

    fn take_use(
        &mut self,
        pass: Pass,
        appointed: &Appointed,
        now: WallMs,
    ) -> Result<Option<News>, NotAdmitted> {
        // A bound token is nobody else's: there is nothing to remember, and nobody tells it.
        if pass.bound_token().is_some() {
            return Err(NotAdmitted::Malformed);
        }
        // Said again by whomever, or without room for it, it is not worth a check of signatures.
        let over = until(pass.token().redeem_by) <= now;
        if over || self.uses.contains_key(&pass.token().id) || !self.has_room(now) {
            return Ok(None);
        }
        let claim = match pass.check(appointed.admission_key()?, &appointed.mesh, now) {
            // What nobody could use any more need not be remembered.
            Err(NotAdmitted::Expired) => return Ok(None),
            claim => claim?,
        };
        let new = self.note_use(&claim, pass.clone(), now).is_ok_and(|new| new);
        Ok(new.then(|| Notice::Used(pass).into()))
    }

    /// What was made void, by the admission key or by the committee.
    pub(super) fn voids(&self) -> impl Iterator<Item = Void> {
        let denied = self.denials.iter();
        let denied = denied.map(|d| Void { node: d.node, up_to: d.up_to, at: Some(d.at) });
        let certified = self.facts.iter().filter_map(|certified| certified.fact().voids());
        denied.chain(certified.map(|(node, up_to)| Void { node, up_to, at: None }))
    }

    /// Whether `node` is denied for ever.
    pub(super) fn denies(&self, node: &NodeId) -> bool {
        let by_quorum = self.facts.void_up_to(node);
        self.denials.denies(node) || by_quorum == Some(Denial::FOR_EVER)
    }

    /// What denies `node` for ever, if something does.
    pub(super) fn denial_of(&self, node: &NodeId) -> Option<Notice> {
        let denial = self.denials.of(node).filter(|denial| denial.is_for_ever());
        let by_quorum = || {
            let out = Fact::void(node, Denial::FOR_EVER);
            let certified = self.facts.get(out.key()).filter(|held| *held.fact() == out)?;
            Some(Notice::Certified(certified.certificate().clone().into()))
        };
        denial.map(|denial| Notice::Denied(*denial)).or_else(by_quorum)
    }

    /// Notes that `claim.node` came in with its token; false if that was known.
    pub(super) fn note_use(
        &mut self,
        claim: &Claim,
        pass: Pass,
        now: WallMs,
    ) -> Result<bool, NotAdmitted> {
        let until = until(claim.redeem_by);
        if let Some(known) = self.uses.get(&claim.token) {
            return if known.node == claim.node { Ok(false) } else { Err(NotAdmitted::Used) };
        }
        if until <= now {
            return Ok(false);
        }
        if !self.has_room(now) {
            return Err(NotAdmitted::Busy);
        }
        self.uses.insert(claim.token, Use { node: claim.node, pass, until });
        Ok(true)
    }

    /// Whether another used token can be remembered.
    fn has_room(&mut self, now: WallMs) -> bool {
        if self.uses.len() == MAX_USES {
            self.uses.retain(|_, known| known.until > now);
        }
        self.uses.len() < MAX_USES
    }

    pub(super) fn used(&self, token: &[u8; 16]) -> Option<&Use> {
        self.uses.get(token)
    }

    pub(super) fn forget_use(&mut self, token: &[u8; 16]) {
        self.uses.remove(token);
    }

    /// Everything that is worth telling.
    pub(super) fn all(&self, now: WallMs) -> Vec<Notice> {
        let denials = self.denials.iter().map(|denial| Notice::Denied(*denial));
        let uses = self.uses(now).map(|pass| Notice::Used(pass.clone()));
        let facts = self.facts.iter();
        let facts = facts.map(|known| Notice::Certified(known.certificate().clone().into()));
        let conflicts = self.facts.conflicts();
        let conflicts = conflicts.map(|found| Notice::Conflict(found.proof().into()));
        denials.chain(uses).chain(facts).chain(conflicts).collect()
    }

    /// Whether there is nothing worth telling.
    pub(super) fn is_empty(&self, now: WallMs) -> bool {
        self.denials.is_empty()
            && self.uses(now).next().is_none()
            && self.facts.iter().next().is_none()
            && self.facts.conflicts().next().is_none()
    }

    /// The passes by which tokens were used that somebody could still bring.
    fn uses(&self, now: WallMs) -> impl Iterator<Item = &Pass> {
        self.uses.values().filter(move |known| known.until > now).map(|known| &known.pass)
    }

    /// In short, as a message.
    pub(super) fn summary(&self, now: WallMs) -> Bytes {
        notices::summary(&self.hash(now))
    }

    pub(super) fn hash(&self, now: WallMs) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        self.denials.iter().for_each(|denial| context.update(&denial.encode()));
        // Two nodes may have heard of different bringers of one token; neither takes the other's.
        self.uses(now).for_each(|pass| context.update(&pass.token().id));
        // By what is said: which quorum said it may differ, and either proves it.
        let mut say = |kind: u8, key: &str, version: u64, hash: &[u8]| {
            let mut w = Writer::with_capacity(160);
            w.u8(kind).u8(key.len() as u8).bytes(key.as_bytes()).u64(version).bytes(hash);
            context.update(&w.into_vec());
        };
        for known in self.facts.iter() {
            let fact = known.fact();
            say(CERTIFIED, fact.key(), fact.version(), known.value_hash());
        }
        for found in self.facts.conflicts() {
            let fact = found.sides()[0].fact();
            say(CONFLICT, fact.key(), fact.version(), &[]);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }
}

#[cfg(test)]
mod tests;
