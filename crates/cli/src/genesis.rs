//! `genesis`: what the members of a mesh agreed on before the first of them started, and the mesh
//! id that follows. Nodes whose ids differ never meet.

use std::path::PathBuf;

use clap::Args;
use knhk_mesh::identity::{Committee, NodeId};
use serde_json::json;

use crate::config;
use crate::failure::Failure;
use crate::stdout;

/// Options of `genesis`.
#[derive(Debug, Args)]
pub(crate) struct Genesis {
    /// The configuration [default: $KNHK_MESH_CONFIG, else none]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs `genesis`.
pub(crate) fn run(args: &Genesis, json: bool) -> Result<(), Failure> {
    let effective = config::load(args.config.as_deref(), &config::NodeFlags::default())?;
    let genesis = effective.core_config().genesis;
    let (mesh, limits) = (genesis.mesh_id().to_string(), genesis.limits);
    let admission = &effective.mesh.admission;
    let key = genesis.admission_key.map(|key| key.to_string());
    let members = genesis.committee.as_ref().map_or(&[][..], Committee::members);
    let members: Vec<_> = members.iter().map(NodeId::to_string).collect();
    if json {
        return stdout::print_line(&json!({
            "mesh": mesh,
            "name": genesis.name,
            "admission": admission,
            "admission_key": key,
            "committee": members,
            "max_slots": limits.max_slots,
            "max_payload": limits.max_payload,
            "max_authors": limits.max_authors,
            "wire_version": genesis.wire_version,
        }));
    }
    stdout::print(&format!(
        "mesh           {mesh}\nname           {}\nadmission      {admission}\n\
         admission key  {}\ncommittee      {}\nmax slots      {}\nmax payload    {}\n\
         max authors    {}\nwire version   {}\n",
        genesis.name,
        key.as_deref().unwrap_or("-"),
        if members.is_empty() { "-".into() } else { members.join(" ") },
        limits.max_slots,
        limits.max_payload,
        limits.max_authors,
        genesis.wire_version,
    ))
}
