//! Batches: what decodes is within the limits and survives another trip, packed or not.

use bytes::Bytes;

use crate::Reached;
use crate::batch_format::{MAX_BODY_BYTES, MAX_MESSAGE_BYTES, MAX_MESSAGES, body_bytes};
use crate::batch_format::{decode, encode};

/// Plain and packed bodies, the greeting, each lane.
pub const PATHS: [&str; 7] = ["plain", "zstd", "empty", "control", "digest", "delta", "bulk"];

/// Runs one input.
pub fn run(input: &[u8], reached: Reached<'_>) {
    let Ok((lane, messages)) = decode(&Bytes::copy_from_slice(input)) else { return };
    let packed = input[0] & 0x80 != 0;
    assert!(messages.len() <= MAX_MESSAGES && body_bytes(&messages) <= MAX_BODY_BYTES);
    assert!(messages.iter().all(|message| message.len() <= MAX_MESSAGE_BYTES));
    reached(if packed { "zstd" } else { "plain" });
    reached(["control", "digest", "delta", "bulk"][lane as usize]);
    if messages.is_empty() {
        reached("empty");
    }
    let plain = encode(lane, &messages, false);
    assert!(packed || plain == input, "one plain batch, one encoding");
    for wire in [plain, encode(lane, &messages, true)] {
        assert_eq!(decode(&wire.into()), Ok((lane, messages.clone())));
    }
}
