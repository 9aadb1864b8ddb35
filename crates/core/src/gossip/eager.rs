//! The tree: a new frame goes on at once over the links that never brought a duplicate. It is
//! not built; it is what pruning leaves (Plumtree).

use super::allowance::{Ask, price_of};
use super::{Gossip, Scene};
use crate::config::Lanes;
use crate::frame::{FrameRef, Verified};
use crate::identity::PeerIx;
use crate::messages::{Lane, Message, Sink};

impl Gossip {
    /// Sends a frame over the tree links, except back where it came from.
    pub fn push<S: Sink>(
        &mut self,
        scene: &mut Scene<'_, S>,
        frame: &Verified,
        from: Option<PeerIx>,
    ) {
        if scene.settings.lanes == Lanes::Repair {
            return;
        }
        let goes = |link: &&crate::links::Link| {
            link.eager() && !link.distrusted() && Some(link.peer) != from
        };
        let to: Vec<PeerIx> = self.links.iter().filter(goes).map(|link| link.peer).collect();
        if !to.is_empty() {
            scene.sink.send(&to, Lane::Delta, &Message::Signed(frame.bytes().clone()));
            scene.counters.forwarded += to.len() as u64;
        }
    }

    /// The link brought something new: it is part of the tree.
    pub fn brought_news(&mut self, from: PeerIx) {
        if let Some(link) = self.links.get_mut(from) {
            link.set_eager(true);
        }
    }

    /// The link brought a frame that was here: it leaves the tree on both sides, unless it is the
    /// last one.
    pub fn brought_duplicate<S: Sink>(&mut self, scene: &mut Scene<'_, S>, from: PeerIx) {
        if scene.settings.lanes == Lanes::Repair || self.links.eager() <= 1 {
            return;
        }
        if let Some(link) = self.links.get_mut(from)
            && link.eager()
        {
            link.set_eager(false);
            scene.send(from, Lane::Control, &Message::Prune);
        }
    }

    /// The peer gets everything from others.
    pub fn on_prune(&mut self, from: PeerIx) {
        if let Some(link) = self.links.get_mut(from) {
            link.set_eager(false);
        }
    }

    /// The peer has frames that this node may lack: asks for those, and makes the link part of the
    /// tree because the tree did not bring them.
    pub fn on_have<S: Sink>(&mut self, scene: &mut Scene<'_, S>, from: PeerIx, refs: &[FrameRef]) {
        let lacking: Vec<FrameRef> =
            refs.iter().filter(|wanted| !scene.store.has_frame(wanted)).copied().collect();
        if !lacking.is_empty() {
            self.wake(scene);
            self.brought_news(from);
            scene.send(from, Lane::Control, &Message::Want(lacking));
        }
    }

    /// The peer lacks frames: it gets what is left of them, and becomes part of the tree.
    pub fn on_want<S: Sink>(&mut self, scene: &mut Scene<'_, S>, from: PeerIx, refs: &[FrameRef]) {
        self.brought_news(from);
        if !self.grants(from, Ask::Frames, scene.now.mono) {
            return;
        }
        // Named twice, a frame costs no more.
        let mut refs = refs.to_vec();
        refs.sort_unstable_by_key(|r| (r.author, r.incarnation, r.seq_lo, r.tag));
        refs.dedup();
        let entries: Vec<_> = refs.iter().flat_map(|r| scene.store.entries_of_frame(r)).collect();
        let repair = scene.store.export(&entries, MAX_REPAIR);
        if repair.len > 0 {
            self.charge(from, Ask::Frames, price_of(repair.len), scene.now.mono);
        }
        scene.send_signed(from, Lane::Delta, repair.messages);
    }
}

/// Most bytes that answer one message.
pub(super) const MAX_REPAIR: usize = 256 * 1024;
