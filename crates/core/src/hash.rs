//! BLAKE3 of many short inputs at once. A frame has a leaf for each record and nearly as many inner
//! nodes, all hashed under one key: side by side in the lanes of the processor's vectors (16 with
//! AVX-512, 8 with AVX2, 4 with SSE4.1 and NEON) they cost a fraction of what they cost one after
//! the other (docs/adr/0018).
//!
//! ```text
//!   record 0   [block][block][block][block][block]  \
//!   record 1   [block][block][block][block][block]   |  one call: same number of blocks,
//!   ...                                               |  one key, up to 16 lanes
//!   record 15  [block][block][block][block][block]  /
//! ```
//!
//! Lanes need inputs of whole blocks, so inputs are padded with zeros; whoever hashes bytes of any
//! length puts the length in front. Each result is the plain keyed BLAKE3 of the padded input, so
//! another implementation needs nothing special.

use blake3::IncrementCounter;
use blake3::platform::Platform;

/// A hash of 32 bytes.
pub type Hash = [u8; 32];

/// Bytes of a block of BLAKE3.
pub const BLOCK: usize = 64;
/// Most inputs that the widest processor hashes side by side.
const LANES: usize = 16;
/// Bytes of a chunk: a longer input is a tree of its own and is not laned.
const CHUNK: usize = 1_024;

/// Flags of an input that is one chunk and the root (BLAKE3 specification, 2.2).
const KEYED: u8 = 1 << 4;
const START: u8 = 1;
const END_ROOT: u8 = (1 << 1) | (1 << 3);

/// A key that spells its purpose, zero-padded: hashes of different purposes never meet, and no key
/// is derived at run time.
///
/// # Panics
/// If the name is longer than 24 bytes: eight stay free for a salt.
#[must_use]
pub const fn domain(name: &str) -> Hash {
    let name = name.as_bytes();
    assert!(name.len() <= 24, "eight bytes stay free for a salt");
    let mut key = [0; 32];
    let (head, _) = key.split_at_mut(name.len());
    head.copy_from_slice(name);
    key
}

/// Appends the hashes of `inputs` under `key` to `out`, in their order.
pub fn equally_long<const N: usize>(key: &Hash, inputs: &[[u8; N]], out: &mut Vec<Hash>) {
    const { assert!(N > 0 && N <= CHUNK && N.is_multiple_of(BLOCK), "whole blocks of one chunk") };
    let start = out.len();
    out.resize(start + inputs.len(), [0; 32]);
    for (inputs, out) in inputs.chunks(LANES).zip(out[start..].chunks_mut(LANES)) {
        let refs: [&[u8; N]; LANES] = core::array::from_fn(|i| &inputs[i.min(inputs.len() - 1)]);
        lanes(key, &refs[..inputs.len()], out);
    }
}

/// An input of any length: a prefix that says how long it is, and the rest.
pub type Parts<'a> = ([u8; PREFIX], &'a [u8]);
/// Bytes in front of the rest.
pub const PREFIX: usize = 12;

fn padded_one(key: &Hash, (head, rest): Parts<'_>) -> Hash {
    let padding = [0; BLOCK];
    let used = (PREFIX + rest.len()) % BLOCK;
    let mut hash = blake3::Hasher::new_keyed(key);
    hash.update(&head).update(rest).update(&padding[..(BLOCK - used) % BLOCK]);
    hash.finalize().into()
}

