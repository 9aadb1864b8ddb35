//! What docs/SECURITY.md promises ("What a hostile node can make of a node"), as numbers.

/// Heap for everybody together who is not admitted: 64 handshakes under way.
pub(crate) const STRANGERS_BYTES: u64 = 10 << 20;
/// Heap for one member: its link, what arrives on it, and its own records.
pub(crate) const MEMBER_BYTES: u64 = 18 << 20;
/// Bytes to whoever is not admitted, for each of its own.
pub(crate) const ANSWER_RATIO: f64 = 1.0;
/// Of a core, whatever one attacker does.
pub(crate) const CPU: f64 = 0.30;
