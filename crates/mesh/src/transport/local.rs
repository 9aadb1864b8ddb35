//! This node's end of every handshake and link, whatever carries it: its settings, its links, its
//! counters and the channel of its owner.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use knhk_mesh_core::admission::{NEVER, NotAdmitted};
use knhk_mesh_core::identity::{NodeId, Signer};
use knhk_mesh_core::messages::{Close, Lane};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::batch::BatchError;
use super::counters::{Counters, Refusal};
use super::gate::{self, Gate, HalfOpen};
use super::greeting::Greeting;
use super::registry::Registry;
use super::{DialError, Down, Event, Link, Profile, Settings, Target};
use crate::admission::Trust;

pub(crate) struct Local {
    pub(crate) own: NodeId,
    pub(crate) settings: Settings,
    pub(crate) registry: Registry,
    pub(crate) counters: Counters,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) trust: Arc<Trust>,
    pub(crate) greeting: Arc<Greeting>,
    gate: Arc<Gate>,
}

impl Local {
    pub(crate) fn new(settings: Settings, trust: Arc<Trust>, events: mpsc::Sender<Event>) -> Self {
        let own = settings.keypair.node_id();
        Local {
            own,
            registry: Registry::new(own, settings.max_links, settings.handshake_timeout),
            gate: Gate::new(settings.handshakes),
            settings,
            counters: Counters::default(),
            events,
            trust,
            greeting: Arc::default(),
        }
    }

    /// Whether a node that proved its key may link.
    pub(crate) fn accepted(&self, node: NodeId) -> Result<(), Close> {
        if node == self.own {
            self.counters.count(Refusal::Myself);
            return Err(Close::Duplicate);
        }
        self.trust.admits(&node).map(drop).map_err(|_| Close::Denied)
    }

    /// A place for a handshake that `ip` begins; counted if there is none.
    pub(crate) fn enter(
        &self,
        ip: IpAddr,
        proved: bool,
        now: Instant,
    ) -> Result<HalfOpen, gate::Refusal> {
        let place = self.gate.enter(ip, proved, now);
        if matches!(place, Err(gate::Refusal::Busy)) {
            self.counters.count(Refusal::Busy);
        }
        place
    }

    /// Whether a link of `node` would be taken in now.
    pub(crate) fn would_register(&self, node: NodeId) -> bool {
        node != self.own && self.registry.has_room(&node)
    }

    /// Ends the links of those that are not admitted any more: each at its end, and all that
    /// something changed for. For ever.
    pub(crate) async fn watch_admission(
        self: Arc<Self>,
        on_change: impl Fn(),
        on_renewal: impl Fn(&Link),
    ) {
        let mut changes = self.trust.changes();
        loop {
            let changed = tokio::select! {
                biased;
                changed = changes.changed() => changed.is_ok(),
                () = tokio::time::sleep(self.pause()) => false,
            };
            if changed {
                on_change();
            }
            let now = self.trust.now();
            for link in self.registry.links() {
                if changed || link.until() <= now {
                    match link.judge(&self.trust) {
                        Ok(until) if until > now => link.admitted_until(until, now),
                        Ok(_) | Err(NotAdmitted::Expired) => link.close(Close::Expired),
                        Err(_) => link.close(Close::Denied),
                    }
                } else if link.wants_renewal(now) {
                    on_renewal(&link);
                }
            }
        }
    }

    /// How soon the clock is looked at again.
    fn pause(&self) -> Duration {
        let links = self.registry.links();
        let nothing_ends = !links.is_empty() && links.iter().all(|link| link.until() == NEVER);
        Duration::from_millis(match self.settings.profile {
            _ if nothing_ends && !self.settings.clock.is_manual() => 60_000,
            // A clock that is set by hand jumps.
            _ if self.settings.clock.is_manual() => 50,
            Profile::Normal => 1_000,
            Profile::Lean => 30_000,
        })
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
            DialError::CannotAdmit => Refusal::NotAdmitted,
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
        if let Some(rate) = self.settings.read_rate {
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
