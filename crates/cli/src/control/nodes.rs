//! The nodes of this process, as the sockets and their owner see them: by number, and one may be
//! gone for a while (`knhk-mesh chaos kill`).

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use knhk_mesh::Mesh;

/// Clones are the same nodes.
#[derive(Clone)]
pub(crate) struct Nodes(Arc<RwLock<Vec<Option<Mesh>>>>);

impl Nodes {
    pub(crate) fn new(nodes: Vec<Mesh>) -> Self {
        Nodes(Arc::new(RwLock::new(nodes.into_iter().map(Some).collect())))
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Option<Mesh>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are, those included that are gone.
    pub(crate) fn len(&self) -> usize {
        self.read().len()
    }

    /// Node `i`, if it is there.
    pub(crate) fn get(&self, i: usize) -> Option<Mesh> {
        self.read().get(i).cloned().flatten()
    }

    /// Those that are there, with their numbers, in order.
    pub(crate) fn running(&self) -> Vec<(usize, Mesh)> {
        let nodes = self.read();
        nodes.iter().enumerate().filter_map(|(i, node)| Some((i, node.clone()?))).collect()
    }

    /// Replaces node `i`, or takes it away; what was there.
    pub(crate) fn replace(&self, i: usize, node: Option<Mesh>) -> Option<Mesh> {
        let mut nodes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        nodes.get_mut(i).and_then(|place| std::mem::replace(place, node))
    }
}
