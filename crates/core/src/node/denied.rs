//! What the operator made void: a node for ever, or what it was up to some start of its process. No
//! records of it are taken, wherever they come from, and what was known is dropped whole, so that
//! replicas agree again whatever each of them had heard before it heard of the denial.
//!
//! ```text
//!   for ever              links end, no membership, no records; the node itself: Phase::Denied
//!   up to an incarnation  forgotten; a process that still runs starts a higher one, empty
//! ```

use super::{Node, NodeId, Phase};
use crate::admission::Denial;
use crate::error::{Refused, WriteError};
use crate::frame::{Header, Slot};
use crate::identity::Incarnation;
use crate::messages::{Close, Sink};
use crate::telemetry::Event;

impl Node {
    /// Whether the operator denied `node` for ever.
    #[must_use]
    pub fn is_denied(&self, node: &NodeId) -> bool {
        self.membership.is_denied(node)
    }

    /// Why what this header signs is not taken, if the operator said so.
    pub(super) fn made_void(&self, fields: &Header) -> Option<Refused> {
        let void = self.membership.voids(&fields.author, fields.incarnation);
        let why = || match self.is_denied(&fields.author) {
            true => Refused::NotAdmitted,
            false => Refused::Floored,
        };
        void.then(why)
    }

    pub(super) fn on_denied(&mut self, node: &NodeId, up_to: Incarnation, sink: &mut impl Sink) {
        if !self.membership.deny(node, up_to) {
            return;
        }
        let for_ever = up_to == Denial::FOR_EVER;
        let (denied, forgotten) = (Event::Denied(*node), Event::Forgotten(*node, up_to));
        sink.emit(if for_ever { denied } else { forgotten });
        if *node == self.id() {
            self.own_node_denied(up_to, sink);
            return;
        }
        self.forget_held(node);
        self.store.drop_up_to(node, up_to, &mut |family, key| sink.changed(family, key));
        if for_ever || self.store.record(node, Slot::MEMBER).is_none() {
            let why = if for_ever { Close::Denied } else { Close::Rotated };
            if self.forget_member(node, why, sink) && !for_ever {
                sink.emit(Event::MemberLeft(*node));
            }
        }
        self.membership.suspicions_changed();
    }

    fn own_node_denied(&mut self, up_to: Incarnation, sink: &mut impl Sink) {
        if up_to == Denial::FOR_EVER {
            self.recovery = None;
            self.phase = Phase::Denied;
            self.refuse_waiting(&WriteError::Denied, sink);
            let links: Vec<_> = self.linked().collect();
            links.into_iter().for_each(|peer| self.end_link(peer, Close::Denied, sink));
            return;
        }
        let me = self.id();
        self.store.drop_up_to(&me, up_to, &mut |family, key| sink.changed(family, key));
        if self.writer.as_ref().is_some_and(|writer| writer.incarnation() <= up_to) {
            self.start_above(up_to);
        }
    }
}
