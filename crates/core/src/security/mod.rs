//! The gate in front of the state: everything about a signed message that is cheaper than its
//! signature, in order of price. What passes is worth 20 microseconds; what does not leaves no
//! trace but a count.
//!
//! ```text
//!   tokens? -> size -> form and limits -> scope -> admitted? -> not from the future -> new?
//!                                                                                      | yes
//!                                                        Job -> frame::verify -> Verified
//! ```

pub mod budget;
pub mod ledger;

use bytes::Bytes;

use crate::config::Settings;
use crate::crdt::Store;
use crate::crdt::store::Known;
use crate::error::Refused;
use crate::frame::header::{EARLY, FUTURE};
use crate::frame::{Class, Header, Job, Sealed};
use crate::identity::NodeId;
use crate::time::WallMs;

/// Most bytes of one message on a link.
pub const MAX_MESSAGE: usize = 300 * 1024;

/// Verdict of the gate.
#[derive(Clone, Debug)]
pub enum Checked {
    /// Nothing in it is new.
    Duplicate,
    /// Not taken; the state is unchanged.
    Refused(Refused),
    /// Worth the signature check: run [`crate::frame::verify`], on any thread.
    Verify(Box<Job>),
}

/// Checks everything but the signature, for the node `me`.
#[must_use]
pub fn check(
    settings: &Settings,
    store: &Store,
    me: &NodeId,
    wall: WallMs,
    bytes: &Bytes,
) -> Checked {
    match try_check(settings, store, me, wall, bytes) {
        Ok(Some(job)) => Checked::Verify(Box::new(job)),
        Ok(None) => Checked::Duplicate,
        Err(why) => Checked::Refused(why),
    }
}

fn try_check(
    settings: &Settings,
    store: &Store,
    me: &NodeId,
    wall: WallMs,
    bytes: &Bytes,
) -> Result<Option<Job>, Refused> {
    if bytes.len() > MAX_MESSAGE {
        return Err(Refused::Oversize);
    }
    let sealed = Sealed::read(bytes, &settings.genesis.limits)?;
    let fields = &sealed.header().fields;
    if fields.class != Class::Cell {
        return Err(Refused::Scope);
    }
    if !settings.admission.admits(&fields.author) {
        return Err(Refused::NotAdmitted);
    }
    if lead(fields, me, wall) == Lead::Future {
        return Err(Refused::Future);
    }
    Ok(match store.knows(&sealed)? {
        Known::Duplicate => None,
        Known::Header(header) => Some(Job::new(sealed, settings.mesh).with_known_header(&header)),
        Known::Nothing => Some(Job::new(sealed, settings.mesh)),
    })
}

/// How far a stamp lies ahead of mesh time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lead {
    /// At most 500 ms: merged at once.
    Due,
    /// At most 5 s: held until it is due.
    Early,
    /// More: forgotten.
    Future,
}

/// Judges the latest stamp of a frame. What the node `me` signed itself is never early: if its
/// clock was set back, its own records still come back from peers.
#[must_use]
pub fn lead(fields: &Header, me: &NodeId, wall: WallMs) -> Lead {
    match fields.hlc_max.ahead_of(wall) {
        _ if fields.author == *me => Lead::Due,
        ahead if ahead <= EARLY => Lead::Due,
        ahead if ahead <= FUTURE => Lead::Early,
        _ => Lead::Future,
    }
}

/// What a refused message says about the peer that sent it: an honest node forwards only what it
/// verified, so forged, altered or malformed bytes are the sender's own. Being early, full or out
/// of date is nobody's fault, and allowlists differ while they are rolled out.
#[must_use]
pub const fn blame(why: Refused) -> f32 {
    match why {
        Refused::Signature | Refused::Root => 0.25,
        Refused::Truncated | Refused::Oversize | Refused::Malformed | Refused::Session => 0.1,
        Refused::SlotLimit => 0.05,
        _ => 0.0,
    }
}
