//! `ticket`: a token signed by the admission key. One that is bound to a node is no secret; any
//! other admits whoever brings it first, so it is written for its owner only.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use knhk_mesh::admission::{NEVER, Token};
use knhk_mesh::core::time::WallMs;
use knhk_mesh::identity::NodeId;
use serde_json::json;

use crate::args::duration;
use crate::failure::Failure;
use crate::operator_key::{self, WhichMesh, days, now};
use crate::stdout;

/// Options of `ticket`.
#[derive(Debug, Args)]
pub(crate) struct Ticket {
    /// File of the admission key, whose id is mesh.admission_key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    mesh: WhichMesh,
    /// Only for this node, which may then admit others [default: for whoever brings it first]
    #[arg(long, value_name = "NODE")]
    node: Option<NodeId>,
    /// The token has to be brought within this time, such as 30m or 24h
    #[arg(long, value_name = "D", value_parser = duration, default_value = "1h")]
    within: Duration,
    /// Days that the admission lasts [default: without end]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: Option<u32>,
    /// Where to write the token, for its owner only [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn after(now: WallMs, time: Duration) -> WallMs {
    WallMs(now.0.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}

/// Runs `ticket`.
pub(crate) fn run(ticket: &Ticket, json: bool) -> Result<(), Failure> {
    let (mesh, key, now) = (ticket.mesh.id()?, operator_key::load(&ticket.key)?, now());
    let id = knhk_mesh::key_file::fresh_id().map_err(|error| {
        Failure::new("randomness", &error, "try again when the system has some")
    })?;
    let redeem_by = after(now, ticket.within);
    let until = ticket.days.map_or(NEVER, |valid| after(now, days(valid)));
    let token = Token::sign(&key, &mesh, id, redeem_by, until, ticket.node);
    let text = token.to_text();
    if let Some(out) = &ticket.out {
        operator_key::write(out, &format!("{text}\n"), 0o600, false)?;
    }
    let file = ticket.out.as_ref().map(|out| out.display().to_string());
    if json {
        let shown = file.is_none().then_some(&text);
        let until = ticket.days.map(|_| until.0);
        return stdout::print_line(&json!({
            "token": shown,
            "file": file,
            "mesh": mesh.to_string(),
            "node": ticket.node.map(|node| node.to_string()),
            "redeem_by_ms": redeem_by.0,
            "until_ms": until,
        }));
    }
    stdout::print_line(&file.unwrap_or(text))
}
