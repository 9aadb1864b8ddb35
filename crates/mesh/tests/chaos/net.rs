//! A network in memory below QUIC: what the kernel and the wires do otherwise. Every datagram is
//! delayed, overtaken, lost or cut off as the seed says, on tokio's clock.
//!
//! ```text
//!   quinn ─ try_send ─► switch: dead? cut? lost? how late? ─► inbox of the address, by due time
//!                          │                                        │
//!                          └─► trace: time, from, to, bytes, fate   └─ poll_recv ─► quinn
//! ```
//!
//! The trace is a hash over every datagram in order. Its bytes are not part of it: keys of TLS are
//! fresh in each run, and everything is encrypted. All else has to be the same for the same seed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use knhk_mesh::rng::{Rng, mix};
use knhk_mesh::transport::quic::Underlay;
use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::time::{Instant, Sleep, sleep_until};

/// Datagrams that wait at one address; more are lost, as in a kernel's buffer.
const INBOX: usize = 4_096;
/// First port that is given out for port 0.
const FIRST_PORT: u16 = 1_024;

/// What happens to datagrams on the way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Shortest way.
    pub(crate) delay: Duration,
    /// Up to this much more for each datagram on its own: they overtake each other.
    pub(crate) jitter: Duration,
    /// Share that is lost, 0-1.
    pub(crate) loss: f64,
}

/// What was sent so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Trace {
    /// Over time, addresses, size and fate of each datagram, in order.
    pub(crate) hash: u64,
    pub(crate) datagrams: u64,
    pub(crate) bytes: u64,
    /// Lost by the weather.
    pub(crate) lost: u64,
    /// Between the sides of a cut, or from and to the dead.
    pub(crate) cut: u64,
    /// Arrived before one that was sent earlier over the same way.
    pub(crate) overtaking: u64,
}

/// The network. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Net(Arc<Mutex<Switch>>);

struct Switch {
    seed: u64,
    start: Instant,
    rng: Rng,
    weather: Weather,
    /// One side of a cut; empty without one.
    side: BTreeSet<SocketAddr>,
    dead: BTreeSet<SocketAddr>,
    next_port: u16,
    sockets: BTreeMap<SocketAddr, Weak<Inbox>>,
    /// When the last datagram of each way arrives.
    latest: BTreeMap<(SocketAddr, SocketAddr), Instant>,
    trace: Trace,
}

impl Net {
    /// A network in fine weather. Inside a runtime.
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        Net(Arc::new(Mutex::new(Switch {
            seed,
            start: Instant::now(),
            rng: Rng::new(seed),
            weather,
            side: BTreeSet::new(),
            dead: BTreeSet::new(),
            next_port: FIRST_PORT,
            sockets: BTreeMap::new(),
            latest: BTreeMap::new(),
            trace: Trace::default(),
        })))
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    /// Nothing passes between these addresses and all others.
    pub(crate) fn cut(&self, side: impl IntoIterator<Item = SocketAddr>) {
        self.lock().side = side.into_iter().collect();
    }

    pub(crate) fn heal(&self) {
        self.lock().side.clear();
    }

    /// From now on nothing leaves or reaches `addr`: its process is gone without a word.
    pub(crate) fn kill(&self, addr: SocketAddr) {
        self.lock().dead.insert(addr);
    }

    pub(crate) fn trace(&self) -> Trace {
        self.lock().trace
    }

    fn lock(&self) -> MutexGuard<'_, Switch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Net")
    }
}

impl Underlay for Net {
    fn socket(&self, mut addr: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let switch = &mut *self.lock();
        if addr.port() == 0 {
            addr.set_port(switch.next_port);
            switch.next_port += 1;
        }
        if switch.sockets.get(&addr).is_some_and(|inbox| inbox.strong_count() > 0) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let inbox = Arc::new(Inbox(Mutex::new(Waiting {
            datagrams: BTreeMap::new(),
            reader: None,
            timer: Box::pin(sleep_until(Instant::now())),
        })));
        switch.sockets.insert(addr, Arc::downgrade(&inbox));
        Ok(Arc::new(Socket { addr, net: self.clone(), inbox }))
    }

    fn seed(&self, addr: SocketAddr) -> Option<[u8; 32]> {
        let mut rng = Rng::new(self.lock().seed ^ mix(u64::from(addr.port())));
        let mut seed = [0; 32];
        for part in seed.chunks_exact_mut(8) {
            part.copy_from_slice(&rng.next_u64().to_le_bytes());
        }
        Some(seed)
    }
}

