//! Links come and go.

use super::{Node, NodeId, Now, Phase};
use crate::identity::{Incarnation, PeerIx};
use crate::links::Link;
use crate::messages::{Close, Lane, Message, Sink};
use crate::peer_registry::PeerInfo;

impl Node {
    pub(super) fn on_link_up(
        &mut self,
        now: Now,
        node: NodeId,
        chosen: bool,
        sink: &mut impl Sink,
    ) {
        self.membership.dial_ended(&node);
        let Some(peer) = self.known_peer(now, node) else { return };
        if !self.settings.admission.admits(&node) {
            sink.disconnect(peer, Close::Denied);
            return;
        }
        let full = self.gossip.links.len() >= self.settings.max_links;
        if full && !chosen || self.phase == Phase::Left {
            sink.disconnect(peer, Close::Full);
            return;
        }
        if !self.gossip.links.add(Link::new(peer, chosen)) {
            return;
        }
        let (gossip, mut scene) = self.gossip_scene(now, sink);
        gossip.greet(&mut scene, peer);
        if self.recovery.is_some() {
            self.ask_for_own(now, peer);
            sink.send(&[peer], Lane::Control, &Message::Recover);
        }
        self.membership.care_soon(now.mono);
        let (membership, mut scene) = self.membership_scene(now, sink);
        if let Some(surplus) = membership.surplus(&mut scene, peer) {
            self.gossip.links.remove(surplus);
            self.gossip.forget_session(surplus);
            sink.disconnect(surplus, Close::Rotated);
        }
    }

    /// The peer's index; a stranger gets one for as long as its link stands.
    fn known_peer(&mut self, now: Now, node: NodeId) -> Option<PeerIx> {
        if let Some(peer) = self.registry.by_id(&node) {
            return Some(peer);
        }
        let stranger = PeerInfo {
            id: node,
            addresses: Vec::new(),
            region: String::new(),
            zone: String::new(),
            incarnation: Incarnation(0),
        };
        self.registry.register(stranger, now.mono).ok()
    }

    pub(super) fn on_link_down(&mut self, now: Now, peer: PeerIx) {
        self.gossip.links.remove(peer);
        self.gossip.forget_session(peer);
        if let Some(recovery) = &mut self.recovery {
            recovery.forget(peer);
        }
        let stranger = self.registry.get(peer).is_some_and(|p| p.incarnation.0 == 0);
        if stranger {
            self.registry.deregister(peer);
        }
        self.membership.care_soon(now.mono);
    }

    /// The next regular look at the links chooses somebody else: a partition must not become a
    /// storm of dials.
    pub(super) fn on_dial_failed(&mut self, node: &NodeId) {
        self.membership.dial_ended(node);
    }
}
