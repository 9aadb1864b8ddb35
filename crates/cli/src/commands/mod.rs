//! Commands against a running node. Each is one request to its control socket; what the node
//! answers is printed as it came with `-o json`, else as people and shells like it.
//!
//! ```text
//!   arguments ─> Request ─> control::client ─> answer ─> print
//! ```

mod args;
mod explain;
mod print;

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use crate::control::client::{Client, Said};
use crate::control::place;
use crate::control::protocol::{MAX_REQUEST, Request};
use crate::exit;
use crate::failure::Failure;
use crate::operator_key;
use knhk_mesh::admission::Denial;
use knhk_mesh::identity::Incarnation;

use args::Deny;
pub(crate) use args::{Ask, Plain, Reach};
use print::Reader;
pub(crate) use print::value_lines;

/// Left of the time for the way of the answer.
const WAY: Duration = Duration::from_millis(50);

/// Runs one command.
pub(crate) fn run(ask: &Ask, json: bool) -> Result<(), Failure> {
    // The value may come from standard input: read before the runtime, which would not end.
    let request = request(ask)?;
    attended(conversation(ask, request, json))
}

/// What a node answers to one request, as it said it.
pub(crate) fn answer_of(reach: &Reach, request: Request) -> Result<String, Failure> {
    attended(async {
        let asked = tokio::time::timeout(reach.timeout, async {
            let mut client = connected(reach).await?;
            client.ask(&addressed(reach, request)).await
        });
        match asked.await.unwrap_or_else(|_| Err(too_late(reach.timeout)))? {
            Said::Ok(answer) => Ok(answer.get().to_owned()),
            Said::Event(_) => Err(Failure::new("protocol", &"an event without a watch", "")),
        }
    })
}

/// Runs a conversation until it is over or somebody wants no more of it.
fn attended<T>(conversation: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|e| Failure::new("runtime", &e, "check the limits of descriptors"))?;
    runtime.block_on(async {
        tokio::select! {
            result = conversation => result,
            _ = tokio::signal::ctrl_c() => Err(Failure::interrupted()),
        }
    })
}

async fn conversation(ask: &Ask, request: Request, json: bool) -> Result<(), Failure> {
    let reach = ask.reach();
    let asked = tokio::time::timeout(reach.timeout, async {
        let mut client = connected(reach).await?;
        let request = match ask {
            Ask::Deny(deny) => signed(deny, true, &mut client, request).await?,
            Ask::Forget(deny) => signed(deny, false, &mut client, request).await?,
            _ => request,
        };
        let said = client.ask(&request).await?;
        Ok((client, said))
    });
    let (client, said) = asked.await.unwrap_or_else(|_| Err(too_late(reach.timeout)))?;
    match (ask, said) {
        (Ask::Watch(watch), Said::Ok(_)) => follow(client, watch.count, json).await,
        (_, Said::Ok(answer)) => print::answer(ask, answer.get(), json).map(drop),
        (_, Said::Event(_)) => Err(Failure::new("protocol", &"an event without a watch", "")),
    }
}

async fn connected(reach: &Reach) -> Result<Client, Failure> {
    let place = place::locate(reach.control_socket.as_deref(), reach.data_dir.as_deref());
    Client::connect(&place).await
}

/// The denial, for ever or up to now, signed for the mesh that the node says it is of.
async fn signed(
    deny: &Deny,
    for_ever: bool,
    client: &mut Client,
    request: Request,
) -> Result<Request, Failure> {
    let key = operator_key::load(&deny.key)?;
    let status = Request { op: "status".into(), ..request.clone() };
    let Said::Ok(status) = client.ask(&status).await? else {
        return Err(Failure::new("protocol", &"an event without a watch", ""));
    };
    let status: serde_json::Value = serde_json::from_str(status.get()).unwrap_or_default();
    let mesh = status["mesh"].as_str().unwrap_or_default().parse();
    let mesh = mesh.map_err(|error| Failure::new("protocol", &error, "use the node's version"))?;
    let now = operator_key::now();
    // Incarnations follow the clock: what starts from now on is above.
    let up_to = if for_ever { Denial::FOR_EVER } else { Incarnation::after(None, now) };
    let denial = Denial::up_to(&key, &mesh, deny.node, up_to, now);
    Ok(request.with_value(&denial.encode()))
}

