//! This node's end of every handshake and link, whatever carries it: its settings, its links, its
//! counters and the channel of its owner.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use knhk_mesh_core::identity::{NodeId, Signer};
use knhk_mesh_core::messages::{Close, Lane};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::batch::BatchError;
use super::counters::{Counters, Refusal};
use super::registry::Registry;
use super::{DialError, Down, Event, Link, Settings, Target};

pub(crate) struct Local {
    pub(crate) own: NodeId,
    pub(crate) settings: Settings,
    pub(crate) registry: Registry,
    pub(crate) counters: Counters,
    pub(crate) events: mpsc::Sender<Event>,
    half_open: AtomicUsize,
}

impl Local {
    pub(crate) fn new(settings: Settings, events: mpsc::Sender<Event>) -> Self {
        let own = settings.keypair.node_id();
        Local {
            own,
            registry: Registry::new(own, settings.max_links, settings.handshake_timeout),
            settings,
            counters: Counters::default(),
            events,
            half_open: AtomicUsize::new(0),
        }
    }

    /// Whether a node that proved its key may link.
    pub(crate) fn accepted(&self, node: NodeId) -> Result<(), Close> {
        if node == self.own {
            self.counters.count(Refusal::Myself);
            return Err(Close::Duplicate);
        }
        if self.settings.admission.admits(&node) { Ok(()) } else { Err(Close::Denied) }
    }

    pub(crate) async fn dial_failed(&self, target: Target, why: DialError) {
        self.count_failure(&why);
        let _ = self.events.send(Event::DialFailed { target, why }).await;
    }

    /// Counts a failed handshake where somebody was refused.
    pub(crate) fn count_failure(&self, why: &DialError) {
        let reason = match why {
            DialError::WrongKey => Refusal::WrongKey,
            DialError::NotAdmitted => Refusal::NotAdmitted,
            DialError::OtherMesh => Refusal::OtherMesh,
            DialError::Myself => Refusal::Myself,
            DialError::Full => Refusal::Full,
            DialError::Busy => Refusal::Busy,
            DialError::TimedOut => Refusal::TimedOut,
            DialError::Handshake(_) => Refusal::BadProof,
            DialError::AlreadyLinked
            | DialError::AlreadyDialling
            | DialError::NoRoom
            | DialError::Leaving
            | DialError::Unreachable(_) => return,
        };
        self.counters.count(reason);
    }

    /// Announces a link and ends the one that it replaces; false if nobody listens any more.
    pub(crate) async fn up(&self, link: &Link, replaced: Option<Link>) -> bool {
        if let Some(old) = replaced {
            old.close(Close::Duplicate);
        }
        self.events.send(Event::Up(link.clone())).await.is_ok()
    }

    /// Hands a batch to the owner, waiting for room; false if nobody listens any more.
    pub(crate) async fn deliver(
        &self,
        link: &Link,
        bytes: usize,
        lane: Lane,
        messages: Vec<Bytes>,
    ) -> bool {
        // A greeting.
        if messages.is_empty() {
            return true;
        }
        if let Some(rate) = self.settings.rate_limit_per_peer {
            link.take_turn(messages.len(), rate).await;
        }
        link.count_in(bytes, messages.len());
        self.events.send(Event::Batch { link: link.id(), lane, messages }).await.is_ok()
    }

    /// The peer sent what no peer sends.
    pub(crate) fn broken(&self, link: &Link, error: BatchError) {
        self.counters.count(Refusal::from(error));
        link.end(Down::Protocol(error));
    }

    /// The last event of a link; `otherwise` is the reason if none was found here before.
    pub(crate) async fn down(&self, link: &Link, otherwise: Down) {
        let why = link.ended().unwrap_or(otherwise);
        link.end(why);
        self.registry.remove(link);
        let _ = self.events.send(Event::Down { link: link.id(), node: link.node(), why }).await;
    }

    /// Sends what is queued, until it is done or `grace` is over, and closes every link.
    pub(crate) async fn shutdown(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        let links = self.registry.close();
        links.iter().for_each(|link| link.outbox().drain());
        for link in &links {
            // Once the grace is over, the rest is closed without more ado.
            let _ = timeout_at(deadline, link.outbox().flushed()).await;
            link.close(Close::Leaving);
        }
    }

    /// Closes every link at once and takes no new one.
    pub(crate) fn close_links(&self) {
        self.registry.close().iter().for_each(|link| link.close(Close::Leaving));
    }
}

/// A place among the accepted handshakes under way.
pub(crate) struct HalfOpen(Arc<Local>);

impl HalfOpen {
    /// `None`, counted, when all places are taken.
    pub(crate) fn enter(local: &Arc<Local>) -> Option<Self> {
        let more = |taken| (taken < local.settings.max_half_open).then_some(taken + 1);
        match local.half_open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Some(HalfOpen(local.clone())),
            Err(_) => {
                local.counters.count(Refusal::Busy);
                None
            }
        }
    }
}

impl Drop for HalfOpen {
    fn drop(&mut self) {
        self.0.half_open.fetch_sub(1, Ordering::Relaxed);
    }
}
