//! Nodes that the operator denied: no links, no membership, and no records, wherever those come
//! from. What was known of them is dropped whole, so that replicas agree again whatever each of
//! them had heard before it heard of the denial.

use super::{Node, NodeId, Phase};
use crate::error::WriteError;
use crate::messages::{Close, Sink};
use crate::telemetry::Event;

impl Node {
    /// Whether the operator denied `node`.
    #[must_use]
    pub fn is_denied(&self, node: &NodeId) -> bool {
        self.membership.is_denied(node)
    }

    pub(super) fn on_denied(&mut self, node: &NodeId, sink: &mut impl Sink) {
        if !self.membership.deny(node) {
            return;
        }
        sink.emit(Event::Denied(*node));
        if *node == self.id() {
            self.recovery = None;
            self.phase = Phase::Denied;
            self.refuse_waiting(&WriteError::Denied, sink);
            let links: Vec<_> = self.linked().collect();
            links.into_iter().for_each(|peer| self.end_link(peer, Close::Denied, sink));
            return;
        }
        self.forget_held(node);
        self.forget_member(node, Close::Denied, sink);
        self.store.drop_author(node, &mut |family, key| sink.changed(family, key));
    }
}
