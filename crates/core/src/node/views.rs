//! What a node shows: values of keys, and its own state.

use core::time::Duration;

use super::{Node, NodeId, Now, Phase};
use crate::config::Mode;
use crate::crdt::{Contribution, Family, Key, Lww, Sibling, view};
use crate::digest::Root;
use crate::identity::{Incarnation, MeshId};
use crate::partition::{Detector, PartitionStatus};
use crate::telemetry::Counters;
use crate::time::WallMs;

/// A node in one glance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// Its id.
    pub node: NodeId,
    /// Its mesh.
    pub mesh: MeshId,
    /// This start of its process; zero before the first write of a simulated node.
    pub incarnation: Incarnation,
    /// How far it is.
    pub phase: Phase,
    /// Members in its directory, itself included.
    pub members: usize,
    /// Links.
    pub links: usize,
    /// Whether it is cut off from its quorum.
    pub partition: PartitionStatus,
    /// What it does when it is.
    pub mode: Mode,
    /// Members or witnesses that it reached at the last look, itself included, and how many it
    /// needs; `None` where partitions are not noticed.
    pub reachable: Option<(u32, u32)>,
    /// How long the last recovery from a partition took.
    pub recovery: Option<Duration>,
    /// Whether its links agree with it.
    pub converged: bool,
    /// How far behind the link is that is furthest behind.
    pub lag: Duration,
    /// Its state in short.
    pub root: Root,
    /// Entries of its state, heads included.
    pub records: usize,
    /// Since its start.
    pub counters: Counters,
}

impl Node {
    fn shown(&self, family: Family, key: &Key) -> Vec<Contribution<'_>> {
        self.store.contributions(family, key.as_bytes())
    }

    /// The last-writer-wins register `key`.
    #[must_use]
    pub fn get(&self, key: &Key, wall: WallMs) -> Option<Lww<'_>> {
        view::lww(self.shown(Family::Lww, key).into_iter(), wall)
    }

    /// The multi-value register `key`, newest first.
    #[must_use]
    pub fn siblings(&self, key: &Key, wall: WallMs) -> Vec<Sibling<'_>> {
        view::multi(self.shown(Family::Multi, key).into_iter(), wall)
    }

    /// The counter `key`; `None` if nobody ever wrote it.
    #[must_use]
    pub fn counter(&self, key: &Key, wall: WallMs) -> Option<i128> {
        let shares = self.shown(Family::Counter, key);
        (!shares.is_empty()).then(|| view::counter(shares.into_iter(), wall))
    }

    /// The members of the set `key`, sorted; `None` if nobody ever wrote it.
    #[must_use]
    pub fn members_of(&self, key: &Key, wall: WallMs) -> Option<Vec<&[u8]>> {
        let records = self.shown(Family::Set, key);
        (!records.is_empty()).then(|| view::set(records.into_iter(), wall))
    }

    /// The greatest candidate of the maximum `key`.
    #[must_use]
    pub fn max(&self, key: &Key, wall: WallMs) -> Option<i64> {
        view::max(self.shown(Family::Max, key).into_iter(), wall)
    }

    /// The least candidate of the minimum `key`.
    #[must_use]
    pub fn min(&self, key: &Key, wall: WallMs) -> Option<i64> {
        view::min(self.shown(Family::Min, key).into_iter(), wall)
    }

    /// The node in one glance; takes its root.
    pub fn status(&mut self, now: Now) -> Status {
        let root = self.gossip.current_root(&mut self.store, now.mono);
        let (mono, settings) = (now.mono, &self.settings);
        Status {
            node: self.id(),
            mesh: settings.mesh,
            incarnation: self.writer.as_ref().map_or(Incarnation(0), |w| w.incarnation()),
            phase: self.phase,
            members: self.registry.members(),
            links: self.gossip.links.len(),
            partition: self.membership.partition(),
            mode: settings.mode,
            reachable: self.membership.detector().map(Detector::counted),
            recovery: self.membership.detector().and_then(Detector::last_recovery),
            converged: self.gossip.converged_at(mono, settings),
            lag: self.gossip.lag(mono, settings),
            root,
            records: self.store.len(),
            counters: (*self.counters).clone(),
        }
    }
}
