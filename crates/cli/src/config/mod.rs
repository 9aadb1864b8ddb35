//! `config check`, `config show` and `config schema`: what the configuration means, without
//! starting anything.
//!
//! ```text
//!   flags ─> load (library) ─┬─ Effective ──> check: notes | show: every value and its origin
//!                            └─ Diagnostics ─> Failure, exit 78
//!   keys ──> schema
//! ```

mod flags;
mod report;
mod schema;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use knhk_mesh::config_file::{self, Effective, FlagValue};

use crate::failure::Failure;
use crate::stdout;

pub(crate) use flags::NodeFlags;

/// The file, when no flag names one.
const FILE_VARIABLE: &str = "KNHK_MESH_CONFIG";

/// Options of `config`.
#[derive(Debug, Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) action: Action,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Check a file: all its errors with their lines, or what will not be used yet
    ///
    /// The environment is laid over the file, as `run` does. Exit code 78 means errors.
    Check {
        /// The file
        file: PathBuf,
    },
    /// Print the configuration in force, as a file that says the same
    ///
    /// Flags go before KNHK_MESH_* variables, those before the file, the file before defaults.
    Show {
        /// The file [default: $KNHK_MESH_CONFIG, else none]
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Say where each value comes from
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        node: NodeFlags,
    },
    /// Print the JSON schema of the file, for editors
    Schema,
}

/// Runs `config`.
pub(crate) fn run(config: &Config, json: bool) -> Result<(), Failure> {
    match &config.action {
        Action::Check { file } => {
            let effective = load(Some(file), &NodeFlags::default())?;
            report::checked(file, &effective, json)
        }
        Action::Show { config, origin, node } => {
            let effective = load(config.as_deref(), node)?;
            report::shown(&effective, *origin, json)
        }
        Action::Schema => stdout::print(&format!("{:#}\n", schema::schema())),
    }
}

/// The configuration in force: `file` or what `KNHK_MESH_CONFIG` names, the environment, `flags`.
///
/// # Errors
/// Every error of it, as a failure with exit code 78.
pub(crate) fn load(file: Option<&Path>, flags: &NodeFlags) -> Result<Effective, Failure> {
    load_with(file, flags, None)
}

/// Like [`load`], with more flags.
pub(crate) fn load_with(
    file: Option<&Path>,
    flags: &NodeFlags,
    more: impl IntoIterator<Item = FlagValue>,
) -> Result<Effective, Failure> {
    // Names and values that are no text cannot be ours; the library says what it expects instead.
    let environment = std::env::vars_os().map(|(name, value)| {
        (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
    });
    let named = std::env::var_os(FILE_VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
    let file = file.or(named.as_deref());
    let flags: Vec<FlagValue> = flags.values().into_iter().chain(more).collect();
    config_file::load(file, &flags, environment).map_err(|refused| refused.into())
}
