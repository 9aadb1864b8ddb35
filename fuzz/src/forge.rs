//! Signs whatever the plan says: four authors, four incarnations each, any sequence number, floor
//! and chain. No fuzzer finds a signature; with the authors' keys it finds what lies behind one.

use std::sync::OnceLock;

use bytes::Bytes;
use knhk_mesh_core::codec::Writer;
use knhk_mesh_core::crdt::value::{Body, Payload};
use knhk_mesh_core::frame::{
    Chain, Class, Hash, Kind, RecordHead, Slot, Verified, merkle, seal, write_head, write_proof,
};
use knhk_mesh_core::identity::{AgentNo, Genesis, Incarnation, Keypair, Seq, Signer as _};
use knhk_mesh_core::membership::Member;
use knhk_mesh_core::time::{Hlc, WallMs};

use crate::plan::Plan;

/// The wall clock of every run when it begins.
pub const WALL: WallMs = WallMs(1_800_000_000_000);

/// Keys for authors and nodes; making one costs as much as a signature.
#[must_use]
pub fn keypair(n: usize) -> &'static Keypair {
    static KEYS: OnceLock<Vec<Keypair>> = OnceLock::new();
    let make = || (0..8).map(|n| Keypair::from_secret(&[n + 1; 32])).collect();
    &KEYS.get_or_init(make)[n % 8]
}

/// Everything sealed so far.
#[derive(Default)]
pub struct Forge {
    made: Vec<Verified>,
}

impl Forge {
    /// Seals a frame and gives it, a part of it, or a fork as a message.
    pub fn message(&mut self, plan: &mut Plan<'_>) -> Bytes {
        let frame = match plan.below(3) {
            2 if !self.made.is_empty() => self.made[plan.below(self.made.len())].clone(),
            _ => {
                let frame = self.seal(plan);
                self.made.push(frame.clone());
                frame
            }
        };
        let message = match plan.below(8) {
            0..=2 => frame.bytes().clone(),
            3..=5 => proof(&frame, plan),
            6 => write_head(frame.header(), None),
            _ => {
                let other = &self.made[plan.below(self.made.len())];
                write_head(frame.header(), Some(other.header()))
            }
        };
        if plan.byte() < 240 { message } else { plan.altered(&message).into() }
    }

    fn seal(&self, plan: &mut Plan<'_>) -> Verified {
        // The node under test is 7: somebody else may have its key.
        let who = keypair([0, 1, 2, 7][plan.below(4)]);
        let incarnation = Incarnation(plan.below(4) as u64);
        let next = match plan.byte() {
            255 => Seq(u64::MAX - 8),
            seq => Seq(u64::from(seq % 48)),
        };
        let floor = match plan.byte() {
            0..192 => (Incarnation(0), Seq(0)),
            byte => (incarnation, Seq(u64::from(byte % 16).min(next.0))),
        };
        let count = 1 + plan.below(4);
        let records: Vec<Vec<u8>> = (0..count).map(|_| record(plan)).collect();
        let class = if plan.byte() == 255 { Class::Region } else { Class::Cell };
        let mut chain = Chain { next, floor, ..Chain::start(class, incarnation, floor) };
        if next.0 > 0 {
            let before = |v: &&Verified| {
                let f = &v.header().fields;
                (f.incarnation, f.seq_end()) == (incarnation, next)
            };
            let last = self.made.iter().rev().find(before).map(|v| v.header().fields.root);
            chain.last_root = last.filter(|_| plan.byte() < 240).unwrap_or([1; 32]);
        }
        seal(&mut chain, &records, &[], &Genesis::default().mesh_id(), who)
    }
}

/// The records at `indexes` of `frame`, proven alone.
#[must_use]
pub fn proof_of(frame: &Verified, indexes: &[u16]) -> Bytes {
    let ids: Vec<Hash> = frame.leaves().iter().map(|leaf| leaf.id).collect();
    let paths = merkle::paths(&ids, indexes);
    let part = |(&index, path)| -> (u16, &[Hash], &[u8]) {
        (index, path, frame.record_bytes(&frame.leaves()[usize::from(index)]))
    };
    let parts: Vec<_> = indexes.iter().zip(paths.iter().map(Vec::as_slice)).map(part).collect();
    write_proof(frame.header(), &parts)
}

fn proof(frame: &Verified, plan: &mut Plan<'_>) -> Bytes {
    let mask = plan.byte();
    let all = 0..frame.leaves().len() as u16;
    let mut indexes: Vec<u16> = all.filter(|i| mask >> (i % 8) & 1 == 1).collect();
    if indexes.is_empty() {
        indexes.push(0);
    }
    proof_of(frame, &indexes)
}

/// A record of any kind with a payload that reads, or one that does not.
pub fn record(plan: &mut Plan<'_>) -> Vec<u8> {
    let (slot, kind, value) = (plan.byte(), plan.byte(), plan.byte());
    let slot = Slot(if slot < 16 { u16::from(slot % 2) } else { 16 + u16::from(slot % 24) });
    let key = [b'k', value % 4];
    let mut seen = Writer::default();
    seen.u8(1).bytes(&keypair(usize::from(value % 3)).node_id().0[..8]);
    seen.u64(Hlc::at(WALL).0);
    let seen = seen.into_vec();
    let mut payload = match kind % 10 {
        0..=2 => Payload { key: &key, body: Body::Lww(&[value]) }.encode(),
        3 => Payload { key: &key, body: Body::Counter { up: value.into(), down: 1 } }.encode(),
        4 => Payload { key: &key, body: Body::Max(value.into()) }.encode(),
        5 => Payload { key: &key, body: Body::Min(value.into()) }.encode(),
        6 => [&[2], &key[..], &seen, &[value]].concat(),
        7 => [&[2], &key[..], &[1, 0, value % 3], &seen].concat(),
        8 => member(value).encode(),
        _ => vec![value; usize::from(value)],
    };
    let kind = match kind % 10 {
        0..=2 => Kind::LWW,
        3 => Kind::COUNTER,
        4 => Kind::MAX,
        5 => Kind::MIN,
        6 => Kind::MULTI,
        7 if value < 128 => Kind::SET_ADD,
        7 => Kind::SET_REMOVE,
        8 => Kind::MEMBER,
        _ => Kind(200),
    };
    let how = plan.byte();
    if how & 0x70 == 0x70 {
        payload = plan.altered(&payload);
    }
    let lead = match how >> 2 & 3 {
        0 | 1 => u64::from(value),
        2 => 700,
        _ if how & 0x80 != 0 => 9_000,
        _ => 0,
    };
    let head = RecordHead {
        tombstone: how & 1 != 0,
        ephemeral: how & 2 != 0,
        agent: AgentNo(u32::from(value)),
        ttl_ds: u32::from(how & 0x40),
        trace: (how & 0x21 == 0x21).then_some([value; 24]),
        ..RecordHead::new(slot, kind, Hlc::at(WallMs(WALL.0 + lead)))
    };
    head.encode(&payload)
}

fn member(value: u8) -> Member {
    let address = ([127, 0, 0, value], 7_000).into();
    Member {
        left: value > 200,
        wire_version: 1,
        region: "north".into(),
        zone: String::new(),
        addresses: vec![address; usize::from(value % 5)],
    }
}
