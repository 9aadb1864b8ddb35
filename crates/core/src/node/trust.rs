//! What a peer may cost this node, and what it has earned. Reputation is this node's own view and
//! never leaves it: it falls with what is provably the sender's own fault and with what goes on
//! beyond its budgets, it mends with time, and without any the link ends.

use core::time::Duration;

use super::{Node, Now};
use crate::error::Refused;
use crate::frame::FrameRef;
use crate::identity::PeerIx;
use crate::messages::{Close, Input, Message, Ranges, Sink};
use crate::security::{
    self,
    budget::{Excess, Work},
};
use crate::telemetry::Event;
use crate::time::Time;

/// Blame for a second beyond the budgets: five of them, and a peer is not chosen any more.
const EXCESS: f32 = 0.1;
/// Reputations mend by [`MENDED`] so often: from nothing to 0.75 in ten minutes.
const MEND_EVERY: Duration = Duration::from_secs(10);
const MENDED: f32 = 0.0125;

impl Node {
    /// Whether a message may be worked on, which is then paid for. A signed one passed the gate,
    /// where this was asked before its signature was checked.
    pub(super) fn has_tokens(&mut self, now: Now, via: PeerIx, input: &Input<'_>) -> bool {
        let (work, len) = match input {
            Input::Control(_, message) => (Some(Work::Control), weight(message)),
            Input::Verified(_, lane, message) => (Some(Work::signed(*lane)), message.bytes().len()),
            Input::Duplicate(_, lane, bytes) => (Some(Work::signed(*lane)), bytes.len()),
            Input::Refused(_, Refused::Rate) => return true,
            _ => (None, 0),
        };
        let control = work == Some(Work::Control);
        if control && !self.budgets.allows(via, Work::Control, now.mono) {
            return false;
        }
        self.budgets.charge(via, work, len, self.settings.rate_limit_per_peer, now.mono);
        true
    }

    /// Counts a refusal, and lowers the sender's reputation if it is its own fault.
    pub(super) fn on_refused(&mut self, now: Now, via: PeerIx, why: Refused, sink: &mut impl Sink) {
        self.counters.refuse(why);
        sink.emit(Event::Refused(why));
        let excess = match why {
            Refused::Rate => self.budgets.exceeded(via, now.mono),
            _ => Excess::Counted,
        };
        let blame = if excess == Excess::Counted { security::blame(why) } else { EXCESS };
        if blame <= 0.0 {
            return;
        }
        let Some(reputation) = self.registry.update_reputation(via, -blame) else { return };
        self.mends_at = self.mends_at.min(now.mono + MEND_EVERY);
        self.note_reputation(via, reputation);
        if (excess == Excess::Out || reputation <= 0.0)
            && let Some(node) = self.registry.get(via).map(|peer| peer.id)
            && self.gossip.links.get(via).is_some()
        {
            self.budgets.bar(node, now.mono);
            self.end_link(via, Close::Protocol, sink);
        }
    }

    fn note_reputation(&mut self, peer: PeerIx, reputation: f32) {
        if let Some(link) = self.gossip.links.get_mut(peer) {
            link.set_distrusted(reputation < self.settings.byzantine_threshold);
        }
    }

    /// Who does nothing wrong any more is trusted again after a while.
    pub(super) fn mend_reputations(&mut self, now: Now) {
        if now.mono < self.mends_at {
            return;
        }
        let mended = self.registry.mend(MENDED);
        self.mends_at = if mended.is_empty() { Time(u64::MAX) } else { now.mono + MEND_EVERY };
        for (peer, reputation) in mended {
            self.note_reputation(peer, reputation);
        }
    }
}

/// About as many bytes as a control message has.
fn weight(message: &Message) -> usize {
    match message {
        Message::Have(refs) | Message::Want(refs) => refs.len() * size_of::<FrameRef>(),
        Message::Ranges(ranges) => ranges.ranges.len() * (Ranges::MAX_LEN / Ranges::MAX_RANGES),
        _ => 64,
    }
}
