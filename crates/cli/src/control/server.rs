//! The serving end: accepts, reads one line at a time, answers in order. A connection ends when it
//! says nothing for five minutes, says too much, or hangs up.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use knhk_mesh::{Mesh, Watch};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use super::answers::{self, WatchEvent};
use super::chaos::{Asked, Door};
use super::nodes::Nodes;
use super::place::Socket;
use super::protocol::{Answer, Fault, MAX_REQUEST, Request, VERSION};
use crate::exit;

/// Connections at a time; more are told to come back.
const MAX_CONNECTIONS: usize = 256;
/// Silence after which a connection ends.
const IDLE: Duration = Duration::from_secs(300);
/// How long an answer may wait for a client that does not read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a request may take if it does not say, and at most.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_REQUEST_TIMEOUT: Duration = Duration::from_secs(600);
/// Pause after the system refused to accept, for want of descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket that is served; ends, and takes the socket away, when dropped.
pub(crate) struct Serving {
    task: JoinHandle<()>,
    socket: Socket,
}

/// What requests can reach.
#[derive(Clone)]
pub(crate) struct Served {
    /// The agent of a request is the index into them.
    pub(crate) nodes: Nodes,
    /// Takes orders to make faults, in `dev` only.
    pub(crate) chaos: Option<Door>,
}

impl Serving {
    /// Serves on `socket`.
    pub(crate) fn start(socket: Socket, served: Served) -> io::Result<Self> {
        let listener = socket.listener()?;
        let task = tokio::spawn(accept(listener, served));
        Ok(Serving { task, socket })
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        self.socket.path()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: tokio::net::UnixListener, served: Served) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            let message = format!("{MAX_CONNECTIONS} connections are open already");
            let fault = Fault::new("busy", exit::FAILED, &message, "end a watch, or try again");
            // A fresh socket takes a short line at once, or it is given up.
            let _ = stream.try_write(&line(&Answer { error: Some(fault), ..answer() }));
            continue;
        };
        let served = served.clone();
        connections.spawn(async move {
            // A client that went away is nobody's loss.
            let _ = Connection::new(stream).serve(&served).await;
            drop(permit);
        });
    }
}

fn answer() -> Answer {
    Answer { v: VERSION, ..Answer::default() }
}

fn line(answer: &Answer) -> Vec<u8> {
    // Structs of texts and numbers always serialise.
    let mut line = serde_json::to_vec(answer).unwrap_or_default();
    line.push(b'\n');
    line
}

fn raw(value: &impl Serialize) -> Option<Box<RawValue>> {
    to_raw_value(value).ok()
}

struct Connection {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Connection {
    fn new(stream: UnixStream) -> Self {
        let (reader, writer) = stream.into_split();
        Connection { reader: BufReader::new(reader), writer }
    }

    async fn serve(mut self, served: &Served) -> io::Result<()> {
        let mut text = Vec::new();
        loop {
            text.clear();
            let mut limited = (&mut self.reader).take(MAX_REQUEST as u64 + 1);
            let read = tokio::time::timeout(IDLE, limited.read_until(b'\n', &mut text)).await;
            if read.map_err(|_| io::ErrorKind::TimedOut)?? == 0 {
                return Ok(());
            }
            if text.len() > MAX_REQUEST {
                let message = format!("a request has at most {MAX_REQUEST} bytes");
                // What follows is the rest of it, so this is the end.
                return self.refuse(Fault::usage(&message)).await;
            }
            if text.trim_ascii().is_empty() {
                continue;
            }
            match read_request(&text, &served.nodes) {
                Err(fault) => self.refuse(fault).await?,
                Ok((request, Some(node))) if request.op == "watch" => {
                    return self.watch(&request, &node).await;
                }
                Ok((request, node)) => {
                    let given = request.timeout_ms.map(Duration::from_millis);
                    let limit = given.unwrap_or(REQUEST_TIMEOUT).min(MAX_REQUEST_TIMEOUT);
                    let done = tokio::time::timeout(limit, async {
                        match &node {
                            Some(node) => answers::answer(node, &request).await,
                            None => make_fault(served, &request).await,
                        }
                    });
                    let done = done.await;
                    match done.unwrap_or_else(|_| Err(answers::too_late(&request.op, limit))) {
                        Ok(ok) => self.send(&Answer { ok: Some(ok), ..answer() }).await?,
                        Err(fault) => self.refuse(fault).await?,
                    }
                }
            }
        }
    }

