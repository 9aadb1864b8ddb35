//! `fact`: what a quorum of the committee certifies. Votes are signed and joined here, with nothing
//! but the configuration and a member's key; a running node only publishes and reads.
//!
//! ```text
//!   member 1: sign ──vote──┐
//!   member 2: sign ──vote──┼─► join ──certificate──► publish ─► a node ─► all nodes ─► get, list
//!   member 4: sign ──vote──┘
//! ```

mod ballots;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use knhk_mesh::admission::Denial;
use knhk_mesh::core::certified::{Certificate, Fact as Statement, NotCertified, Vote};
use knhk_mesh::identity::{Committee, Incarnation, MeshId, NodeId, Signer};
use serde_json::{Value as Json, json};

use crate::commands::{self, Plain, Reach};
use crate::control::protocol::{Request, text_or_base64};
use crate::failure::Failure;
use crate::{config, exit, operator_key, stdout};

/// Options of `fact`.
#[derive(Debug, Args)]
pub(crate) struct Fact {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Vote for a fact with the key of a member, and print the vote
    ///
    /// Before it signs it writes down what, in FILE.signed, and it never signs another value of the
    /// same key and version: exit code 6. Keep that file with the key: a member without it could
    /// contradict itself, which proves it a liar.
    Sign(Sign),
    /// Join the votes of a quorum into a certificate, and print it
    Join {
        /// The votes, as `fact sign` prints them
        #[arg(required = true)]
        votes: Vec<String>,
        /// The configuration of the mesh's nodes [default: $KNHK_MESH_CONFIG, else none]
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Give a certificate to a running node, which spreads it
    Publish {
        /// The certificate, as `fact join` prints it
        certificate: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Print the certified value of a key
    Get {
        /// The key
        name: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// List what is certified, and what contradicts itself with those who signed both
    List(Plain),
}

#[derive(Debug, Args)]
struct Sign {
    /// File of the member's key, whose id is in mesh.committee
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The configuration of the mesh's nodes [default: $KNHK_MESH_CONFIG, else none]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What it is about, such as config/gossip.fanout
    #[arg(value_name = "KEY", requires = "version")]
    #[arg(required_unless_present_any = ["deny", "forget"])]
    name: Option<String>,
    /// What is so; - reads standard input to its end
    #[arg(allow_hyphen_values = true, required_unless_present_any = ["deny", "forget"])]
    value: Option<String>,
    /// The version; the highest that is certified stands
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// That a node is denied for good, instead of a key and a value
    #[arg(long, value_name = "NODE", conflicts_with_all = ["name", "value", "version", "forget"])]
    deny: Option<NodeId>,
    /// That a node is forgotten up to an incarnation
    #[arg(long, value_name = "NODE", requires = "up_to")]
    #[arg(conflicts_with_all = ["name", "value", "version"])]
    forget: Option<NodeId>,
    /// The last incarnation that is void, as `status` of the node said
    #[arg(long, value_name = "N", requires = "forget")]
    up_to: Option<u64>,
}

/// Runs `fact`.
pub(crate) fn run(fact: &Fact, json: bool) -> Result<(), Failure> {
    match &fact.action {
        Action::Sign(sign) => vote(sign, json),
        Action::Join { votes, config } => join(votes, config.as_deref(), json),
        Action::Publish { certificate, reach } => publish(certificate, reach, json),
        Action::Get { name, reach } => {
            let request = Request { key: Some(name.clone()), ..Request::new("fact") };
            let said = commands::answer_of(reach, request)?;
            if json {
                return stdout::print_line(&said);
            }
            let value = commands::value_lines(&parse(&said)?);
            stdout::print_bytes(&value)
        }
        Action::List(plain) => {
            let said = commands::answer_of(&plain.reach, Request::new("facts"))?;
            if json {
                return stdout::print_line(&said);
            }
            stdout::print(&listed(&parse(&said)?))
        }
    }
}

/// Mesh and committee of a configuration.
fn appointed(file: Option<&Path>) -> Result<(MeshId, Committee), Failure> {
    let genesis = config::load(file, &config::NodeFlags::default())?.core_config().genesis;
    let mesh = genesis.mesh_id();
    let committee = genesis.committee.ok_or_else(|| {
        let message = "this configuration appoints no committee";
        Failure::new("no_committee", &message, "a mesh has one from its beginning: mesh.committee")
    })?;
    Ok((mesh, committee))
}

fn vote(sign: &Sign, json: bool) -> Result<(), Failure> {
    let (mesh, committee) = appointed(sign.config.as_deref())?;
    let key = operator_key::load(&sign.key)?;
    let fact = match (sign.deny, sign.forget) {
        (Some(node), _) => Statement::void(&node, Denial::FOR_EVER),
        (_, Some(node)) => Statement::void(&node, Incarnation(sign.up_to.unwrap_or_default())),
        _ => {
            let value = commands::given(sign.value.as_deref().unwrap_or_default())?;
            let (name, version) = (sign.name.as_deref(), sign.version.unwrap_or_default());
            let fact = Statement::new(name.unwrap_or_default(), version, value);
            fact.map_err(|why| not_certified(&why))?
        }
    };
    let signer = key.node_id();
    let outsider = || not_certified(&NotCertified::Outsider(signer));
    committee.place(&signer).ok_or_else(outsider)?;
    ballots::note(&sign.key, &mesh, &fact)?;
    let vote = Vote::sign(&key, fact, &committee, &mesh).map_err(|why| not_certified(&why))?;
    let text = vote.to_text();
    if !json {
        return stdout::print_line(&text);
    }
    let mut object = described(vote.fact());
    object["vote"] = text.into();
    object["signer"] = signer.to_string().into();
    stdout::print_line(&object)
}

fn join(votes: &[String], config: Option<&Path>, json: bool) -> Result<(), Failure> {
    let (mesh, committee) = appointed(config)?;
    let joined = votes.iter().map(|vote| Vote::from_text(vote)).collect::<Result<Vec<_>, _>>();
    let joined = joined.and_then(|votes| Certificate::join(&votes, &committee, &mesh));
    let joined = joined.map_err(|why| not_certified(&why))?;
    let text = joined.certificate().to_text();
    if !json {
        return stdout::print_line(&text);
    }
    let mut object = described(joined.fact());
    object["certificate"] = text.into();
    object["signers"] = joined.signers(&committee).map(NodeId::to_string).collect();
    stdout::print_line(&object)
}

fn publish(certificate: &str, reach: &Reach, json: bool) -> Result<(), Failure> {
    let certificate = Certificate::from_text(certificate).map_err(|why| not_certified(&why))?;
    let request = Request::new("publish").with_value(&certificate.encode());
    let said = commands::answer_of(reach, request)?;
    // As after `deny`: what was published is known.
    if json { stdout::print_line(&said) } else { Ok(()) }
}

fn described(fact: &Statement) -> Json {
    let mut object = json!({ "key": fact.key(), "version": fact.version() });
    let (text, base64) = text_or_base64(fact.value());
    object["value"] = text.into();
    if base64.is_some() {
        object["value_base64"] = base64.into();
    }
    object
}

fn parse(said: &str) -> Result<Json, Failure> {
    serde_json::from_str(said)
        .map_err(|error| Failure::new("protocol", &error, "use a command of the node's version"))
}

/// A line for each fact and each conflict. Values stand as JSON, so that none of them ends a line.
fn listed(said: &Json) -> String {
    let all = |list: &str| said[list].as_array().cloned().unwrap_or_default();
    let value = |one: &Json| match &one["value_base64"] {
        Json::Null => one["value"].to_string(),
        base64 => format!("base64:{}", base64.as_str().unwrap_or_default()),
    };
    let place =
        |one: &Json| format!("{} {}", one["key"].as_str().unwrap_or_default(), one["version"]);
    let fact = |one: Json| format!("{} {}\n", place(&one), value(&one));
    let conflict = |one: Json| {
        let values: Vec<_> = one["sides"].as_array().into_iter().flatten().map(value).collect();
        let liars = one["signed_both"].as_array().cloned().unwrap_or_default();
        let liars: Vec<_> = liars.iter().filter_map(Json::as_str).collect();
        let (place, values, liars) = (place(&one), values.join(" and "), liars.join(" "));
        format!("CONFLICT {place} {values}: both signed by {liars}\n")
    };
    let facts = all("facts").into_iter().map(fact);
    facts.chain(all("conflicts").into_iter().map(conflict)).collect()
}

fn not_certified(why: &NotCertified) -> Failure {
    let told = |code: &'static str, help| Failure::new(code, why, help);
    match why {
        NotCertified::Key | NotCertified::Value | NotCertified::Void => told(
            "usage",
            "`--deny` and `--forget` spell void nodes; everything else is a short value",
        )
        .ending_with(exit::WRONG_USAGE),
        NotCertified::Malformed => {
            told("usage", "give the whole line that `fact sign` or `fact join` printed")
                .ending_with(exit::WRONG_USAGE)
        }
        NotCertified::Outsider(_) => {
            told("denied", "sign with a key whose id is in mesh.committee of this configuration")
                .ending_with(exit::DENIED)
        }
        _ => told(
            "not_certified",
            "join the votes of 2f + 1 of the 3f + 1 members for one key, version and value",
        ),
    }
}
