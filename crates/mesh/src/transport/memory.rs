//! Links inside one process, for tests and simulations of the whole shell. A [`MemoryHub`] is the
//! network: it routes by address, delays, loses and splits. No clock but tokio's, so everything
//! runs under paused time.
//!
//! ```text
//! outbox ─► writer ─(lost? split?)─► bounded channel ─► reader: waits until it is due ─► events
//! ```

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use knhk_mesh_core::identity::NodeId;
use knhk_mesh_core::messages::{Close, Lane};
use knhk_mesh_core::rng::Rng;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::batch::body_bytes;
use super::counters::Counters;
use super::link::{Link, Wire as LinkWire};
use super::local::Local;
use super::{BindError, DialError, Down, Event, Settings, Target};
use crate::admission::Trust;

/// Batches under way in one direction; then the writer waits, as for credit.
const UNDER_WAY: usize = 32;
/// First port that the hub gives out for port 0.
const FIRST_PORT: u16 = 1_024;

/// A network inside this process. Clones are the same network.
#[derive(Clone)]
pub struct MemoryHub(Arc<Mutex<Net>>);

type Sides = Box<dyn FnMut(&NodeId) -> u32 + Send>;

struct Net {
    latency: Duration,
    loss: f64,
    rng: Rng,
    sides: Option<Sides>,
    next_port: u16,
    nodes: HashMap<SocketAddr, Arc<Local>>,
}

impl MemoryHub {
    /// A network that delivers everything at once.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Duration::ZERO, 0.0, 0)
    }

    /// A network with `latency` one way that loses the share `loss` (0-1) of all batches, chosen by
    /// `seed`. Handshakes take one round trip and are not lost.
    #[must_use]
    pub fn with(latency: Duration, loss: f64, seed: u64) -> Self {
        let rng = Rng::new(seed);
        let (next_port, nodes) = (FIRST_PORT, HashMap::new());
        MemoryHub(Arc::new(Mutex::new(Net { latency, loss, rng, sides: None, next_port, nodes })))
    }

    /// Separates nodes on different sides: batches between them are lost, dials time out, links end
    /// as silent after the idle timeout.
    pub fn split(&self, side: impl FnMut(&NodeId) -> u32 + Send + 'static) {
        self.lock().sides = Some(Box::new(side));
    }

    /// Ends a split.
    pub fn heal(&self) {
        self.lock().sides = None;
    }

    fn lock(&self) -> MutexGuard<'_, Net> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn latency(&self) -> Duration {
        self.lock().latency
    }

    fn apart(&self, a: &NodeId, b: &NodeId) -> bool {
        self.lock().sides.as_mut().is_some_and(|side| side(a) != side(b))
    }

    fn loses(&self) -> bool {
        let net = &mut *self.lock();
        net.loss > 0.0 && net.rng.chance(net.loss)
    }

    fn node_at(&self, addr: &SocketAddr) -> Option<Arc<Local>> {
        self.lock().nodes.get(addr).cloned()
    }

    fn enter(&self, local: &Arc<Local>) -> Result<SocketAddr, BindError> {
        let net = &mut *self.lock();
        let mut addr = local.settings.bind;
        if addr.port() == 0 {
            // Every port once, from the last one given.
            let free = (0..=u16::MAX).find_map(|_| {
                addr.set_port(net.next_port);
                net.next_port = net.next_port.checked_add(1).unwrap_or(FIRST_PORT);
                (!net.nodes.contains_key(&addr)).then_some(addr)
            });
            addr = free.unwrap_or(addr);
        }
        if net.nodes.contains_key(&addr) {
            let source = std::io::ErrorKind::AddrInUse.into();
            return Err(BindError::Socket { addr, source });
        }
        net.nodes.insert(addr, local.clone());
        Ok(addr)
    }
}

impl Default for MemoryHub {
    fn default() -> Self {
        Self::new()
    }
}

/// The transport inside one process.
pub struct Memory {
    local: Arc<Local>,
    hub: MemoryHub,
    addr: SocketAddr,
    runtime: Handle,
    watching: JoinHandle<()>,
}

