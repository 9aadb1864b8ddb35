//! Scenario files. This stands in for the engine that plays them: it refuses every file.

use crate::report::Report;
use crate::spread::Progress;

/// A scenario that cannot be played. Nothing was run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Scenarios are not played yet.
    #[error("scenario files are not played yet")]
    NotBuilt,
}

/// Plays a scenario.
///
/// # Errors
/// Always, until it exists.
pub fn run(
    _text: &str,
    _seed: Option<u64>,
    _progress: &mut dyn FnMut(Progress),
) -> Result<Report, ScenarioError> {
    Err(ScenarioError::NotBuilt)
}
