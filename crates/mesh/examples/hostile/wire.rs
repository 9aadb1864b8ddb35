//! Version 1 of the wire format, made from docs/WIRE.md alone: nothing of the crate's own code is
//! used on the attacker's side.

use std::time::{SystemTime, UNIX_EPOCH};

use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest as _, Sha256};

pub(crate) const CONTROL: u8 = 0;
pub(crate) const DIGEST: u8 = 1;
pub(crate) const DELTA: u8 = 2;
pub(crate) const BULK: u8 = 3;

pub(crate) const HAVE: u8 = 17;
pub(crate) const WANT: u8 = 18;
pub(crate) const RECOVER: u8 = 21;
pub(crate) const NOTICES: u8 = 32;

/// The longest body of a batch.
pub(crate) const MAX_BODY: usize = 320 << 10;

const LWW: u8 = 16;

/// Signs who is denied. The victim's operator has it, the attacker only its public half.
pub(crate) const ADMISSION_KEY: [u8; 32] = [11; 32];

/// Of the victim's mesh: the default one, but with an admission key.
pub(crate) fn mesh_id() -> [u8; 32] {
    mesh_named("default", Some(ADMISSION_KEY))
}

/// `operator`: the secret half of its admission key.
pub(crate) fn mesh_named(name: &str, operator: Option<[u8; 32]>) -> [u8; 32] {
    let mut genesis = b"knhk-mesh genesis v1\0".to_vec();
    genesis.push(1);
    genesis.extend(1_024u16.to_le_bytes());
    genesis.extend(1_024u16.to_le_bytes());
    genesis.extend(4_096u32.to_le_bytes());
    genesis.push(u8::from(operator.is_some()));
    let key = operator.map(|secret| SigningKey::from_bytes(&secret).verifying_key().to_bytes());
    genesis.extend(key.iter().flatten());
    genesis.extend((name.len() as u64).to_le_bytes());
    genesis.extend(name.as_bytes());
    Sha256::digest(genesis).into()
}

