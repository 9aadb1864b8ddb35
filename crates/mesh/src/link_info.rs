//! The links of a node as they stand: who is at the other end and how far away.

use std::net::SocketAddr;
use std::time::Duration;

use knhk_mesh_core::identity::NodeId;

use crate::error::Stopped;
use crate::mesh::Mesh;
use crate::transport::{Datagrams, Traffic};

/// One link that stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkInfo {
    /// The peer, authenticated.
    pub node: NodeId,
    /// The peer's address at the time of the handshake.
    pub address: SocketAddr,
    /// Whether this node dialled; else the peer did.
    pub dialled: bool,
    /// Smoothed round-trip time; `None` over TCP, which is not measured.
    pub rtt: Option<Duration>,
    /// What the link carried since it is up.
    pub traffic: Traffic,
    /// What it took in UDP; `None` over TCP and inside a process.
    pub datagrams: Option<Datagrams>,
}

impl Mesh {
    /// Every link that stands, in no particular order.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn links(&self) -> Result<Vec<LinkInfo>, Stopped> {
        self.ask(|asked| asked.effects.links.describe()).await
    }
}
