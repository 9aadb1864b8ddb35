//! What can go wrong, one small enum per direction. [`Refused`] is the remote side's fault and is
//! counted by reason; [`WriteError`] goes to the caller of a write. Every variant says what it did
//! to the state.

use core::fmt;

/// Why bytes from a peer were not taken. The state is unchanged in every case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Shorter than its own lengths say, or longer: not one whole message.
    #[error("truncated or overlong message")]
    Truncated,
    /// Larger than the limits of the mesh or of the wire format.
    #[error("larger than the mesh allows")]
    Oversize,
    /// A field has a value that no encoder writes: each value has exactly one encoding.
    #[error("not canonical")]
    Malformed,
    /// A wire version that this node does not read.
    #[error("unknown wire version")]
    Version,
    /// A scope class that this node does not carry.
    #[error("scope not carried here")]
    Scope,
    /// The author is not admitted to this mesh.
    #[error("author not admitted")]
    NotAdmitted,
    /// `max_authors` of the scope is reached; the author may come back when one leaves.
    #[error("the scope holds its maximum of authors")]
    AuthorLimit,
    /// A slot at or above `max_slots`.
    #[error("slot beyond the author's quota")]
    SlotLimit,
    /// More than 500 ms and at most 5 s ahead of mesh time, and a younger frame of this author is
    /// held already; repair brings it later.
    #[error("ahead of mesh time, held no longer")]
    Early,
    /// More than 5 s ahead of mesh time.
    #[error("in the future")]
    Future,
    /// Below the floor that its author signed.
    #[error("below its author's floor")]
    Floored,
    /// Its author forked this incarnation, or three of them.
    #[error("author convicted")]
    Convicted,
    /// The Merkle root does not match the records: altered on the way.
    #[error("records do not match their signed root")]
    Root,
    /// The signature does not match the header under this mesh's domain: altered, or of another
    /// mesh, or not of this author.
    #[error("signature does not match")]
    Signature,
    /// The channel it came on is gone.
    #[error("peer unknown")]
    UnknownPeer,
    /// A reconciliation message outside its session's bounds.
    #[error("outside the bounds of a session")]
    Session,
    /// Its sender makes this node do more than its share; forgotten unread, and brought by somebody
    /// else or by the rounds.
    #[error("more than one peer may send")]
    Rate,
}

impl Refused {
    /// Every reason, in the order of [`Refused::index`].
    pub const ALL: [Refused; 17] = [
        Refused::Truncated,
        Refused::Oversize,
        Refused::Malformed,
        Refused::Version,
        Refused::Scope,
        Refused::NotAdmitted,
        Refused::AuthorLimit,
        Refused::SlotLimit,
        Refused::Early,
        Refused::Future,
        Refused::Floored,
        Refused::Convicted,
        Refused::Root,
        Refused::Signature,
        Refused::UnknownPeer,
        Refused::Session,
        Refused::Rate,
    ];

    /// Position in [`Refused::ALL`], for counters.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Short name for telemetry and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Refused::Truncated => "truncated",
            Refused::Oversize => "oversize",
            Refused::Malformed => "malformed",
            Refused::Version => "version",
            Refused::Scope => "scope",
            Refused::NotAdmitted => "not_admitted",
            Refused::AuthorLimit => "author_limit",
            Refused::SlotLimit => "slot_limit",
            Refused::Early => "early",
            Refused::Future => "future",
            Refused::Floored => "floored",
            Refused::Convicted => "convicted",
            Refused::Root => "root",
            Refused::Signature => "signature",
            Refused::UnknownPeer => "unknown_peer",
            Refused::Session => "session",
            Refused::Rate => "rate",
        }
    }
}

/// Why a write of this node did not happen. The state is unchanged unless a variant says otherwise.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The key is empty or longer than 255 bytes.
    #[error("a key has 1 to {max} bytes, this one has {len}")]
    KeyLength {
        /// Bytes of the key given.
        len: usize,
        /// Most bytes a key may have.
        max: usize,
    },
    /// Key and value do not fit into one record.
    #[error(
        "record of {len} bytes; this mesh allows {max}: shorten the value or store it elsewhere"
    )]
    TooLarge {
        /// Bytes the payload would have.
        len: usize,
        /// Most bytes this mesh allows.
        max: usize,
    },
    /// All slots of this author are in use.
    #[error("all {max} slots of this node are in use: delete keys or raise mesh.max_slots")]
    QuotaExceeded {
        /// Slots an author has in this mesh.
        max: usize,
    },
    /// More writes wait than the node takes.
    #[error("{waiting} writes wait already: retry when some are acknowledged")]
    Busy {
        /// Writes waiting.
        waiting: usize,
    },
    /// A counter or fold would leave the range of its integer.
    #[error("the counter would leave its 64 bits")]
    Overflow,
    /// The node is cut off from its quorum, or catches up behind that, and its mode allows no
    /// writes then.
    #[error(
        "{}: {reachable} of the {required} members needed are reachable, and this node is \
         read-only without them; nothing was written",
        if *recovering { "recovering" } else { "partitioned" }
    )]
    Partitioned {
        /// The quorum is back, and the node catches up.
        recovering: bool,
        /// Members or witnesses that answer, the own node included.
        reachable: u32,
        /// How many have to.
        required: u32,
        /// When it is worth another try, in milliseconds.
        retry_after_ms: u32,
    },
    /// The node has left the mesh.
    #[error("the node has left the mesh")]
    Left,
    /// Others can prove that the node's key signed three forks: nobody takes anything of it.
    #[error("the node's key signed forks: it needs a new key")]
    Convicted,
    /// The operator denied this node: nobody takes anything of it.
    #[error("the operator denied this node: it needs a new key and to be admitted again")]
    Denied,
    /// Another process signs with this node's key and started later: this one has stopped writing.
    #[error("another process uses the key of this node: run one of them, or give it a new key")]
    KeyInUse,
    /// The own disk did not take the record. It is in memory and was sent, and peers may have it.
    #[error("not stored: {0}")]
    NotStored(StoreFault),
}

/// What the shell's storage said, as text for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreFault(pub String);

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_index_and_a_name_of_its_own() {
        let mut names: Vec<_> = Refused::ALL.iter().map(|r| r.name()).collect();
        assert!(Refused::ALL.iter().enumerate().all(|(i, r)| r.index() == i));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Refused::ALL.len());
    }
}
