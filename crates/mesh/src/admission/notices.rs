//! What nodes tell each other about admission: who is denied, and which tokens were used. Each
//! notice proves itself by its signatures, so it may come from anybody, in any order, any number of
//! times.
//!
//! ```text
//!   a link comes up   summary (34 B) ─► differs? ─► all notices in pieces, the own summary
//!   now and then      the same, with one link
//!   something is new  that notice ─► every link, and from there on
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use knhk_mesh_core::admission::{Claim, Denial, Denials, NotAdmitted, Pass};
use knhk_mesh_core::codec::{Reader, Writer};
use knhk_mesh_core::error::Refused;
use knhk_mesh_core::identity::{MeshId, NodeId};
use knhk_mesh_core::time::WallMs;
use ring::digest::{Context, SHA256};

/// Tag of the messages, behind those of core's control messages.
pub(crate) const NOTICES: u8 = 32;
/// Used tokens that are remembered; each until nobody could bring it any more.
pub(crate) const MAX_USES: usize = 1_024;
/// A used token is remembered so long beyond its end: clocks differ.
const GRACE_MS: u64 = 600_000;
/// Bytes of notices in one message.
const PIECE: usize = 48 * 1_024;

const SUMMARY: u8 = 0;
const DENIED: u8 = 1;
const USED: u8 = 2;

/// Something to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Notice {
    Denied(Denial),
    Used(Pass),
}

/// What arrived.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The other side's summary.
    Summary([u8; 32]),
    /// Notices whose signatures nobody has checked yet.
    Notices(Vec<Notice>),
}

/// Reads a message behind its tag.
pub(crate) fn decode(bytes: &[u8]) -> Result<Heard, Refused> {
    let mut r = Reader::new(bytes);
    if r.u8()? != NOTICES {
        return Err(Refused::Malformed);
    }
    match r.u8()? {
        SUMMARY => {
            let heard = Heard::Summary(r.array()?);
            r.end().map(|()| heard)
        }
        kind @ (DENIED | USED) => {
            let mut notices = Vec::new();
            while r.remaining() > 0 {
                let length = usize::from(r.u16()?);
                let bytes = r.take(length)?;
                let malformed = |_| Refused::Malformed;
                notices.push(match kind {
                    DENIED => Notice::Denied(Denial::decode(bytes).map_err(malformed)?),
                    _ => Notice::Used(Pass::decode(bytes).map_err(malformed)?),
                });
            }
            Ok(Heard::Notices(notices))
        }
        _ => Err(Refused::Malformed),
    }
}

impl Notice {
    fn encode(&self) -> Vec<u8> {
        match self {
            Notice::Denied(denial) => denial.encode(),
            Notice::Used(pass) => pass.encode(),
        }
    }
}

/// `notices` as messages of bounded size.
pub(crate) fn encode(notices: &[Notice]) -> Vec<Bytes> {
    let mut messages = Vec::new();
    for kind in [DENIED, USED] {
        let mut w = Writer::default();
        for notice in notices.iter().filter(|n| matches!(n, Notice::Denied(_)) == (kind == DENIED))
        {
            let bytes = notice.encode();
            if w.len() + bytes.len() > PIECE {
                messages.push(Bytes::from(std::mem::take(&mut w).into_vec()));
            }
            if w.is_empty() {
                w.u8(NOTICES).u8(kind);
            }
            w.u16(bytes.len() as u16).bytes(&bytes);
        }
        if !w.is_empty() {
            messages.push(Bytes::from(w.into_vec()));
        }
    }
    messages
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
    uses: BTreeMap<[u8; 16], Use>,
}

impl Known {
    /// Takes in what is new of `notice`; whether there was something.
    pub(super) fn take(
        &mut self,
        notice: &Notice,
        key: &NodeId,
        mesh: &MeshId,
        now: WallMs,
    ) -> Result<bool, NotAdmitted> {
        match notice {
            Notice::Denied(denial) => {
                if self.denials.needs_no_check(denial) {
                    return Ok(false);
                }
                denial.check(key, mesh)?;
                Ok(self.denials.insert(*denial))
            }
            Notice::Used(pass) => {
                // Said again by whomever, it is not worth a check of signatures.
                let over = until(pass.token().redeem_by) <= now;
                if over || self.uses.contains_key(&pass.token().id) {
                    return Ok(false);
                }
                match pass.check(key, mesh, now) {
                    // What nobody could use any more need not be remembered.
                    Err(NotAdmitted::Expired) => Ok(false),
                    Err(why) => Err(why),
                    // A bound token is nobody else's, so there is nothing to remember.
                    Ok(claim) if claim.may_admit => Ok(false),
                    Ok(claim) => Ok(self.note_use(&claim, pass.clone(), now).is_ok_and(|new| new)),
                }
            }
        }
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
        self.uses.retain(|_, known| known.until > now);
        if until <= now {
            return Ok(false);
        }
        if self.uses.len() == MAX_USES {
            return Err(NotAdmitted::Busy);
        }
        self.uses.insert(claim.token, Use { node: claim.node, pass, until });
        Ok(true)
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
        let fresh = self.uses.values().filter(|known| known.until > now);
        denials.chain(fresh.map(|known| Notice::Used(known.pass.clone()))).collect()
    }

