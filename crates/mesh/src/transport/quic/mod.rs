//! QUIC: one UDP socket accepts and dials, one connection a peer, one uni stream a batch, digests
//! in datagrams. The types of quinn stay inside this folder.
//!
//! ```text
//! accept loop ─┐                       ┌─ reader task: streams side by side, datagrams ─► events
//!              ├─► handshake ─► link ──┤
//! dial ────────┘   (one task each)     └─ writer task: outbox ─► a stream for each batch
//! ```

mod endpoint;
mod handshake;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use knhk_mesh_core::messages::Close;
use quinn::{Connection, Endpoint, VarInt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::counters::Counters;
use super::local::Local;
use super::tls::{Tls, TlsError};
use super::{BindError, Event, Settings, Target};

/// Bytes that the socket of a node asks the system to hold back each way: the usual default of
/// 208 KiB loses bursts.
pub const SOCKET_BUFFER_BYTES: usize = 2 << 20;

/// How long the last packets may take to leave the socket.
const LAST_PACKETS: Duration = Duration::from_millis(200);

/// The QUIC transport.
pub struct Quic {
    shared: Arc<Shared>,
    local_addr: SocketAddr,
    runtime: Handle,
    tasks: [JoinHandle<()>; 2],
}

/// What the tasks of one transport share.
struct Shared {
    local: Arc<Local>,
    endpoint: Endpoint,
    client: quinn::ClientConfig,
    tls: Tls,
}

impl Quic {
    pub(super) fn bind(settings: Settings, events: mpsc::Sender<Event>) -> Result<Self, BindError> {
        let tls = Tls::new(&settings).map_err(|error| no_certificate(&error))?;
        let failed = |source| BindError::Socket { addr: settings.bind, source };
        let (endpoint, client) = endpoint::open(&settings, &tls)?;
        let local_addr = endpoint.local_addr().map_err(failed)?;
        let local = Arc::new(Local::new(settings, events));
        let shared = Arc::new(Shared { local, endpoint, client, tls });
        let runtime = Handle::current();
        let tasks = [
            runtime.spawn(handshake::accept_loop(shared.clone())),
            runtime.spawn(rotate_for_ever(shared.clone())),
        ];
        Ok(Quic { shared, local_addr, runtime, tasks })
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.shared.local.counters
    }

    pub(super) fn dial(&self, target: Target) {
        self.runtime.spawn(handshake::dial(self.shared.clone(), target));
    }

    pub(super) fn rotate(&self) -> Result<(), BindError> {
        self.shared.tls.rotate().map_err(|error| no_certificate(&error))
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
pub(crate) struct Wire(Connection);

impl Wire {
    pub(super) fn abort(&self, why: Close) {
        self.0.close(code(why), b"");
    }

    pub(super) fn rtt(&self) -> Duration {
        self.0.rtt()
    }
}

fn code(why: Close) -> VarInt {
    VarInt::from_u32(why.code())
}

fn no_certificate(error: &TlsError) -> BindError {
    BindError::Certificate(error.to_string())
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
