//! `doctor`: what would keep a node from running here, found without running one. Each check tries
//! the thing itself where that changes nothing: it binds the port, opens the records to read,
//! shakes hands with the seeds.
//!
//! ```text
//!   flags, file ─> Effective ─┬─> files    configuration, key, data folder
//!                             ├─> port     can it be bound, who holds it
//!                             ├─> limits   open files, buffers
//!                             ├─> seeds ─┬─ do they answer
//!                             │          └─ what their clocks show ─> clock
//!                             └─> Check, Check, ... ─> lines or JSON, exit code
//! ```

mod clock;
mod files;
mod holder;
mod limits;
mod port;
mod seeds;

use std::path::PathBuf;

use clap::Args;
use knhk_mesh::config_file::Effective;
use serde::Serialize;

use crate::config::{self, NodeFlags};
use crate::failure::Failure;
use crate::stdout;

/// Options of `doctor`: those of `run`, and what is known here only.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The configuration [default: $KNHK_MESH_CONFIG, else none]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What a clock to trust shows now, in milliseconds since 1970: "$(ssh HOST date +%s%3N)"
    #[arg(long, value_name = "MS")]
    clock_reference: Option<u64>,
    #[command(flatten)]
    node: NodeFlags,
}

/// How a check ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warn,
    Fail,
}

/// One finding; the field names are part of the command's interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Check {
    check: &'static str,
    state: State,
    detail: String,
    /// What to do; `null` if all is well.
    help: Option<String>,
}

impl Check {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Check { check, state: State::Ok, detail: detail.into(), help: None }
    }

    fn warn(check: &'static str, detail: impl Into<String>, help: impl Into<String>) -> Self {
        Check { check, state: State::Warn, detail: detail.into(), help: Some(help.into()) }
    }

    fn fail(check: &'static str, detail: impl Into<String>, help: impl Into<String>) -> Self {
        Check { check, state: State::Fail, detail: detail.into(), help: Some(help.into()) }
    }

    fn line(&self) -> String {
        let state = match self.state {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Fail => "FAIL",
        };
        let help = self.help.as_ref().map(|help| format!("\n        help: {help}"));
        format!("{state:<4}  {}: {}{}\n", self.check, self.detail, help.unwrap_or_default())
    }
}

/// Runs `doctor`.
pub(crate) async fn run(doctor: Doctor, json: bool) -> Result<(), Failure> {
    // Read first: the reference ages from now on.
    let reference = doctor.clock_reference.map(clock::Reading::reference);
    let effective = config::load(doctor.config.as_deref(), &doctor.node)?;
    let checks = examine(&effective, reference).await;
    if json {
        stdout::print_line(&serde_json::to_string(&checks).unwrap_or_default())?;
    } else {
        stdout::print(&checks.iter().map(Check::line).collect::<String>())?;
    }
    let failed = checks.iter().filter(|check| check.state == State::Fail).count();
    if failed == 0 {
        return Ok(());
    }
    let message = format!("{failed} of {} checks failed", checks.len());
    Err(Failure::new("unhealthy", &message, "each failed check says what to do"))
}

async fn examine(effective: &Effective, reference: Option<clock::Reading>) -> Vec<Check> {
    let key = files::key(effective);
    let folder = files::data_folder(effective, key.keypair.as_ref());
    let port = port::check(effective);
    let mut readings: Vec<_> = reference.into_iter().collect();
    let seeds = seeds::check(effective, key.keypair, folder.in_use, &port).await;
    readings.extend(seeds.readings);
    let mut checks = vec![files::configuration(effective), key.check, folder.check, port.check];
    checks.extend(limits::check(effective));
    checks.push(clock::check(effective, &readings));
    checks.extend(seeds.checks);
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_to_do_where_something_is_to_be_done() {
        assert_eq!(Check::ok("port", "free").line(), "ok    port: free\n");
        let failed = Check::fail("port", "taken", "take another").line();
        assert_eq!(failed, "FAIL  port: taken\n        help: take another\n");
        let json = serde_json::to_string(&Check::warn("key", "none", "make one"));
        let wanted = r#"{"check":"key","state":"warn","detail":"none","help":"make one"}"#;
        assert_eq!(json.unwrap(), wanted);
    }
}
