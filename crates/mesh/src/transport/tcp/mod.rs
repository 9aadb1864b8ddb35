//! TCP in clear, for development on one host: peers prove their keys, but nothing is encrypted and
//! nothing protects what follows the hello. Therefore it binds to loopback only, unless told to be
//! insecure.
//!
//! ```text
//! hello (both ways) ─► batches, each with its length in front ─► farewell: 0xff, close code
//! ```

mod hello;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use knhk_mesh_core::messages::Close;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::batch::{self, BatchError, HEADER_BYTES, Header};
use super::counters::Counters;
use super::gate::HalfOpen;
use super::link::{Link, Wire as LinkWire};
use super::local::Local;
use super::{BindError, DialError, Down, Event, Settings, Target};
use crate::admission::Trust;

/// A peer that takes nothing for so long is given up.
const STALL: Duration = Duration::from_secs(10);
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_millis(200);
/// First byte of a farewell, which no batch starts with; then the close code, then zeros.
const FAREWELL_BYTE: u8 = 0xff;
/// Accepting pauses this long when the system has no more sockets.
const NO_SOCKET_PAUSE: Duration = Duration::from_millis(50);
const BACKLOG: u32 = 1_024;
/// A body is read in steps, so that an announced length alone allocates nothing.
const STEP_BYTES: usize = 64 * 1_024;

/// The TCP transport.
pub struct Tcp {
    local: Arc<Local>,
    local_addr: SocketAddr,
    runtime: Handle,
    accepting: [JoinHandle<()>; 2],
}

impl Tcp {
    pub(super) fn bind(settings: Settings, events: mpsc::Sender<Event>) -> Result<Self, BindError> {
        let addr = settings.bind;
        let listener = listen(addr).map_err(|source| BindError::Socket { addr, source })?;
        let local_addr =
            listener.local_addr().map_err(|source| BindError::Socket { addr, source })?;
        let trust = Trust::open(&settings)?;
        let local = Arc::new(Local::new(settings, trust, events));
        let runtime = Handle::current();
        let accepting = [
            runtime.spawn(accept_loop(local.clone(), listener)),
            runtime.spawn(local.clone().watch_admission(|| {}, |_| {})),
        ];
        Ok(Tcp { local, local_addr, runtime, accepting })
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    pub(super) fn local(&self) -> &Local {
        &self.local
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.local.counters
    }

    pub(super) fn dial(&self, target: Target) {
        self.runtime.spawn(dial(self.local.clone(), target));
    }

    pub(super) async fn shutdown(&self, grace: Duration) {
        self.accepting.iter().for_each(JoinHandle::abort);
        self.local.shutdown(grace).await;
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        self.accepting.iter().for_each(JoinHandle::abort);
        self.local.close_links();
    }
}

/// Wakes the tasks of a link that ends.
pub(crate) struct Wire(Arc<Notify>);

impl Wire {
    /// A wire that carries nothing.
    #[cfg(test)]
    pub(crate) fn idle() -> Self {
        Wire(Arc::new(Notify::new()))
    }

