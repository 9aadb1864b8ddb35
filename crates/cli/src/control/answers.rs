//! What each operation does and the JSON that it answers. The names of the fields are part of the
//! command's interface: docs/CLI.md.

use std::path::Path;
use std::time::Duration;

use knhk_mesh::core::crdt::Family;
use knhk_mesh::core::error::WriteError as Rejected;
use knhk_mesh::core::time::Hlc;
use knhk_mesh::storage::backup::BackupError;
use knhk_mesh::{Change, Mesh, ReadError, Receipt, WatchError, WriteError};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value as Json, json};

use super::peers::{self, direction, ms};
use super::protocol::{Fault, Request, text_or_base64};
use super::{admission, facts, status};
use crate::exit;

/// A beginning of a node id that `ping` takes as one.
const LEAST_PREFIX: usize = 4;

/// The answer to one request.
pub(crate) async fn answer(node: &Mesh, request: &Request) -> Result<Box<RawValue>, Fault> {
    match request.op.as_str() {
        "get" => raw(&get(node, request).await?),
        "set" => {
            let (key, value) = (request.key_bytes()?, request.value_bytes()?);
            let written = match request.ttl_ms {
                Some(ms) => node.set_with_ttl(key, value, Duration::from_millis(ms)).await,
                None => node.set(key, value).await,
            };
            raw(&receipt(node, written)?)
        }
        "del" => {
            let written = receipt(node, node.delete(request.key_bytes()?).await)?;
            raw(&something_done(written, "has no value to delete", "counters and sets stay")?)
        }
        "incr" => {
            let by = request.by.unwrap_or(1);
            raw(&receipt(node, node.incr(request.key_bytes()?, by).await)?)
        }
        "add" => {
            let (key, member) = (request.key_bytes()?, request.value_bytes()?);
            raw(&receipt(node, node.add(key, member).await)?)
        }
        "remove" => {
            let (key, member) = (request.key_bytes()?, request.value_bytes()?);
            let written = receipt(node, node.remove(key, member).await)?;
            let help = "`knhk-mesh get KEY` lists the members that this node knows";
            raw(&something_done(written, "has no such member", help)?)
        }
        "peers" if request.explain => raw(&peers::explained(node).await?),
        "peers" => raw(&peers::listed(node).await?),
        "status" => raw(&status::status(node).await?),
        "digest" => raw(&digest(node).await?),
        "backup" => raw(&backup(node, request).await?),
        "ping" => raw(&ping(node, request).await?),
        "deny" => raw(&admission::deny(node, request).await?),
        "denied" => raw(&admission::denied(node)),
        "publish" => raw(&facts::publish(node, request).await?),
        "fact" => raw(&facts::one(node, request)?),
        "facts" => raw(&facts::all(node)),
        other => {
            let message = format!("there is no operation {other:?}");
            Err(Fault::usage(&message))
        }
    }
}

fn raw(value: &impl Serialize) -> Result<Box<RawValue>, Fault> {
    to_raw_value(value)
        .map_err(|e| Fault::new("failed", exit::FAILED, &e.to_string(), "report this"))
}

/// A value as `get` and `watch` show it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    /// Null if there is none, or if it is no text.
    value: Json,
    #[serde(skip_serializing_if = "Json::is_null")]
    value_base64: Json,
    author: Option<String>,
    clock: Option<Stamp>,
    concurrent: bool,
}

/// A hybrid logical clock.
#[derive(Debug, Serialize)]
pub(crate) struct Stamp {
    wall_ms: u64,
    counter: u16,
}

impl From<Hlc> for Stamp {
    fn from(hlc: Hlc) -> Self {
        Stamp { wall_ms: hlc.wall().0, counter: (hlc.0 & 0xffff) as u16 }
    }
}

impl Shown {
    fn new(key: &[u8], kind: Family) -> Self {
        let (key, key_base64) = text_or_base64(key);
        Shown { key, key_base64, kind: name(kind), ..Shown::default() }
    }

    fn one(self, value: &[u8]) -> Self {
        let (value, base64) = text_or_base64(value);
        Shown { value: json!(value), value_base64: json!(base64), ..self }
    }

