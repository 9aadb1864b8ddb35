//! Who writes what: authors with full slots, and signed frames that overwrite them at random.

use std::sync::Arc;

use bytes::Bytes;
use knhk_mesh_core::config::{Config, Settings};
use knhk_mesh_core::crdt::value::{Body, Payload};
use knhk_mesh_core::frame::{Chain, Class, Kind, RecordHead, Slot, Verified, seal};
use knhk_mesh_core::identity::{Incarnation, Keypair, Seq};
use knhk_mesh_core::rng::Rng;
use knhk_mesh_core::time::{Hlc, WallMs};

/// Authors of the state.
const AUTHORS: usize = 1_000;
/// Slots that each of them keeps.
const SLOTS: u32 = 100;
/// Payload bytes: with 24 bytes of fields a record has 256.
const PAYLOAD: usize = 232;

/// Frames that are signed ahead of the clock, in bytes: larger than a second-level cache.
const BATCH_BYTES: usize = 8 << 20;

/// When the first record was written.
const START: WallMs = WallMs(1_800_000_000_000);
/// A time after the last one was written.
pub(crate) const END: WallMs = WallMs(START.0 + 60_000);

/// The authors, each at the end of its chain.
pub(crate) struct Workload {
    pub(crate) settings: Arc<Settings>,
    authors: Vec<(Keypair, Chain)>,
    rng: Rng,
    written: u64,
}

impl Workload {
    /// Authors that have written nothing yet.
    pub(crate) fn new() -> Self {
        // Time stands still here, so that nothing would fill a peer's budget again.
        let config = Config { rate_limit_per_peer: 1_000_000, ..Config::default() };
        let settings = Settings::new(config).expect("they are allowed");
        let mut rng = Rng::new(1);
        let author = |_| {
            let secret: [u64; 4] = std::array::from_fn(|_| rng.next_u64());
            let mut bytes = [0; 32];
            for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(secret) {
                *chunk = word.to_le_bytes();
            }
            let start = Chain::start(Class::Cell, Incarnation(1), (Incarnation(0), Seq(0)));
            (Keypair::from_secret(&bytes), start)
        };
        let authors = (0..AUTHORS).map(author).collect();
        Workload { settings, authors, rng, written: 0 }
    }

    /// Frames of `size` records that fill every slot of every author, and then overwrite each of
    /// them twice, on average.
    pub(crate) fn full_state(&mut self, size: usize, mut take: impl FnMut(Verified)) {
        let slots: Vec<u32> = (0..SLOTS).collect();
        for author in 0..AUTHORS {
            for some in slots.chunks(size) {
                take(self.frame(author, some));
            }
        }
        for _ in 0..2 * AUTHORS * SLOTS as usize / size {
            take(self.overwrite(size));
        }
    }

    /// `frames` more frames of `size` overwrites each, as a link would bring them. They are signed
    /// in batches, ahead of what `take` measures.
    pub(crate) fn arrivals(&mut self, frames: usize, size: usize, mut take: impl FnMut(&Bytes)) {
        let batch = BATCH_BYTES / (size * 256);
        for start in (0..frames).step_by(batch) {
            let some = batch.min(frames - start);
            let arrivals: Vec<Bytes> =
                (0..some).map(|_| self.overwrite(size).bytes().clone()).collect();
            arrivals.iter().for_each(&mut take);
        }
    }

    /// A frame of a random author in random slots.
    fn overwrite(&mut self, size: usize) -> Verified {
        let author = self.rng.below(AUTHORS as u32) as usize;
        let slots: Vec<u32> = (0..size).map(|_| self.rng.below(SLOTS)).collect();
        self.frame(author, &slots)
    }

    /// The next frame of an author. The key of a slot is the same in all its records.
    fn frame(&mut self, author: usize, slots: &[u32]) -> Verified {
        let records: Vec<Vec<u8>> = slots.iter().map(|&slot| self.record(author, slot)).collect();
        let (keypair, chain) = &mut self.authors[author];
        seal(chain, &records, &[], &self.settings.mesh, keypair)
    }

    fn record(&mut self, author: usize, slot: u32) -> Vec<u8> {
        self.written += 1;
        let key = format!("agents/{author:04}/state/{slot:02}");
        let mut value = vec![0; PAYLOAD - 1 - key.len()];
        for bytes in value.chunks_mut(8) {
            bytes.copy_from_slice(&self.rng.next_u64().to_le_bytes()[..bytes.len()]);
        }
        let slot = Slot(Slot::FIRST_FREE.0 + slot as u16);
        // A thousand records a millisecond: the stamps of a run span seconds.
        let hlc = Hlc::at(WallMs(START.0 + self.written / 1_000));
        let payload = Payload { key: key.as_bytes(), body: Body::Lww(&value) }.encode();
        RecordHead::new(slot, Kind::LWW, hlc).encode(&payload)
    }
}
