//! Batches: how messages are laid out on a stream, in a datagram or in a TCP frame. Pure functions.
//!
//! ```text
//! byte 0   low 4 bits: version (1); bit 7: body is zstd; other bits: 0
//! byte 1   lane: 0 control, 1 digest, 2 delta, 3 bulk
//! byte 2   u32 LE: bytes of the body as sent
//! byte 6   body, when compressed one zstd frame of: (u32 LE length, message)*
//! ```
//!
//! The length stands in front because a QUIC stream whose sender was cancelled looks finished: only
//! a stream that holds exactly one whole batch counts. Every allocation is bounded by what arrived.

use std::cell::RefCell;

use bytes::Bytes;
use knhk_mesh_core::messages::Lane;
use zstd::bulk::{Compressor, Decompressor};

/// Bytes before the body.
pub const HEADER_BYTES: usize = 6;
/// Largest message in bytes.
pub const MAX_MESSAGE_BYTES: usize = knhk_mesh_core::security::MAX_MESSAGE;
/// Largest body in bytes, as sent and after decompression: the largest message fits. A peer can
/// leave as many of them unfinished as there may be streams.
pub const MAX_BODY_BYTES: usize = 320 << 10;
/// Most messages in one batch.
pub const MAX_MESSAGES: usize = 128;
/// Most decompressed bytes for each byte received.
pub const MAX_RATIO: usize = 64;

const VERSION: u8 = 1;
const VERSION_BITS: u8 = 0x0f;
const ZSTD_BIT: u8 = 0x80;
const LENGTH_BYTES: usize = 4;
const COMPRESS_ABOVE_BYTES: usize = 512;
const ZSTD_LEVEL: i32 = 1;

/// Why bytes are no batch. The link they came on is closed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// Ends before its lengths say.
    #[error("ends before its length says")]
    Truncated,
    /// More bytes than its length says.
    #[error("bytes after its end")]
    Trailing,
    /// A version, flag or lane that nobody writes.
    #[error("unknown version, flag or lane")]
    Unknown,
    /// A body, message or number of messages above the limits.
    #[error("larger than the limits")]
    Oversize,
    /// The compressed body does not decompress to what it announces.
    #[error("not a valid compressed body")]
    Compression,
}

/// What stands before a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Lane of all its messages.
    pub lane: Lane,
    /// Whether the body is compressed.
    pub zstd: bool,
    /// Bytes of the body as sent; at most [`MAX_BODY_BYTES`].
    pub body_bytes: usize,
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// [`BatchError::Unknown`] and [`BatchError::Oversize`].
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, BatchError> {
        let [flags, lane, a, b, c, d] = *bytes;
        if flags & !ZSTD_BIT != VERSION & VERSION_BITS {
            return Err(BatchError::Unknown);
        }
        let lane = *Lane::ALL.get(usize::from(lane)).ok_or(BatchError::Unknown)?;
        let body_bytes = u32::from_le_bytes([a, b, c, d]) as usize;
        if body_bytes > MAX_BODY_BYTES {
            return Err(BatchError::Oversize);
        }
        Ok(Header { lane, zstd: flags & ZSTD_BIT != 0, body_bytes })
    }

    fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let flags = VERSION | if self.zstd { ZSTD_BIT } else { 0 };
        let [a, b, c, d] = (self.body_bytes as u32).to_le_bytes();
        [flags, self.lane as u8, a, b, c, d]
    }
}

/// Bytes that `messages` take in an uncompressed body.
#[must_use]
pub fn body_bytes(messages: &[Bytes]) -> usize {
    messages.iter().map(|message| LENGTH_BYTES + message.len()).sum()
}

/// Writes one batch; compressed only if `compress` is set, the body has more than 512 bytes and
/// shrinks by a tenth.
///
/// # Panics
/// If there are more than [`MAX_MESSAGES`], or the body exceeds [`MAX_BODY_BYTES`].
#[must_use]
pub fn encode(lane: Lane, messages: &[Bytes], compress: bool) -> Vec<u8> {
    let body_bytes = body_bytes(messages);
    assert!(messages.len() <= MAX_MESSAGES && body_bytes <= MAX_BODY_BYTES, "batch too large");
    let mut out = Vec::with_capacity(HEADER_BYTES + body_bytes);
    out.extend_from_slice(&Header { lane, zstd: false, body_bytes }.to_bytes());
    for message in messages {
        out.extend_from_slice(&(message.len() as u32).to_le_bytes());
        out.extend_from_slice(message);
    }
    if compress
        && body_bytes > COMPRESS_ABOVE_BYTES
        && let Some(packed) = compressed(&out[HEADER_BYTES..])
    {
        let header = Header { lane, zstd: true, body_bytes: packed.len() };
        out.clear();
        out.extend_from_slice(&header.to_bytes());
        out.extend_from_slice(&packed);
    }
    out
}

