//! Records, one behind the other: what reads encodes to the same bytes, within the limits.

use knhk_mesh_core::codec::Reader;
use knhk_mesh_core::frame::{Record, Slot, record};
use knhk_mesh_core::identity::Limits;
use knhk_mesh_core::time::WallMs;

use crate::Reached;

/// One for each flag and class of slot or kind.
pub const PATHS: [&str; 8] =
    ["plain", "tombstone", "ephemeral", "trace", "ttl", "reserved slot", "unknown kind", "second"];

/// Runs one input.
pub fn run(input: &[u8], reached: Reached<'_>) {
    let limits = Limits::default();
    let mut reader = Reader::new(input);
    let mut at = 0;
    while let Ok(record) = Record::read(&mut reader, &limits) {
        let head = &record.head;
        let end = input.len() - reader.remaining();
        assert_eq!(head.encode(record.payload), input[at..end], "one record, one encoding");
        assert_eq!(Record::stored(&input[at..end]), Some(record));
        assert!(head.slot.0 < limits.max_slots);
        assert!(record.payload.len() <= record::max_payload(head.slot, &limits));
        let flags = [
            ("tombstone", head.tombstone),
            ("ephemeral", head.ephemeral),
            ("trace", head.trace.is_some()),
            ("ttl", head.ttl_ds > 0 && record.expired(WallMs(u64::MAX))),
            ("reserved slot", head.slot < Slot::FIRST_FREE),
            ("unknown kind", head.kind.0 > 22),
            ("second", at > 0),
        ];
        flags.into_iter().filter(|flag| flag.1).for_each(|flag| reached(flag.0));
        if !flags.iter().any(|flag| flag.1) {
            reached("plain");
        }
        at = end;
    }
}
