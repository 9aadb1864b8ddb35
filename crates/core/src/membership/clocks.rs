//! Mesh time: the own clock plus the median offset of the witnesses, which this node chose itself.
//! A liar moves the median only together with half of them.
//!
//! ```text
//!   digest.wall - own wall --> one offset a witness --> median, own 0 counted --> mesh time
//! ```
//!
//! Digests carry plain clocks, never mesh time: corrections of corrections would run away, because
//! the way of every message makes the other clock look late.

use crate::identity::PeerIx;

/// What witnesses' clocks showed, in milliseconds ahead of the own.
#[derive(Clone, Debug, Default)]
pub(super) struct Clocks {
    /// By peer; at most as many as there are witnesses.
    said: Vec<(PeerIx, i64)>,
    offset: i64,
}

impl Clocks {
    /// A peer's clock is so far ahead.
    pub(super) fn hear(&mut self, peer: PeerIx, ahead_ms: i64) {
        match self.said.binary_search_by_key(&peer, |said| said.0) {
            Ok(at) => self.said[at].1 = ahead_ms,
            Err(at) => self.said.insert(at, (peer, ahead_ms)),
        }
    }

    /// Forgets the others and takes the median anew.
    pub(super) fn settle(&mut self, keeps: impl Fn(PeerIx) -> bool) {
        self.said.retain(|said| keeps(said.0));
        let mut all: Vec<i64> = self.said.iter().map(|said| said.1).chain([0]).collect();
        all.sort_unstable();
        let (low, high) = (all[(all.len() - 1) / 2], all[all.len() / 2]);
        // Of two in the middle the one that agrees with the own clock, if it lies between them.
        self.offset = 0i64.clamp(low, high);
    }

    /// Milliseconds that mesh time is ahead of the own clock.
    pub(super) const fn offset(&self) -> i64 {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(said: &[i64]) -> i64 {
        let mut clocks = Clocks::default();
        said.iter().enumerate().for_each(|(i, &ms)| clocks.hear(PeerIx::new(i, 0), ms));
        clocks.settle(|_| true);
        clocks.offset()
    }

    #[test]
    fn a_clock_that_all_others_contradict_is_wrong() {
        assert_eq!(offset(&[600_000, 600_002, 599_998]), 599_998);
        assert_eq!(offset(&[-5, 600_000, 3]), 0);
    }

    #[test]
    fn a_minority_of_liars_cannot_move_it_beyond_the_honest() {
        let lies = [i64::MAX, i64::MIN, 3_600_000];
        for lie in lies {
            let said = [lie, lie, lie, 4, -3, 2, 1, -2, 0];
            assert!((-3..=4).contains(&offset(&said)), "{lie}");
        }
    }

    #[test]
    fn one_peer_against_one_is_no_majority() {
        assert_eq!((offset(&[]), offset(&[600_000]), offset(&[-600_000])), (0, 0, 0));
        assert_eq!(offset(&[600_000, 600_010]), 600_000);
    }

    #[test]
    fn who_is_no_witness_any_more_says_nothing() {
        let mut clocks = Clocks::default();
        (0..3).for_each(|i| clocks.hear(PeerIx::new(i, 0), 900));
        clocks.settle(|peer| peer.index() == 0);
        assert_eq!((clocks.offset(), clocks.said.len()), (0, 1));
    }
}
