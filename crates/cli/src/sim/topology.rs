//! What a topology file says about a simulated run.

use std::path::Path;

use knhk_mesh::config_file::Effective;

use crate::config::{self, NodeFlags};
use crate::failure::Failure;

/// The part of a topology that one update depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Topology {
    /// `agent_count`; of a range, its upper end.
    pub(super) agents: Option<u32>,
    /// `gossip.fanout`, or that inside a region or an edge.
    pub(super) fanout: Option<usize>,
    /// The interval that belongs to it.
    pub(super) interval_ms: Option<u64>,
}

impl Topology {
    /// # Errors
    /// Those of the file, as `config check` tells them.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        Ok(Self::of(&config::load(Some(path), &NodeFlags::default())?))
    }

    fn of(effective: &Effective) -> Self {
        let own = &effective.gossip.own;
        Topology {
            agents: effective.agent_count.and_then(|count| u32::try_from(count.max).ok()),
            fanout: usize::try_from(own.fanout).ok(),
            interval_ms: Some(own.interval_ms),
        }
    }
}