    pub(super) fn abort(&self) {
        // A permit, so that a reader that is busy at the moment finds it.
        self.0.notify_one();
    }
}

fn listen(addr: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

async fn accept_loop(local: Arc<Local>, listener: TcpListener) {
    loop {
        let Ok((stream, addr)) = listener.accept().await else {
            tokio::time::sleep(NO_SOCKET_PAUSE).await;
            continue;
        };
        // Dropping the stream is the refusal.
        if let Ok(place) = local.enter(addr.ip(), true, Instant::now()) {
            tokio::spawn(accept(local.clone(), place, stream, addr));
        }
    }
}

async fn accept(local: Arc<Local>, place: HalfOpen, mut stream: TcpStream, addr: SocketAddr) {
    let hello = hello::accept(&local, &mut stream);
    let node = match timeout(local.settings.handshake_timeout, hello).await {
        Ok(Ok(node)) => node,
        Ok(Err(why)) => return local.count_failure(&why),
        Err(_) => return local.count_failure(&DialError::TimedOut),
    };
    drop(place);
    let ended = Arc::new(Notify::new());
    let wire = LinkWire::Tcp(Wire(ended.clone()));
    let link = Link::new(node, addr, false, wire);
    let registered = local.registry.register(&link);
    let answer = registered.as_ref().err().copied();
    let answered = timeout(FAREWELL, hello::welcome(&mut stream, answer)).await;
    match registered {
        Ok(replaced) => {
            if !matches!(answered, Ok(Ok(()))) {
                link.end(Down::Lost);
            }
            run(&local, link, replaced, stream, ended).await;
        }
        Err(why) => local.count_failure(&why.into()),
    }
}

async fn dial(local: Arc<Local>, target: Target) {
    let mut claim = match local.registry.claim(target, false) {
        Ok(claim) => claim,
        Err(why) => return local.dial_failed(target, why).await,
    };
    let connect = async {
        let mut stream = TcpStream::connect(target.addr)
            .await
            .map_err(|error| DialError::Unreachable(error.to_string()))?;
        let node = hello::dial(&local, target.node, &mut claim, &mut stream).await?;
        Ok((stream, node))
    };
    let connected = timeout(local.settings.handshake_timeout, connect).await;
    let connected = connected.unwrap_or(Err(DialError::TimedOut));
    let registered = connected.and_then(|(stream, node)| {
        let ended = Arc::new(Notify::new());
        let wire = LinkWire::Tcp(Wire(ended.clone()));
        let link = Link::new(node, target.addr, true, wire);
        let replaced = local.registry.register(&link)?;
        Ok((link, replaced, stream, ended))
    });
    drop(claim);
    match registered {
        Ok((link, replaced, stream, ended)) => run(&local, link, replaced, stream, ended).await,
        Err(why) => local.dial_failed(target, why).await,
    }
}

async fn run(
    local: &Local,
    link: Link,
    replaced: Option<Link>,
    stream: TcpStream,
    ended: Arc<Notify>,
) {
    let mut why = Down::Lost;
    if stream.set_nodelay(true).is_ok() && local.up(&link, replaced).await {
        let (from_peer, to_peer) = stream.into_split();
        let compress = local.settings.compression;
        let mut writer =
            tokio::spawn(write_batches(link.clone(), to_peer, compress, ended.clone()));
        why = tokio::select! {
            why = read_batches(local, &link, from_peer) => why,
            () = ended.notified() => Down::Lost,
        };
        link.end(link.ended().unwrap_or(why));
        // The farewell is part of the end, but a peer that reads nothing does not delay it.
        if timeout(2 * FAREWELL, &mut writer).await.is_err() {
            writer.abort();
        }
    }
    link.outbox().set_flushed();
    local.down(&link, why).await;
}

async fn write_batches(
    link: Link,
    mut to_peer: OwnedWriteHalf,
    compress: bool,
    ended: Arc<Notify>,
) {
    while let Some(taken) = link.outbox().next().await {
        let bytes = batch::encode(taken.lane, &taken.messages, compress);
        link.count_out(bytes.len(), taken.messages.len());
        match timeout(STALL, to_peer.write_all(&bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => break,
            Err(_) => {
                link.will_end(Down::Stalled);
                ended.notify_one();
                return;
            }
        }
    }
    // Drained without another reason: the node leaves. The peer closes its end when it has read
    // everything, and that end is what the reader waits for.
    link.will_end(Down::Here(Close::Leaving));
    let code = link.ended().map_or(Close::Leaving, Down::code);
    let mut farewell = [0; HEADER_BYTES];
    farewell[..2].copy_from_slice(&[FAREWELL_BYTE, code.code() as u8]);
    let _ = timeout(FAREWELL, to_peer.write_all(&farewell)).await;
    let _ = timeout(FAREWELL, to_peer.shutdown()).await;
}

async fn read_batches(local: &Local, link: &Link, mut from_peer: OwnedReadHalf) -> Down {
    loop {
        let mut head = [0; HEADER_BYTES];
        if from_peer.read_exact(&mut head).await.is_err() {
            return Down::Lost;
        }
        if head[0] == FAREWELL_BYTE {
            return Down::There(Close::ALL.get(usize::from(head[1])).copied());
        }
        let read = match Header::parse(&head) {
            Ok(header) => read_body(&mut from_peer, &head, header.body_bytes).await,
            Err(error) => Err(error),
        };
        match read.and_then(|bytes| batch::decode(&bytes).map(|batch| (bytes.len(), batch))) {
            Ok((bytes, (lane, messages))) => {
                if !local.deliver(link, bytes, lane, messages).await {
                    return Down::Lost;
                }
            }
            Err(error) => {
                local.broken(link, error);
                return Down::Protocol(error);
            }
        }
    }
}

async fn read_body(
    from_peer: &mut OwnedReadHalf,
    head: &[u8; HEADER_BYTES],
    body_bytes: usize,
) -> Result<Bytes, BatchError> {
    let mut bytes = head.to_vec();
    let whole = HEADER_BYTES + body_bytes;
    while bytes.len() < whole {
        let filled = bytes.len();
        bytes.resize(whole.min(filled + STEP_BYTES), 0);
        let read = from_peer.read_exact(&mut bytes[filled..]).await;
        read.map_err(|_| BatchError::Truncated)?;
    }
    Ok(bytes.into())
}
