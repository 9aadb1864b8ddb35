//! Payloads of every kind: what decodes encodes to the same bytes, and the index agrees.
//! The first byte is the kind.

use knhk_mesh_core::crdt::value::{Body, Payload};
use knhk_mesh_core::crdt::{Family, key_of};
use knhk_mesh_core::frame::Kind;

use crate::Reached;

/// One for each kind, and lists of what was seen that are not empty.
pub const PATHS: [&str; 8] = ["lww", "multi", "counter", "add", "remove", "max", "min", "seen"];

/// Runs one input.
pub fn run(input: &[u8], reached: Reached<'_>) {
    let Some((&kind, bytes)) = input.split_first() else { return };
    let kind = Kind(kind);
    let Ok(payload) = Payload::decode(kind, bytes) else {
        assert_eq!(key_of(kind, bytes), None);
        return;
    };
    assert_eq!(payload.encode(), bytes, "one payload, one encoding");
    assert_eq!(payload.body.kind(), kind);
    let family = Family::of(kind).expect("only application kinds decode");
    assert_eq!(key_of(kind, bytes), Some((family, payload.key)));
    let (path, seen) = match payload.body {
        Body::Lww(_) => ("lww", None),
        Body::Multi { seen, .. } => ("multi", Some(seen)),
        Body::Counter { .. } => ("counter", None),
        Body::Add { seen, .. } => ("add", Some(seen)),
        Body::Remove { seen, .. } => ("remove", Some(seen)),
        Body::Max(_) => ("max", None),
        Body::Min(_) => ("min", None),
    };
    reached(path);
    if let Some(seen) = seen {
        assert!(seen.iter().count() <= 64 && seen.iter().is_sorted_by(|a, b| a.0 < b.0));
        if seen.iter().next().is_some() {
            reached("seen");
        }
    }
}