/// The hashes of `inputs` under `key`, each zero-padded to whole blocks, in their order.
///
/// # Panics
/// If there are more than 65,535.
#[must_use]
pub fn padded(key: &Hash, inputs: &[Parts<'_>]) -> Vec<Hash> {
    if let [alone] = inputs {
        return vec![padded_one(key, *alone)];
    }
    let blocks = |i: u16| (PREFIX + inputs[usize::from(i)].1.len()).div_ceil(BLOCK);
    let mut hashes = vec![[0; 32]; inputs.len()];
    assert!(inputs.len() <= usize::from(u16::MAX), "places are counted in 16 bits");
    // Those of one length beside each other, whatever their order in the frame.
    let mut order: Vec<u16> = (0..inputs.len() as u16).collect();
    order.sort_by_key(|&i| blocks(i));
    let mut scratch = [[0; CHUNK]; LANES];
    for same in order.chunk_by(|&a, &b| blocks(a) == blocks(b)) {
        for group in same.chunks(LANES) {
            let long = blocks(group[0]) * BLOCK > CHUNK;
            if long || group.len() == 1 {
                group
                    .iter()
                    .map(|&i| usize::from(i))
                    .for_each(|i| hashes[i] = padded_one(key, inputs[i]));
                continue;
            }
            let len = blocks(group[0]) * BLOCK;
            for (lane, &i) in scratch.iter_mut().zip(group) {
                let (head, rest) = inputs[usize::from(i)];
                lane[..PREFIX].copy_from_slice(&head);
                lane[PREFIX..PREFIX + rest.len()].copy_from_slice(rest);
                lane[PREFIX + rest.len()..len].fill(0);
            }
            let mut out = [[0; 32]; LANES];
            of_len(key, &scratch[..group.len()], len, &mut out[..group.len()]);
            group.iter().zip(out).for_each(|(&i, hash)| hashes[usize::from(i)] = hash);
        }
    }
    hashes
}

/// Hashes the first `len` bytes of each of `inputs`.
fn of_len(key: &Hash, inputs: &[[u8; CHUNK]], len: usize, out: &mut [Hash]) {
    fn first<const N: usize>(key: &Hash, inputs: &[[u8; CHUNK]], out: &mut [Hash]) {
        let mut refs = [&[0; N]; LANES];
        for (lane, input) in refs.iter_mut().zip(inputs) {
            match input.first_chunk() {
                Some(input) => *lane = input,
                None => unreachable!("no input is longer than a chunk"),
            }
        }
        lanes(key, &refs[..inputs.len()], out);
    }
    match len / BLOCK {
        1 => first::<64>(key, inputs, out),
        2 => first::<128>(key, inputs, out),
        3 => first::<192>(key, inputs, out),
        4 => first::<256>(key, inputs, out),
        5 => first::<320>(key, inputs, out),
        6 => first::<384>(key, inputs, out),
        7 => first::<448>(key, inputs, out),
        8 => first::<512>(key, inputs, out),
        9 => first::<576>(key, inputs, out),
        10 => first::<640>(key, inputs, out),
        11 => first::<704>(key, inputs, out),
        12 => first::<768>(key, inputs, out),
        13 => first::<832>(key, inputs, out),
        14 => first::<896>(key, inputs, out),
        15 => first::<960>(key, inputs, out),
        16 => first::<1024>(key, inputs, out),
        blocks => unreachable!("a chunk has 1-16 blocks, not {blocks}"),
    }
}

fn lanes<const N: usize>(key: &Hash, inputs: &[&[u8; N]], out: &mut [Hash]) {
    lanes_on(Platform::detect(), key, inputs, out);
}

fn lanes_on<const N: usize>(platform: Platform, key: &Hash, inputs: &[&[u8; N]], out: &mut [Hash]) {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(key.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    let out = out.as_flattened_mut();
    platform.hash_many(inputs, &words, 0, IncrementCounter::No, KEYED, START, END_ROOT, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: Hash = domain("a test");

    #[test]
    fn many_hashes_are_the_ones_of_the_public_interface() {
        for count in [0, 1, 2, 15, 16, 17, 40] {
            let inputs: Vec<[u8; 128]> = (0..count).map(|i| [i as u8; 128]).collect();
            let mut out = vec![[9; 32]];
            equally_long(&KEY, &inputs, &mut out);
            let expected = inputs.iter().map(|i| blake3::keyed_hash(&KEY, i).into());
            assert_eq!(out[1..], expected.collect::<Vec<Hash>>());
            assert_eq!(out[0], [9; 32]);
        }
    }

    /// What this processor has; a narrower one has fewer of them.
    fn platforms() -> Vec<Platform> {
        #[cfg(target_arch = "x86_64")]
        let vectors = [Platform::sse2(), Platform::sse41(), Platform::avx2(), Platform::avx512()];
        #[cfg(target_arch = "aarch64")]
        let vectors = [Platform::neon()];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let vectors = [None];
        vectors.into_iter().flatten().chain([Platform::portable()]).collect()
    }

    #[test]
    fn every_kind_of_processor_makes_the_same() {
        let inputs: Vec<[u8; 320]> = (0..LANES).map(|i| [i as u8; 320]).collect();
        let refs: Vec<&[u8; 320]> = inputs.iter().collect();
        for platform in platforms() {
            for count in [1, 3, 4, 8, 15, 16] {
                let mut out = vec![[0; 32]; count];
                lanes_on(platform, &KEY, &refs[..count], &mut out);
                let expected = inputs[..count].iter().map(|i| blake3::keyed_hash(&KEY, i).into());
                assert_eq!(out, expected.collect::<Vec<Hash>>(), "{platform:?}, {count}");
            }
        }
    }

    #[test]
    fn one_hash_is_that_of_the_padded_input_at_every_length() {
        let bytes: Vec<u8> = (0..3_000u32).map(|i| (i * 7) as u8).collect();
        for len in (0..1_200).chain([2_000, 3_000]) {
            let head = core::array::from_fn(|i| (len + i) as u8);
            let mut whole = [&head, &bytes[..len]].concat();
            whole.resize(whole.len().next_multiple_of(BLOCK), 0);
            let expected: Hash = blake3::keyed_hash(&KEY, &whole).into();
            assert_eq!(padded_one(&KEY, (head, &bytes[..len])), expected, "{len} bytes");
            // In lanes of its own kind, with a neighbour that leaves dirt in every lane before it.
            let parts = [([255; PREFIX], &bytes[..1_012]); 16];
            let same = [(head, &bytes[..len]); 3];
            assert_eq!(padded(&KEY, &[&parts[..], &same].concat())[16..], [expected; 3]);
        }
    }

    proptest! {
        #[test]
        fn all_are_in_the_order_of_their_inputs(
            lens in proptest::collection::vec(0usize..1_500, 0..60),
        ) {
            let bytes = [7; 1_500];
            let inputs: Vec<Parts<'_>> = (0u8..)
                .zip(&lens)
                .map(|(i, &len)| ([i; PREFIX], &bytes[..len]))
                .collect();
            let expected: Vec<Hash> = inputs.iter().map(|&parts| padded_one(&KEY, parts)).collect();
            prop_assert_eq!(padded(&KEY, &inputs), expected);
        }
    }
}
