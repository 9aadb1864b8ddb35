//! The handle of one link: cheap to clone, never blocks.

use std::fmt;
use std::net::SocketAddr;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use knhk_mesh_core::admission::{NEVER, NotAdmitted};
use knhk_mesh_core::identity::NodeId;
use knhk_mesh_core::messages::{Close, Lane};
use knhk_mesh_core::time::WallMs;
use tokio::time::Instant;

use super::intake::Intake;
use super::outbox::{Outbox, SendError};
use super::{Down, memory, quic, tcp};
use crate::admission::Trust;

/// A link of this process; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(u64);

impl LinkId {
    fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        LinkId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What a link carried since it is up, or all links of a node since it started. Bytes are batches
/// as sent, without the overhead of QUIC, TLS, TCP and UDP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Messages received.
    pub messages_in: u64,
    /// Messages sent.
    pub messages_out: u64,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, more: Traffic) {
        self.bytes_in += more.bytes_in;
        self.bytes_out += more.bytes_out;
        self.messages_in += more.messages_in;
        self.messages_out += more.messages_out;
    }
}

/// What a link sent in UDP, from the handshake on: packets of QUIC, acknowledgements included.
/// Bytes are without the headers of UDP and IP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Datagrams {
    /// Datagrams sent.
    pub count: u64,
    /// Bytes in them.
    pub bytes: u64,
}

#[derive(Default)]
struct Totals {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    messages_in: AtomicU64,
    messages_out: AtomicU64,
}

/// What carries the batches of a link.
pub(crate) enum Wire {
    Quic(quic::Wire),
    Tcp(tcp::Wire),
    Memory(memory::Wire),
}

impl Wire {
    fn abort(&self, why: Close) {
        match self {
            Wire::Quic(wire) => wire.abort(why),
            Wire::Tcp(wire) => wire.abort(),
            Wire::Memory(wire) => wire.abort(why),
        }
    }

    /// Judges the node at the other end again.
    fn judge(&self, node: &NodeId, trust: &Trust) -> Result<WallMs, NotAdmitted> {
        match self {
            Wire::Quic(wire) => wire.judge(trust),
            Wire::Tcp(_) | Wire::Memory(_) => trust.admits(node),
        }
    }

    /// Where the other end is now.
    fn addr(&self) -> Option<SocketAddr> {
        match self {
            Wire::Quic(wire) => Some(wire.addr()),
            Wire::Tcp(_) | Wire::Memory(_) => None,
        }
    }

    fn rtt(&self) -> Option<Duration> {
        match self {
            Wire::Quic(wire) => Some(wire.rtt()),
            Wire::Tcp(_) => None,
            Wire::Memory(wire) => Some(wire.rtt()),
        }
    }

    fn datagrams(&self) -> Option<Datagrams> {
        match self {
            Wire::Quic(wire) => Some(wire.datagrams()),
            Wire::Tcp(_) | Wire::Memory(_) => None,
        }
    }
}

struct Inner {
    id: LinkId,
    node: NodeId,
    addr: SocketAddr,
    dialled: bool,
    since: Instant,
    outbox: Outbox,
    totals: Totals,
    intake: Intake,
    ended: OnceLock<Down>,
    /// Milliseconds since 1970: when the admission of the peer ends, and when that is soon.
    until: AtomicU64,
    renew: AtomicU64,
    wire: Wire,
}

/// A link to one node. Clones are the same link. It lives until
/// [`Event::Down`](super::Event::Down), whoever holds a handle; a handle held longer keeps some of
/// its memory.
#[derive(Clone)]
pub struct Link(Arc<Inner>);

impl Link {
    pub(crate) fn new(node: NodeId, addr: SocketAddr, dialled: bool, wire: Wire) -> Self {
        Link(Arc::new(Inner {
            id: LinkId::fresh(),
            node,
            addr,
            dialled,
            since: Instant::now(),
            outbox: Outbox::new(),
            totals: Totals::default(),
            intake: Intake::default(),
            ended: OnceLock::new(),
            until: AtomicU64::new(NEVER.0),
            renew: AtomicU64::new(NEVER.0),
            wire,
        }))
    }

