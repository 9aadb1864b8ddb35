//! Signed messages: what reads is within the limits and is its own encoding; what verifies holds
//! exactly the records that were read.

use bytes::Bytes;
use knhk_mesh_core::codec::Writer;
use knhk_mesh_core::frame::{Job, Sealed, Tag, record, verify};
use knhk_mesh_core::identity::{Genesis, Limits};

use crate::Reached;

/// Read and verified, for each tag.
pub const PATHS: [&str; 9] = [
    "frame read",
    "proof read",
    "head read",
    "conviction read",
    "extensions read",
    "frame verified",
    "proof verified",
    "head verified",
    "conviction verified",
];

fn path(tag: Tag, verified: bool) -> &'static str {
    let read = tag as usize - 1;
    PATHS[if verified { read + 5 } else { read }]
}

/// Runs one input: a signed message of the default mesh.
pub fn run(input: &[u8], reached: Reached<'_>) {
    let (bytes, limits) = (Bytes::copy_from_slice(input), Limits::default());
    let Ok(sealed) = Sealed::read(&bytes, &limits) else { return };
    let header = sealed.header().clone();
    let (tag, fields) = (sealed.tag(), &header.fields);
    reached(path(tag, false));
    if header.extensions().next().is_some() {
        reached("extensions read");
    }
    let mut again = Writer::default();
    header.write(again.u8(tag as u8));
    assert_eq!(again.len(), 1 + header.wire_len());
    assert_eq!(again.into_vec(), input[..1 + header.wire_len()], "one header, one encoding");

    let mut records = 0;
    for (seq, record) in sealed.records() {
        records += 1;
        assert!(seq >= fields.seq_lo && seq < fields.seq_end());
        assert!(record.head.hlc <= fields.hlc_max && record.head.slot.0 < limits.max_slots);
        assert!(record.payload.len() <= record::max_payload(record.head.slot, &limits));
    }
    match tag {
        Tag::Frame => assert_eq!(records, usize::from(fields.count)),
        Tag::Proof => assert!((1..=usize::from(fields.count)).contains(&records)),
        Tag::Head | Tag::Conviction => assert_eq!(records, 0),
    }
    let Ok(verified) = verify(Job::new(sealed, Genesis::default().mesh_id())) else { return };
    reached(path(tag, true));
    assert_eq!(verified.bytes(), &bytes);
    assert_eq!(verified.leaves().len(), records);
    assert!(verified.leaves().iter().all(|leaf| verified.record(leaf).is_some()));
    assert_eq!(verified.other().is_some(), tag == Tag::Conviction);
}
