//! One simulated machine: the node that runs on it, and what the world keeps for it.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use knhk_mesh_core::crdt::{Contribution, Family};
use knhk_mesh_core::error::WriteError;
use knhk_mesh_core::identity::{Incarnation, NodeId, PeerIx, Seq};
use knhk_mesh_core::messages::sink::{OwnRecord, WriteId};
use knhk_mesh_core::messages::{Lane, Message, Persist, Receipt, Sink};
use knhk_mesh_core::node::Node;
use knhk_mesh_core::telemetry;

use super::event::Slot;
use super::shard::print_of;
use crate::adversary::Conduct;

/// No slot at all.
pub(crate) const NEVER: Slot = Slot::MAX;

/// A machine and its process. Small: a world may have a million.
pub(crate) struct Host {
    pub(crate) node: Node,
    /// When its timer fires.
    pub(crate) wake: Slot,
    /// When the watched view changed here first, if it is honest.
    pub(crate) informed: Slot,
    /// Its process; messages to an earlier one are void.
    pub(crate) boots: u8,
    pub(crate) up: bool,
    /// Draws that were made for what it sends: the next one is keyed by this number.
    pub(crate) draws: u32,
    /// What few machines need.
    pub(crate) own: Option<Box<Own>>,
}

/// A view of which a node said that it may have changed.
pub type Change = (Family, Vec<u8>);

/// What a machine has beside its process.
#[derive(Default)]
pub(crate) struct Own {
    /// Newest record of each slot.
    pub(crate) disk: Vec<OwnRecord>,
    pub(crate) incarnation: Option<Incarnation>,
    /// Outcomes of its writes.
    pub(crate) done: Vec<(WriteId, Result<Receipt, WriteError>)>,
    /// What its process told, rounds left out.
    pub(crate) events: Vec<telemetry::Event>,
    /// Views that changed, if somebody wants to know.
    pub(crate) changes: Option<Vec<Change>>,
    /// Who stands behind an index: its owner may be out of the directory while the link ends.
    pub(crate) peers: HashMap<PeerIx, usize, FixedState>,
    /// Whom its last process was linked with at its end: what the file `peers` holds.
    pub(crate) known: Vec<usize>,
    /// Milliseconds that its wall clock is ahead of the world's.
    pub(crate) clock_error: i64,
    /// How it misbehaves.
    pub(crate) conduct: Option<Conduct>,
    /// Milliseconds that everything takes longer here.
    pub(crate) slowness: Slot,
    /// Until when its uplink is busy, in microseconds.
    pub(crate) uplink_busy: u64,
    /// How often it moved to another address.
    pub(crate) moves: u8,
    /// Bytes sent, if anybody reads them.
    pub(crate) sent: u64,
    /// What its process signed: a print of each record by incarnation and place in the chain.
    pub(crate) signed: HashMap<(Incarnation, Seq), u64, FixedState>,
}

impl Host {
    pub(crate) fn new(node: Node) -> Self {
        Host { node, wake: NEVER, informed: NEVER, boots: 0, up: true, draws: 0, own: None }
    }

    pub(crate) fn own(&mut self) -> &mut Own {
        self.own.get_or_insert_default()
    }

    /// Whether it keeps to the protocol.
    pub(crate) fn is_honest(&self) -> bool {
        self.own.as_ref().is_none_or(|own| own.conduct.is_none())
    }

    /// Whether a process here signed this record: its incarnation, its place in the chain, and
    /// every byte of it. Superseded records of a frame are not remembered.
    pub(crate) fn signed(&self, held: &Contribution<'_>) -> bool {
        let print = self.own.as_ref().and_then(|own| own.signed.get(&(held.incarnation, held.seq)));
        print == Some(&print_of(&held.record))
    }

    /// Whether a process here signed a frame that ends before `seq_end`.
    pub(crate) fn signed_up_to(&self, incarnation: Incarnation, seq_end: Seq) -> bool {
        let last = seq_end.0.checked_sub(1).map(|seq| (incarnation, Seq(seq)));
        self.own.as_ref().zip(last).is_some_and(|(own, last)| own.signed.contains_key(&last))
    }

    pub(crate) fn clock_error(&self) -> i64 {
        self.own.as_ref().map_or(0, |own| own.clock_error)
    }
}

/// Collects what a node does in one call. Its buffers are used again and again.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Receivers of all sends, one behind the other.
    pub(crate) to: Vec<PeerIx>,
    /// For each send: how many of `to`.
    pub(crate) sends: Vec<(usize, Lane, Message)>,
    pub(crate) persists: Vec<Persist>,
    pub(crate) done: Vec<(WriteId, Result<Receipt, WriteError>)>,
    pub(crate) connects: Vec<NodeId>,
    pub(crate) closes: Vec<PeerIx>,
    pub(crate) events: Vec<telemetry::Event>,
    pub(crate) changes: Vec<Change>,
    /// The watched view changed.
    pub(crate) informed: bool,
    /// The view that the run watches.
    pub(crate) watched: Option<Change>,
    /// Whether anybody reads events and changes.
    pub(crate) keeps_all: bool,
}

impl Outcome {
    /// Forgets what the last call did.
    pub(crate) fn discard(&mut self) {
        self.to.clear();
        self.sends.clear();
        self.persists.clear();
        self.done.clear();
        self.connects.clear();
        self.closes.clear();
        self.events.clear();
        self.changes.clear();
        self.informed = false;
    }
}

impl Sink for Outcome {
    fn send(&mut self, to: &[PeerIx], lane: Lane, message: &Message) {
        self.to.extend_from_slice(to);
        self.sends.push((to.len(), lane, message.clone()));
    }
    fn persist(&mut self, batch: Persist) {
        self.persists.push(batch);
    }
    fn done(&mut self, id: WriteId, result: Result<Receipt, WriteError>) {
        self.done.push((id, result));
    }
    fn changed(&mut self, family: Family, key: &[u8]) {
        if let Some((watched, name)) = &self.watched {
            self.informed |= *watched == family && name == key;
        }
        if self.keeps_all {
            self.changes.push((family, key.to_vec()));
        }
    }
    fn connect(&mut self, node: NodeId, _: bool) {
        self.connects.push(node);
    }
    fn disconnect(&mut self, peer: PeerIx, _: knhk_mesh_core::messages::Close) {
        self.closes.push(peer);
    }
    fn emit(&mut self, event: telemetry::Event) {
        if self.keeps_all && !matches!(event, telemetry::Event::Round { .. }) {
            self.events.push(event);
        }
    }
}
