//! What nodes tell each other about admission: who is denied, which tokens were used, and what the
//! committee certified. Each notice proves itself by its signatures, so it may come from anybody,
//! in any order, any number of times.
//!
//! ```text
//!   a link comes up   summary (34 B) ─► differs? ─► all notices in pieces, the own summary
//!   now and then      the same, with one link
//!   something is new  that notice ─► every link, and from there on
//! ```

use bytes::Bytes;
use knhk_mesh_core::admission::{Denial, NotAdmitted, Pass};
use knhk_mesh_core::certified::{Certificate, ConflictProof, Fact};
use knhk_mesh_core::codec::{Reader, Writer};
use knhk_mesh_core::error::Refused;
use knhk_mesh_core::identity::NodeId;

/// Tag of the messages, behind those of core's control messages.
pub(crate) const NOTICES: u8 = 32;
/// Bytes of one message; the longest notice is a tenth of it.
pub(super) const PIECE: usize = 48 * 1_024;

const SUMMARY: u8 = 0;
const DENIED: u8 = 1;
const USED: u8 = 2;
pub(super) const CERTIFIED: u8 = 3;
pub(super) const CONFLICT: u8 = 4;

/// Something to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Notice {
    Denied(Denial),
    Used(Pass),
    Certified(Box<Certificate>),
    Conflict(Box<ConflictProof>),
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
    if r.u8()? != NOTICES || bytes.len() > PIECE {
        return Err(Refused::Malformed);
    }
    match r.u8()? {
        SUMMARY => {
            let heard = Heard::Summary(r.array()?);
            r.end().map(|()| heard)
        }
        kind @ DENIED..=CONFLICT => {
            let mut notices = Vec::new();
            while r.remaining() > 0 {
                let length = usize::from(r.u16()?);
                let bytes = r.take(length)?;
                let malformed = |_| Refused::Malformed;
                notices.push(Notice::decode(kind, bytes).map_err(malformed)?);
            }
            Ok(Heard::Notices(notices))
        }
        _ => Err(Refused::Malformed),
    }
}

impl Notice {
    fn decode(kind: u8, bytes: &[u8]) -> Result<Self, NotAdmitted> {
        Ok(match kind {
            DENIED => Notice::Denied(Denial::decode(bytes)?),
            USED => Notice::Used(Pass::decode(bytes)?),
            CERTIFIED => Notice::Certified(Certificate::decode(bytes)?.into()),
            _ => Notice::Conflict(ConflictProof::decode(bytes)?.into()),
        })
    }

    fn kind(&self) -> u8 {
        match self {
            Notice::Denied(_) => DENIED,
            Notice::Used(_) => USED,
            Notice::Certified(_) => CERTIFIED,
            Notice::Conflict(_) => CONFLICT,
        }
    }

    /// Whether it says that something of `node` is void.
    pub(super) fn voids(&self, node: &NodeId) -> bool {
        match self {
            Notice::Denied(denial) => denial.node == *node,
            Notice::Certified(it) => it.key() == Fact::void(node, Denial::FOR_EVER).key(),
            Notice::Used(_) | Notice::Conflict(_) => false,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Notice::Denied(denial) => denial.encode(),
            Notice::Used(pass) => pass.encode(),
            Notice::Certified(certificate) => certificate.encode(),
            Notice::Conflict(proof) => proof.encode(),
        }
    }
}

/// `notices` as messages of bounded size.
pub(crate) fn encode(notices: &[Notice]) -> Vec<Bytes> {
    let mut messages = Vec::new();
    for kind in DENIED..=CONFLICT {
        let mut w = Writer::default();
        for notice in notices.iter().filter(|notice| notice.kind() == kind) {
            let bytes = notice.encode();
            if w.len() + 2 + bytes.len() > PIECE {
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

/// What is known, in short, as a message.
pub(super) fn summary(hash: &[u8; 32]) -> Bytes {
    let mut w = Writer::with_capacity(34);
    w.u8(NOTICES).u8(SUMMARY).bytes(hash);
    Bytes::from(w.into_vec())
}
