//! What travels between two nodes.

/// Where in a link's queues a message goes; each lane is bounded on its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Lane {
    /// Small and rare: prune, graft, recovery. A full lane is an error of the link.
    Control,
    /// The newest digest only; may be lost.
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
}

impl Close {
    /// Every reason; its position is its close code.
    pub const ALL: [Close; 6] = [
        Close::Leaving,
        Close::Duplicate,
        Close::Full,
        Close::Denied,
        Close::Rotated,
        Close::Protocol,
    ];

    /// The close code on the wire.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }
}