/// Reads exactly one batch. Uncompressed messages are slices of `bytes`.
///
/// # Errors
/// Whatever keeps `bytes` from being one whole batch within the limits.
pub fn decode(bytes: &Bytes) -> Result<(Lane, Vec<Bytes>), BatchError> {
    let head = bytes.first_chunk::<HEADER_BYTES>().ok_or(BatchError::Truncated)?;
    let header = Header::parse(head)?;
    let arrived = bytes.len() - HEADER_BYTES;
    if arrived < header.body_bytes {
        return Err(BatchError::Truncated);
    }
    if arrived > header.body_bytes {
        return Err(BatchError::Trailing);
    }
    let body = bytes.slice(HEADER_BYTES..);
    let body = if header.zstd { decompressed(&body)? } else { body };
    Ok((header.lane, split(&body)?))
}

fn split(body: &Bytes) -> Result<Vec<Bytes>, BatchError> {
    let mut messages = Vec::new();
    let mut at = 0;
    while at < body.len() {
        let length = body[at..].first_chunk::<LENGTH_BYTES>().ok_or(BatchError::Truncated)?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > MAX_MESSAGE_BYTES || messages.len() == MAX_MESSAGES {
            return Err(BatchError::Oversize);
        }
        at += LENGTH_BYTES;
        if body.len() - at < length {
            return Err(BatchError::Truncated);
        }
        messages.push(body.slice(at..at + length));
        at += length;
    }
    Ok(messages)
}