/// Base32 of RFC 4648 in lower case, without padding.
pub(crate) fn text(bytes: &[u8]) -> String {
    data_encoding::BASE32_NOPAD.encode(bytes).to_lowercase()
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

fn body(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for message in messages {
        body.extend((message.len() as u32).to_le_bytes());
        body.extend(message);
    }
    body
}

/// The six bytes in front of a body.
pub(crate) fn batch_head(lane: u8, zstd: bool, length: u32) -> Vec<u8> {
    let mut head = vec![1 | u8::from(zstd) << 7, lane];
    head.extend(length.to_le_bytes());
    head
}

pub(crate) fn batch(lane: u8, messages: &[Vec<u8>]) -> Vec<u8> {
    let body = body(messages);
    let mut batch = batch_head(lane, false, body.len() as u32);
    batch.extend(body);
    batch
}

/// A message of 300 KB that passes the ratio of 64 by as much noise as that needs.
pub(crate) fn swollen(lane: u8) -> Vec<u8> {
    let mut noise = noise::<5_200>().to_vec();
    noise.resize(300_000, 0);
    let unpacked = body(&[noise]);
    let packed = zstd::bulk::compress(&unpacked, 1).unwrap();
    let mut batch = batch_head(lane, true, packed.len() as u32);
    batch.extend(packed);
    batch
}

pub(crate) fn digest(root: [u8; 32], items: u32) -> Vec<u8> {
    let mut message = vec![16, 0, 0];
    message.extend(root);
    message.extend(items.to_le_bytes());
    message.extend(now_ms().to_le_bytes());
    message
}

/// `have` or `want` with references that nobody knows, the most that there may be.
pub(crate) fn references(tag: u8) -> Vec<u8> {
    listed(tag, &std::array::from_fn::<_, 256, _>(|_| noise()))
}

/// `have` or `want`.
pub(crate) fn listed(tag: u8, references: &[[u8; 56]]) -> Vec<u8> {
    let mut message = vec![tag];
    message.extend((references.len() as u16).to_le_bytes());
    message.extend(references.concat());
    message
}

/// A summary of notices that differs from everybody's.
pub(crate) fn strange_summary() -> Vec<u8> {
    [&[NOTICES, 0], noise::<32>().as_slice()].concat()
}

/// Denials.
pub(crate) fn denials(denials: &[[u8; 112]]) -> Vec<u8> {
    let mut message = vec![NOTICES, 1];
    for denial in denials {
        message.extend(112u16.to_le_bytes());
        message.extend(denial);
    }
    message
}

/// A denial that nobody signed.
pub(crate) fn forged_denial() -> [u8; 112] {
    let mut denial = noise::<112>();
    // S below the order of the group, or it would be refused without a computation.
    denial[111] = 0;
    denial
}

/// The messages in a batch.
pub(crate) fn messages_in(batch: &[u8]) -> Vec<Vec<u8>> {
    let Some((head, mut body)) = batch.split_at_checked(6) else { return Vec::new() };
    let unpacked = zstd::bulk::decompress(body, MAX_BODY);
    if head[0] & 0x80 != 0 {
        body = unpacked.as_deref().unwrap();
    }
    let mut messages = Vec::new();
    while let Some((length, rest)) = body.split_first_chunk::<4>() {
        let (message, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        messages.push(message.to_vec());
        body = rest;
    }
    messages
}

/// The reference of a frame or proof.
pub(crate) fn signed(message: &[u8]) -> Option<[u8; 56]> {
    let [1 | 2, header @ ..] = message else { return None };
    let (author_to_seq, root) = (&header[16..64], &header[120..128]);
    Some([author_to_seq, root].concat().try_into().unwrap())
}

/// The first denials of a message of them.
pub(crate) fn denials_in(message: &[u8], most: usize) -> Vec<[u8; 112]> {
    let [NOTICES, 1, denials @ ..] = message else { return Vec::new() };
    denials.chunks_exact(114).take(most).map(|denial| denial[2..].try_into().unwrap()).collect()
}

/// Step 0 of a session: branches of the whole tree, all empty: "send me everything".
pub(crate) fn empty_opening(session: u32) -> Vec<u8> {
    opening(session, |_| [0; 20])
}

/// Step 0 of a session: branches of the whole tree, all different from anybody's.
pub(crate) fn strange_opening(session: u32) -> Vec<u8> {
    opening(session, |_| {
        let mut branch = noise();
        branch[16..].copy_from_slice(&1_000u32.to_le_bytes());
        branch
    })
}

fn opening(session: u32, branch: impl Fn(usize) -> [u8; 20]) -> Vec<u8> {
    let mut message = ranges_head(session, 0, 1);
    message.extend(0u64.to_le_bytes());
    message.extend([0, 0]);
    (0..16).for_each(|child| message.extend(branch(child)));
    message
}

/// The biggest lists that a message of ranges may hold: four of 1,024 items below 64 KiB.
pub(crate) fn lists(session: u32) -> Vec<u8> {
    let mut message = ranges_head(session, 0, 3);
    for range in 0..3u64 {
        message.extend((range << 60).to_le_bytes());
        message.extend([1, 2]);
        message.extend(1_024u16.to_le_bytes());
        for item in 0..1_024u64 {
            message.extend(((range << 60) + item).to_le_bytes());
            message.extend(noise::<8>());
        }
    }
    message
}

fn ranges_head(session: u32, step: u8, ranges: u16) -> Vec<u8> {
    let mut message = vec![20, 0];
    message.extend(session.to_le_bytes());
    message.push(step);
    message.extend(0u64.to_le_bytes());
    message.extend(ranges.to_le_bytes());
    message
}

pub(crate) fn noise<const N: usize>() -> [u8; N] {
    let mut noise = [0; N];
    getrandom::fill(&mut noise).unwrap();
    noise
}

/// A register of agent 0.
pub(crate) fn record(slot: u16, stamp: u64, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut record = slot.to_le_bytes().to_vec();
    record.extend([LWW, 0]);
    record.extend(0u32.to_le_bytes());
    record.extend(stamp.to_le_bytes());
    record.extend(0u32.to_le_bytes());
    record.extend((1 + key.len() as u16 + value.len() as u16).to_le_bytes());
    record.extend([0, 0]);
    record.push(key.len() as u8);
    record.extend(key);
    record.extend(value);
    record
}

/// One incarnation of a key.
pub(crate) struct Author {
    pub(crate) key: SigningKey,
    pub(crate) mesh: [u8; 32],
    pub(crate) incarnation: u64,
    pub(crate) seq: u64,
    pub(crate) prev_root: [u8; 32],
}

impl Author {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Author {
            key: SigningKey::from_bytes(&secret),
            mesh: mesh_id(),
            incarnation: (u128::from(now_ms() << 8) * (1 << 16) / 1_000) as u64,
            seq: 0,
            prev_root: [0; 32],
        }
    }

    pub(crate) fn id(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    fn leaf(&self, seq: u64, record: &[u8]) -> [u8; 32] {
        let context = Sha256::new()
            .chain_update(b"knhk-mesh leaf v1\0")
            .chain_update(self.mesh)
            .chain_update([0])
            .chain_update(self.id())
            .chain_update(self.incarnation.to_le_bytes())
            .finalize();
        let mut input = seq.to_le_bytes().to_vec();
        input.extend((record.len() as u32).to_le_bytes());
        input.extend(record);
        input.resize(input.len().next_multiple_of(64), 0);
        *blake3::keyed_hash(&context.into(), &input).as_bytes()
    }

    /// The next frame: message 1.
    pub(crate) fn frame(&mut self, stamp: u64, records: &[Vec<u8>]) -> Vec<u8> {
        let leaves = (self.seq..).zip(records).map(|(seq, record)| self.leaf(seq, record));
        let root = root(leaves.collect());
        let length: usize = records.iter().map(Vec::len).sum();
        let mut header = vec![1, 0, 0, 0];
        header.extend((records.len() as u16).to_le_bytes());
        header.extend(0u16.to_le_bytes());
        header.extend((length as u32).to_le_bytes());
        header.extend(0u32.to_le_bytes());
        header.extend(self.id());
        header.extend(self.incarnation.to_le_bytes());
        header.extend(self.seq.to_le_bytes());
        header.extend(stamp.to_le_bytes());
        header.extend([0; 16]);
        header.extend(self.prev_root);
        header.extend(root);
        let signed = [b"knhk-mesh frame v1\0".as_slice(), &self.mesh, &header].concat();
        header.extend(self.key.sign(&signed).to_bytes());
        self.seq += records.len() as u64;
        self.prev_root = root;
        let mut message = vec![1];
        message.extend(header);
        records.iter().for_each(|record| message.extend(record));
        message
    }
}

fn root(mut level: Vec<[u8; 32]>) -> [u8; 32] {
    let mut key = [0; 32];
    key[..17].copy_from_slice(b"knhk-mesh node v1");
    while level.len() > 1 {
        let pairs = level.chunks(2).map(|pair| match pair {
            [left, right] => *blake3::keyed_hash(&key, &[*left, *right].concat()).as_bytes(),
            alone => alone[0],
        });
        level = pairs.collect();
    }
    level[0]
}
