//! The one task that owns a node. Everything that happens to the node passes here, one thing at a
//! time; everything the node does leaves through [`effects::Effects`].
//!
//! ```text
//!   transport events ─┐                     ┌─ Link::send (encoded once, no further hop)
//!   mailbox (1,024) ──┼─> Node::handle ─────┼─ store, then Input::Persisted
//!   disk answers ─────┤   check, verify     ├─ replies, watches, read-model of peers
//!   timers ───────────┘                     └─ dials
//! ```
//!
//! A received frame is checked, verified, merged and sent on within one turn: no other task stands
//! between the datagram and the forwarded frame. A turn takes what is ready, up to a bound, and
//! then lets other tasks run.

mod acquaintances;
mod dialler;
mod effects;
mod links;
mod notices;

use std::mem::take;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use knhk_mesh_core::crdt::Op;
use knhk_mesh_core::frame::{self, Tag};
use knhk_mesh_core::identity::{AgentNo, NodeId, PeerIx};
use knhk_mesh_core::messages::{Input, Lane, Message, Receipt};
use knhk_mesh_core::node::{Checked, Node};
use knhk_mesh_core::partition::PartitionStatus;
use knhk_mesh_core::time::Now;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

pub(crate) use acquaintances::Acquaintances;
pub(crate) use dialler::{Dialler, MAX_SEEDS};
pub(crate) use effects::Effects;
pub(crate) use notices::Compared;

use crate::admission::{NOTICES, Trust};
use crate::clock::Clock;
use crate::error::WriteError;
use crate::key_file;
use crate::peer_registry::Model;
use crate::storage::{Answer, Health, Store};
use crate::transport::{Event, Transport};

/// Commands that wait for a node at most; callers wait for room.
pub(crate) const MAILBOX: usize = 1_024;
/// Messages and commands of one turn; at most about 2 ms of signature checks.
const TURN: usize = 64;
/// How often the node is told which links stand and their round-trip times.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same while somebody reads the directory, which is then copied too.
const LOOK_EVERY_IF_READ: Duration = Duration::from_secs(1);
/// Longest wait for the disk and the links when the node leaves.
const LEAVE_GRACE: Duration = Duration::from_secs(1);

/// What handles ask of the task.
pub(crate) enum Command {
    Write {
        op: Op,
        agent: AgentNo,
        reply: oneshot::Sender<Result<Receipt, WriteError>>,
    },
    /// A question, answered inside the task with the node at hand; the answer travels in the
    /// closure.
    Ask(Box<dyn FnOnce(&mut Asked<'_>) + Send>),
    /// Say good-bye to the mesh or not, and end.
    Stop {
        farewell: Farewell,
        reply: oneshot::Sender<()>,
    },
}

/// What a node that stops tells the mesh.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// Nothing: it stays a member.
    Silent,
    /// That it is no member any more.
    Goodbye,
    /// The same, and that its records are to vanish.
    Purge,
}

/// What a question may look at.
pub(crate) struct Asked<'a> {
    pub(crate) node: &'a mut Node,
    pub(crate) effects: &'a mut Effects,
    pub(crate) now: Now,
    pub(crate) clock: &'a Clock,
    pub(crate) transport: &'a Transport,
}

impl Asked<'_> {
    /// The copy of the registry that handles read.
    pub(crate) fn open_registry(&mut self, random: u64) -> Arc<Model> {
        self.effects.mirror.open(self.node, self.clock, random)
    }

    pub(crate) fn refresh_peer(&mut self, id: &NodeId) {
        self.effects.mirror.refresh_peer(id, self.node, self.clock);
    }

    pub(crate) fn refresh_registry(&mut self) {
        self.effects.mirror.refresh(self.node, self.clock);
    }
}

/// A node and everything around it.
pub(crate) struct NodeTask {
    pub(crate) node: Node,
    pub(crate) effects: Effects,
    pub(crate) clock: Clock,
    pub(crate) transport: Transport,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) answers: mpsc::Receiver<Answer>,
    pub(crate) trust: Arc<Trust>,
    pub(crate) compared: Compared,
    pub(crate) acquaintances: Acquaintances,
    /// The file of a key that counts as used once the node's own state is on disk.
    pub(crate) unused_key: Option<PathBuf>,
}

/// Why the loop ended.
enum End {
    /// A handle asked for it.
    Asked(oneshot::Sender<()>),
    /// The last handle is gone.
    Abandoned,
}

