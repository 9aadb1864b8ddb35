//! The faults below QUIC: a socket of the system for each node, and in front of its sending end a
//! question that is one relaxed load while there are no faults. All nodes of the swarm send
//! through here, so what is to reach nobody is not sent.
//!
//! ```text
//!   quinn ─ try_send ─► any faults? ─ no ──────────────────────────► the system's socket
//!                          │ yes                                         ▲        ▲
//!                          └─► dead? cut? lost? ─► vanishes              │        │
//!                                    │ how late? ─ not at all ───────────┘        │
//!                                    └─► waiting, by due time ─ one task ─────────┘
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use knhk_mesh::Profile;
use knhk_mesh::rng::Rng;
use knhk_mesh::transport::quic::{Underlay, system_socket};
use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::faults::{Fate, Faults};

/// Datagrams that may be late at a time, at most 1.5 KiB each; more are lost.
const MOST_LATE: usize = 16_384;

/// What all sockets of a swarm share. Clones are the same.
#[derive(Clone)]
pub(crate) struct Network(Arc<Shared>);

struct Shared {
    /// Whether a look at `faults` is worth it.
    any: AtomicBool,
    faults: RwLock<Faults>,
    late: Late,
    rng: Mutex<Rng>,
}

impl Network {
    /// A network without faults; `seed` decides what is lost later, and how late the rest is.
    pub(crate) fn new(seed: u64) -> Self {
        Network(Arc::new(Shared {
            any: AtomicBool::new(false),
            faults: RwLock::default(),
            late: Late::default(),
            rng: Mutex::new(Rng::new(seed)),
        }))
    }

    /// What lies under node `i`.
    pub(crate) fn under(&self, i: usize, profile: Profile) -> Arc<dyn Underlay> {
        Arc::new(Under { network: self.clone(), node: i, profile })
    }

    /// Changes the faults; holds for every datagram from then on.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Faults) -> R) -> R {
        let mut faults = self.0.faults.write().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut faults);
        self.0.any.store(faults.any(), Ordering::Relaxed);
        result
    }

    /// Sends late datagrams on when they are due, for as long as it is polled.
    pub(super) async fn deliver(&self) {
        loop {
            let next = self.send_due();
            let pause = next.map_or(Duration::MAX, |due| due.duration_since(Instant::now()));
            // Either end of the wait leads to another look.
            let _ = tokio::time::timeout(pause, self.0.late.sooner.notified()).await;
        }
    }

    /// Sends what is due; when the next one is.
    fn send_due(&self) -> Option<Instant> {
        loop {
            let late = match self.0.late.take_due(Instant::now()) {
                Ok(late) => late,
                Err(next) => return next,
            };
            // A socket that is full or closed loses it, as does a cut that came in between.
            if let Some(socket) = late.socket.upgrade()
                && self.faults().passes(late.from, late.to)
            {
                let _ = pass(&socket, late.to, late.ecn, &late.bytes);
            }
        }
    }

    fn faults(&self) -> RwLockReadGuard<'_, Faults> {
        self.0.faults.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(
        &self,
        from: usize,
        socket: &Arc<dyn AsyncUdpSocket>,
        transmit: &Transmit<'_>,
    ) -> io::Result<()> {
        let to = transmit.destination;
        let faults = self.faults();
        if !faults.passes(from, to) {
            return Ok(());
        }
        if faults.delay.is_none() {
            return socket.try_send(transmit);
        }
        let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for bytes in transmit.contents.chunks(size) {
            let fate = {
                let mut rng = self.0.rng.lock().unwrap_or_else(PoisonError::into_inner);
                faults.weather(from, to, &mut rng)
            };
            match fate {
                Fate::Vanishes => {}
                Fate::Late(by) => {
                    let (socket, ecn) = (Arc::downgrade(socket), transmit.ecn);
                    let datagram = Datagram { socket, from, to, ecn, bytes: bytes.to_vec() };
                    self.0.late.push(Instant::now() + by, datagram);
                }
                // A full buffer loses it: QUIC is told of no part of a batch.
                Fate::Passes => drop(pass(socket, to, transmit.ecn, bytes)),
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

fn pass(
    socket: &Arc<dyn AsyncUdpSocket>,
    destination: SocketAddr,
    ecn: Option<EcnCodepoint>,
    contents: &[u8],
) -> io::Result<()> {
    socket.try_send(&Transmit { destination, ecn, contents, segment_size: None, src_ip: None })
}

/// One node's side of the network.
#[derive(Debug)]
struct Under {
    network: Network,
    node: usize,
    profile: Profile,
}

impl Underlay for Under {
    fn socket(&self, addr: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let socket = system_socket(addr, self.profile)?;
        let bound = socket.local_addr()?;
        self.network.change(|faults| faults.listens(self.node, bound));
        Ok(Arc::new(Socket { network: self.network.clone(), node: self.node, socket }))
    }

    fn seed(&self, _: SocketAddr) -> Option<[u8; 32]> {
        None
    }
}

#[derive(Debug)]
struct Socket {
    network: Network,
    node: usize,
    socket: Arc<dyn AsyncUdpSocket>,
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if !self.network.0.any.load(Ordering::Relaxed) {
            return self.socket.try_send(transmit);
        }
        self.network.send(self.node, &self.socket, transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

struct Datagram {
    /// Weak, so that a node that ends gives its address free.
    socket: Weak<dyn AsyncUdpSocket>,
    from: usize,
    to: SocketAddr,
    ecn: Option<EcnCodepoint>,
    bytes: Vec<u8>,
}

/// Datagrams that are late.
#[derive(Default)]
struct Late {
    waiting: Mutex<Waiting>,
    /// Somebody is due before everybody else.
    sooner: Notify,
}

#[derive(Default)]
struct Waiting {
    /// By due time, and in the order of sending those that are due together.
    datagrams: BTreeMap<(Instant, u64), Datagram>,
    sent: u64,
}

impl Late {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, due: Instant, datagram: Datagram) {
        let mut waiting = self.lock();
        if waiting.datagrams.len() >= MOST_LATE {
            return;
        }
        waiting.sent += 1;
        let key = (due, waiting.sent);
        let first = waiting.datagrams.first_key_value().is_none_or(|(head, _)| key < *head);
        waiting.datagrams.insert(key, datagram);
        drop(waiting);
        if first {
            self.sooner.notify_one();
        }
    }

    /// The first one, if it is due by `now`; else when the next one is.
    fn take_due(&self, now: Instant) -> Result<Datagram, Option<Instant>> {
        let mut waiting = self.lock();
        let Some(first) = waiting.datagrams.first_entry() else { return Err(None) };
        let due = first.key().0;
        if due > now { Err(Some(due)) } else { Ok(first.remove()) }
    }
}
