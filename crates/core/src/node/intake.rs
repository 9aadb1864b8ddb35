//! What comes in verified: merged, told to watchers, sent on.

use super::trust::Guard;
use super::{Node, NodeId, Now};
use crate::crdt::store::EntryIx;
use crate::error::Refused;
use crate::frame::{Slot, Tag, Verified};
use crate::identity::{Incarnation, PeerIx};
use crate::membership::Member;
use crate::messages::{Close, Lane, Message, Sink};
use crate::peer_registry::PeerInfo;
use crate::security::{self, Lead};
use crate::telemetry::Event;
use crate::time::Time;

/// Most frames that wait for their time, at most one an author.
pub(super) const MAX_HELD: usize = 256;

/// A frame from up to 5 s ahead of mesh time.
pub(super) struct Held {
    pub(super) due: Time,
    via: PeerIx,
    lane: Lane,
    message: Verified,
}

impl Node {
    pub(super) fn on_verified(
        &mut self,
        now: Now,
        via: PeerIx,
        lane: Lane,
        message: &Verified,
        sink: &mut impl Sink,
    ) {
        self.counters.copies += message.leaves().len() as u64;
        let fields = &message.header().fields;
        // It may have been on its way through the signature check when the denial came.
        if let Some(why) = self.made_void(fields) {
            self.on_refused(now, via, why, sink);
            return;
        }
        let wall = self.mesh_time(now);
        match security::lead(fields, &self.id(), wall) {
            Lead::Due => self.merge(now, via, lane, message, sink),
            Lead::Early if self.may_hold(&fields.author) => {
                let wait = fields.hlc_max.ahead_of(wall);
                let wait = wait.saturating_sub(crate::frame::header::EARLY);
                let due = now.mono + wait;
                self.guard.get_or_insert_default().held.push(Held {
                    due,
                    via,
                    lane,
                    message: message.clone(),
                });
            }
            Lead::Early => self.on_refused(now, via, Refused::Early, sink),
            Lead::Future => self.on_refused(now, via, Refused::Future, sink),
        }
    }

    fn may_hold(&self, author: &NodeId) -> bool {
        let known = |held: &Held| held.message.header().fields.author == *author;
        self.guard
            .as_ref()
            .is_none_or(|guard| guard.held.len() < MAX_HELD && !guard.held.iter().any(known))
    }

    /// Forgets what waits of an author that is none any more.
    pub(super) fn forget_held(&mut self, author: &NodeId) {
        if let Some(guard) = &mut self.guard {
            guard.held.retain(|held| held.message.header().fields.author != *author);
        }
        self.drop_empty_guard();
    }

    pub(super) fn release_held(&mut self, now: Now, sink: &mut impl Sink) {
        while let Some(Guard { held, .. }) = self.guard.as_deref_mut()
            && let Some(at) = held.iter().position(|held| held.due <= now.mono)
        {
            let Held { via, lane, message, .. } = held.swap_remove(at);
            self.merge(now, via, lane, &message, sink);
        }
        self.drop_empty_guard();
    }

    fn merge(
        &mut self,
        now: Now,
        via: PeerIx,
        lane: Lane,
        message: &Verified,
        sink: &mut impl Sink,
    ) {
        let mut won = Vec::with_capacity(message.leaves().len() + 1);
        let merged = self.store.merge(message, &mut won, &mut |f, key| sink.changed(f, key));
        if let Some(why) = merged.refused {
            self.on_refused(now, via, why, sink);
            return;
        }
        self.counters.merged += u64::from(merged.won);
        self.counters.stale += u64::from(merged.stale);
        let author = message.header().fields.author;
        if author == self.id() {
            self.own_record_came(now, via, lane, message, sink);
        }
        if won.is_empty() {
            self.on_duplicate_delta(now, via, lane, sink);
            return;
        }
        if author == self.id() {
            self.keep_regained(&won, sink);
        }
        self.after_merge(now, &author, &won, message.header().fields.hlc_max, sink);
        let (gossip, mut scene) = self.gossip_scene(now, sink);
        if lane == Lane::Delta && message.tag() == Tag::Frame && merged.convicted.is_none() {
            gossip.brought_news(via);
            gossip.push(&mut scene, message, Some(via));
        } else if message.tag() == Tag::Conviction {
            gossip.push(&mut scene, message, Some(via));
        }
        if let Some(incarnation) = merged.convicted {
            self.spread_conviction(now, &won, sink);
            sink.emit(Event::Convicted(author, incarnation));
            self.convicted(&author, incarnation, sink);
        }
    }

