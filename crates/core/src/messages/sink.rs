//! The two sides of a node: [`Input`] is everything that can happen to it, [`Sink`] everything it
//! can do. Whoever drives a node (shell, simulator, test) implements the sink.

use bytes::Bytes;

use super::{Close, Lane, Message};
use crate::crdt::{Family, Key, Op};
use crate::error::{Refused, StoreFault, WriteError};
use crate::frame::{Slot, Verified};
use crate::identity::{AgentNo, Incarnation, NodeId, PeerIx, Seq};
use crate::telemetry::Event;
use crate::time::Hlc;

/// Names a write between the caller and [`Sink::done`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WriteId(pub u64);

/// Names what [`Sink::persist`] was given until [`Input::Persisted`] answers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PersistId(pub u64);

/// What can happen to a node.
#[derive(Debug)]
pub enum Input<'a> {
    /// A signed message passed the gate; with the lane it came on.
    Verified(PeerIx, Lane, &'a Verified),
    /// A signed message that the gate knew already.
    Duplicate(PeerIx, Lane, &'a Bytes),
    /// A message was refused, by the gate, the signature check or a decoder.
    Refused(PeerIx, Refused),
    /// A control message, authenticated by its link.
    Control(PeerIx, &'a Message),
    /// The application writes.
    Write(WriteId, AgentNo, &'a Op),
    /// The disk answers for what it was given.
    Persisted(PersistId, Result<(), StoreFault>),
    /// A queue of the link ran full; the message was dropped.
    Congested(PeerIx, Lane),
    /// A link stands; `chosen` if this node dialled it.
    LinkUp {
        /// Who is at the other end, authenticated.
        node: NodeId,
        /// This node dialled.
        chosen: bool,
    },
    /// A link ended.
    LinkDown(PeerIx),
    /// A dial that [`Sink::connect`] asked for did not succeed.
    DialFailed(NodeId),
    /// A measured round trip.
    Rtt(PeerIx, core::time::Duration),
    /// The operator made void what this node signed, up to an incarnation: its records vanish. If
    /// that is the last there is, the node is denied: it is no member and its link ends.
    Denied(NodeId, Incarnation),
    /// The application leaves the mesh; with `purge` nothing of it stays but the goodbye.
    Leave {
        /// Its records vanish everywhere.
        purge: bool,
    },
    /// The time of [`crate::node::Node::next_timeout`] came.
    Timeout,
}

/// An own record for the disk: a signed message that verifies on its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnRecord {
    /// Where it is kept; a newer one replaces it.
    pub slot: Slot,
    /// A proof, or the whole frame where that is smaller ([`crate::frame::Tag`]); a head for
    /// [`Slot::HEAD`].
    pub bytes: Bytes,
}

/// What a node wants on disk before it acknowledges.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Persist {
    /// Answer with this.
    pub id: PersistId,
    /// The incarnation in use: the next start takes a higher one.
    pub incarnation: Incarnation,
    /// Own records, newest of their slots.
    pub records: Vec<OwnRecord>,
}

/// Proof for the caller that a write is on the own disk and on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// What was written.
    pub key: Key,
    /// The author's incarnation.
    pub incarnation: Incarnation,
    /// Sequence number of the record; `None` if there was nothing to do (a delete of nothing).
    pub seq: Option<Seq>,
    /// Stamp of the record.
    pub hlc: Hlc,
}

impl Input<'_> {
    /// The link that it came over, if a peer sent it.
    #[must_use]
    pub const fn came_over(&self) -> Option<PeerIx> {
        match self {
            Input::Verified(via, ..)
            | Input::Duplicate(via, ..)
            | Input::Refused(via, _)
            | Input::Control(via, _) => Some(*via),
            _ => None,
        }
    }
}

/// What a node can do. Calls never block and never fail: what cannot be done is dropped, counted,
/// and repaired by the protocol.
pub trait Sink {
    /// Sends one message to some links; encoded once, however many there are.
    fn send(&mut self, to: &[PeerIx], lane: Lane, message: &Message);
    /// Stores own records; the answer is [`Input::Persisted`], in order.
    fn persist(&mut self, batch: Persist);
    /// Ends a write.
    fn done(&mut self, id: WriteId, result: Result<Receipt, WriteError>);
    /// A view may have changed.
    fn changed(&mut self, family: Family, key: &[u8]);
    /// Dial this member, at [`Node::addresses_of`](crate::node::Node::addresses_of). With
    /// `urgent` at once, however often it failed: the node is cut off.
    fn connect(&mut self, node: NodeId, urgent: bool);
    /// End this link.
    fn disconnect(&mut self, peer: PeerIx, why: Close);
    /// Tell what happened.
    fn emit(&mut self, event: Event);
}
