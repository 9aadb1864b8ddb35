//! What travels between two nodes, and through which door effects leave a node.
//!
//! ```text
//!   signed   (frame.rs)  frame, proof, head, conviction      stored, forwarded, verified
//!   control  (here)      digest, have, want, prune, ranges   one link, authenticated by it
//! ```
//!
//! A control message changes only what is local to a link; it is bounded, has exactly one
//! encoding, and is never forwarded. docs/WIRE.md has the offsets.

mod control;
pub mod sink;

use bytes::Bytes;

pub use control::{Digest, Range, RangeContent, Ranges};
pub use sink::{Input, Persist, Receipt, Sink};

use crate::codec::{Reader, Writer};
use crate::error::Refused;
use crate::frame::{FrameRef, Tag};
use crate::identity::NodeId;

/// One message on a link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// A frame, proof, head or conviction, as the bytes that were signed.
    Signed(Bytes),
    /// "This is my state, in short."
    Digest(Digest),
    /// "I have these frames", batched, to links outside the tree.
    Have(Vec<FrameRef>),
    /// "Send me these frames", and make this link part of the tree.
    Want(Vec<FrameRef>),
    /// "You bring me what I have": the link leaves the tree.
    Prune,
    /// One step of a reconciliation session.
    Ranges(Ranges),
    /// "I lost my state: send me my own records."
    Recover,
    /// "That was all of yours that I hold": how many messages came before.
    Recovered(u32),
    /// "I am here", and whether the sender heard the receiver lately.
    Alive(bool),
    /// "I do not reach this member: do you?"
    Ask(NodeId),
    /// "I reach this member." Who does not says nothing.
    Vouch(NodeId),
}

/// Most frame references in one message.
pub const MAX_REFS: usize = 256;

const DIGEST: u8 = 16;
const HAVE: u8 = 17;
const WANT: u8 = 18;
const PRUNE: u8 = 19;
const RANGES: u8 = 20;
const RECOVER: u8 = 21;
const RECOVERED: u8 = 22;
const ALIVE: u8 = 23;
const ASK: u8 = 24;
const VOUCH: u8 = 25;

impl Message {
    /// The message as bytes; signed ones are their own encoding and are not copied.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut w = Writer::default();
        match self {
            Message::Signed(bytes) => return bytes.clone(),
            Message::Digest(digest) => digest.write(w.u8(DIGEST)),
            Message::Have(refs) => control::write_refs(w.u8(HAVE), refs),
            Message::Want(refs) => control::write_refs(w.u8(WANT), refs),
            Message::Prune => drop(w.u8(PRUNE)),
            Message::Ranges(ranges) => ranges.write(w.u8(RANGES)),
            Message::Recover => drop(w.u8(RECOVER)),
            Message::Recovered(sent) => drop(w.u8(RECOVERED).u32(*sent)),
            Message::Alive(heard) => drop(w.u8(ALIVE).u8(u8::from(*heard))),
            Message::Ask(node) => drop(w.u8(ASK).bytes(&node.0)),
            Message::Vouch(node) => drop(w.u8(VOUCH).bytes(&node.0)),
        }
        Bytes::from(w.into_vec())
    }

    /// Reads a control message. Signed messages go through the gate of the node instead.
    ///
    /// # Errors
    /// [`Refused`] says what is wrong; allocations are bounded by the bytes given.
    pub fn decode(bytes: &Bytes) -> Result<Self, Refused> {
        let mut r = Reader::new(bytes);
        let message = match r.u8()? {
            tag if Tag::of(&[tag]).is_some() => return Ok(Message::Signed(bytes.clone())),
            DIGEST => Message::Digest(Digest::read(&mut r)?),
            HAVE => Message::Have(control::read_refs(&mut r)?),
            WANT => Message::Want(control::read_refs(&mut r)?),
            PRUNE => Message::Prune,
            RANGES => Message::Ranges(Ranges::read(&mut r)?),
            RECOVER => Message::Recover,
            RECOVERED => Message::Recovered(r.u32()?),
            ALIVE => match r.u8()? {
                heard @ 0..=1 => Message::Alive(heard == 1),
                _ => return Err(Refused::Malformed),
            },
            ASK => Message::Ask(NodeId(r.array()?)),
            VOUCH => Message::Vouch(NodeId(r.array()?)),
            _ => return Err(Refused::Malformed),
        };
        r.end()?;
        Ok(message)
    }
}

/// Where in a link's queues a message goes; each lane is bounded on its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Lane {
    /// Small and rare: prune, graft, recovery. A full lane is an error of the link.
    Control,
    /// The newest of each kind only, digest or heartbeat; may be lost.
    Digest,
    /// Hot frames and what announces them; overflow is repaired by the rounds.
    Delta,
    /// Repair and reconciliation.
    Bulk,
}

impl Lane {
    /// Every lane, in order of priority.
    pub const ALL: [Lane; 4] = [Lane::Control, Lane::Digest, Lane::Delta, Lane::Bulk];
}

/// Why this node ends a link. The number travels as the close code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Close {
    /// The node leaves the mesh or its process ends.
    Leaving,
    /// The other of two simultaneous dials was kept.
    Duplicate,
    /// No room for another link.
    Full,
    /// Not admitted.
    Denied,
    /// Replaced by another link.
    Rotated,
    /// The peer broke the protocol.
    Protocol,
    /// The peer's certificate or pass has ended.
    Expired,
    /// Nothing came over it for long: if the peer is there, a new link says so.
    Silent,
}

impl Close {
    /// Every reason; its position is its close code.
    pub const ALL: [Close; 8] = [
        Close::Leaving,
        Close::Duplicate,
        Close::Full,
        Close::Denied,
        Close::Rotated,
        Close::Protocol,
        Close::Expired,
        Close::Silent,
    ];

    /// The close code on the wire.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }
}

#[cfg(test)]
mod tests;
