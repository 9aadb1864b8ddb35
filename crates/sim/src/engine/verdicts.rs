//! True verdicts, remembered: the same bytes have the same verdict everywhere, so each message is
//! checked once for all nodes of a shard. Nothing is ever believed unchecked.

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use knhk_mesh_core::error::Refused;
use knhk_mesh_core::frame::{Job, Verified, verify};

/// Messages remembered; more are forgotten together.
const MOST: usize = 65_536;

#[derive(Default)]
pub(crate) struct Verdicts {
    known: HashMap<Bytes, Result<Verified, Refused>, FixedState>,
}

impl Verdicts {
    /// The verdict on `bytes`, of which `job` is the check.
    pub(crate) fn of(&mut self, bytes: &Bytes, job: Job) -> &Result<Verified, Refused> {
        if self.known.len() >= MOST && !self.known.contains_key(bytes) {
            self.known.clear();
        }
        self.known.entry(bytes.clone()).or_insert_with(|| verify(job))
    }
}
