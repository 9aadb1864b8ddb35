//! True verdicts, remembered: the same bytes have the same verdict everywhere, so each message is
//! checked once for the whole world. Nothing is ever believed unchecked.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use knhk_mesh_core::error::Refused;
use knhk_mesh_core::frame::{Job, Verified, verify};

/// Messages remembered; more are forgotten together.
const MOST: usize = 65_536;

pub(crate) type Verdict = Arc<Result<Verified, Refused>>;

#[derive(Default)]
pub(crate) struct Verdicts {
    known: Mutex<HashMap<Bytes, Verdict, FixedState>>,
}

impl Verdicts {
    /// The verdict on `bytes`, of which `job` is the check. Two threads that ask at once may both
    /// check; they find the same.
    pub(crate) fn of(&self, bytes: &Bytes, job: Job) -> Verdict {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(verdict) = known().get(bytes) {
            return Arc::clone(verdict);
        }
        let verdict = Arc::new(verify(job));
        let mut known = known();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(bytes.clone(), Arc::clone(&verdict));
        verdict
    }
}
