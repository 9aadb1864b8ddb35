//! The links of a node: who is at the other end, whether the link is part of the tree, and which
//! root the peer named last. 12 bytes a link: a simulator holds 24 million of them.

use crate::digest::Root;
use crate::identity::PeerIx;

/// One link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// Who is at the other end.
    pub peer: PeerIx,
    /// First four bytes of the root that it named last; only compared with own roots for
    /// statistics and to see that it is behind.
    tag: u32,
    /// When, in half intervals of the node's clock, wrapping.
    heard: u16,
    flags: u8,
    /// Digests in a row that neither equalled the own root nor one of before.
    pub unequal: u8,
}

const CHOSEN: u8 = 1;
const EAGER: u8 = 2;
const HEARD: u8 = 4;
const DISTRUSTED: u8 = 8;

impl Link {
    /// A link that just came up; part of the tree.
    #[must_use]
    pub const fn new(peer: PeerIx, chosen: bool) -> Self {
        let flags = EAGER | if chosen { CHOSEN } else { 0 };
        Link { peer, tag: 0, heard: 0, flags, unequal: 0 }
    }

    /// This node chose the peer.
    #[must_use]
    pub const fn chosen(&self) -> bool {
        self.flags & CHOSEN != 0
    }

    /// New frames go to the peer at once.
    #[must_use]
    pub const fn eager(&self) -> bool {
        self.flags & EAGER != 0
    }

    /// Makes the link part of the tree, or not.
    pub const fn set_eager(&mut self, eager: bool) {
        self.flags = if eager { self.flags | EAGER } else { self.flags & !EAGER };
    }

    /// This node keeps the link as one of its own choice, or does not.
    pub const fn set_chosen(&mut self, chosen: bool) {
        self.flags = if chosen { self.flags | CHOSEN } else { self.flags & !CHOSEN };
    }

    /// The peer's reputation is below the threshold: not chosen for rounds, probed now and then.
    #[must_use]
    pub const fn distrusted(&self) -> bool {
        self.flags & DISTRUSTED != 0
    }

    /// Notes on which side of the threshold the peer's reputation is.
    pub const fn set_distrusted(&mut self, yes: bool) {
        self.flags = if yes { self.flags | DISTRUSTED } else { self.flags & !DISTRUSTED };
    }

    /// The peer named `root` at `tick`.
    pub fn hear(&mut self, root: &Root, tick: u16) {
        self.tag = tag(root);
        self.heard = tick;
        self.flags |= HEARD;
    }

    /// The root that the peer named within the last `ticks`, as its tag.
    #[must_use]
    pub const fn heard_within(&self, ticks: u16, now: u16) -> Option<u32> {
        let fresh = self.flags & HEARD != 0 && now.wrapping_sub(self.heard) <= ticks;
        if fresh { Some(self.tag) } else { None }
    }

    /// Whether it ever named a root.
    #[must_use]
    pub const fn ever_heard(&self) -> bool {
        self.flags & HEARD != 0
    }

    /// Forgets a root that is too old to tell its age: the clock of `heard` wraps.
    pub const fn forget_heard(&mut self) {
        self.flags &= !HEARD;
    }
}

/// What a link keeps of a root.
#[must_use]
pub fn tag(root: &Root) -> u32 {
    root.tag() as u32
}

/// The links, in no particular order; at most `max_links` of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Links(Vec<Link>);

impl Links {
    /// Adds a link, or tells that there is one with this peer.
    pub fn add(&mut self, link: Link) -> bool {
        if self.get(link.peer).is_some() {
            return false;
        }
        self.0.push(link);
        true
    }

    /// Makes room for as many links at once.
    pub fn reserve(&mut self, links: usize) {
        self.0.reserve_exact(links);
    }

    /// Takes a link out.
    pub fn remove(&mut self, peer: PeerIx) -> Option<Link> {
        let at = self.0.iter().position(|link| link.peer == peer)?;
        Some(self.0.swap_remove(at))
    }

    /// The link with `peer`.
    #[must_use]
    pub fn get(&self, peer: PeerIx) -> Option<&Link> {
        self.0.iter().find(|link| link.peer == peer)
    }

    /// The link with `peer`, to change.
    pub fn get_mut(&mut self, peer: PeerIx) -> Option<&mut Link> {
        self.0.iter_mut().find(|link| link.peer == peer)
    }

    /// All links.
    pub fn iter(&self) -> core::slice::Iter<'_, Link> {
        self.0.iter()
    }

    /// All links, to change.
    pub fn iter_mut(&mut self) -> core::slice::IterMut<'_, Link> {
        self.0.iter_mut()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many were chosen by this node.
    #[must_use]
    pub fn chosen(&self) -> usize {
        self.0.iter().filter(|link| link.chosen()).count()
    }

    /// How many are part of the tree.
    #[must_use]
    pub fn eager(&self) -> usize {
        self.0.iter().filter(|link| link.eager()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_small() {
        assert_eq!(size_of::<Link>(), 12);
    }

    #[test]
    fn what_was_heard_ages_across_the_wrap() {
        let mut link = Link::new(PeerIx::new(1, 0), true);
        assert_eq!(link.heard_within(4, 0), None);
        link.hear(&Root([7; 32]), u16::MAX - 1);
        assert_eq!(link.heard_within(4, 2), Some(tag(&Root([7; 32]))));
        assert_eq!(link.heard_within(4, 3), None);
    }

    #[test]
    fn one_link_a_peer() {
        let mut links = Links::default();
        let peer = PeerIx::new(5, 1);
        assert!(links.add(Link::new(peer, false)));
        assert!(!links.add(Link::new(peer, true)));
        assert!(links.get(PeerIx::new(5, 0)).is_none(), "another generation is another peer");
        assert_eq!((links.len(), links.chosen(), links.eager()), (1, 0, 1));
        assert!(links.remove(peer).is_some() && links.is_empty());
    }
}
