//! What one link may cost. A question of a few bytes can be worth megabytes of records, so each
//! link pays for answers with time: it may be one second in debt, and more is not answered.
//!
//! ```text
//!   question --> grants? --yes--> answer --> charge: debt += price      debt falls by 1 s a second
//!                   `----no---> passed over, or "busy"
//! ```
//!
//! An honest peer asks again later, or asks somebody else. Only links in debt take memory.

use core::time::Duration;

use super::Gossip;
use crate::identity::PeerIx;
use crate::time::Time;

/// Debt from which on a link gets nothing more.
const CREDIT: Duration = Duration::from_secs(1);
/// Price of a session: four a second.
pub(super) const SESSION: Duration = Duration::from_millis(250);
/// Price of all own records: a node that lost its state asks every 5 s.
pub(crate) const RECOVERY: Duration = Duration::from_secs(5);
/// Bytes of frames and references that a link gets a second.
const BYTES_A_SECOND: u64 = 4 * 1024 * 1024;

/// What a peer asks for; each has a debt of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ask {
    /// A session, whoever starts it: the peer can make this node start one.
    Session,
    /// Frames by their names, or the names of what it lacks.
    Frames,
    /// All of its own records.
    Recovery,
}

/// The links in debt.
#[derive(Debug, Default)]
pub(super) struct Debts(Vec<Debt>);

#[derive(Debug)]
struct Debt {
    peer: PeerIx,
    paid_at: [Time; 3],
}

impl Debts {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A link without debt takes no memory.
    pub(super) fn expire(&mut self, now: Time) {
        self.0.retain(|debt| debt.paid_at.iter().any(|at| *at > now));
    }
}

/// Price of `len` bytes.
pub(super) fn price_of(len: usize) -> Duration {
    Duration::from_nanos(len as u64 * (1_000_000_000 / BYTES_A_SECOND))
}

impl Gossip {
    /// Whether the link with `peer` may have an answer now.
    pub(crate) fn grants(&self, peer: PeerIx, ask: Ask, now: Time) -> bool {
        let debts = self.sessions.iter().flat_map(|sessions| &sessions.debts.0);
        let mut of_peer = debts.filter(|debt| debt.peer == peer);
        of_peer.all(|debt| debt.paid_at[ask as usize].since(now) < CREDIT)
    }

    /// The link with `peer` got something worth `price`.
    pub(crate) fn charge(&mut self, peer: PeerIx, ask: Ask, price: Duration, now: Time) {
        if self.links.get(peer).is_none() {
            return;
        }
        let debts = &mut self.sessions.get_or_insert_default().debts.0;
        let at = debts.iter().position(|debt| debt.peer == peer).unwrap_or_else(|| {
            debts.push(Debt { peer, paid_at: [now; 3] });
            debts.len() - 1
        });
        let paid_at = &mut debts[at].paid_at[ask as usize];
        *paid_at = (*paid_at).max(now) + price;
    }

    /// The index will name another peer.
    pub fn forget_debt(&mut self, peer: PeerIx) {
        if let Some(sessions) = &mut self.sessions {
            sessions.debts.0.retain(|debt| debt.peer != peer);
        }
    }
}