impl Memory {
    pub(super) fn bind(
        settings: Settings,
        events: mpsc::Sender<Event>,
        hub: MemoryHub,
    ) -> Result<Self, BindError> {
        let trust = Trust::open(&settings)?;
        let local = Arc::new(Local::new(settings, trust, events));
        let addr = hub.enter(&local)?;
        let runtime = Handle::current();
        let watching = runtime.spawn(local.clone().watch_admission(|| {}, |_| {}));
        Ok(Memory { local, hub, addr, runtime, watching })
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn local(&self) -> &Local {
        &self.local
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.local.counters
    }

    pub(super) fn dial(&self, target: Target) {
        let (local, hub, addr) = (self.local.clone(), self.hub.clone(), self.addr);
        self.runtime.spawn(async move {
            if let Err(why) = dial(&local, &hub, addr, target).await {
                local.dial_failed(target, why).await;
            }
        });
    }

    pub(super) async fn shutdown(&self, grace: Duration) {
        self.leave();
        self.local.shutdown(grace).await;
    }

    fn leave(&self) {
        self.watching.abort();
        self.hub.lock().nodes.remove(&self.addr);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // A node that was shut down may have a successor at its address.
        let same = |local: Arc<Local>| Arc::ptr_eq(&local, &self.local);
        if self.hub.node_at(&self.addr).is_some_and(same) {
            self.leave();
        }
        self.watching.abort();
        self.local.close_links();
    }
}

async fn dial(
    local: &Arc<Local>,
    hub: &MemoryHub,
    from: SocketAddr,
    target: Target,
) -> Result<(), DialError> {
    let mut claim = local.registry.claim(target, false)?;
    sleep(hub.latency()).await;
    let peer = match hub.node_at(&target.addr) {
        Some(peer) if !hub.apart(&local.own, &peer.own) => peer,
        _ => {
            sleep(local.settings.handshake_timeout).await;
            return Err(DialError::TimedOut);
        }
    };
    let place = peer.enter(from.ip(), true, Instant::now()).map_err(|_| DialError::Busy)?;
    prove(local, &peer, target).inspect_err(|why| peer.count_failure(why))?;
    sleep(hub.latency()).await;
    claim.node(peer.own)?;
    peer.accepted(local.own)?;
    let (near, far) = connect(local, &peer, hub, from, target.addr);
    let registered = peer.registry.register(&far.link);
    let their_old = registered.inspect_err(|why| peer.count_failure(&(*why).into()))?;
    drop(place);
    tokio::spawn(run(peer, hub.clone(), far, their_old));
    match local.registry.register(&near.link) {
        Ok(our_old) => {
            drop(claim);
            tokio::spawn(run(local.clone(), hub.clone(), near, our_old));
            Ok(())
        }
        Err(why) => {
            near.link.close(why);
            Err(why.into())
        }
    }
}

/// What keys and hellos decide on a real wire.
fn prove(local: &Local, peer: &Local, target: Target) -> Result<(), DialError> {
    if local.settings.mesh != peer.settings.mesh {
        return Err(DialError::OtherMesh);
    }
    if target.node.is_some_and(|node| node != peer.own) {
        return Err(DialError::WrongKey);
    }
    let admitted = local.trust.admits(&peer.own).is_ok() && peer.trust.admits(&local.own).is_ok();
    if admitted { Ok(()) } else { Err(DialError::NotAdmitted) }
}

struct Parcel {
    due: Instant,
    lane: Lane,
    messages: Vec<Bytes>,
}

/// One end of a link.
struct End {
    link: Link,
    to_peer: mpsc::Sender<Parcel>,
    from_peer: mpsc::Receiver<Parcel>,
    closed: watch::Receiver<Option<(NodeId, Close)>>,
}

/// What both ends of a link share: who closed it, and why.
pub(crate) struct Wire {
    own: NodeId,
    rtt: Duration,
    closed: Arc<watch::Sender<Option<(NodeId, Close)>>>,
}

impl Wire {
    pub(super) fn abort(&self, why: Close) {
        self.closed.send_if_modified(|closed| {
            let first = closed.is_none();
            closed.get_or_insert((self.own, why));
            first
        });
    }

