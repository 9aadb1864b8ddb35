//! The links of a node: who is at the other end, whether the link is part of the tree, and which
//! root the peer named last. 8 bytes a link: a simulator holds 24 million of them.
//!
//! ```text
//!   bits   31..14   tag of the root that it named last
//!          13..6    when, in half intervals of the node's clock
//!           5..4    digests in a row that led nowhere
//!           3..0    flags
//! ```

use crate::digest::Root;
use crate::identity::PeerIx;

/// One link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// Who is at the other end.
    pub peer: PeerIx,
    /// See the module.
    bits: u32,
}

const CHOSEN: u32 = 1;
const EAGER: u32 = 2;
const HEARD: u32 = 4;
const DISTRUSTED: u32 = 8;
/// Lowest bit and mask of the count of unequal digests.
const UNEQUAL: u32 = 4;
const UNEQUAL_MASK: u32 = 3 << UNEQUAL;
/// Lowest bit and mask of the time.
const TICK: u32 = 6;
const TICK_MASK: u32 = 0xff << TICK;
/// Lowest bit of the tag.
const TAG: u32 = 14;

/// Ticks for which the age of a root can be told; it is forgotten after them, because the clock
/// of 256 ticks wraps.
pub const MAX_TICKS: u8 = 127;

impl Link {
    /// A link that just came up; part of the tree.
    #[must_use]
    pub const fn new(peer: PeerIx, chosen: bool) -> Self {
        Link { peer, bits: EAGER | if chosen { CHOSEN } else { 0 } }
    }

    const fn set(&mut self, flag: u32, yes: bool) {
        self.bits = if yes { self.bits | flag } else { self.bits & !flag };
    }

    /// This node chose the peer.
    #[must_use]
    pub const fn chosen(&self) -> bool {
        self.bits & CHOSEN != 0
    }

    /// New frames go to the peer at once.
    #[must_use]
    pub const fn eager(&self) -> bool {
        self.bits & EAGER != 0
    }

    /// Makes the link part of the tree, or not.
    pub const fn set_eager(&mut self, eager: bool) {
        self.set(EAGER, eager);
    }

    /// This node keeps the link as one of its own choice, or does not.
    pub const fn set_chosen(&mut self, chosen: bool) {
        self.set(CHOSEN, chosen);
    }

    /// The peer's reputation is below the threshold: not chosen for rounds, probed now and then.
    #[must_use]
    pub const fn distrusted(&self) -> bool {
        self.bits & DISTRUSTED != 0
    }

    /// Notes on which side of the threshold the peer's reputation is.
    pub const fn set_distrusted(&mut self, yes: bool) {
        self.set(DISTRUSTED, yes);
    }

    /// The peer named `root` at `tick`.
    pub fn hear(&mut self, root: &Root, tick: u8) {
        let said = (tag(root.tag()) << TAG) | (u32::from(tick) << TICK) | HEARD;
        self.bits = said | (self.bits & (UNEQUAL_MASK | CHOSEN | EAGER | DISTRUSTED));
    }

    /// The root that the peer named within the last `ticks`, as its tag.
    #[must_use]
    pub const fn heard_within(&self, ticks: u8, now: u8) -> Option<u32> {
        let heard = ((self.bits & TICK_MASK) >> TICK) as u8;
        if now.wrapping_sub(heard) <= ticks { self.last_heard() } else { None }
    }

    /// The root that the peer named last, as its tag, unless that is forgotten.
    #[must_use]
    pub const fn last_heard(&self) -> Option<u32> {
        if self.ever_heard() { Some(self.bits >> TAG) } else { None }
    }

    /// Whether it ever named a root.
    #[must_use]
    pub const fn ever_heard(&self) -> bool {
        self.bits & HEARD != 0
    }

    /// Forgets a root that is too old to tell its age: see [`MAX_TICKS`].
    pub const fn forget_heard(&mut self) {
        self.set(HEARD, false);
    }

    /// Counts a digest that neither equalled the own root nor one of before. How many there were
    /// in a row: 3 at most.
    pub const fn count_unequal(&mut self) -> u8 {
        let count = (self.bits & UNEQUAL_MASK) >> UNEQUAL;
        let count = if count < 3 { count + 1 } else { 3 };
        self.bits = (self.bits & !UNEQUAL_MASK) | (count << UNEQUAL);
        count as u8
    }

    /// The peer is in step again.
    pub const fn forget_unequal(&mut self) {
        self.bits &= !UNEQUAL_MASK;
    }
}

/// What a link keeps of a root with this [`Root::tag`]: 18 bits. It only tells
/// whether the peer seems to agree: a root that is none of the own last 16 passes as one of them in
/// 1 of 16,000 cases, until either side changes.
#[must_use]
pub const fn tag(root: u64) -> u32 {
    root as u32 & (u32::MAX >> TAG)
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
        assert_eq!(size_of::<Link>(), 8);
    }

    #[test]
    fn what_was_heard_ages_across_the_wrap() {
        let mut link = Link::new(PeerIx::new(1, 0), true);
        assert_eq!(link.heard_within(4, 0), None);
        link.hear(&Root([7; 32]), u8::MAX - 1);
        assert_eq!(link.heard_within(4, 2), Some(tag(Root([7; 32]).tag())));
        assert_eq!(link.heard_within(4, 3), None);
    }

    #[test]
    fn what_is_noted_of_a_link_does_not_touch_the_rest() {
        let mut link = Link::new(PeerIx::new(1, 0), false);
        link.set_distrusted(true);
        assert_eq!([(); 4].map(|()| link.count_unequal()), [1, 2, 3, 3]);
        link.hear(&Root([0xff; 32]), 0xff);
        assert_eq!(link.count_unequal(), 3);
        assert!(link.eager() && link.distrusted() && !link.chosen());
        link.hear(&Root([0; 32]), 0);
        assert_eq!(link.heard_within(0, 0), Some(0));
        link.set_chosen(true);
        link.set_eager(false);
        link.forget_unequal();
        assert_eq!((link.heard_within(0, 0), link.count_unequal()), (Some(0), 1));
        link.forget_heard();
        assert!(!link.ever_heard() && link.chosen() && link.distrusted() && !link.eager());
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
