//! The live links of a node, found by the node's dense peer index on the way out and by the
//! transport's link id on the way in.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use knhk_mesh_core::identity::{NodeId, PeerIx};
use knhk_mesh_core::messages::{Close, Lane};

use crate::link_info::LinkInfo;
use crate::transport::{Link, LinkId, SendError, Traffic};

#[derive(Default)]
pub(crate) struct Links {
    /// By [`PeerIx::index`]; the index inside tells its generation.
    by_peer: Vec<Option<(PeerIx, Link)>>,
    by_link: HashMap<LinkId, PeerIx>,
    /// A link that the node is being told about: it may send on it before it returns the index.
    arriving: Option<Link>,
    /// What links carried that have ended.
    ended: Traffic,
    /// By [`PeerIx::index`]: how far the peer's clock was ahead of ours when it last said.
    ahead_ms: Vec<Option<(PeerIx, i64)>>,
}

impl Links {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_link.is_empty()
    }

    /// Whether a link stands with `node`; with anybody if it is not known who that is.
    pub(crate) fn stands(&self, node: Option<&NodeId>) -> bool {
        let mut held = self.by_peer.iter().flatten();
        held.any(|(_, link)| node.is_none_or(|node| link.node() == *node))
    }

    pub(crate) fn peer(&self, link: LinkId) -> Option<PeerIx> {
        self.by_link.get(&link).copied()
    }

    fn get(&self, peer: PeerIx) -> Option<&Link> {
        let (held, link) = self.by_peer.get(peer.index())?.as_ref()?;
        (*held == peer).then_some(link)
    }

    pub(crate) fn arriving(&mut self, link: Link) {
        self.arriving = Some(link);
    }

    /// The node was told about the link that arrived; without an index it does not want it.
    pub(crate) fn arrived(&mut self, peer: Option<PeerIx>) {
        match peer {
            Some(peer) => self.settle(peer),
            None => {
                if let Some(unwanted) = self.arriving.take() {
                    unwanted.close(Close::Full);
                }
            }
        }
    }

    fn settle(&mut self, peer: PeerIx) {
        let Some(link) = self.arriving.take() else { return };
        if self.by_peer.len() <= peer.index() {
            self.by_peer.resize_with(peer.index() + 1, || None);
        }
        self.by_link.insert(link.id(), peer);
        if let Some((_, before)) = self.by_peer[peer.index()].replace((peer, link)) {
            self.end(&before);
        }
    }

    /// While a link arrives, an index without a link is that link's.
    fn find(&mut self, peer: PeerIx) -> Option<&Link> {
        if self.arriving.is_some() && self.get(peer).is_none() {
            self.settle(peer);
        }
        self.get(peer)
    }

    pub(crate) fn send(
        &mut self,
        peer: PeerIx,
        lane: Lane,
        message: Bytes,
    ) -> Result<(), SendError> {
        self.find(peer).map_or(Err(SendError::Closed), |link| link.send(lane, message))
    }

    /// Closes a link; the transport says when it is down.
    pub(crate) fn close(&mut self, peer: PeerIx, why: Close) {
        if let Some(link) = self.find(peer) {
            link.close(why);
        }
    }

    /// Takes out a link that ended; its peer, if it was in use.
    pub(crate) fn forget(&mut self, link: LinkId) -> Option<PeerIx> {
        let peer = self.by_link.remove(&link)?;
        let place = self.by_peer.get_mut(peer.index())?;
        let (_, ended) = place.take_if(|(_, held)| held.id() == link)?;
        self.end(&ended);
        Some(peer)
    }

    /// Takes out the link to `node` that another one replaces.
    pub(crate) fn forget_node(&mut self, node: &NodeId) -> Option<PeerIx> {
        let mut held = self.by_peer.iter().flatten();
        let link = held.find(|(_, link)| link.node() == *node)?.1.id();
        self.forget(link)
    }

    fn end(&mut self, link: &Link) {
        self.by_link.remove(&link.id());
        self.ended += link.traffic();
    }

    pub(crate) fn traffic(&self) -> Traffic {
        let mut all = self.ended;
        self.by_peer.iter().flatten().for_each(|(_, link)| all += link.traffic());
        all
    }

    /// Every link, for people.
    pub(crate) fn describe(&self) -> Vec<LinkInfo> {
        let describe = |(_, link): &(PeerIx, Link)| LinkInfo {
            node: link.node(),
            address: link.addr(),
            dialled: link.dialled(),
            rtt: link.rtt(),
            traffic: link.traffic(),
            datagrams: link.datagrams(),
        };
        self.by_peer.iter().flatten().map(describe).collect()
    }

    /// A peer said what its clock shows; `ahead_ms` of ours.
    pub(crate) fn heard_clock(&mut self, peer: PeerIx, ahead_ms: i64) {
        if self.get(peer).is_none() {
            return;
        }
        if self.ahead_ms.len() <= peer.index() {
            self.ahead_ms.resize(peer.index() + 1, None);
        }
        self.ahead_ms[peer.index()] = Some((peer, ahead_ms));
    }

    /// How far this node's clock is ahead of the median of its linked peers; `None` if none of them
    /// has said. A liar moves it only together with half of the links.
    pub(crate) fn clock_skew_ms(&self) -> Option<i64> {
        let said = self.ahead_ms.iter().flatten();
        let linked = said.filter(|(peer, _)| self.get(*peer).is_some());
        let mut ahead: Vec<i64> = linked.map(|(_, ahead)| *ahead).collect();
        ahead.sort_unstable();
        ahead.get(ahead.len() / 2).map(|median| median.saturating_neg())
    }

    /// The linked peers with their round-trip times, where the transport measures them.
    pub(crate) fn round_trips(&self) -> Vec<(PeerIx, Option<Duration>)> {
        self.by_peer.iter().flatten().map(|(peer, link)| (*peer, link.rtt())).collect()
    }
}
