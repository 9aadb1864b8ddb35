//! What happens next: a timer or a delivery, in 16 bytes. A message body is made once for all its
//! receivers and shared by their events.

use std::sync::Arc;

use bytes::Bytes;
use knhk_mesh_core::frame::Tag;
use knhk_mesh_core::messages::{Lane, Message};
use knhk_mesh_core::rng::mix;

/// A slot of virtual time: one millisecond, counted from the start. No message takes less, so
/// everything in a slot is independent of everything else in it, except inside one node.
pub type Slot = u64;

/// Nodes are counted with 24 bits.
const INDEX: u32 = (1 << 24) - 1;

/// A timer of a node, or a message for it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// The node's index and, above it, which of its processes.
    to: u32,
    from: u32,
    body: Option<Arc<Body>>,
}

impl Event {
    /// Wakes a process of node `to`.
    pub(crate) fn timer(to: usize, boots: u8) -> Self {
        Event { to: pack(to, boots), from: 0, body: None }
    }

    /// Gives a process of node `to` a message.
    pub(crate) fn delivery(from: usize, to: usize, boots: u8, body: Arc<Body>) -> Self {
        Event { to: pack(to, boots), from: from as u32, body: Some(body) }
    }

    pub(crate) fn to(&self) -> usize {
        (self.to & INDEX) as usize
    }

    pub(crate) fn boots(&self) -> u8 {
        (self.to >> 24) as u8
    }

    pub(crate) fn from(&self) -> usize {
        self.from as usize
    }

    pub(crate) fn into_body(self) -> Option<Arc<Body>> {
        self.body
    }

    /// What the trace remembers of it.
    pub(crate) fn print(&self) -> u64 {
        let ends = u64::from(self.from) << 32 | u64::from(self.to);
        mix(ends ^ self.body.as_ref().map_or(0, |body| body.print))
    }
}

fn pack(index: usize, boots: u8) -> u32 {
    assert!(index <= INDEX as usize, "a node's index has 24 bits");
    index as u32 | u32::from(boots) << 24
}

/// A message on its way.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) lane: Lane,
    pub(crate) content: Content,
    /// Bytes on the wire.
    pub(crate) len: u32,
    /// Records in it, if it is a signed message with records.
    pub(crate) records: u16,
    print: u64,
}

/// As the receiver gets it.
#[derive(Debug)]
pub(crate) enum Content {
    /// A frame, proof, head or conviction.
    Signed(Bytes),
    /// A control message that was not encoded.
    Control(Message),
    /// A control message as it would be on the wire.
    Encoded(Bytes),
}

/// Length of an encoded digest: tag, class, reply, root, count, clock.
const DIGEST_LEN: u32 = 1 + 1 + 1 + 32 + 4 + 8;

impl Body {
    /// The body of `message`; encoded if `wire`.
    pub(crate) fn new(lane: Lane, message: Message, wire: bool) -> Self {
        if let Message::Signed(bytes) = message {
            return Self::signed(lane, bytes);
        }
        if let Message::Digest(digest) = &message
            && !wire
        {
            let (len, print) = (DIGEST_LEN, digest.root.tag() ^ u64::from(digest.reply));
            return Body { lane, content: Content::Control(message), len, records: 0, print };
        }
        let bytes = message.encode();
        let (len, print) = (bytes.len() as u32, print_of(&bytes));
        let print = match &message {
            Message::Digest(digest) => digest.root.tag() ^ u64::from(digest.reply),
            _ => print,
        };
        let content = if wire { Content::Encoded(bytes) } else { Content::Control(message) };
        Body { lane, content, len, records: 0, print }
    }

    fn signed(lane: Lane, bytes: Bytes) -> Self {
        let records = match Tag::of(&bytes) {
            Some(Tag::Frame) => bytes.get(5..7).map_or(0, |c| u16::from_le_bytes([c[0], c[1]])),
            Some(Tag::Proof) => 1,
            _ => 0,
        };
        let (len, print) = (bytes.len() as u32, print_of(&bytes));
        Body { lane, content: Content::Signed(bytes), len, records, print }
    }
}

/// A few bytes from everywhere: enough to tell runs apart.
fn print_of(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(bytes.len() as u64, |print, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        (print ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use knhk_mesh_core::digest::Root;
    use knhk_mesh_core::frame::Class;
    use knhk_mesh_core::messages::Digest;
    use knhk_mesh_core::time::WallMs;

    #[test]
    fn an_event_is_small() {
        assert_eq!(size_of::<Event>(), 16);
        let event = Event::timer(INDEX as usize, 255);
        assert_eq!((event.to(), event.boots()), (INDEX as usize, 255));
    }

    #[test]
    fn a_digest_has_its_length_and_its_print_with_and_without_the_wire() {
        let (class, reply, count) = (Class::Cell, true, 7);
        let digest = Digest { class, reply, root: Root([5; 32]), count, wall: WallMs(9) };
        let bodies =
            [false, true].map(|wire| Body::new(Lane::Digest, Message::Digest(digest), wire));
        assert_eq!(bodies[0].len, bodies[1].len);
        assert_eq!(bodies[0].print, bodies[1].print);
    }
}