    pub(super) fn rtt(&self) -> Duration {
        self.rtt
    }
}

fn connect(
    local: &Arc<Local>,
    peer: &Arc<Local>,
    hub: &MemoryHub,
    from: SocketAddr,
    to: SocketAddr,
) -> (End, End) {
    let closed = Arc::new(watch::Sender::new(None));
    let (to_far, at_far) = mpsc::channel(UNDER_WAY);
    let (to_near, at_near) = mpsc::channel(UNDER_WAY);
    let rtt = hub.latency() * 2;
    let end = |own: &Arc<Local>, other: NodeId, addr, dialled, to_peer, from_peer| {
        let wire = Wire { own: own.own, rtt, closed: closed.clone() };
        let link = Link::new(other, addr, dialled, LinkWire::Memory(wire));
        End { link, to_peer, from_peer, closed: closed.subscribe() }
    };
    let near = end(local, peer.own, to, true, to_far, at_near);
    let far = end(peer, local.own, from, false, to_near, at_far);
    (near, far)
}

async fn run(local: Arc<Local>, hub: MemoryHub, end: End, replaced: Option<Link>) {
    let End { link, to_peer, from_peer, closed } = end;
    let mut why = Down::Lost;
    if local.up(&link, replaced).await {
        tokio::spawn(write(local.clone(), hub.clone(), link.clone(), to_peer));
        why = read(&local, &hub, &link, from_peer, closed).await;
    }
    local.down(&link, why).await;
}

async fn write(local: Arc<Local>, hub: MemoryHub, link: Link, to_peer: mpsc::Sender<Parcel>) {
    while let Some(taken) = link.outbox().next().await {
        link.count_out(body_bytes(&taken.messages), taken.messages.len());
        if hub.loses() || hub.apart(&local.own, &link.node()) {
            continue;
        }
        let due = Instant::now() + hub.latency();
        let parcel = Parcel { due, lane: taken.lane, messages: taken.messages };
        if to_peer.send(parcel).await.is_err() {
            break;
        }
    }
    // What is in the channel is delivered before the end is seen.
    link.end(Down::Here(Close::Leaving));
    link.outbox().set_flushed();
}

async fn read(
    local: &Local,
    hub: &MemoryHub,
    link: &Link,
    mut from_peer: mpsc::Receiver<Parcel>,
    mut closed: watch::Receiver<Option<(NodeId, Close)>>,
) -> Down {
    let idle = Some(local.settings.idle_timeout).filter(|idle| !idle.is_zero());
    let idle = idle.unwrap_or(Duration::MAX);
    loop {
        tokio::select! {
            biased;
            () = ends(&mut closed) => break,
            parcel = timeout(idle, from_peer.recv()) => match parcel {
                Ok(Some(parcel)) => if !deliver(local, link, parcel).await { break },
                Ok(None) => break,
                // Without a split, a real connection would have kept itself alive.
                Err(_) if hub.apart(&local.own, &link.node()) => return Down::Silent,
                Err(_) => {}
            },
        }
    }
    let closed = *closed.borrow();
    match closed {
        Some((node, why)) if node == local.own => Down::Here(why),
        // No farewell crosses a split.
        Some(_) if hub.apart(&local.own, &link.node()) => Down::Silent,
        Some((_, why)) => {
            while let Ok(parcel) = from_peer.try_recv() {
                if !deliver(local, link, parcel).await {
                    break;
                }
            }
            Down::There(Some(why))
        }
        None => Down::Lost,
    }
}

async fn ends(closed: &mut watch::Receiver<Option<(NodeId, Close)>>) {
    // An error is the end, too: both ends are gone.
    let _ = closed.wait_for(Option::is_some).await;
}

async fn deliver(local: &Local, link: &Link, parcel: Parcel) -> bool {
    sleep_until(parcel.due).await;
    let bytes = body_bytes(&parcel.messages);
    local.deliver(link, bytes, parcel.lane, parcel.messages).await
}
