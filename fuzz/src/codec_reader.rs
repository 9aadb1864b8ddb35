//! Any sequence of reads over any bytes: never past the end, and what was read is what was there.
//! The first byte says how many of the next bytes choose reads; the rest is the message.

use knhk_mesh_core::codec::{Reader, Writer};
use knhk_mesh_core::error::Refused;

use crate::Reached;

/// One for each way to read, and the end.
pub const PATHS: [&str; 9] = ["u8", "u16", "u32", "u64", "i64", "array", "take", "count", "end"];

/// Runs one input.
pub fn run(input: &[u8], reached: Reached<'_>) {
    let Some((&reads, rest)) = input.split_first() else { return };
    let Some((plan, message)) = rest.split_at_checked(usize::from(reads)) else { return };
    let mut reader = Reader::new(message);
    let mut again = Writer::default();
    for &choice in plan {
        let before = reader.remaining();
        let read = match choice % 8 {
            0 => reader.u8().map(|v| again.u8(v).len()),
            1 => reader.u16().map(|v| again.u16(v).len()),
            2 => reader.u32().map(|v| again.u32(v).len()),
            3 => reader.u64().map(|v| again.u64(v).len()),
            4 => reader.i64().map(|v| again.i64(v).len()),
            5 => reader.array::<32>().map(|v| again.bytes(&v).len()),
            6 => reader.take(usize::from(choice)).map(|v| again.bytes(v).len()),
            _ => count(&mut reader, &mut again, usize::from(choice)),
        };
        assert!(read.is_ok() || reader.remaining() <= before);
        if read.is_err() {
            return;
        }
        reached(PATHS[usize::from(choice % 8)]);
        assert_eq!(again.len() + reader.remaining(), message.len());
    }
    assert_eq!(reader.end().is_ok(), reader.remaining() == 0);
    if reader.end().is_ok() {
        reached("end");
    }
    again.bytes(reader.rest());
    assert_eq!(again.into_vec(), message, "one value, one encoding");
}

/// A count that is accepted is within its bound, and its items are there.
fn count(reader: &mut Reader<'_>, again: &mut Writer, max: usize) -> Result<usize, Refused> {
    let n = reader.count(max, 3)?;
    assert!(n <= max && n * 3 <= reader.remaining());
    let n = u16::try_from(n).expect("a count was read from two bytes");
    Ok(again.u16(n).len())
}
