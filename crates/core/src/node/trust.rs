//! What a peer may cost this node, and what it has earned. Reputation is this node's own view and
//! never leaves it: it falls with what is provably the sender's own fault and with what goes on
//! beyond its budgets, it mends with time, and without any the link ends.

use core::time::Duration;

use super::intake::Held;
use super::{Node, Now};
use crate::error::Refused;
use crate::frame::FrameRef;
use crate::identity::PeerIx;
use crate::messages::{Close, Input, Lane, Message, Ranges, Sink};
use crate::security::{
    self,
    budget::{Budgets, Excess, Work, is_paid},
    ledger::Ledger,
};
use crate::telemetry::Event;
use crate::time::Time;

/// Blame for a second beyond the budgets: five of them, and a peer is not chosen any more.
const EXCESS: f32 = 0.1;
/// Reputations mend by [`MENDED`] so often: from nothing to 0.75 in ten minutes.
pub(super) const MEND_EVERY: Duration = Duration::from_secs(10);
pub(super) const MENDED: f32 = 0.0125;

/// What a node seldom has at its door; until then it costs a pointer.
#[derive(Default)]
pub(super) struct Guard {
    /// Frames that wait for their time, at most one an author.
    pub(super) held: Vec<Held>,
    pub(super) budgets: Budgets,
    /// What reputations that are not whole consist of.
    pub(super) ledger: Ledger,
    /// When reputations are mended next; none while all are whole.
    pub(super) mends_at: Option<Time>,
}

impl Guard {
    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.held.iter().map(|held| held.due).chain(self.mends_at).min()
    }

    fn is_empty(&self) -> bool {
        let whole = self.mends_at.is_none() && self.ledger.is_empty();
        self.held.is_empty() && self.budgets.is_empty() && whole
    }
}

impl Node {
    pub(super) fn drop_empty_guard(&mut self) {
        self.guard.take_if(|guard| guard.is_empty());
    }

    /// Whether `peer` has tokens left for `work`.
    pub(super) fn allows(&self, peer: PeerIx, work: Work, now: Now) -> bool {
        self.guard.as_ref().is_none_or(|guard| guard.budgets.allows(peer, work, now.mono))
    }

    /// Whether a message may be worked on, which is then paid for. A signed one passed the gate,
    /// where this was asked before its signature was checked.
    pub(super) fn has_tokens(&mut self, now: Now, via: PeerIx, input: &Input<'_>) -> bool {
        let (work, len) = match input {
            Input::Control(_, message) => (Some(Work::Control), weight(message)),
            Input::Verified(_, lane, message) => (Some(signed(*lane)), message.bytes().len()),
            Input::Duplicate(_, lane, bytes) => (Some(signed(*lane)), bytes.len()),
            Input::Refused(_, Refused::Rate) => return true,
            _ => (None, 0),
        };
        if work == Some(Work::Control) && !self.allows(via, Work::Control, now) {
            return false;
        }
        self.charge(now, via, work, len);
        true
    }

    /// Whether a message of `len` bytes that the shell works on itself is paid for by `via`. If it
    /// is not, it is to be left unread, and the node told by [`Input::Refused`] with
    /// [`Refused::Rate`].
    pub fn pays(&mut self, now: Now, via: PeerIx, len: usize) -> bool {
        let pays = self.allows(via, Work::Control, now);
        if pays {
            self.charge(now, via, Some(Work::Control), len);
        }
        pays
    }

    fn charge(&mut self, now: Now, via: PeerIx, work: Option<Work>, len: usize) {
        let (heard, rate) = (self.pace.hear(now.mono), self.settings.rate_limit_per_peer);
        if heard == 1
            && let Some(guard) = &mut self.guard
        {
            guard.budgets.expire(now.mono);
            self.drop_empty_guard();
        }
        if self.guard.as_ref().is_some_and(|guard| guard.budgets.knows(via))
            || is_paid(heard, len, rate)
        {
            let guard = self.guard.get_or_insert_default();
            guard.budgets.charge(via, work, len, rate, now.mono);
        }
    }

    /// Counts a refusal, and lowers the sender's reputation if it is its own fault.
    pub(super) fn on_refused(&mut self, now: Now, via: PeerIx, why: Refused, sink: &mut impl Sink) {
        self.counters.refuse(why);
        sink.emit(Event::Refused(why));
        let excess = match why {
            Refused::Rate => match &mut self.guard {
                Some(guard) => guard.budgets.exceeded(via, now.mono),
                None => Excess::Counted,
            },
            _ => Excess::Counted,
        };
        let blame = if excess == Excess::Counted { security::blame(why) } else { EXCESS };
        if blame <= 0.0 {
            return;
        }
        let before = self.registry.get(via).map_or(1.0, |peer| peer.reputation);
        let Some(reputation) = self.registry.update_reputation(via, -blame) else { return };
        let guard = self.guard.get_or_insert_default();
        guard.ledger.note(via, why, before - reputation, now.mono);
        guard.mends_at.get_or_insert(now.mono + MEND_EVERY);
        if let Some(link) = self.gossip.links.get_mut(via) {
            link.set_distrusted(reputation < self.settings.byzantine_threshold);
        }
        if (excess == Excess::Out || reputation <= 0.0)
            && let Some(node) = self.registry.get(via).map(|peer| peer.id)
            && self.gossip.links.get(via).is_some()
        {
            guard.budgets.bar(node, now.mono);
            self.end_link(via, Close::Protocol, sink);
        }
    }

    /// Who does nothing wrong any more is trusted again after a while.
    pub(super) fn mend_reputations(&mut self, now: Now) {
        let Some(guard) = &mut self.guard else { return };
        if guard.mends_at.is_none_or(|at| now.mono < at) {
            return;
        }
        let mended = self.registry.mend(MENDED);
        guard.mends_at = (!mended.is_empty()).then_some(now.mono + MEND_EVERY);
        let registry = &self.registry;
        guard.ledger.retain(|peer| registry.get(peer).is_some_and(|peer| peer.reputation < 1.0));
        for (peer, reputation) in mended {
            if let Some(link) = self.gossip.links.get_mut(peer) {
                link.set_distrusted(reputation < self.settings.byzantine_threshold);
            }
        }
        self.drop_empty_guard();
    }
}

/// What a signed message is that came by `lane`.
pub(super) const fn signed(lane: Lane) -> Work {
    if matches!(lane, Lane::Bulk) { Work::Repair } else { Work::Push }
}

/// About as many bytes as a control message has.
fn weight(message: &Message) -> usize {
    match message {
        Message::Have(refs) | Message::Want(refs) => refs.len() * size_of::<FrameRef>(),
        Message::Ranges(ranges) => ranges.ranges.len() * (Ranges::MAX_LEN / Ranges::MAX_RANGES),
        _ => 64,
    }
}