/// Prints what a watch sees, until it has seen enough or the reader of standard output is gone.
async fn follow(mut client: Client, count: Option<u64>, json: bool) -> Result<(), Failure> {
    let mut seen = 0;
    while count.is_none_or(|count| seen < count) {
        let Said::Event(event) = client.next().await? else { continue };
        if print::event(event.get(), json)? == Reader::Gone {
            return Ok(());
        }
        seen += 1;
    }
    Ok(())
}

fn too_late(timeout: Duration) -> Failure {
    let message = format!("no answer within {} ms", timeout.as_millis());
    let help = "a write may still be made: read before you repeat it; --timeout gives it longer";
    Failure::new("timeout", &message, help).ending_with(exit::TIMEOUT)
}

fn request(ask: &Ask) -> Result<Request, Failure> {
    let reach = ask.reach();
    let key = |key: &str| Some(key.to_owned());
    let request = match ask {
        Ask::Get(get) => Request {
            key: key(&get.key),
            kind: get.kind.map(|kind| kind.name().into()),
            ..Request::new("get")
        },
        Ask::Set(set) => {
            let ttl_ms = set.ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
            let request = Request { key: key(&set.key), ttl_ms, ..Request::new("set") };
            request.with_value(&given(&set.value)?)
        }
        Ask::Del(del) => Request { key: key(&del.key), ..Request::new("del") },
        Ask::Incr(incr) => {
            Request { key: key(&incr.key), by: Some(incr.by), ..Request::new("incr") }
        }
        Ask::Add(member) => {
            let request = Request { key: key(&member.key), ..Request::new("add") };
            request.with_value(&given(&member.member)?)
        }
        Ask::Remove(member) => {
            let request = Request { key: key(&member.key), ..Request::new("remove") };
            request.with_value(&given(&member.member)?)
        }
        Ask::Watch(watch) => Request { key: watch.prefix.clone(), ..Request::new("watch") },
        Ask::Peers(peers) => Request { explain: peers.explain, ..Request::new("peers") },
        Ask::Status(_) => Request::new("status"),
        Ask::Digest(_) => Request::new("digest"),
        // Both are denials; they differ in how far they reach.
        Ask::Deny(_) | Ask::Forget(_) => Request::new("deny"),
        Ask::Denied(_) => Request::new("denied"),
        Ask::Backup(backup) => {
            Request { file: Some(whole_path(&backup.file)?), ..Request::new("backup") }
        }
        Ask::Ping(ping) => Request { node: Some(ping.node.clone()), ..Request::new("ping") },
    };
    Ok(addressed(reach, request))
}

/// To which node, and how long it may take.
fn addressed(reach: &Reach, request: Request) -> Request {
    // The node gives up a little earlier and says what it was waiting for.
    let node_time = reach.timeout.saturating_sub(WAY).max(reach.timeout / 2);
    let timeout_ms = u64::try_from(node_time.as_millis()).unwrap_or(u64::MAX).max(1);
    Request { agent: reach.agent, timeout_ms: Some(timeout_ms), ..request }
}

/// The node has another working directory.
fn whole_path(file: &Path) -> Result<String, Failure> {
    let wrong = |why: &dyn std::fmt::Display| {
        let message = format!("{}: {why}", file.display());
        Failure::new("usage", &message, "name a new file").ending_with(exit::WRONG_USAGE)
    };
    let whole = std::path::absolute(file).map_err(|error| wrong(&error))?;
    whole.into_os_string().into_string().map_err(|_| wrong(&"the name is no text"))
}

/// The argument itself; `-` stands for standard input, to its end.
pub(crate) fn given(argument: &str) -> Result<Vec<u8>, Failure> {
    if argument != "-" {
        return Ok(argument.as_bytes().to_vec());
    }
    let mut value = Vec::new();
    let read = std::io::stdin().lock().take(MAX_REQUEST as u64 + 1).read_to_end(&mut value);
    read.map_err(|e| Failure::new("input", &e, "give the value as an argument"))?;
    if value.len() > MAX_REQUEST {
        let message = format!("standard input has more than {MAX_REQUEST} bytes");
        return Err(Failure::new("too_large", &message, "store it elsewhere, and its name here"));
    }
    Ok(value)
}
