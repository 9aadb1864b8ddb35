//! What a topology file says about a simulated run.

use std::path::Path;

use super::cannot;
use crate::failure::Failure;

/// The part of a topology file that one update depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Topology {
    /// `agent_count`; of a range, its upper end.
    pub(super) agents: Option<u32>,
    /// `gossip.fanout` of the own scope.
    pub(super) fanout: Option<usize>,
    /// `gossip.interval_ms` of the own scope.
    pub(super) interval_ms: Option<u64>,
}

impl Topology {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let message = format!("{}: topology files are not read yet", path.display());
        Err(cannot("config", &message, "say --agents, --fanout and --interval-ms instead"))
    }
}
