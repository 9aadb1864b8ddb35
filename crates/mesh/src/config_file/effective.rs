//! The configuration in force: typed, checked, and every value with the layer it comes from.

use super::keys::Key;
use super::model::{
    Bootstrap, Gossip, Hierarchy, Leaders, MeshSection, Network, NodeSection, Observability,
    Partition, Region, Security,
};
use super::topology::Topology;
use super::value::NumberRange;
use super::values::{Setting, Values};

/// A configuration without errors, all layers and defaults applied.
#[derive(Clone, PartialEq, Debug)]
pub struct Effective {
    /// The file's name as it was given; `None` without a file.
    pub file: Option<String>,
    /// Shape of the mesh.
    pub topology: Topology,
    /// Expected agents.
    pub agent_count: Option<NumberRange>,
    /// Regions, as listed.
    pub regions: Vec<Region>,
    /// Rounds.
    pub gossip: Gossip,
    /// Links.
    pub network: Network,
    /// First contacts.
    pub bootstrap: Bootstrap,
    /// Election of leaders, in topologies with several regions.
    pub leaders: Option<Leaders>,
    /// Levels, in `hierarchical`.
    pub hierarchy: Option<Hierarchy>,
    /// Limits and suites.
    pub security: Security,
    /// Export of telemetry.
    pub observability: Observability,
    /// Genesis and admission.
    pub mesh: MeshSection,
    /// Behaviour in a partition.
    pub partition: Partition,
    /// What this process is.
    pub node: NodeSection,
    pub(super) values: Values,
    /// Environment variables that begin like ours and are no keys.
    pub(super) strays: Vec<String>,
}

/// One key of the configuration in force.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Its path, such as `gossip.fanout` or `regions[0].name`.
    pub path: &'a str,
    /// Its row in the table.
    pub key: &'static Key,
    /// Its value and the layer it comes from.
    pub setting: &'a Setting,
}

impl Effective {
    pub(super) fn new(file: Option<String>, values: Values, strays: Vec<String>) -> Self {
        let topology = values.topology().unwrap_or(Topology::FlatMesh);
        Effective {
            file,
            topology,
            agent_count: values.range("agent_count"),
            regions: Region::all(&values),
            gossip: Gossip::of(&values, topology),
            network: Network::of(&values),
            bootstrap: Bootstrap::of(&values),
            leaders: Leaders::of(&values, topology),
            hierarchy: Hierarchy::of(&values, topology),
            security: Security::of(&values),
            observability: Observability::of(&values),
            mesh: MeshSection::of(&values),
            partition: Partition::of(&values),
            node: NodeSection::of(&values),
            values,
            strays,
        }
    }

    /// Every key that has a value, in the order of the table.
    #[must_use]
    pub fn rows(&self) -> Vec<Row<'_>> {
        let row = |(path, key, setting)| Row { path, key, setting };
        self.values.in_order().into_iter().map(row).collect()
    }

    /// The value of one key and the layer it comes from; `None` if it has no value.
    #[must_use]
    pub fn setting(&self, path: &str) -> Option<&Setting> {
        self.values.get(path)
    }

    /// What a running node with this configuration does about `new`.
    #[must_use]
    pub fn compare(&self, new: &Effective) -> Reload {
        let mut reload = Reload::default();
        let all = self.rows().into_iter().chain(new.rows());
        for Row { path, key, .. } in all {
            let value = |of: &Effective| of.setting(path).map(|setting| setting.value.clone());
            if value(self) == value(new) {
                continue;
            }
            // A default that follows from another key is not a change of its own.
            let given = |of: &Effective| of.values.is_given(path);
            if !given(self) && !given(new) {
                continue;
            }
            let list = if key.reloads { &mut reload.now } else { &mut reload.restart };
            if !list.iter().any(|other| other == path) {
                list.push(path.to_owned());
            }
        }
        reload
    }
}

/// How a changed configuration reaches a running node: paths of the keys that changed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reload {
    /// These take effect at once.
    pub now: Vec<String>,
    /// These keep their old value until the node starts again.
    pub restart: Vec<String>,
}

impl Reload {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.now.is_empty() && self.restart.is_empty()
    }
}