    /// Waits until this peer may have `messages` more read at `rate` a second.
    pub(crate) async fn take_turn(&self, messages: usize, rate: u32) {
        self.0.intake.wait(messages, rate).await;
    }

    /// Which link this is.
    #[must_use]
    pub fn id(&self) -> LinkId {
        self.0.id
    }

    /// The peer, authenticated.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.0.node
    }

    /// The peer's address, as packets come from there now.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.0.wire.addr().unwrap_or(self.0.addr)
    }

    /// Whether this node dialled.
    #[must_use]
    pub fn dialled(&self) -> bool {
        self.0.dialled
    }

    /// Smoothed round-trip time, where the transport measures one.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.0.wire.rtt()
    }

    /// What it sent in UDP, where there is any.
    #[must_use]
    pub fn datagrams(&self) -> Option<Datagrams> {
        self.0.wire.datagrams()
    }

    /// What it carried.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let totals = &self.0.totals;
        Traffic {
            bytes_in: totals.bytes_in.load(Ordering::Relaxed),
            bytes_out: totals.bytes_out.load(Ordering::Relaxed),
            messages_in: totals.messages_in.load(Ordering::Relaxed),
            messages_out: totals.messages_out.load(Ordering::Relaxed),
        }
    }

    /// Queues `message`; never blocks. A newer digest replaces a waiting one.
    ///
    /// # Errors
    /// [`SendError`]; nothing was queued.
    pub fn send(&self, lane: Lane, message: Bytes) -> Result<(), SendError> {
        self.0.outbox.push(lane, message)
    }

    /// Ends the link and forgets what waits. [`Event::Down`](super::Event::Down) follows.
    pub fn close(&self, why: Close) {
        self.end(Down::Here(why));
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    #[cfg(test)]
    pub(crate) fn wire(&self) -> &Wire {
        &self.0.wire
    }

    /// When the peer's admission ends, as far as it is known.
    pub(crate) fn until(&self) -> WallMs {
        WallMs(self.0.until.load(Ordering::Relaxed))
    }

    /// The peer is admitted until then; when three quarters of that are over, a new link is due.
    pub(crate) fn admitted_until(&self, until: WallMs, now: WallMs) {
        let rest = until.0.saturating_sub(now.0);
        let renew = if until == NEVER { NEVER.0 } else { until.0 - rest / 4 };
        self.0.until.store(until.0, Ordering::Relaxed);
        self.0.renew.store(renew, Ordering::Relaxed);
    }

    /// Whether this end should dial anew before the peer's admission ends; true once.
    pub(crate) fn wants_renewal(&self, now: WallMs) -> bool {
        let due = self.0.dialled && self.0.renew.load(Ordering::Relaxed) <= now.0;
        if due {
            self.0.renew.store(NEVER.0, Ordering::Relaxed);
        }
        due
    }

    /// Whether the peer is admitted, asked again; until when.
    pub(crate) fn judge(&self, trust: &Trust) -> Result<WallMs, NotAdmitted> {
        self.0.wire.judge(&self.0.node, trust)
    }

    pub(crate) fn age(&self) -> Duration {
        self.0.since.elapsed()
    }

    /// Why the link ended, once it has.
    pub(crate) fn ended(&self) -> Option<Down> {
        self.0.ended.get().copied()
    }

    /// Notes why the link is about to end; the first reason stays.
    pub(crate) fn will_end(&self, why: Down) {
        let _ = self.0.ended.set(why);
    }

    /// Ends the link for a reason found here; the first reason stays.
    pub(crate) fn end(&self, why: Down) {
        self.will_end(why);
        let code = why.code();
        self.0.outbox.close();
        self.0.wire.abort(code);
    }

    pub(crate) fn count_in(&self, bytes: usize, messages: usize) {
        self.0.totals.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
        self.0.totals.messages_in.fetch_add(messages as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_out(&self, bytes: usize, messages: usize) {
        self.0.totals.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
        self.0.totals.messages_out.fetch_add(messages as u64, Ordering::Relaxed);
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.0.dialled { "to" } else { "from" };
        write!(f, "Link({} {direction} {:?} {})", self.0.id.0, self.0.node, self.0.addr)
    }
}
