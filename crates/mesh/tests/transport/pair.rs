//! Two nodes and what they hear.

use std::sync::Arc;
use std::time::Duration;

use knhk_mesh::transport::memory::MemoryHub;
use knhk_mesh::transport::{DialError, Down, Event, Link, Profile, Settings, Target, Transport};
use knhk_mesh_core::identity::{Keypair, MeshId, NodeId, Signer};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::timeout;

pub(crate) const MESH: MeshId = MeshId([9; 32]);
/// Against hanging for ever only; nothing is measured.
const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Clone)]
pub(crate) enum Kind {
    Quic,
    Tcp,
    Memory(MemoryHub),
}

pub(crate) fn kinds() -> [Kind; 3] {
    [Kind::Quic, Kind::Tcp, Kind::Memory(MemoryHub::new())]
}

pub(crate) fn keypair(number: u8) -> Arc<Keypair> {
    Arc::new(Keypair::from_secret(&[number; 32]))
}

pub(crate) fn id(number: u8) -> NodeId {
    keypair(number).node_id()
}

pub(crate) fn settings(number: u8) -> Settings {
    Settings::new(keypair(number), MESH, Profile::Normal)
}

pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) transport: Transport,
    pub(crate) events: Receiver<Event>,
}

impl Node {
    pub(crate) fn new(kind: &Kind, number: u8) -> Self {
        Self::with(kind, settings(number), 1_024)
    }

    pub(crate) fn with(kind: &Kind, settings: Settings, capacity: usize) -> Self {
        let id = settings.keypair.node_id();
        let (sender, events) = channel(capacity);
        let transport = match kind {
            Kind::Quic => Transport::quic(settings, sender),
            Kind::Tcp => Transport::tcp(settings, sender),
            Kind::Memory(hub) => Transport::memory(settings, sender, hub.clone()),
        };
        Node { id, transport: transport.unwrap(), events }
    }

    pub(crate) fn target(&self) -> Target {
        Target { node: Some(self.id), addr: self.transport.local_addr() }
    }

    pub(crate) async fn event(&mut self) -> Event {
        timeout(PATIENCE, self.events.recv()).await.expect("an event").expect("a transport")
    }

    pub(crate) async fn up(&mut self) -> Link {
        match self.event().await {
            Event::Up(link) => link,
            other => panic!("no link but {other:?}"),
        }
    }

    pub(crate) async fn down(&mut self) -> Down {
        loop {
            match self.event().await {
                Event::Down { why, .. } => return why,
                Event::Batch { .. } => {}
                other => panic!("no end but {other:?}"),
            }
        }
    }

    pub(crate) async fn failed_dial(&mut self) -> DialError {
        match self.event().await {
            Event::DialFailed { why, .. } => why,
            other => panic!("no refusal but {other:?}"),
        }
    }
}

/// Two linked nodes; the first one dialled.
pub(crate) async fn linked(kind: &Kind) -> [(Node, Link); 2] {
    link(Node::new(kind, 1), Node::new(kind, 2)).await
}

pub(crate) async fn link(mut a: Node, mut b: Node) -> [(Node, Link); 2] {
    a.transport.dial(b.target());
    let (at_a, at_b) = (a.up().await, b.up().await);
    [(a, at_a), (b, at_b)]
}
