//! The four shapes of a mesh.

use std::fmt;

use super::keys::TOPOLOGY_WAITS_FOR;

/// The shape of a mesh.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Topology {
    /// One cell on one machine or in one team.
    FlatMesh,
    /// One cell in one region.
    SingleRegionMesh,
    /// Several regions with elected leaders.
    MultiRegionLeaders,
    /// Edges below aggregators below coordinators.
    Hierarchical,
}

impl Topology {
    /// Their names, in files and in telemetry.
    pub const NAMES: &'static [&'static str] =
        &["flat_mesh", "single_region_mesh", "multi_region_leaders", "hierarchical"];

    pub(super) fn of(name: &str) -> Self {
        match name {
            "single_region_mesh" => Topology::SingleRegionMesh,
            "multi_region_leaders" => Topology::MultiRegionLeaders,
            "hierarchical" => Topology::Hierarchical,
            _ => Topology::FlatMesh,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Topology::NAMES[self as usize]
    }

    /// What `run` has to wait for; `None` runs today.
    #[must_use]
    pub fn waits_for(self) -> Option<&'static str> {
        match self {
            Topology::FlatMesh | Topology::SingleRegionMesh => None,
            Topology::MultiRegionLeaders => Some(TOPOLOGY_WAITS_FOR[0]),
            Topology::Hierarchical => Some(TOPOLOGY_WAITS_FOR[1]),
        }
    }

    /// Whether a key of `scope` has a meaning here.
    pub(super) fn knows(self, scope: Scope) -> bool {
        match scope {
            Scope::All => true,
            Scope::Regions => matches!(self, Self::MultiRegionLeaders | Self::Hierarchical),
            Scope::Levels => self == Self::Hierarchical,
        }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// In which topologies a key has a meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// All of them.
    All,
    /// Those with several regions: `multi_region_leaders` and `hierarchical`.
    Regions,
    /// `hierarchical`.
    Levels,
}

impl Scope {
    pub(super) fn topologies(self) -> &'static str {
        match self {
            Scope::All => "every topology",
            Scope::Regions => "multi_region_leaders and hierarchical",
            Scope::Levels => "hierarchical",
        }
    }
}
