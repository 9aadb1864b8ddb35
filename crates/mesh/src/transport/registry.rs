//! At most one link a node. Two nodes may dial each other at the same moment; both ends then keep
//! the link dialled by the smaller id, without a word about it:
//!
//! ```text
//! dialler   claim(node) ─► handshake ─► hello ─► wait for the welcome ─► register
//! acceptor                 handshake ─► wait for the hello ─► register ─► welcome
//! ```
//!
//! The dialler sends its hello only while it has neither a link nor another dial to that node. So a
//! hello that arrives over an existing link means either that both dialled at once (the link is
//! younger than a handshake may last) or that the peer has lost the link, and then the newest wins.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use knhk_mesh_core::identity::NodeId;
use knhk_mesh_core::messages::Close;

use super::{DialError, Link, Target};

pub(crate) struct Registry {
    own: NodeId,
    max_links: usize,
    /// Two dials that began before either was known end within this time of each other.
    simultaneous: Duration,
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    closing: bool,
    /// In the order of ids: what is done to all links is done in the same order each time.
    links: BTreeMap<NodeId, Link>,
    dialled_nodes: HashSet<NodeId>,
    dialled_addrs: HashSet<SocketAddr>,
}

/// A dial under way; dropping it makes room for the next one to the same target.
pub(crate) struct Claim<'a> {
    registry: &'a Registry,
    addr: SocketAddr,
    node: Option<NodeId>,
    renews: bool,
}

impl Registry {
    pub(crate) fn new(own: NodeId, max_links: usize, simultaneous: Duration) -> Self {
        Registry { own, max_links, simultaneous, tables: Mutex::default() }
    }

