//! What a transport refused, by reason.

use std::sync::atomic::{AtomicU64, Ordering};

use super::batch::BatchError;

/// Why a handshake or a batch was refused. A handshake is counted at both ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// The peer proved another key than the dialled one.
    WrongKey,
    /// The peer's key is not admitted.
    NotAdmitted,
    /// The peer belongs to another mesh or speaks another version.
    OtherMesh,
    /// No valid proof of identity.
    BadProof,
    /// The handshake did not end in time.
    TimedOut,
    /// Too many handshakes were under way.
    Busy,
    /// All links were in use.
    Full,
    /// The peer is this node itself.
    Myself,
    /// A batch that ended early.
    Truncated,
    /// A batch or message above the limits.
    Oversize,
    /// A batch that is malformed in another way.
    Malformed,
}

impl Refusal {
    /// Every reason, in the order of the counters.
    pub const ALL: [Refusal; 11] = [
        Refusal::WrongKey,
        Refusal::NotAdmitted,
        Refusal::OtherMesh,
        Refusal::BadProof,
        Refusal::TimedOut,
        Refusal::Busy,
        Refusal::Full,
        Refusal::Myself,
        Refusal::Truncated,
        Refusal::Oversize,
        Refusal::Malformed,
    ];

    /// Short name for telemetry and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::WrongKey => "wrong_key",
            Refusal::NotAdmitted => "not_admitted",
            Refusal::OtherMesh => "other_mesh",
            Refusal::BadProof => "bad_proof",
            Refusal::TimedOut => "timed_out",
            Refusal::Busy => "busy",
            Refusal::Full => "full",
            Refusal::Myself => "myself",
            Refusal::Truncated => "truncated",
            Refusal::Oversize => "oversize",
            Refusal::Malformed => "malformed",
        }
    }
}

impl From<BatchError> for Refusal {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Truncated => Refusal::Truncated,
            BatchError::Oversize => Refusal::Oversize,
            BatchError::Trailing | BatchError::Unknown | BatchError::Compression => {
                Refusal::Malformed
            }
        }
    }
}

/// Counters of one transport since it was bound; they only grow.
#[derive(Debug, Default)]
pub struct Counters {
    refused: [AtomicU64; Refusal::ALL.len()],
}

impl Counters {
    /// How often `reason` was met.
    #[must_use]
    pub fn refused(&self, reason: Refusal) -> u64 {
        self.refused[reason as usize].load(Ordering::Relaxed)
    }

    /// Every reason with its count.
    #[must_use]
    pub fn all(&self) -> Vec<(&'static str, u64)> {
        Refusal::ALL.map(|reason| (reason.name(), self.refused(reason))).to_vec()
    }

    pub(crate) fn count(&self, reason: Refusal) {
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_counts_on_its_own() {
        let counters = Counters::default();
        for (position, reason) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, position);
            (0..=position).for_each(|_| counters.count(reason));
        }
        let counted = Refusal::ALL.map(|reason| counters.refused(reason));
        assert_eq!(counted, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    }
}
