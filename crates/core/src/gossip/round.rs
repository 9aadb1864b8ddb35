//! One round: the own root to `fanout` random links. What comes back decides the rest.

use super::allowance::{Ask, price_of};
use super::{CALM, Gossip, MAX_BACK_OFF, MAX_STRAIN, RELIEF, Scene, convergence};
use crate::config::Lanes;
use crate::crdt::store::EntryIx;
use crate::frame::{Class, FrameRef};
use crate::identity::PeerIx;
use crate::links;
use crate::messages::{Digest, Lane, MAX_REFS, Message, Sink};
use crate::telemetry::Event;

/// Unequal digests in a row after which a session starts.
const PATIENCE: u8 = 2;
/// One round in so many may go to distrusted peers, and one session in so many may be theirs, or
/// nobody would ever recover.
pub(super) const PROBE_EVERY: u32 = 16;

impl Gossip {
    /// Runs what is due.
    pub fn on_timeout<S: Sink>(&mut self, scene: &mut Scene<'_, S>) {
        self.expire_sessions(scene.now.mono);
        if scene.now.mono >= self.next_round {
            self.round(scene);
        }
    }

    fn round<S: Sink>(&mut self, scene: &mut Scene<'_, S>) {
        let late = scene.now.mono.since(self.next_round) > scene.settings.interval / 8;
        self.strain = if late {
            (self.strain + RELIEF).min(MAX_STRAIN * RELIEF)
        } else {
            self.strain - self.doublings()
        };
        self.calm = match (self.changed, self.is_contradicted(scene)) {
            (true, _) => self.calm.min(CALM),
            (false, false) => (self.calm + 1).min(CALM + MAX_BACK_OFF),
            (false, true) => 0,
        };
        self.changed = false;
        let whole = self.effective_interval(scene.settings);
        // A tenth of jitter keeps nodes from falling into step.
        self.next_round = scene.now.mono + whole - scene.rng.part_of(whole / 10);
        self.forget_old_roots_of_links(scene);

        let to = self.partners(scene);
        scene.counters.rounds += 1;
        if !to.is_empty() {
            let digest = self.digest(scene, false);
            scene.sink.send(&to, Lane::Digest, &Message::Digest(digest));
        }
        scene.sink.emit(Event::Round { links: to.len() as u32 });
    }

    /// The links of this round. Two in three are drawn from those that are not known to hold what
    /// this node holds, one in three from all: who lacks something, or has something else, is met
    /// soon, and who claims to is not met alone.
    fn partners<S: Sink>(&mut self, scene: &mut Scene<'_, S>) -> Vec<PeerIx> {
        let mine = links::tag(self.current_root(scene.store, scene.now.mono).tag());
        let tick = convergence::tick(scene.now.mono, scene.settings);
        let probe = scene.rng.below(PROBE_EVERY) == 0;
        let (mut open, mut rest) = (Vec::new(), Vec::new());
        for link in self.links.iter().filter(|link| probe || !link.distrusted()) {
            let agrees = link.heard_within(links::MAX_TICKS, tick) == Some(mine);
            if agrees { &mut rest } else { &mut open }.push(link.peer);
        }
        let fanout = scene.settings.fanout;
        let mut to = Vec::with_capacity(fanout);
        scene.rng.sample(&open, fanout - fanout / 3, &mut to);
        rest.extend(open.iter().filter(|peer| !to.contains(peer)));
        let more = fanout - to.len();
        scene.rng.sample(&rest, more, &mut to);
        to
    }

    fn digest<S: Sink>(&mut self, scene: &mut Scene<'_, S>, reply: bool) -> Digest {
        let root = self.current_root(scene.store, scene.now.mono);
        let count = scene.store.len() as u32;
        Digest { class: Class::Cell, reply, root, count, wall: scene.now.wall }
    }

    /// A link of its own choice came up: this node says what it has, the peer answers if it has
    /// something else.
    pub fn greet<S: Sink>(&mut self, scene: &mut Scene<'_, S>, peer: PeerIx) {
        let digest = self.digest(scene, false);
        scene.send(peer, Lane::Digest, &Message::Digest(digest));
    }

    /// A peer says what it has.
    pub fn on_digest<S: Sink>(&mut self, scene: &mut Scene<'_, S>, from: PeerIx, theirs: &Digest) {
        scene.counters.digests = scene.counters.digests.saturating_add(1);
        let mine = self.current_root(scene.store, scene.now.mono);
        let tick = convergence::tick(scene.now.mono, scene.settings);
        let Some(link) = self.links.get_mut(from) else { return };
        let first = !link.ever_heard();
        link.hear(&theirs.root, tick);
        if theirs.root == mine {
            link.forget_unequal();
            return;
        }
        let grace = Self::grace(scene.settings);
        if let Some(lacking) = self.changes_since(&theirs.root, grace, scene.now.mono) {
            if self.grants(from, Ask::Frames, scene.now.mono) {
                self.offer(scene, from, &lacking);
            }
            return;
        }
        let Some(link) = self.links.get_mut(from) else { return };
        let unequal = link.count_unequal();
        let chosen = link.chosen();
        if unequal >= PATIENCE || scene.settings.lanes == Lanes::Repair {
            // Probably this node is behind, and the tree does not help: it asks others too.
            self.wake(scene);
        }
        let patience = if first && chosen { 1 } else { PATIENCE };
        if unequal >= patience && self.start_session(scene, from) {
            return;
        }
        let (now, interval) = (scene.now.mono, scene.settings.interval);
        if !theirs.reply && !self.in_session_with(from, now, interval) {
            let digest = self.digest(scene, true);
            scene.send(from, Lane::Digest, &Message::Digest(digest));
        }
    }

    /// Tells a peer that is behind which frames it lacks; what has no frame is sent.
    fn offer<S: Sink>(&mut self, scene: &mut Scene<'_, S>, to: PeerIx, lacking: &[EntryIx]) {
        let mut refs: Vec<FrameRef> =
            lacking.iter().filter_map(|&entry| scene.store.frame_ref(entry)).collect();
        refs.sort_unstable_by_key(|r| (r.author, r.incarnation, r.seq_lo, r.tag));
        refs.dedup();
        for part in refs.chunks(MAX_REFS) {
            scene.send(to, Lane::Control, &Message::Have(part.to_vec()));
        }
        let mut price = price_of(size_of::<FrameRef>() * refs.len());
        let markers: Vec<EntryIx> =
            lacking.iter().filter(|&&e| scene.store.frame_ref(e).is_none()).copied().collect();
        if !markers.is_empty() {
            let repair = scene.store.export(&markers, super::eager::MAX_REPAIR);
            price += price_of(repair.len);
            scene.send_signed(to, Lane::Bulk, repair.messages);
        }
        if !price.is_zero() {
            self.charge(to, Ask::Frames, price, scene.now.mono);
        }
    }
}
