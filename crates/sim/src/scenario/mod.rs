//! Scenarios: real nodes with real membership, a time line of faults, and what must hold. One TOML
//! file each; those in `scenarios/` are named after failures that hurt existing systems.
//!
//! ```text
//!   file --> stage (world, time line, load)      faults last: nothing bad may happen
//!              |                                 faults end:  good things must happen in time
//!              +--> ledger (what is owed), checkers --> Report
//! ```
//!
//! The two phases are those of TigerBeetle's VOPR. Hostile nodes stay hostile in the second one,
//! and who was killed stays down.
//!
//! ```toml
//! name = "split-heals"
//! source = "where the failure was reported"
//! agents = 20
//! seconds = 60                      # then the faults end
//! [network]
//! latency = "world"                 # or { regions = [...], one_way_ms = [...] }
//! loss = 0.05
//! [load]
//! writes_per_s = 10
//! [[at]]
//! ms = 10000
//! split = 10                        # nodes below 10 from the others
//! [[at]]
//! ms = 40000
//! heal = true
//! [expect]
//! agree_within_ms = 20000
//! ```
//!
//! Other entries of a moment: `cut = { from = "0..5", to = "region eu-west", loss = 0.8 }`, `loss`,
//! `duplicate`, `reorder`, `bandwidth`, `adversary = { who = "33%", kind = "silent" }` (a `censor`
//! and an `eclipse` also `hides = "3"`),
//! `slow = { who = "20%", by_ms = 200 }`, `clock = { who = "3", ahead_ms = -500 }`,
//! `kill = "5 any"`, `restart = { who = "down", disk = false, moved = true }`, `join = 10`,
//! `leave = { who = "5 any", notice = false }`, `write = { node = 3, key = "k", value = "v" }`
//! (with `len`, `burst`, `measured`, `refused`) and `delete = { node = 3, key = "k" }`.

mod check;
mod course;
mod file;
mod later;
mod ledger;
mod showing;
mod stage;

use knhk_mesh_core::config::OutOfRange;

use crate::report::Report;
use crate::spread::Progress;
use crate::world::Drive;
pub use later::{Later, later};
pub use showing::reproduce;

/// A scenario that cannot be run. Nothing was.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file is larger than any scenario.
    #[error("a scenario has at most {most} bytes, this file has {len}")]
    TooLong {
        /// Bytes of the file.
        len: usize,
        /// Most bytes.
        most: usize,
    },
    /// It does not say what a scenario says; with the line.
    #[error("not a scenario: {0}")]
    Malformed(String),
    /// An entry of the time line makes no sense in this scenario.
    #[error("[[at]] number {entry} (at {ms} ms): {why}")]
    Entry {
        /// Which one, from 1.
        entry: usize,
        /// Its time.
        ms: u64,
        /// In words.
        why: String,
    },
    /// A setting of the nodes.
    #[error(transparent)]
    Setting(#[from] OutOfRange),
}