    /// Claims the right to dial `target`. For a seed the node is claimed later. `renews`: although
    /// there is a link, to replace it.
    pub(crate) fn claim(&self, target: Target, renews: bool) -> Result<Claim<'_>, DialError> {
        let mut tables = self.lock();
        if tables.closing {
            return Err(DialError::Leaving);
        }
        if (tables.links.len() >= self.max_links && !renews)
            || tables.dialled_addrs.len() >= self.max_links
        {
            return Err(DialError::NoRoom);
        }
        if target.node.is_none()
            && tables.links.values().any(|link| link.dialled() && link.addr() == target.addr)
        {
            return Err(DialError::AlreadyLinked);
        }
        if !tables.dialled_addrs.insert(target.addr) {
            return Err(DialError::AlreadyDialling);
        }
        drop(tables);
        let mut claim = Claim { registry: self, addr: target.addr, node: None, renews };
        if let Some(node) = target.node {
            claim.node(node)?;
        }
        Ok(claim)
    }

    /// Takes `link` in. `Ok` holds the link it replaces, which the caller closes as duplicate.
    pub(crate) fn register(&self, link: &Link) -> Result<Option<Link>, Close> {
        let node = link.node();
        let mut tables = self.lock();
        if tables.closing {
            return Err(Close::Leaving);
        }
        match tables.links.get(&node) {
            None if tables.links.len() >= self.max_links => return Err(Close::Full),
            None => {}
            Some(old) => {
                let by_smaller = link.dialled() == (self.own < node);
                let both_dialled = old.dialled() != link.dialled();
                if both_dialled && !by_smaller && old.age() < self.simultaneous {
                    return Err(Close::Duplicate);
                }
            }
        }
        Ok(tables.links.insert(node, link.clone()))
    }

    /// Whether a link of `node` would find room.
    pub(crate) fn has_room(&self, node: &NodeId) -> bool {
        let tables = self.lock();
        let known = tables.links.contains_key(node);
        !tables.closing && (known || tables.links.len() < self.max_links)
    }

    /// Every link.
    pub(crate) fn links(&self) -> Vec<Link> {
        self.lock().links.values().cloned().collect()
    }

    /// Takes `link` out, unless another one has replaced it.
    pub(crate) fn remove(&self, link: &Link) {
        let mut tables = self.lock();
        if tables.links.get(&link.node()).is_some_and(|kept| kept.id() == link.id()) {
            tables.links.remove(&link.node());
        }
    }

    /// Takes nothing in from now on; the links that are left to close.
    pub(crate) fn close(&self) -> Vec<Link> {
        let mut tables = self.lock();
        tables.closing = true;
        tables.links.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim<'_> {
    /// Claims the node that answered (or was named), once.
    pub(crate) fn node(&mut self, node: NodeId) -> Result<(), DialError> {
        if self.node == Some(node) {
            return Ok(());
        }
        if node == self.registry.own {
            return Err(DialError::Myself);
        }
        let mut tables = self.registry.lock();
        if tables.links.contains_key(&node) != self.renews {
            return Err(DialError::AlreadyLinked);
        }
        if !tables.dialled_nodes.insert(node) {
            return Err(DialError::AlreadyDialling);
        }
        self.node = Some(node);
        Ok(())
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut tables = self.registry.lock();
        tables.dialled_addrs.remove(&self.addr);
        if let Some(node) = self.node {
            tables.dialled_nodes.remove(&node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::link::Wire;
    use super::super::tcp;
    use super::*;
    use tokio::time::advance;

    const SMALL: NodeId = NodeId([1; 32]);
    const LARGE: NodeId = NodeId([2; 32]);
    const HANDSHAKE: Duration = Duration::from_secs(3);

    fn link(node: NodeId, dialled: bool) -> Link {
        let addr = SocketAddr::from(([127, 0, 0, 1], 7));
        Link::new(node, addr, dialled, Wire::Tcp(tcp::Wire::idle()))
    }

    /// Which of two links is kept at `own`: true = the one that `own` dialled.
    fn kept(own: NodeId, other: NodeId, own_first: bool) -> bool {
        let registry = Registry::new(own, 8, HANDSHAKE);
        for dialled in [own_first, !own_first] {
            let _ = registry.register(&link(other, dialled));
        }
        registry.close()[0].dialled()
    }

    #[tokio::test]
    async fn both_ends_keep_the_link_of_the_smaller_id_in_whatever_order_they_see_them() {
        for own_first in [true, false] {
            assert!(kept(SMALL, LARGE, own_first));
            assert!(!kept(LARGE, SMALL, own_first));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_dial_of_the_larger_id_means_that_it_lost_the_old_link() {
        let registry = Registry::new(SMALL, 8, HANDSHAKE);
        let old = link(LARGE, true);
        assert!(matches!(registry.register(&old), Ok(None)));
        assert!(matches!(registry.register(&link(LARGE, false)), Err(Close::Duplicate)));
        advance(HANDSHAKE).await;
        let replaced = registry.register(&link(LARGE, false)).unwrap();
        assert_eq!(replaced.map(|link| link.id()), Some(old.id()));
        registry.remove(&old);
        assert_eq!(registry.close().len(), 1, "the replaced link removes nothing");
    }

    #[tokio::test]
    async fn one_dial_a_target_and_none_to_linked_nodes() {
        let registry = Registry::new(SMALL, 8, HANDSHAKE);
        let target = Target { node: Some(LARGE), addr: ([127, 0, 0, 1], 7).into() };
        let claim = registry.claim(target, false).unwrap();
        let seed = Target { node: None, ..target };
        assert_eq!(registry.claim(seed, false).err(), Some(DialError::AlreadyDialling));
        let elsewhere = Target { addr: ([127, 0, 0, 1], 8).into(), ..target };
        assert_eq!(registry.claim(elsewhere, false).err(), Some(DialError::AlreadyDialling));
        drop(claim);
        assert!(registry.register(&link(LARGE, true)).is_ok());
        assert_eq!(registry.claim(elsewhere, false).err(), Some(DialError::AlreadyLinked));
        assert_eq!(registry.claim(seed, false).err(), Some(DialError::AlreadyLinked));
        registry.close();
        assert_eq!(registry.claim(target, false).err(), Some(DialError::Leaving));
    }
}
