//! What a node hears and tells about admission: used tokens, denied nodes and certified facts go to
//! every link as soon as they are known, and a fresh link compares what both ends know.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use knhk_mesh_core::error::Refused;
use knhk_mesh_core::identity::{Incarnation, NodeId, PeerIx};
use knhk_mesh_core::messages::{Input, Lane};
use tokio::time::Instant;

use super::NodeTask;

/// A peer is told everything at most so often, however often it asks.
const TELL_AGAIN: Duration = Duration::from_secs(10);
/// Everything may be more than a lane holds, so each telling begins so many messages further on;
/// a free lane holds more of them.
const FURTHER_ON: usize = 7;

/// With whom was compared what both ends know.
#[derive(Default)]
pub(crate) struct Compared {
    /// Peers that were told everything: when last, and how often.
    told: HashMap<PeerIx, (Instant, usize)>,
    /// Which link was asked last.
    last: usize,
}

impl NodeTask {
    /// A peer said something about admission.
    pub(super) fn notices(&mut self, via: PeerIx, message: &Bytes) {
        if !self.node.pays(self.clock.now(), via, message.len()) {
            return self.input(Input::Refused(via, Refused::Rate));
        }
        let now = Instant::now();
        let lately = |(last, _): (Instant, usize)| now < last + TELL_AGAIN;
        let told = self.compared.told.get(&via).copied();
        match self.trust.heard(message, !told.is_some_and(lately)) {
            Ok(answer) if answer.is_empty() => {}
            Ok(mut answer) => {
                let times = told.map_or(0, |(_, times)| times.wrapping_add(1));
                let node = &self.node;
                self.compared.told.retain(|peer, told| node.has_link(*peer) || lately(*told));
                self.compared.told.insert(via, (now, times));
                // The last is the own summary, which asks for an answer to all of it.
                if let Some((_, pieces)) = answer.split_last_mut() {
                    let first = times.wrapping_mul(FURTHER_ON) % pieces.len().max(1);
                    pieces.rotate_left(first);
                }
                for message in answer {
                    // A full lane: the next link compares again.
                    let _ = self.effects.links.send(via, Lane::Bulk, message);
                }
            }
            Err(why) => self.input(Input::Refused(via, why)),
        }
    }

    /// Compares with one link after the other what both ends know: what a full lane or a broken
    /// link has lost comes by this.
    pub(super) fn compare_notices(&mut self) {
        let linked: Vec<PeerIx> = self.node.linked().collect();
        if linked.is_empty() || !self.trust.knows_something() {
            return;
        }
        let next = (self.compared.last + 1) % linked.len();
        self.compared.last = next;
        if let Some(summary) = self.trust.summary() {
            let _ = self.effects.links.send(linked[next], Lane::Bulk, summary);
        }
    }

    /// Does and passes on what is new.
    pub(super) fn spread_news(&mut self) {
        let (voids, messages) = self.trust.take_news();
        for peer in self.node.linked().collect::<Vec<_>>() {
            for message in &messages {
                let _ = self.effects.links.send(peer, Lane::Bulk, message.clone());
            }
        }
        for (node, up_to) in voids {
            self.make_void(node, up_to);
        }
    }

    /// Does what a denial says.
    pub(super) fn make_void(&mut self, node: NodeId, up_to: Incarnation) {
        self.input(Input::Denied(node, up_to));
        if self.node.is_denied(&self.node.id()) {
            self.effects.dialler.end();
        }
    }
}
