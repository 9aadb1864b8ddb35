//! QUIC: one UDP socket accepts and dials, one connection a peer, one uni stream a batch, digests
//! in datagrams. The types of quinn stay inside this folder.
//!
//! ```text
//! accept loop ─┐                       ┌─ reader task: streams side by side, datagrams ─► events
//!              ├─► handshake ─► link ──┤
//! dial ────────┘   (one task each)     └─ writer task: outbox ─► a stream for each batch
//! ```
//!
//! Under it lies the system's socket; an [`Underlay`] takes its place where tests want the whole
//! stack on a network of their own, or `dev` wants faults between its nodes.

mod endpoint;
mod handshake;
mod hello;
mod ledger;
mod parting;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use knhk_mesh_core::admission::NotAdmitted;
use knhk_mesh_core::messages::Close;
use knhk_mesh_core::time::WallMs;
use quinn::{AsyncUdpSocket, Connection, Endpoint};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::counters::Counters;
use super::local::Local;
use super::tls::Tls;
use super::{BindError, Datagrams, Event, Link, Settings, Target};
use crate::admission::Trust;
use endpoint::Opened;
use ledger::Ledger;
use parting::code;

/// Bytes that the socket of a node asks the system to hold back each way: the usual default of
/// 208 KiB loses bursts.
pub const SOCKET_BUFFER_BYTES: usize = 2 << 20;

/// A network below QUIC that is not only the system's: tests run the whole stack over one of their
/// own, and `dev` puts faults between its nodes. The interface of quinn shows through, so this is
/// outside what the crate promises to keep.
#[doc(hidden)]
pub trait Underlay: fmt::Debug + Send + Sync {
    /// A socket on `addr`; port 0 takes a free one.
    ///
    /// # Errors
    /// What the network says, if the address cannot be used.
    fn socket(&self, addr: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>>;

    /// Fixes what QUIC draws at random on `addr`, apart from keys; `None` leaves it random.
    fn seed(&self, addr: SocketAddr) -> Option<[u8; 32]>;
}

#[doc(hidden)]
pub use endpoint::system_socket;

/// How long the last packets may take to leave the socket.
const LAST_PACKETS: Duration = Duration::from_millis(200);

/// The QUIC transport.
pub struct Quic {
    shared: Arc<Shared>,
    local_addr: Mutex<SocketAddr>,
    runtime: Handle,
    tasks: [JoinHandle<()>; 3],
}

/// What the tasks of one transport share.
struct Shared {
    local: Arc<Local>,
    endpoint: Endpoint,
    client: quinn::ClientConfig,
    afresh: quinn::ClientConfig,
    ledger: Arc<Ledger>,
    tls: Tls,
}

impl Quic {
    pub(super) fn bind(settings: Settings, events: mpsc::Sender<Event>) -> Result<Self, BindError> {
        let trust = Trust::open(&settings)?;
        let tls = Tls::new(&settings, &trust)?;
        let failed = |source| BindError::Socket { addr: settings.bind, source };
        let Opened { endpoint, client, afresh, ledger } = endpoint::open(&settings, &tls)?;
        let local_addr = Mutex::new(endpoint.local_addr().map_err(failed)?);
        let local = Arc::new(Local::new(settings, trust, events));
        let shared = Arc::new(Shared { local, endpoint, client, afresh, ledger, tls });
        let runtime = Handle::current();
        let tasks = [
            runtime.spawn(handshake::accept_loop(shared.clone())),
            runtime.spawn(rotate_for_ever(shared.clone())),
            runtime.spawn(watch_admission(shared.clone())),
        ];
        Ok(Quic { shared, local_addr, runtime, tasks })
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        *self.local_addr.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn local(&self) -> &Local {
        &self.shared.local
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.shared.local.counters
    }

    pub(super) fn dial(&self, target: Target) {
        self.runtime.spawn(handshake::dial(self.shared.clone(), target, false));
    }

    pub(super) fn rotate(&self) -> Result<(), BindError> {
        Ok(self.shared.tls.rotate()?)
    }

    pub(super) fn reload(&self) -> Result<(), BindError> {
        // The own certificate is judged by the new roots, and shown once others are, too.
        self.shared.local.trust.reload_roots()?;
        Ok(self.shared.tls.reload()?)
    }

    pub(super) fn rebind(&self, addr: SocketAddr) -> Result<(), BindError> {
        let failed = |source| BindError::Socket { addr, source };
        let local = &self.shared.local;
        let socket =
            endpoint::socket(addr, &local.settings, &self.shared.ledger).map_err(failed)?;
        let bound = socket.local_addr().map_err(failed)?;
        self.shared.endpoint.rebind_abstract(socket).map_err(failed)?;
        *self.local_addr.lock().unwrap_or_else(PoisonError::into_inner) = bound;
        // Only the end that dialled may move (RFC 9000, 9): what others dialled is dialled back.
        for link in local.registry.links().into_iter().filter(|link| !link.dialled()) {
            let target = Target { node: Some(link.node()), addr: link.addr() };
            self.runtime.spawn(handshake::dial(self.shared.clone(), target, true));
        }
        Ok(())
    }

    pub(super) async fn shutdown(&self, grace: Duration) {
        self.stop();
        self.shared.local.shutdown(grace).await;
        self.shared.endpoint.close(code(Close::Leaving), b"");
        let _ = tokio::time::timeout(LAST_PACKETS, self.shared.endpoint.wait_idle()).await;
    }

    fn stop(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.shared.endpoint.set_server_config(None);
    }
}

impl Drop for Quic {
    fn drop(&mut self) {
        self.stop();
        self.shared.local.close_links();
        self.shared.endpoint.close(code(Close::Leaving), b"");
    }
}

/// The connection behind a link.
pub(crate) struct Wire {
    connection: Connection,
    trust: Arc<Trust>,
}

impl Wire {
    pub(super) fn abort(&self, why: Close) {
        parting::close(&self.connection, why, &self.trust);
    }

    pub(super) fn rtt(&self) -> Duration {
        self.connection.rtt()
    }

    pub(super) fn datagrams(&self) -> Datagrams {
        let sent = self.connection.stats().udp_tx;
        Datagrams { count: sent.datagrams, bytes: sent.bytes }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    pub(super) fn judge(&self, trust: &Trust) -> Result<WallMs, NotAdmitted> {
        let chain = handshake::chain(&self.connection).ok_or(NotAdmitted::Signature)?;
        trust.admits_chain(&chain).map(|proven| proven.until)
    }
}

/// Ends what is not admitted any more, and the sessions with it.
async fn watch_admission(shared: Arc<Shared>) {
    let runtime = Handle::current();
    let renew = |link: &Link| {
        let target = Target { node: Some(link.node()), addr: link.addr() };
        runtime.spawn(handshake::dial(shared.clone(), target, true));
    };
    shared.local.clone().watch_admission(|| shared.tls.forget_sessions(), renew).await;
}

async fn rotate_for_ever(shared: Arc<Shared>) {
    // The key spreads the moments of the nodes of a mesh over the jitter's range.
    let [first, ..] = shared.local.own.0;
    let every = shared.local.settings.rotate_every;
    let pause = every.mul_f64(0.9 + 0.2 * f64::from(first) / 255.0);
    loop {
        tokio::time::sleep(pause).await;
        // A failure keeps the old leaf, which is valid for as long again.
        let _ = shared.tls.rotate();
    }
}
