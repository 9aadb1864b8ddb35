//! How a connection ends: with a code, and for a node that is denied with the proof of it. No link
//! tells it any more, and without it the node would go on as if it were merely alone. Whoever is
//! denied and dials is told at most every 10 s, and refused by TLS in between.
//!
//! ```text
//!   close ── 3, denied; reason: the denial, as a notice ──► heed: checked, kept, obeyed
//! ```

use std::sync::Arc;

use knhk_mesh_core::messages::Close;
use quinn::{Connection, ConnectionError, VarInt};

use super::handshake::chain;
use crate::admission::Trust;

pub(super) fn code(why: Close) -> VarInt {
    VarInt::from_u32(why.code())
}

pub(super) fn close_of(code: VarInt) -> Option<Close> {
    Close::ALL.into_iter().find(|close| u64::from(close.code()) == code.into_inner())
}

/// Ends `connection`, and tells the other end why.
pub(super) fn close(connection: &Connection, why: Close, trust: &Trust) {
    // Of the longest certificate that a committee makes, 0.8 KB, nothing is cut off.
    let proof = match why {
        Close::Denied => chain(connection).map(|chain| trust.denial_of(&chain)),
        _ => None,
    };
    connection.close(code(why), &proof.unwrap_or_default());
}

/// Takes in the proof that the other end gave as its reason, if it closed `connection` with one.
/// Anything else has ended the connection and nothing more.
pub(super) fn heed(connection: &Connection, trust: &Arc<Trust>) {
    if let Some(ConnectionError::ApplicationClosed(end)) = connection.close_reason()
        && close_of(end.error_code) == Some(Close::Denied)
    {
        trust.heed_denial(&end.reason);
    }
}