    /// All as text, or all as base64: a reader looks in one place.
    fn many<'a>(self, values: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let texts: Result<Vec<&str>, _> = values.clone().map(std::str::from_utf8).collect();
        match texts {
            Ok(texts) => Shown { value: json!(texts), ..self },
            Err(_) => {
                let base64 = values.map(|value| data_encoding::BASE64.encode(value));
                Shown { value_base64: base64.collect(), ..self }
            }
        }
    }

    fn integer(self, value: i128) -> Self {
        // Beyond 64 bits JSON has no integers that programs read.
        let value = i64::try_from(value).map_or_else(|_| json!(value.to_string()), Json::from);
        Shown { value, ..self }
    }
}

const FAMILIES: [Family; 6] =
    [Family::Lww, Family::Counter, Family::Set, Family::Multi, Family::Max, Family::Min];

fn name(family: Family) -> &'static str {
    match family {
        Family::Lww => "lww",
        Family::Multi => "multi",
        Family::Counter => "counter",
        Family::Set => "set",
        Family::Max => "max",
        Family::Min => "min",
    }
}

async fn get(node: &Mesh, request: &Request) -> Result<Shown, Fault> {
    let key = request.key_bytes()?;
    let wanted = |family: &Family| request.kind.as_deref().is_none_or(|kind| kind == name(*family));
    let families: Vec<Family> = FAMILIES.into_iter().filter(wanted).collect();
    if families.is_empty() {
        return Err(Fault::usage("type is one of lww, counter, set, multi, max, min"));
    }
    for family in families {
        if let Some(shown) = view(node, &key, family).await.map_err(|e| read_fault(&e))? {
            return Ok(shown);
        }
    }
    let shown = String::from_utf8_lossy(&key);
    let message = format!("this node knows no value of {shown:?}");
    let help = "if it was written just now elsewhere, try again; `knhk-mesh status` says whether \
                this node agrees with its peers";
    Err(Fault::new("not_found", exit::NOT_FOUND, &message, help))
}

/// One view of a key; `None` if there is nothing to see.
async fn view(node: &Mesh, key: &[u8], family: Family) -> Result<Option<Shown>, ReadError> {
    let shown = Shown::new(key, family);
    Ok(match family {
        Family::Lww => node.get(key).await?.map(|value| Shown {
            author: Some(value.author.to_string()),
            clock: Some(value.clock.into()),
            concurrent: value.concurrent,
            ..shown.one(&value.value)
        }),
        Family::Multi => {
            let siblings = node.siblings(key).await?;
            siblings.first().map(|newest| Shown {
                author: Some(newest.author.to_string()),
                clock: Some(newest.clock.into()),
                concurrent: siblings.len() > 1,
                ..shown.many(siblings.iter().map(|sibling| &sibling.value[..]))
            })
        }
        Family::Counter => node.counter(key).await?.map(|sum| shown.integer(sum)),
        Family::Set => {
            let members = node.members(key).await?;
            (!members.is_empty()).then(|| shown.many(members.iter().map(|member| &member[..])))
        }
        Family::Max => node.max(key).await?.map(|value| shown.integer(value.into())),
        Family::Min => node.min(key).await?.map(|value| shown.integer(value.into())),
    })
}

/// What a watch tells.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum WatchEvent {
    /// A view changed; its value as it is now.
    Seen(Box<Shown>),
    /// So many changes were missed.
    Lagged { lagged: u64 },
}

/// The view that changed, read now; `None` if the node stopped.
pub(crate) async fn seen(node: &Mesh, change: &Change) -> Option<WatchEvent> {
    let key = change.key.as_bytes();
    match view(node, key, change.kind).await {
        Ok(Some(shown)) => Some(WatchEvent::Seen(Box::new(shown))),
        Ok(None) => Some(WatchEvent::Seen(Box::new(Shown::new(key, change.kind)))),
        Err(_) => None,
    }
}

#[derive(Debug, Serialize)]
struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    author: String,
    incarnation: u64,
    /// Null if there was nothing to do.
    seq: Option<u64>,
}

