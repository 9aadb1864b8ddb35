//! The floor of an author: its signed word that everything of its own below is dead or has been
//! published again. Replicas drop what lies below and never take it again, so nothing dead comes
//! back from a replica that was apart for however long.
//!
//! ```text
//!   look, hourly at most          60 s later
//!   live records --> own chain    floor = the first of them, in the next header
//!   at F = (incarnation, seq)     (a member record, so that there is one)
//! ```
//!
//! The 60 s let the copies arrive where the originals are, so that the floor rarely leaves a gap.

use core::time::Duration;

use super::writer::{Pending, reusable};
use super::{Node, Now, Phase};
use crate::identity::{Incarnation, Seq};
use crate::messages::Sink;
use crate::time::Time;

/// How often an author looks at what it keeps, at most; the first time within that.
const LOOK: Duration = Duration::from_secs(3_600);
/// Between the copies and the floor under them.
const SPREAD: Duration = Duration::from_secs(60);

/// What a writer plans for its floor.
#[derive(Default)]
pub(super) struct Floor {
    look: Option<Time>,
    raise: Option<(Time, Incarnation, Seq)>,
}

impl Floor {
    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.raise.map(|(at, ..)| at).into_iter().chain(self.look).min()
    }
}

impl Node {
    pub(super) fn floor_timeout(&mut self, now: Now, sink: &mut impl Sink) {
        let Some(writer) = self.writer.as_mut().filter(|_| self.phase == Phase::Ready) else {
            return;
        };
        if let Some((_, incarnation, seq)) = writer.floor.raise.take_if(|r| r.0 <= now.mono) {
            if writer.chain.incarnation == incarnation {
                writer.chain.floor = (incarnation, seq);
                self.announce(now, false, sink);
            }
            return;
        }
        let first = writer.floor.look.is_none();
        if !first && writer.floor.look > Some(now.mono) {
            return;
        }
        let wait = if first { Duration::ZERO } else { LOOK };
        writer.floor.look = Some(now.mono + wait + self.rng.part_of(LOOK));
        if !first {
            self.publish_again(now, sink);
        }
    }

    /// Signs the live records again, if some are of an earlier start of the process or half of
    /// all are dead, and plans the floor under the copies.
    fn publish_again(&mut self, now: Now, sink: &mut impl Sink) {
        let me = self.id();
        let Node { writer: Some(writer), store, .. } = self else { return };
        let entries = store.entries_by(&me);
        let own = entries.into_iter().filter_map(|entry| store.contribution(entry));
        let (dead, live): (Vec<_>, Vec<_>) = own.partition(|own| reusable(store, own, now.wall));
        let earlier = live.iter().any(|own| own.incarnation < writer.chain.incarnation);
        if !earlier && dead.len() <= live.len() {
            return;
        }
        let (incarnation, seq) = (writer.chain.incarnation, writer.chain.next);
        let waiting: Vec<_> = writer.pending.iter().map(|p| p.slot).collect();
        for own in live.iter().filter(|own| !waiting.contains(&own.record.head.slot)) {
            let head = &own.record.head;
            let bytes = head.encode(own.record.payload);
            writer.pending.push(Pending { slot: head.slot, bytes, write: None, hlc: head.hlc });
        }
        writer.floor.raise = Some((now.mono + SPREAD, incarnation, seq));
        self.flush_all(now, sink);
    }
}