    /// A fork of `author` came to light, here or elsewhere.
    fn convicted(&mut self, author: &NodeId, incarnation: Incarnation, sink: &mut impl Sink) {
        if *author == self.id() {
            self.own_key_convicted(incarnation, sink);
        } else if self.store.is_convicted(author) {
            self.forget_member(author, Close::Denied, sink);
        }
    }

    /// The state changed: members, clock and rounds follow.
    pub(super) fn after_merge(
        &mut self,
        now: Now,
        author: &NodeId,
        won: &[EntryIx],
        hlc: crate::time::Hlc,
        sink: &mut impl Sink,
    ) {
        let wall = self.mesh_time(now);
        if let Some(writer) = &mut self.writer {
            writer.clock.observe(hlc, wall);
        }
        if self.store.entry_at(author, Slot::MEMBER).is_some_and(|e| won.contains(&e)) {
            self.member_changed(now, author, sink);
            self.membership.spoke(author);
        }
        let listens = self.membership.detector().is_some();
        if listens && self.store.entry_at(author, Slot::MISSING).is_some_and(|e| won.contains(&e)) {
            self.membership.suspicions_changed();
        }
        let (gossip, mut scene) = self.gossip_scene(now, sink);
        gossip.note_changes(&mut scene, won);
    }

    /// Both headers of a fork go over the tree at once: accountability is not left to repair.
    fn spread_conviction(&mut self, now: Now, won: &[EntryIx], sink: &mut impl Sink) {
        let proofs = self.store.export(won, 64 * 1024);
        let (gossip, scene) = self.gossip_scene(now, sink);
        let to: Vec<PeerIx> = gossip.links.iter().filter(|l| l.eager()).map(|l| l.peer).collect();
        for proof in proofs.messages {
            scene.sink.send(&to, Lane::Delta, &Message::Signed(proof));
        }
    }

    fn member_changed(&mut self, now: Now, author: &NodeId, sink: &mut impl Sink) {
        if *author == self.id() {
            return;
        }
        let Some(record) = self.store.record(author, Slot::MEMBER) else { return };
        let incarnation = record.incarnation;
        let Ok(member) = Member::decode(record.record.payload) else { return };
        if member.left {
            if self.forget_member(author, Close::Leaving, sink) {
                sink.emit(Event::MemberLeft(*author));
            }
            return;
        }
        let known = self.registry.by_id(author).and_then(|ix| self.registry.get(ix));
        let is_new = known.is_none_or(|peer| peer.incarnation.0 == 0);
        let Member { region, zone, addresses, .. } = member;
        let info = PeerInfo { id: *author, addresses, region, zone, incarnation };
        if self.registry.register(info, now.mono).is_ok() && is_new {
            sink.emit(Event::MemberJoined(*author));
            self.membership.care_soon(now.mono);
        }
    }

    pub(super) fn on_duplicate(
        &mut self,
        now: Now,
        via: PeerIx,
        lane: Lane,
        bytes: &bytes::Bytes,
        sink: &mut impl Sink,
    ) {
        self.counters.duplicates += 1;
        let count = match Tag::of(bytes) {
            Some(Tag::Frame) => bytes.get(5..7).map_or(0, |c| u16::from_le_bytes([c[0], c[1]])),
            _ => 0,
        };
        self.counters.copies += u64::from(count);
        self.count_recovered(via, lane, bytes);
        self.on_duplicate_delta(now, via, lane, sink);
    }

    fn on_duplicate_delta(&mut self, now: Now, via: PeerIx, lane: Lane, sink: &mut impl Sink) {
        if lane == Lane::Delta {
            let (gossip, mut scene) = self.gossip_scene(now, sink);
            gossip.brought_duplicate(&mut scene, via);
        }
    }
}
