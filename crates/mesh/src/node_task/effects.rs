//! What a node does, done: the shell's side of [`Sink`]. Calls return at once; what has to come
//! back as an input waits here until the node's call has ended.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use knhk_mesh_core::crdt::Family;
use knhk_mesh_core::error::WriteError as Rejected;
use knhk_mesh_core::identity::{NodeId, PeerIx};
use knhk_mesh_core::messages::sink::WriteId;
use knhk_mesh_core::messages::{Close, Lane, Message, Persist, Receipt, Sink};
use knhk_mesh_core::telemetry::Event;
use tokio::sync::oneshot;

use super::dialler::Dialler;
use super::links::Links;
use crate::error::WriteError;
use crate::peer_registry::Mirror;
use crate::storage::backup::{BackupError, Summary};
use crate::storage::{Answer, Health, Store};
use crate::transport::{Greeting, SendError};
use crate::watch::Watchers;

type Reply = oneshot::Sender<Result<Receipt, WriteError>>;

pub(crate) struct Effects {
    pub(crate) links: Links,
    pub(crate) watchers: Watchers,
    pub(crate) dialler: Dialler,
    pub(crate) mirror: Mirror,
    /// Members that came or went, for the mirror.
    pub(super) members: Vec<NodeId>,
    greeting: Arc<Greeting>,
    store: Store,
    /// Batches that the disk has not answered yet.
    storing: usize,
    /// Batches that needed no disk.
    pub(super) stored: VecDeque<Answer>,
    /// Full lanes, for the node to hear of.
    pub(super) congested: Vec<(PeerIx, Lane)>,
    /// Members to dial, and whether their pauses are over.
    pub(super) wanted: Vec<(NodeId, bool)>,
    replies: HashMap<WriteId, Reply>,
    last_write: u64,
}

impl Effects {
    pub(crate) fn new(store: Store, dialler: Dialler, greeting: Arc<Greeting>) -> Self {
        Effects {
            links: Links::default(),
            watchers: Watchers::default(),
            dialler,
            mirror: Mirror::default(),
            members: Vec::new(),
            greeting,
            store,
            storing: 0,
            stored: VecDeque::new(),
            congested: Vec::new(),
            wanted: Vec::new(),
            replies: HashMap::new(),
            last_write: 0,
        }
    }

    /// Names a write whose caller waits for `reply`.
    pub(crate) fn expect_reply(&mut self, reply: Reply) -> WriteId {
        self.last_write += 1;
        let id = WriteId(self.last_write);
        self.replies.insert(id, reply);
        id
    }

    pub(crate) fn store_has_room(&self) -> bool {
        self.store.has_room()
    }

    pub(crate) fn health(&self) -> Health {
        self.store.health()
    }

    pub(crate) fn back_up(&self, to: PathBuf) -> oneshot::Receiver<Result<Summary, BackupError>> {
        self.store.back_up(to)
    }

    pub(crate) fn answered(&mut self) {
        self.storing = self.storing.saturating_sub(1);
    }

    pub(crate) fn awaits_store(&self) -> bool {
        self.storing > 0
    }

    pub(crate) fn take_store(&mut self) -> Store {
        std::mem::replace(&mut self.store, Store::Memory)
    }
}

impl Sink for Effects {
    fn send(&mut self, to: &[PeerIx], lane: Lane, message: &Message) {
        if lane == Lane::Digest {
            self.greeting.set(message);
        }
        let bytes = message.encode();
        for &peer in to {
            // A closed link is followed by its end, which the node is told.
            if self.links.send(peer, lane, bytes.clone()) == Err(SendError::Full)
                && !self.congested.contains(&(peer, lane))
            {
                self.congested.push((peer, lane));
            }
        }
    }

    fn persist(&mut self, batch: Persist) {
        match self.store.persist(batch) {
            Some(answer) => self.stored.push_back(answer),
            None => self.storing += 1,
        }
    }

    fn done(&mut self, id: WriteId, result: Result<Receipt, Rejected>) {
        if let Some(reply) = self.replies.remove(&id) {
            // A caller that gave up does not hear it; the write stands all the same.
            let _ = reply.send(result.map_err(WriteError::Rejected));
        }
    }

    fn changed(&mut self, family: Family, key: &[u8]) {
        self.watchers.changed(family, key);
    }

    fn connect(&mut self, node: NodeId, urgent: bool) {
        self.wanted.push((node, urgent));
    }

    fn disconnect(&mut self, peer: PeerIx, why: Close) {
        self.links.close(peer, why);
    }

    fn emit(&mut self, event: Event) {
        if let Event::MemberJoined(node) | Event::MemberLeft(node) | Event::MemberLost(node) = event
            && self.mirror.is_open()
        {
            self.members.push(node);
        }
    }
}
