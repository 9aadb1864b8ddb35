//! The directory of peers for applications.
use crate::node_task::Command;
use knhk_mesh_core::identity::NodeId;
use tokio::sync::mpsc;

/// The directory of peers.
#[derive(Clone, Debug)]
pub struct PeerRegistry {
    node: NodeId,
    commands: mpsc::WeakSender<Command>,
}

impl PeerRegistry {
    pub(crate) fn new(node: NodeId, commands: mpsc::WeakSender<Command>) -> Self {
        PeerRegistry { node, commands }
    }
}