    /// In short, as a message.
    pub(super) fn summary(&self, now: WallMs) -> Bytes {
        let mut w = Writer::with_capacity(34);
        w.u8(NOTICES).u8(SUMMARY).bytes(&self.hash(now));
        Bytes::from(w.into_vec())
    }

    pub(super) fn hash(&self, now: WallMs) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        for notice in self.all(now) {
            context.update(&notice.encode());
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use knhk_mesh_core::admission::{NEVER, Token};
    use knhk_mesh_core::identity::{Keypair, Signer};

    const MESH: MeshId = MeshId([5; 32]);
    const NOW: WallMs = WallMs(1_000_000);

    fn pair(secret: u8) -> Keypair {
        Keypair::from_secret(&[secret; 32])
    }

    fn id(secret: u8) -> NodeId {
        pair(secret).node_id()
    }

    fn denied(node: u8) -> Notice {
        Notice::Denied(Denial::sign(&pair(1), &MESH, id(node), NOW))
    }

    /// Node 2 admitted `node` by the token `number`, which can be brought for 1 s.
    fn used(number: u16, node: u8) -> Notice {
        let by = Token::sign(&pair(1), &MESH, [2; 16], NEVER, NEVER, Some(id(2)));
        let mut name = [0; 16];
        name[..2].copy_from_slice(&number.to_le_bytes());
        let token = Token::sign(&pair(1), &MESH, name, WallMs(NOW.0 + 1_000), NEVER, None);
        Notice::Used(Pass::sign(&pair(2), by, &MESH, token, id(node), NOW))
    }

    fn take(known: &mut Known, notice: &Notice) -> Result<bool, NotAdmitted> {
        known.take(notice, &id(1), &MESH, NOW)
    }

    #[test]
    fn notices_survive_the_wire_in_bounded_pieces() {
        let all: Vec<Notice> = (0..=255).map(denied).chain((0..300).map(|n| used(n, 9))).collect();
        let messages = encode(&all);
        assert!(messages.len() > 3 && messages.iter().all(|m| m.len() <= PIECE));
        let mut back = Vec::new();
        for message in &messages {
            let Ok(Heard::Notices(some)) = decode(message) else { panic!("not read") };
            back.extend(some);
            for cut in [0, 1, 3, message.len() - 1] {
                assert!(decode(&message[..cut]).is_err());
            }
        }
        assert_eq!(back, all);
    }

    #[test]
    fn equal_knowledge_has_an_equal_summary_in_whatever_order_it_came() {
        let mut known = [Known::default(), Known::default()];
        let notices = [denied(3), used(1, 4), denied(5), used(2, 6)];
        for i in 0..notices.len() {
            assert_eq!(take(&mut known[0], &notices[i]), Ok(true));
            assert_eq!(take(&mut known[1], &notices[notices.len() - 1 - i]), Ok(true));
        }
        assert_eq!(known[0].summary(NOW), known[1].summary(NOW));
        assert_eq!(take(&mut known[0], &notices[0]), Ok(false), "nothing new");
        assert_ne!(known[0].hash(NOW), Known::default().hash(NOW));
        let Ok(Heard::Summary(hash)) = decode(&known[0].summary(NOW)) else { panic!("no summary") };
        assert_eq!(hash, known[1].hash(NOW));
        let later = WallMs(NOW.0 + 1_000 + GRACE_MS);
        assert_eq!(known[0].all(later).len(), 2, "only denials are for ever");
    }

    #[test]
    fn a_token_is_used_once_and_forged_notices_are_refused() {
        let mut known = Known::default();
        assert_eq!(take(&mut known, &used(1, 4)), Ok(true));
        assert_eq!(take(&mut known, &used(1, 5)), Ok(false), "the first one stays");
        assert_eq!(
            known.used(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap().node,
            id(4)
        );
        let forged = Notice::Denied(Denial::sign(&pair(2), &MESH, id(4), NOW));
        assert_eq!(take(&mut known, &forged), Err(NotAdmitted::Signature));
        assert!(!known.denials.denies(&id(4)));
    }

    #[test]
    fn used_tokens_are_bounded_and_room_comes_back_with_time() {
        let mut known = Known::default();
        let claim = |n: u64, by: u64| {
            let mut token = [0; 16];
            token[..8].copy_from_slice(&n.to_le_bytes());
            let (redeem_by, until) = (WallMs(by), NEVER);
            Claim { node: id(4), until, token, redeem_by, may_admit: false }
        };
        let Notice::Used(pass) = used(1, 4) else { return };
        for n in 0..MAX_USES as u64 {
            assert_eq!(known.note_use(&claim(n, NOW.0 + 1), pass.clone(), NOW), Ok(true));
        }
        let more = claim(u64::MAX, NOW.0 + 1);
        assert_eq!(known.note_use(&more, pass.clone(), NOW), Err(NotAdmitted::Busy));
        let later = WallMs(NOW.0 + 1 + GRACE_MS);
        let more = claim(u64::MAX, later.0 + 1);
        assert_eq!(known.note_use(&more, pass, later), Ok(true));
    }
}