fn receipt(node: &Mesh, written: Result<Receipt, WriteError>) -> Result<Written, Fault> {
    let receipt = written.map_err(|error| write_fault(&error))?;
    let (key, key_base64) = text_or_base64(receipt.key.as_bytes());
    Ok(Written {
        key,
        key_base64,
        author: node.node_id().to_string(),
        incarnation: receipt.incarnation.0,
        seq: receipt.seq.map(|seq| seq.0),
    })
}

fn something_done(written: Written, what: &str, help: &str) -> Result<Written, Fault> {
    if written.seq.is_some() {
        return Ok(written);
    }
    let key = written.key.or(written.key_base64).unwrap_or_default();
    Err(Fault::new("not_found", exit::NOT_FOUND, &format!("{key:?} {what}"), help))
}

#[derive(Debug, Serialize)]
struct BackedUp {
    file: String,
    records: u64,
    incarnation: u64,
}

#[derive(Debug, Serialize)]
struct Digest {
    scope: &'static str,
    root: String,
    count: usize,
}

#[derive(Debug, Serialize)]
struct RoundTrip {
    node: String,
    address: String,
    rtt_ms: f64,
    link: &'static str,
}

async fn backup(node: &Mesh, request: &Request) -> Result<BackedUp, Fault> {
    let Some(file) = request.file.clone().filter(|file| Path::new(file).is_absolute()) else {
        return Err(Fault::usage("name the new file by its whole path"));
    };
    let done = node.back_up(&file).await.map_err(|error| backup_fault(&error))?;
    Ok(BackedUp { file, records: done.records, incarnation: done.incarnation.0 })
}

fn backup_fault(error: &BackupError) -> Fault {
    let fault = |code, exit, help| Fault::new(code, exit, &error.to_string(), help);
    match error {
        BackupError::Stopped => node_stopped(),
        BackupError::Exists { .. } => fault("conflict", exit::CONFLICT, "name a new file"),
        BackupError::NoStore => {
            fault("no_store", exit::FAILED, "start the node with --data-dir, if it shall keep them")
        }
        BackupError::Failed => {
            fault("disk_failed", exit::FAILED, "look after the disk of the node")
        }
        BackupError::Busy => fault("busy", exit::FAILED, "try again when they are done"),
        _ => {
            let help = "name a place that the node may write to, with room for its records";
            fault("output", exit::FAILED, help)
        }
    }
}

async fn digest(node: &Mesh) -> Result<Digest, Fault> {
    let status = node.status().await.map_err(|_| node_stopped())?.node;
    let root = data_encoding::HEXLOWER.encode(&status.root.0);
    Ok(Digest { scope: "cell", root, count: status.records })
}

/// The round trip as the link measures it all the time.
async fn ping(node: &Mesh, request: &Request) -> Result<RoundTrip, Fault> {
    let Some(wanted) = request.node.as_deref().filter(|text| text.len() >= LEAST_PREFIX) else {
        let message = format!("name a node by at least {LEAST_PREFIX} characters of its id");
        return Err(Fault::usage(&message));
    };
    if node.node_id().to_string().starts_with(wanted) {
        let message = format!("{wanted} is the node that was asked");
        return Err(Fault::new(
            "not_found",
            exit::NOT_FOUND,
            &message,
            "`knhk-mesh peers` lists the others",
        ));
    }
    let peers = node.peers().await.map_err(|_| node_stopped())?;
    let links = node.links().await.map_err(|_| node_stopped())?;
    let mut found: Vec<_> = peers.iter().map(|peer| peer.id).collect();
    // A link may stand before the peer's member record arrives.
    found.extend(links.iter().map(|link| link.node));
    found.sort_unstable();
    found.dedup();
    found.retain(|id| id.to_string().starts_with(wanted));
    let id = match found[..] {
        [id] => id,
        [] => {
            let message = format!("this node knows no peer {wanted}");
            return Err(Fault::new(
                "not_found",
                exit::NOT_FOUND,
                &message,
                "`knhk-mesh peers` lists them",
            ));
        }
        _ => {
            let message = format!("{} peers begin with {wanted}", found.len());
            return Err(Fault::new(
                "ambiguous",
                exit::WRONG_USAGE,
                &message,
                "write more of the id",
            ));
        }
    };
    let Some(link) = links.iter().find(|link| link.node == id) else {
        let message = format!("no link stands with {id}");
        let help = "this node reaches it through others; ask a node that has a link with it";
        return Err(Fault::new("unreachable", exit::UNREACHABLE, &message, help));
    };
    let Some(rtt) = link.rtt else {
        let message = format!("the link with {id} is TCP, which measures no round trips");
        return Err(Fault::new(
            "failed",
            exit::FAILED,
            &message,
            "use QUIC: `network.transport: QUIC`",
        ));
    };
    Ok(RoundTrip {
        node: id.to_string(),
        address: link.address.to_string(),
        rtt_ms: ms(rtt),
        link: direction(link),
    })
}

