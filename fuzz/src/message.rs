//! Control messages: what decodes encodes to the same bytes and is within its bounds.

use bytes::Bytes;
use knhk_mesh_core::messages::{MAX_REFS, Message, RangeContent, Ranges};

use crate::Reached;

/// One for each message, and for each content of a range.
pub const PATHS: [&str; 15] = [
    "signed",
    "digest",
    "have",
    "want",
    "prune",
    "alive",
    "ask",
    "vouch",
    "ranges",
    "branches",
    "items",
    "items asked",
    "last ranges",
    "recover",
    "recovered",
];

/// Runs one input.
pub fn run(input: &[u8], reached: Reached<'_>) {
    let bytes = Bytes::copy_from_slice(input);
    let Ok(message) = Message::decode(&bytes) else { return };
    assert_eq!(message.encode(), bytes, "one message, one encoding");
    let path = match &message {
        Message::Signed(_) => "signed",
        Message::Digest(_) => "digest",
        Message::Have(refs) => {
            assert!(refs.len() <= MAX_REFS);
            "have"
        }
        Message::Want(refs) => {
            assert!(refs.len() <= MAX_REFS);
            "want"
        }
        Message::Prune => "prune",
        Message::Ranges(ranges) => {
            check(ranges, reached);
            "ranges"
        }
        Message::Recover => "recover",
        Message::Recovered(_) => "recovered",
        Message::Alive(_) => "alive",
        Message::Ask(_) => "ask",
        Message::Vouch(_) => "vouch",
    };
    reached(path);
}

fn check(ranges: &Ranges, reached: Reached<'_>) {
    assert!(ranges.ranges.len() <= Ranges::MAX_RANGES);
    if ranges.ranges.is_empty() {
        reached("last ranges");
    }
    for pair in ranges.ranges.windows(2) {
        assert!(pair[0].prefix.first() < pair[1].prefix.first());
        assert!(!pair[0].prefix.contains(pair[1].prefix.first()), "disjoint");
    }
    for range in &ranges.ranges {
        match &range.content {
            RangeContent::Branches(_) => reached("branches"),
            RangeContent::Items { answer, items } => {
                reached(if *answer { "items asked" } else { "items" });
                assert!(items.len() <= Ranges::MAX_ITEMS);
                assert!(items.iter().all(|(at, _)| range.prefix.contains(*at)));
                assert!(items.is_sorted_by(|a, b| a < b));
            }
        }
    }
}