impl NodeTask {
    /// Runs until a handle stops it or the last handle is dropped.
    pub(crate) async fn run(mut self) {
        let end = self.turns().await;
        let mut grace = Duration::ZERO;
        if matches!(end, End::Asked(_)) {
            self.flush().await;
            grace = LEAVE_GRACE;
        }
        self.transport.shutdown(grace).await;
        let store = self.effects.take_store();
        if !matches!(store, Store::Memory) {
            // Joining the store's thread waits for the disk; not on a worker of the runtime.
            let _ = tokio::task::spawn_blocking(move || store.close()).await;
        }
        drop(self);
        if let End::Asked(reply) = end {
            // The caller may have given up waiting.
            let _ = reply.send(());
        }
    }

    async fn turns(&mut self) -> End {
        for void in self.trust.denied() {
            self.make_void(void.node, void.up_to);
        }
        let trust = Arc::clone(&self.trust);
        let timer = tokio::time::sleep_until(Instant::now());
        tokio::pin!(timer);
        let mut next_look = Instant::now() + LOOK_EVERY;
        loop {
            let mut left = TURN;
            let room = self.effects.store_has_room();
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => left -= self.event(event).min(left),
                Some(answer) = self.answers.recv() => self.stored(answer),
                command = self.commands.recv(), if room => {
                    if let Some(end) = self.command(command) {
                        return end;
                    }
                }
                () = trust.news() => self.spread_news(),
                () = &mut timer => {}
            }
            self.ready_events(&mut left);
            // A flood of events must not keep the application waiting.
            if left == 0 && room && !self.commands.is_empty() {
                let command = self.commands.recv().await;
                if let Some(end) = self.command(command) {
                    return end;
                }
            }
            if Instant::now() >= next_look {
                next_look = Instant::now() + self.look_around();
            }
            self.due();
            let deadline = self.deadline().min(next_look);
            if timer.deadline() != deadline {
                timer.as_mut().reset(deadline);
            }
            if left == 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Takes the events that are there already.
    fn ready_events(&mut self, left: &mut usize) {
        while *left > 0 {
            let Ok(event) = self.events.try_recv() else { return };
            *left -= self.event(event).min(*left);
        }
    }

    /// Fires what is due: the node's timeout and the dials.
    fn due(&mut self) {
        // A node that asks for a time in the past is called once a turn, not for ever.
        if self.node.next_timeout() <= self.clock.now().mono {
            self.input(Input::Timeout);
        }
        let now = Instant::now();
        for node in self.effects.dialler.due(now, &self.transport) {
            self.input(Input::DialFailed(node));
        }
    }

    fn deadline(&self) -> Instant {
        let dial = self.effects.dialler.next_due();
        let node = self.clock.instant(self.node.next_timeout());
        dial.map_or(node, |dial| dial.min(node))
    }

    /// Answers how many messages it held.
    fn event(&mut self, event: Event) -> usize {
        match event {
            Event::Batch { link, lane, messages } => {
                let Some(via) = self.effects.links.peer(link) else { return 1 };
                for message in &messages {
                    if message.first() == Some(&NOTICES) {
                        self.notices(via, message);
                    } else {
                        self.message(via, lane, message);
                    }
                }
                return messages.len();
            }
            Event::Up(link) => {
                if let Some(old) = self.effects.links.forget_node(&link.node()) {
                    self.input(Input::LinkDown(old));
                }
                let (node, chosen) = (link.node(), link.dialled());
                self.effects.dialler.up(&link);
                self.effects.links.arriving(link.clone());
                self.input(Input::LinkUp { node, chosen });
                self.effects.links.arrived(self.node.peer(&node));
                if let Some(summary) = self.trust.summary() {
                    // A full lane or a link that ended already: the next link brings it.
                    let _ = link.send(Lane::Bulk, summary);
                }
            }
            Event::Down { link, why, .. } => {
                self.effects.dialler.down(link, why, Instant::now());
                if let Some(peer) = self.effects.links.forget(link) {
                    self.input(Input::LinkDown(peer));
                }
                if self.effects.links.is_empty() {
                    self.effects.dialler.alone(Instant::now());
                }
            }
            Event::DialFailed { target, why } => {
                let linked = self.effects.links.stands(target.node.as_ref());
                let now = Instant::now();
                if let Some(node) = self.effects.dialler.failed(target, &why, linked, now) {
                    self.input(Input::DialFailed(node));
                }
            }
        }
        1
    }

    fn message(&mut self, via: PeerIx, lane: Lane, bytes: &Bytes) {
        if Tag::of(bytes).is_none() {
            match Message::decode(bytes) {
                Ok(message) => {
                    if let Message::Digest(digest) = &message {
                        let ahead = digest.wall.0.wrapping_sub(self.clock.now().wall.0);
                        self.effects.links.heard_clock(via, ahead.cast_signed());
                    }
                    self.input(Input::Control(via, &message));
                }
                Err(why) => self.input(Input::Refused(via, why)),
            }
            return;
        }
        match self.node.check(self.clock.now(), via, lane, bytes) {
            Checked::Duplicate => self.input(Input::Duplicate(via, lane, bytes)),
            Checked::Refused(why) => self.input(Input::Refused(via, why)),
            Checked::Verify(job) => match frame::verify(*job) {
                Ok(verified) => self.input(Input::Verified(via, lane, &verified)),
                Err(why) => self.input(Input::Refused(via, why)),
            },
        }
    }

    /// Carries a command out; answers if it was the last one.
    fn command(&mut self, command: Option<Command>) -> Option<End> {
        match command {
            None => return Some(End::Abandoned),
            Some(Command::Stop { farewell, reply }) => {
                if farewell != Farewell::Silent {
                    self.input(Input::Leave { purge: farewell == Farewell::Purge });
                }
                return Some(End::Asked(reply));
            }
            Some(Command::Write { op, agent, reply }) => {
                if let Health::Failed(fault) = self.effects.health() {
                    // What cannot be stored is not spread either. A caller that gave up does not
                    // hear it.
                    let _ = reply.send(Err(WriteError::DiskFailed(fault)));
                    return None;
                }
                let id = self.effects.expect_reply(reply);
                self.input(Input::Write(id, agent, &op));
            }
            Some(Command::Ask(question)) => {
                let now = self.clock.now();
                let NodeTask { node, effects, clock, transport, .. } = self;
                question(&mut Asked { node, effects, now, clock, transport });
            }
        }
        None
    }

    fn stored(&mut self, (id, result): Answer) {
        self.effects.answered();
        self.use_key(&result);
        self.input(Input::Persisted(id, result));
    }

    /// Before the node hears that its first batch is stored, which is its incarnation, and sends
    /// what waited for it. A crash in between leaves a used folder, which says the same.
    fn use_key<E>(&mut self, stored: &Result<(), E>) {
        if stored.is_ok()
            && let Some(file) = self.unused_key.take()
        {
            // Once in the life of a key, so that waiting for the disk here harms nobody. A folder
            // that cannot be written keeps its mark, as its documentation says.
            let _ = key_file::mark_used(&file);
        }
    }

    /// Every input of the node goes through here, so that what it caused is settled before the
    /// next.
    fn input(&mut self, input: Input<'_>) {
        self.node.handle(self.clock.now(), input, &mut self.effects);
        while let Some((id, result)) = self.effects.stored.pop_front() {
            self.use_key(&result);
            self.node.handle(self.clock.now(), Input::Persisted(id, result), &mut self.effects);
        }
        // One answer for each full lane; what that causes to be sent is not answered again.
        for (peer, lane) in take(&mut self.effects.congested) {
            self.node.handle(self.clock.now(), Input::Congested(peer, lane), &mut self.effects);
        }
        for (node, urgent) in take(&mut self.effects.wanted) {
            let addresses = self.node.addresses_of(&node);
            let now = Instant::now();
            if urgent {
                self.effects.dialler.end_pause(&node, now);
            }
            self.effects.dialler.want(node, &addresses, now, &self.transport);
        }
        for member in take(&mut self.effects.members) {
            self.effects.mirror.refresh_peer(&member, &self.node, &self.clock);
        }
    }

    /// Tells the node who is linked and how far away; how long until the next time. A silent link
    /// ends by itself, so one that stands is a contact.
    fn look_around(&mut self) -> Duration {
        let now = self.clock.now().mono;
        for (peer, rtt) in self.effects.links.round_trips() {
            self.node.registry_mut().touch(peer, now);
            if let Some(rtt) = rtt {
                self.input(Input::Rtt(peer, rtt));
            }
        }
        if self.node.partition() != PartitionStatus::Healthy {
            // Whoever is on the other side may be known to a seed.
            self.effects.dialler.alone(Instant::now());
        }
        self.node.registry_mut().rebuild_near();
        self.compare_notices();
        self.acquaintances.look(&self.node, Instant::now());
        if self.effects.links.is_empty() {
            for (node, addresses) in self.acquaintances.some() {
                let now = Instant::now();
                self.effects.dialler.want(node, &addresses, now, &self.transport);
            }
        }
        if !self.effects.mirror.is_open() {
            return LOOK_EVERY;
        }
        self.effects.mirror.refresh(&self.node, &self.clock);
        LOOK_EVERY_IF_READ
    }

    /// Gives the disk a bounded time to answer what waits.
    async fn flush(&mut self) {
        let deadline = Instant::now() + LEAVE_GRACE;
        while self.effects.awaits_store() {
            match tokio::time::timeout_at(deadline, self.answers.recv()).await {
                Ok(Some(answer)) => self.stored(answer),
                Ok(None) | Err(_) => return,
            }
        }
    }
}
