//! What this process is, said by flags. `run` and `config show` take the same ones.

use clap::Args;
use knhk_mesh::config_file::FlagValue;

/// What this process is; each goes before its `KNHK_MESH_*` variable and the section `node:`.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "This node")]
pub(crate) struct NodeFlags {
    /// Region of this node
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Zone of this node inside its region
    #[arg(long, value_name = "NAME")]
    zone: Option<String>,
    /// Level of this node: edge, aggregator or coordinator
    #[arg(long, value_name = "LEVEL")]
    level: Option<String>,
    /// Whom this node reports to
    #[arg(long, value_name = "HOST:PORT")]
    parent: Option<String>,
    /// Where to listen
    #[arg(long, value_name = "IP:PORT")]
    bind: Option<String>,
    /// Where others dial this node; up to four, separated by commas
    #[arg(long, value_name = "IP:PORT")]
    advertise: Option<String>,
    /// File of this node's key
    #[arg(long, value_name = "FILE")]
    identity: Option<String>,
    /// Folder of this node's key and records
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
}

impl NodeFlags {
    /// What was given, for the library.
    pub(crate) fn values(&self) -> Vec<FlagValue> {
        let all = [
            ("node.region", "--region", &self.region),
            ("node.zone", "--zone", &self.zone),
            ("node.level", "--level", &self.level),
            ("node.parent", "--parent", &self.parent),
            ("node.bind", "--bind", &self.bind),
            ("node.advertise", "--advertise", &self.advertise),
            ("node.identity", "--identity", &self.identity),
            ("node.data_dir", "--data-dir", &self.data_dir),
        ];
        let given = all.into_iter().filter_map(|(key, flag, text)| {
            text.as_ref().map(|text| FlagValue::new(key, flag, text))
        });
        given.collect()
    }
}