    async fn refuse(&mut self, fault: Fault) -> io::Result<()> {
        self.send(&Answer { error: Some(fault), ..answer() }).await
    }

    async fn send(&mut self, answer: &Answer) -> io::Result<()> {
        let line = line(answer);
        let written = self.writer.write_all(&line);
        tokio::time::timeout(WRITE_TIMEOUT, written).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Tells changes until the client hangs up, says something, or the node stops.
    async fn watch(mut self, request: &Request, node: &Mesh) -> io::Result<()> {
        let prefix = if request.key.is_none() && request.key_base64.is_none() {
            Ok(Vec::new())
        } else {
            request.key_bytes()
        };
        let watch = match prefix {
            Ok(prefix) => node.watch(prefix).await.map_err(|error| answers::watch_fault(&error)),
            Err(fault) => Err(fault),
        };
        let mut watch = match watch {
            Ok(watch) => watch,
            Err(fault) => return self.refuse(fault).await,
        };
        let started = raw(&serde_json::json!({ "watching": true }));
        self.send(&Answer { ok: started, ..answer() }).await?;
        loop {
            let event = tokio::select! {
                event = next_event(&mut watch, node) => event,
                // The end of the connection, or a word that a watch does not expect.
                _ = self.reader.fill_buf() => return Ok(()),
            };
            let Some(event) = event else {
                return self.refuse(answers::node_stopped()).await;
            };
            // A pager may rest as long as it likes; the watch is told what it missed.
            let answer = Answer { event: raw(&event), ..answer() };
            self.writer.write_all(&line(&answer)).await?;
        }
    }
}

async fn next_event(watch: &mut Watch, node: &Mesh) -> Option<WatchEvent> {
    match watch.next().await? {
        Ok(change) => answers::seen(node, &change).await,
        Err(lagged) => Some(WatchEvent::Lagged { lagged: lagged.0 }),
    }
}

/// Hands an order to whoever makes the faults, and waits for what is in force then.
async fn make_fault(served: &Served, request: &Request) -> Result<Box<RawValue>, Fault> {
    let Some(door) = &served.chaos else {
        let message = "faults are for a `knhk-mesh dev` that stays up, and this is none";
        return Err(Fault::new("no_chaos", exit::FAILED, message, "start `knhk-mesh dev`"));
    };
    let Some(order) = request.chaos.clone() else {
        return Err(Fault::usage("the request has no chaos"));
    };
    let (reply, answer) = oneshot::channel();
    let asked = Asked { order, reply };
    door.send(asked).await.map_err(|_| answers::node_stopped())?;
    let in_force = answer.await.map_err(|_| answers::node_stopped())??;
    to_raw_value(&in_force)
        .map_err(|e| Fault::new("failed", exit::FAILED, &e.to_string(), "report this"))
}

/// The request and the node that it is for; faults are for no node.
fn read_request(text: &[u8], nodes: &Nodes) -> Result<(Request, Option<Mesh>), Fault> {
    let request: Request = serde_json::from_slice(text)
        .map_err(|error| Fault::usage(&format!("this is no request: {error}")))?;
    if request.v != VERSION {
        let message = format!("protocol version {} was asked for, this is {VERSION}", request.v);
        return Err(Fault::new(
            "version",
            exit::FAILED,
            &message,
            "use a command of the node's version",
        ));
    }
    if request.op == "chaos" {
        return Ok((request, None));
    }
    let (i, all) = (request.agent, nodes.len());
    if i >= all {
        let message = format!("there is no agent {i}");
        let help = format!("this process has agents 0 to {}", all.saturating_sub(1));
        return Err(Fault::new("not_found", exit::NOT_FOUND, &message, &help));
    }
    let Some(node) = nodes.get(i) else {
        let message = format!("agent {i} was killed");
        let help = "`knhk-mesh chaos heal` starts it again";
        return Err(Fault::new("unreachable", exit::UNREACHABLE, &message, help));
    };
    Ok((request, Some(node)))
}
