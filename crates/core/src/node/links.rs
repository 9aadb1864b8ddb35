//! Links come and go.

use super::{Node, NodeId, Now, Phase};
use crate::frame::Slot;
use crate::identity::{Incarnation, PeerIx};
use crate::links::Link;
use crate::membership::Member;
use crate::messages::{Close, Sink};
use crate::peer_registry::PeerInfo;
use crate::telemetry::Event;

impl Node {
    pub(super) fn on_link_up(
        &mut self,
        now: Now,
        node: NodeId,
        chosen: bool,
        sink: &mut impl Sink,
    ) {
        let asked_for = self.membership.dial_answered(&node, now.mono);
        let is_seed = chosen && !asked_for;
        let was_listed = self.registry.by_id(&node).is_some();
        let Some(peer) = self.known_peer(now, node) else { return };
        let is_member = self.registry.get(peer).is_some_and(|view| view.incarnation.0 > 0);
        if is_member && !was_listed {
            sink.emit(Event::MemberJoined(node));
            self.membership.suspicions_changed();
        }
        let admitted = self.settings.admission.admits(&node) && !self.is_denied(&node);
        if !admitted || self.store.is_convicted(&node) {
            sink.disconnect(peer, Close::Denied);
            return;
        }
        if self.gossip.links.get(peer).is_some() {
            // It dialled first.
            if is_seed && let Some(recovery) = &mut self.recovery {
                recovery.is_seed(&node);
            }
            return;
        }
        if self.guard.as_ref().is_some_and(|guard| guard.budgets.is_barred(&node, now.mono)) {
            sink.disconnect(peer, Close::Protocol);
            return;
        }
        let gone = matches!(self.phase, Phase::Left | Phase::KeyInUse);
        if gone || !self.has_room(chosen, sink) {
            sink.disconnect(peer, Close::Full);
            return;
        }
        let mut link = Link::new(peer, chosen);
        let usual = self.settings.wanted_links();
        link.set_eager(self.membership.tree_has_room(self.gossip.links.eager(), usual));
        self.gossip.links.add(link);
        let (membership, mut scene) = self.membership_scene(now, sink);
        membership.link_up(&mut scene, peer);
        if chosen {
            let (gossip, mut scene) = self.gossip_scene(now, sink);
            gossip.greet(&mut scene, peer);
        }
        if self.recovery.is_some() {
            self.ask_for_own(now, peer, node, is_seed, sink);
        }
        self.membership.care_soon(now.mono);
        let (membership, mut scene) = self.membership_scene(now, sink);
        if let Some(surplus) = membership.surplus(&mut scene, peer) {
            self.end_link(surplus, Close::Rotated, sink);
        }
    }

    /// Whether one more link fits. One of the own choice goes before one that others chose: who
    /// fills all places of a node must not cut it off.
    fn has_room(&mut self, chosen: bool, sink: &mut impl Sink) -> bool {
        let links = &self.gossip.links;
        if links.len() < self.settings.most_links() {
            return true;
        }
        let accepted: Vec<PeerIx> =
            links.iter().filter(|link| chosen && !link.chosen()).map(|link| link.peer).collect();
        let Some(count) = u32::try_from(accepted.len()).ok().filter(|&n| n > 0) else {
            return false;
        };
        let out = accepted[self.rng.below(count) as usize];
        self.end_link(out, Close::Full, sink);
        true
    }

    /// Ends a link from this side; the driver tells when it is down.
    pub(super) fn end_link(&mut self, peer: PeerIx, why: Close, sink: &mut impl Sink) {
        self.forget_link(peer);
        sink.disconnect(peer, why);
    }

    fn forget_link(&mut self, peer: PeerIx) {
        self.gossip.links.remove(peer);
        self.membership.link_down(peer);
        self.gossip.forget_session(peer);
        if let Some(recovery) = &mut self.recovery {
            recovery.forget(peer);
        }
    }

    /// A member is none any more: its link ends and its place in the directory is free.
    pub(super) fn forget_member(
        &mut self,
        node: &NodeId,
        why: Close,
        sink: &mut impl Sink,
    ) -> bool {
        if let Some(peer) = self.registry.by_id(node) {
            if self.gossip.links.get(peer).is_some() {
                self.end_link(peer, why, sink);
            }
            self.forget_accounts(peer);
        }
        self.registry.forget(node)
    }

    /// What a peer may still ask for outlives its links, or it would begin anew with each; it goes
    /// with the index.
    fn forget_accounts(&mut self, peer: PeerIx) {
        self.gossip.forget_debt(peer);
        if let Some(guard) = &mut self.guard {
            guard.budgets.forget(peer);
        }
    }

    /// The peer's index; a stranger gets one for as long as its link stands.
    fn known_peer(&mut self, now: Now, node: NodeId) -> Option<PeerIx> {
        if let Some(peer) = self.registry.by_id(&node) {
            return Some(peer);
        }
        let info = self.lost_member(&node).unwrap_or_else(|| PeerInfo {
            id: node,
            addresses: Vec::new(),
            region: String::new(),
            zone: String::new(),
            incarnation: Incarnation(0),
        });
        self.registry.register(info, now.mono).ok()
    }

    /// What is known about a member that was lost and is back: it is no stranger.
    fn lost_member(&self, node: &NodeId) -> Option<PeerInfo> {
        let record = self.store.record(node, Slot::MEMBER);
        let member = record.as_ref().and_then(|record| Member::decode(record.record.payload).ok());
        let member = member.filter(|member| !member.left);
        if member.is_none() && !self.registry.is_absent(node) {
            return None;
        }
        let incarnation = record.map_or(Incarnation(1), |record| record.incarnation);
        let (addresses, region, zone) =
            member.map(|m| (m.addresses, m.region, m.zone)).unwrap_or_default();
        Some(PeerInfo { id: *node, addresses, region, zone, incarnation })
    }

    pub(super) fn on_link_down(&mut self, now: Now, peer: PeerIx) {
        self.forget_link(peer);
        let stranger = self.registry.get(peer).is_some_and(|p| p.incarnation.0 == 0);
        if stranger {
            self.forget_accounts(peer);
            self.registry.deregister(peer);
        }
        self.membership.care_soon(now.mono);
    }
}