pub(crate) fn too_late(op: &str, limit: Duration) -> Fault {
    let message = format!("no answer to {op} within {} ms", limit.as_millis());
    let help = if matches!(op, "set" | "del" | "incr" | "add" | "remove") {
        "the write may still be made: read before you repeat it; `knhk-mesh status` says whether \
         the node is ready"
    } else {
        "the node is busy: give it longer with --timeout"
    };
    Fault::new("timeout", exit::TIMEOUT, &message, help)
}

pub(crate) fn node_stopped() -> Fault {
    Fault::new("unreachable", exit::UNREACHABLE, "the node stopped", "start it again")
}

pub(crate) fn watch_fault(error: &WatchError) -> Fault {
    match error {
        WatchError::Stopped => node_stopped(),
        other => {
            Fault::new("busy", exit::FAILED, &other.to_string(), "end a watch that nobody needs")
        }
    }
}

fn read_fault(error: &ReadError) -> Fault {
    match error {
        ReadError::Key(rejected) => rejected_fault(rejected),
        _ => node_stopped(),
    }
}

fn write_fault(error: &WriteError) -> Fault {
    match error {
        WriteError::Rejected(rejected) => rejected_fault(rejected),
        WriteError::DiskFailed(_) => {
            let help = "nothing was written: look after the disk of the node, which is tried again";
            Fault::new("disk_failed", exit::FAILED, &error.to_string(), help)
        }
        _ => node_stopped(),
    }
}

fn rejected_fault(rejected: &Rejected) -> Fault {
    let message = rejected.to_string();
    let fault = |code, exit, help| Fault::new(code, exit, &message, help);
    match rejected {
        Rejected::KeyLength { .. } => fault("key_length", exit::WRONG_USAGE, "choose another key"),
        Rejected::TooLarge { .. } => fault("too_large", exit::FAILED, "nothing was written"),
        Rejected::QuotaExceeded { .. } => {
            fault("quota_exceeded", exit::FAILED, "nothing was written")
        }
        Rejected::Busy { .. } => fault("busy", exit::FAILED, "nothing was written: try again"),
        Rejected::Overflow => fault("overflow", exit::FAILED, "nothing was written"),
        Rejected::Partitioned { recovering, reachable, required, retry_after_ms } => {
            let kind = if *recovering { "recovering" } else { "partitioned" };
            let details = json!({
                "kind": kind, "reachable": reachable, "required": required,
                "retry_after_ms": retry_after_ms,
            });
            let help = "try again when `knhk-mesh status` says healthy; docs/PARTITIONS.md says \
                        what each mode refuses";
            let refused = fault("partitioned", exit::PARTITIONED, help);
            Fault { details: details.as_object().cloned().unwrap_or_default(), ..refused }
        }
        Rejected::Left => fault("left", exit::UNREACHABLE, "start the node again"),
        Rejected::Convicted | Rejected::Denied => {
            fault("denied", exit::DENIED, "start the node with a new key")
        }
        Rejected::KeyInUse => {
            let help = "run one process with this key, or give this node a new one";
            fault("key_in_use", exit::KEY_IN_USE, help)
        }
        Rejected::NotStored(_) => {
            let help = "peers may have it: look after the disk of the node, and read before you \
                        repeat it";
            fault("not_stored", exit::FAILED, help)
        }
        _ => fault("failed", exit::FAILED, "see the message"),
    }
}