/// Runs the scenario `text`, with its own seed or another. Equal arguments give equal reports,
/// whatever the threads (1-8).
///
/// # Errors
/// [`ScenarioError`] if the text is no scenario.
///
/// # Panics
/// If an invariant of the engine breaks; what the protocol breaks is in the report.
pub fn run(
    text: &str,
    seed: Option<u64>,
    threads: usize,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, ScenarioError> {
    run_driven(text, seed, Drive { threads, ..Drive::default() }, progress)
}

/// The same, driven in a certain way.
///
/// # Errors
/// As [`run`].
///
/// # Panics
/// As [`run`].
pub fn run_driven(
    text: &str,
    seed: Option<u64>,
    drive: Drive,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, ScenarioError> {
    let mut file = parse(text)?;
    file.seed = seed.unwrap_or(file.seed);
    course::run(&file, drive, progress)
}

/// Reads a scenario and says its name, without running it.
///
/// # Errors
/// As [`run`].
pub fn name(text: &str) -> Result<String, ScenarioError> {
    Ok(parse(text)?.name.0)
}

fn parse(text: &str) -> Result<file::File, ScenarioError> {
    if text.len() > file::MAX_FILE {
        return Err(ScenarioError::TooLong { len: text.len(), most: file::MAX_FILE });
    }
    let mut file: file::File =
        toml::from_str(text).map_err(|why| ScenarioError::Malformed(why.to_string()))?;
    if file.at.len() > file::MAX_ENTRIES {
        let (found, most) = (file.at.len(), file::MAX_ENTRIES);
        return Err(ScenarioError::Malformed(format!("{found} moments; allowed is 0-{most}")));
    }
    let end = file.seconds.0 * 1_000;
    let mut nodes = file.agents.0;
    for (i, at) in file.at.iter().enumerate() {
        let wrong = |why: String| ScenarioError::Entry { entry: i + 1, ms: at.ms.0, why };
        nodes += at.join.map_or(0, |join| join.0);
        if at.ms.0 > end {
            return Err(wrong(format!("the faults end at {end} ms")));
        }
        if nodes > file::MAX_NODES {
            return Err(wrong(format!("{nodes} nodes; allowed is 2-{}", file::MAX_NODES)));
        }
        check::moment(&file, at).map_err(wrong)?;
    }
    file.print = crate::latency::text_print(text);
    file.at.sort_by_key(|at| at.ms.0);
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "name = 'x'\nsource = 'y'\nagents = 2\nseconds = 1\n";

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let cases = [
            ("surprise = 1", "line 5"),
            ("[network]\nloss = 1.5", "line 6"),
            ("[load]\nwrites_per_s = 100000", "allowed is 0-10000"),
            ("[[at]]\nms = 1\nkill = 'some'", "`some` names no nodes"),
            ("[[at]]\nms = 1\nadversary = { who = '1', kind = 'rude' }", "there are silent, forge"),
            ("[[at]]\nms = 2000", "the faults end at 1000 ms"),
            ("[[at]]\nms = 1\ncut = { from = '0', to = 'region moon' }", "no region moon"),
            ("[[at]]\nms = 1\nwrite = { node = 0, key = '' }", "1-200 bytes"),
            ("[network]\nlatency = 'moon'", "no latency is called `moon`"),
            ("[[at]]\nms = 1\nrestart = { who = '2 any' }", "who starts again is `down`"),
            ("[[at]]\nms = 1\nkill = '0..3'", "node 2 never exists: there are 2"),
            ("[[at]]\nms = 1\nkill = '3 any'", "3 nodes: there are 2"),
            ("[[at]]\nms = 1\nsplit = 2", "cuts nobody off"),
            ("[[at]]\nms = 1\ncut = { from = '0', to = '2' }", "node 2 never exists"),
            ("[[at]]\nms = 1\nwrite = { node = 2, key = 'k' }", "node 2 never exists"),
            ("[[at]]\nms = 1\ndelete = { node = 2, key = 'k' }", "node 2 never exists"),
            ("[[at]]\nms = 1\nadversary = { who = 'all', kind = 'omit' }", "never hostile"),
            ("[[at]]\nms = 1\nadversary = { who = '1', kind = 'omit' }", "never hostile"),
            ("[[at]]\nms = 1\nadversary = { who = '1 any', kind = 'censor' }", "by number"),
            (
                "[[at]]\nms = 1\nadversary = { who = '1 any', kind = 'censor', hides = '2' }",
                "node 2 never exists",
            ),
            (
                "[[at]]\nms = 1\nadversary = { who = '1 any', kind = 'omit', hides = '0' }",
                "hides nobody",
            ),
            ("[[at]]\nms = 1\njoin = 2000\n[[at]]\nms = 1\njoin = 2000", "4002 nodes"),
        ];
        for (text, says) in cases {
            let text = format!("{HEAD}{text}");
            let why = parse(&text).map(|_| ()).unwrap_err().to_string();
            assert!(why.contains(says), "{why}");
        }
        let agents = HEAD.replace("agents = 2", "agents = 1");
        assert!(parse(&agents).is_err_and(|why| why.to_string().contains("line 3")));
        assert!(matches!(parse(&"#".repeat(1 << 20)), Err(ScenarioError::TooLong { .. })));
    }

    #[test]
    fn an_inline_world_has_regions() {
        let ways = "[network.latency]\nregions = ['a', 'b']\none_way_ms = [[1, 40], [40, 1]]\n";
        let file = parse(&format!(
            "{HEAD}{ways}[[at]]\nms = 1\ncut = {{ from = 'region a', to = 'region b' }}"
        ));
        let regions = file.map(|f| f.network.latency.map(|ways| ways.0.regions().len()));
        assert_eq!(regions, Ok(Some(2)));
    }
}