#[derive(Clone, Copy)]
enum Fate {
    Arrives(Instant),
    Lost,
    Cut,
    /// Nobody listens there.
    Nowhere,
}

impl Switch {
    fn send(&mut self, from: SocketAddr, to: SocketAddr, ecn: Option<EcnCodepoint>, bytes: &[u8]) {
        let now = Instant::now();
        let inbox = self.sockets.get(&to).and_then(Weak::upgrade);
        let fate = self.fate(now, from, to, inbox.is_some());
        self.note(now, from, to, bytes.len(), fate);
        if let (Fate::Arrives(due), Some(inbox)) = (fate, inbox) {
            let key = (due, self.trace.datagrams);
            inbox.push(key, Datagram { from, ecn, bytes: bytes.to_vec() });
        }
    }

    fn fate(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, listens: bool) -> Fate {
        // Drawn in any case: what is cut changes nothing for the others.
        let (lost, late) =
            (self.rng.chance(self.weather.loss), self.rng.part_of(self.weather.jitter));
        let cut = self.side.contains(&from) != self.side.contains(&to);
        if cut || self.dead.contains(&from) || self.dead.contains(&to) {
            Fate::Cut
        } else if !listens {
            Fate::Nowhere
        } else if lost {
            Fate::Lost
        } else {
            Fate::Arrives(now + self.weather.delay + late)
        }
    }

    fn note(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, bytes: usize, fate: Fate) {
        let (kind, due) = match fate {
            Fate::Arrives(due) => (0, due),
            Fate::Lost => (1, now),
            Fate::Cut => (2, now),
            Fate::Nowhere => (3, now),
        };
        let trace = &mut self.trace;
        if kind == 0 {
            let latest = self.latest.entry((from, to)).or_insert(due);
            trace.overtaking += u64::from(due < *latest);
            *latest = due.max(*latest);
        }
        trace.datagrams += 1;
        trace.bytes += bytes as u64;
        trace.lost += u64::from(kind == 1);
        trace.cut += u64::from(kind == 2);
        let nanos = |at: Instant| (at - self.start).as_nanos() as u64;
        let ports = u64::from(from.port()) << 16 | u64::from(to.port());
        for part in [nanos(now), nanos(due), ports, bytes as u64, kind] {
            trace.hash = mix(trace.hash.rotate_left(7) ^ part);
        }
    }
}

struct Datagram {
    from: SocketAddr,
    ecn: Option<EcnCodepoint>,
    bytes: Vec<u8>,
}

/// What is under way to one address.
struct Inbox(Mutex<Waiting>);

struct Waiting {
    /// By due time, and in the order of sending those that are due together.
    datagrams: BTreeMap<(Instant, u64), Datagram>,
    reader: Option<Waker>,
    timer: Pin<Box<Sleep>>,
}

impl Inbox {
    fn push(&self, key: (Instant, u64), datagram: Datagram) {
        let waiting = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.datagrams.len() >= INBOX {
            return;
        }
        let first = waiting.datagrams.first_key_value().is_none_or(|(head, _)| key < *head);
        waiting.datagrams.insert(key, datagram);
        if first && let Some(reader) = waiting.reader.take() {
            reader.wake();
        }
    }
}

struct Socket {
    addr: SocketAddr,
    net: Net,
    inbox: Arc<Inbox>,
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for bytes in transmit.contents.chunks(size) {
            self.net.lock().send(self.addr, transmit.destination, transmit.ecn, bytes);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let waiting = &mut *self.inbox.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let mut count = 0;
        while count < bufs.len().min(meta.len())
            && let Some(first) = waiting.datagrams.first_entry()
            && first.key().0 <= now
        {
            let datagram = first.remove();
            let len = datagram.bytes.len();
            bufs[count][..len].copy_from_slice(&datagram.bytes);
            let (addr, ecn) = (datagram.from, datagram.ecn);
            meta[count] = RecvMeta { addr, len, stride: len, ecn, dst_ip: None };
            count += 1;
        }
        if count > 0 {
            return Poll::Ready(Ok(count));
        }
        waiting.reader = Some(cx.waker().clone());
        if let Some((&(due, _), _)) = waiting.datagrams.first_key_value() {
            waiting.timer.as_mut().reset(due);
            if waiting.timer.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({})", self.addr)
    }
}

/// There is always room to send.
#[derive(Debug)]
struct Writable;

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