thread_local! {
    // A zstd context costs more to create than a batch costs to pack.
    static PACKER: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

fn compressed(body: &[u8]) -> Option<Vec<u8>> {
    PACKER.with_borrow_mut(|packer| {
        if packer.is_none() {
            *packer = Compressor::new(ZSTD_LEVEL).ok();
        }
        let packed = packer.as_mut()?.compress(body).ok()?;
        // Not worth the receiver's time below a ratio of 1.1; above 64 the receiver refuses it.
        let pays = packed.len() * 11 <= body.len() * 10 && packed.len() * MAX_RATIO >= body.len();
        pays.then_some(packed)
    })
}

fn decompressed(body: &[u8]) -> Result<Bytes, BatchError> {
    let size = zstd::zstd_safe::get_frame_content_size(body)
        .map_err(|_| BatchError::Compression)?
        .and_then(|size| usize::try_from(size).ok())
        .ok_or(BatchError::Compression)?;
    if size > MAX_BODY_BYTES || size > body.len().saturating_mul(MAX_RATIO) {
        return Err(BatchError::Oversize);
    }
    UNPACKER.with_borrow_mut(|unpacker| {
        if unpacker.is_none() {
            *unpacker = Decompressor::new().ok();
        }
        let unpacker = unpacker.as_mut().ok_or(BatchError::Compression)?;
        let unpacked = unpacker.decompress(body, size).map_err(|_| BatchError::Compression)?;
        if unpacked.len() == size { Ok(unpacked.into()) } else { Err(BatchError::Compression) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn messages() -> impl Strategy<Value = Vec<Bytes>> {
        // A small alphabet, so that both the packed and the plain form are met.
        let noise = vec(any::<u8>(), 0..400);
        let text = vec(0u8..3, 0..400);
        vec(prop_oneof![noise, text].prop_map(Bytes::from), 0..20)
    }

    proptest! {
        #[test]
        fn a_batch_survives_the_wire(
            lane in 0usize..4, messages in messages(), compress: bool,
        ) {
            let wire = Bytes::from(encode(Lane::ALL[lane], &messages, compress));
            prop_assert_eq!(decode(&wire), Ok((Lane::ALL[lane], messages)));
        }

        #[test]
        fn a_part_of_a_batch_is_none_and_so_is_one_with_a_tail(
            messages in messages(), compress: bool, cut: prop::sample::Index,
        ) {
            let wire = encode(Lane::Bulk, &messages, compress);
            let part = Bytes::copy_from_slice(&wire[..cut.index(wire.len())]);
            prop_assert_eq!(decode(&part), Err(BatchError::Truncated));
            let tail = Bytes::from([wire.as_slice(), &[0]].concat());
            prop_assert_eq!(decode(&tail), Err(BatchError::Trailing));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes in vec(any::<u8>(), 0..600), fit: bool) {
            if fit && bytes.len() >= HEADER_BYTES {
                let body = bytes.len() - HEADER_BYTES;
                bytes[0] = VERSION | (bytes[0] & ZSTD_BIT);
                bytes[1] &= 3;
                bytes[2..6].copy_from_slice(&(body as u32).to_le_bytes());
            }
            if let Ok((_, messages)) = decode(&Bytes::from(bytes)) {
                prop_assert!(body_bytes(&messages) <= MAX_BODY_BYTES);
            }
        }

        #[test]
        fn a_flipped_bit_of_a_packed_body_is_no_panic(
            at: prop::sample::Index, bit in 0u8..8,
        ) {
            let message = Bytes::from(b"so it goes and goes ".repeat(60));
            let mut wire = encode(Lane::Delta, &[message], true);
            let at = at.index(wire.len());
            wire[at] ^= 1 << bit;
            let _ = decode(&Bytes::from(wire));
        }
    }

    fn packed(body: &[u8]) -> Bytes {
        let packed = zstd::bulk::compress(body, 1).unwrap();
        let header = Header { lane: Lane::Delta, zstd: true, body_bytes: packed.len() };
        Bytes::from([header.to_bytes().as_slice(), &packed].concat())
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked() {
        assert_eq!(decode(&packed(&vec![0; 1 << 19])), Err(BatchError::Oversize));
        assert_eq!(decode(&packed(&vec![0; 64 << 20])), Err(BatchError::Oversize));
    }

    #[test]
    fn a_second_packed_frame_behind_the_first_is_refused() {
        let body = [&8u32.to_le_bytes()[..], b"abcdefgh"].concat();
        let twice =
            [zstd::bulk::compress(&body, 1).unwrap(), zstd::bulk::compress(&body, 1).unwrap()];
        let twice = twice.concat();
        let header = Header { lane: Lane::Delta, zstd: true, body_bytes: twice.len() };
        let wire = Bytes::from([header.to_bytes().as_slice(), &twice].concat());
        assert_eq!(decode(&wire), Err(BatchError::Compression));
    }

    #[test]
    fn limits_hold_on_the_way_in() {
        let plain = |body: &[u8]| {
            let header = Header { lane: Lane::Bulk, zstd: false, body_bytes: body.len() };
            decode(&Bytes::from([header.to_bytes().as_slice(), body].concat()))
        };
        let long = (MAX_MESSAGE_BYTES as u32 + 1).to_le_bytes();
        assert_eq!(plain(&long), Err(BatchError::Oversize));
        assert_eq!(plain(&[0; 4 * MAX_MESSAGES]).map(|(_, m)| m.len()), Ok(MAX_MESSAGES));
        assert_eq!(plain(&[0; 4 * (MAX_MESSAGES + 1)]), Err(BatchError::Oversize));
        let mut head = Header { lane: Lane::Bulk, zstd: false, body_bytes: 0 }.to_bytes();
        head[2..].copy_from_slice(&(MAX_BODY_BYTES as u32 + 1).to_le_bytes());
        assert_eq!(Header::parse(&head), Err(BatchError::Oversize));
        head[2..].fill(0);
        for (at, byte) in [(0, 2), (0, 0x11), (1, 4)] {
            let mut bad = head;
            bad[at] = byte;
            assert_eq!(Header::parse(&bad), Err(BatchError::Unknown));
        }
    }

    #[test]
    fn only_what_shrinks_is_packed() {
        let text = Bytes::from(b"the same words ".repeat(50));
        assert!(encode(Lane::Delta, std::slice::from_ref(&text), true).len() < text.len() / 2);
        let small = Bytes::from(vec![0; 500]);
        assert_eq!(encode(Lane::Delta, &[small], true).len(), HEADER_BYTES + LENGTH_BYTES + 500);
    }
}
