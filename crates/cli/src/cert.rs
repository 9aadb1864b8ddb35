//! `cert`: an operator's authority. Its key is made here and stays in its file; what leaves is
//! signed statements that are no secrets.
//!
//! ```text
//!   cert ca ──► DIR/ca.key (secret), DIR/ca.crt (for every node)
//!   cert issue NODE, cert rotate FILE ──► the certificate of a node
//! ```

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use knhk_mesh::admission::certificates::{Authority, CertificateError, Description, describe};
use knhk_mesh::identity::{MeshId, NodeId, Signer};
use knhk_mesh::key_file;
use serde_json::{Value as Json, json};

use crate::failure::Failure;
use crate::operator_key::{self, WhichMesh, days, now};
use crate::{keygen, stdout};

const KEY: &str = "ca.key";
const CERTIFICATE: &str = "ca.crt";

/// Options of `cert`.
#[derive(Debug, Args)]
pub(crate) struct Cert {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make an authority: DIR/ca.key, which is secret, and DIR/ca.crt, which every node gets
    ///
    /// Prints the id of its key: with it as mesh.admission_key the same key signs denials and
    /// tokens.
    Ca {
        /// Folder of the authority
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Its name in certificates
        #[arg(long, value_name = "NAME", default_value = "knhk-mesh authority")]
        name: String,
        /// Days that the root is valid
        #[arg(long, value_name = "N", default_value_t = 3_650, value_parser = days_from)]
        days: u32,
    },
    /// Issue the certificate of a node
    Issue {
        /// The node's id, as `keygen` prints it
        node: NodeId,
        /// Folder of the authority
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        #[command(flatten)]
        mesh: WhichMesh,
        /// Where to write it; a node looks for node.crt in its data folder
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Days that it is valid
        #[arg(long, value_name = "N", default_value_t = 30, value_parser = days_from)]
        days: u32,
    },
    /// Renew the certificate of a node: the same node and mesh, valid from now
    ///
    /// A running node takes it at SIGHUP; its links stay.
    Rotate {
        /// The certificate; it is replaced
        file: PathBuf,
        /// Folder of the authority
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Days that it is valid
        #[arg(long, value_name = "N", default_value_t = 30, value_parser = days_from)]
        days: u32,
    },
    /// Print what the certificates of a file say
    Show {
        /// A PEM file
        file: PathBuf,
    },
}

fn days_from(text: &str) -> Result<u32, String> {
    let days = text.parse().ok().filter(|days| (1..=36_500).contains(days));
    days.ok_or_else(|| "from 1 to 36500 days".into())
}

/// Runs `cert`.
pub(crate) fn run(cert: &Cert, json: bool) -> Result<(), Failure> {
    match &cert.action {
        Action::Ca { dir, name, days } => make(dir, name, *days, json),
        Action::Issue { node, dir, mesh, out, days } => {
            let mesh = mesh.id()?;
            issue(dir, mesh, *node, *days, out, false, json)
        }
        Action::Rotate { file, dir, days } => {
            let held = describe(file).map_err(|error| unreadable(&error))?;
            let ours =
                held.iter().find_map(|one| Some((one.mesh.as_ref()?.parse().ok()?, one.node?)));
            let (mesh, node) = ours.ok_or_else(|| {
                let message = format!("{} is not the certificate of a node", file.display());
                Failure::new("certificate", &message, "`knhk-mesh cert issue` makes a first one")
            })?;
            issue(dir, mesh, node, *days, file, true, json)
        }
        Action::Show { file } => {
            let found = describe(file).map_err(|error| unreadable(&error))?;
            show(&found, json)
        }
    }
}

fn make(dir: &Path, name: &str, valid: u32, json: bool) -> Result<(), Failure> {
    let (key, certificate) = (dir.join(KEY), dir.join(CERTIFICATE));
    let keypair = keygen::make(&key)?;
    // The mark is for the keys of nodes.
    let _ = key_file::mark_used(&key);
    let id = keypair.node_id();
    let authority =
        Authority::create(keypair, name, now(), days(valid)).map_err(|error| failed(&error))?;
    operator_key::write(&certificate, &authority.pem(), 0o644, false)?;
    if json {
        return stdout::print_line(&json!({
            "admission_key": id.to_string(),
            "key": key.display().to_string(),
            "certificate": certificate.display().to_string(),
        }));
    }
    stdout::print_line(&id)
}

fn issue(
    dir: &Path,
    mesh: MeshId,
    node: NodeId,
    valid: u32,
    out: &Path,
    replace: bool,
    json: bool,
) -> Result<(), Failure> {
    let keypair = operator_key::load(&dir.join(KEY))?;
    let authority =
        Authority::open(&dir.join(CERTIFICATE), keypair).map_err(|error| unreadable(&error))?;
    let pem = authority.issue(&mesh, &node, now(), days(valid)).map_err(|error| failed(&error))?;
    operator_key::write(out, &pem, 0o644, replace)?;
    let made = describe(out).map_err(|error| unreadable(&error))?;
    show(&made, json)
}

fn show(found: &[Description], json: bool) -> Result<(), Failure> {
    let now = i64::try_from(now().0 / 1_000).unwrap_or(i64::MAX);
    if json {
        let all: Vec<Json> = found.iter().map(|one| as_json(one, now)).collect();
        return stdout::print_line(&Json::from(all));
    }
    let texts: Vec<String> = found.iter().map(|one| as_text(one, now)).collect();
    stdout::print(&texts.join("\n"))
}

fn state(one: &Description, now: i64) -> &'static str {
    if now < one.not_before {
        "not valid yet"
    } else if now > one.not_after {
        "expired"
    } else {
        "valid"
    }
}

fn as_json(one: &Description, now: i64) -> Json {
    json!({
        "kind": one.kind,
        "subject": one.subject,
        "issuer": one.issuer,
        "key": one.key.map(|key| key.to_string()),
        "mesh": one.mesh,
        "node": one.node.map(|node| node.to_string()),
        "not_before": one.not_before,
        "not_after": one.not_after,
        "state": state(one, now),
    })
}

fn as_text(one: &Description, now: i64) -> String {
    let days = (one.not_after - now).div_euclid(86_400);
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    format!(
        "kind       {}\nsubject    {}\nissuer     {}\nkey        {}\nmesh       {}\n\
         node       {}\nstate      {}, {days} days left\n",
        one.kind,
        one.subject,
        one.issuer,
        or_none(one.key.map(|key| key.to_string())),
        or_none(one.mesh.clone()),
        or_none(one.node.map(|node| node.to_string())),
        state(one, now),
    )
}

fn failed(error: &CertificateError) -> Failure {
    Failure::new("certificate", error, "this is a defect: report it")
}

fn unreadable(error: &CertificateError) -> Failure {
    match error {
        CertificateError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Failure::new("not_found", error, "`knhk-mesh cert ca` makes an authority")
                .ending_with(5)
        }
        _ => Failure::new("certificate", error, "give a PEM file and the key that belongs to it"),
    }
}
