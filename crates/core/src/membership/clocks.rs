//! Mesh time: the own clock, moved as far as more than two thirds of the clocks agree that it is
//! wrong. The clocks are the own one and those of the witnesses, which this node chose itself.
//!
//! ```text
//!   digest.wall - own wall --> one offset a witness --> heard for a second, of enough of them
//!                                                   --> 0, or what two thirds exceed --> mesh time
//! ```
//!
//! Who has just started knows few members, and those may be the liars: a clock counts when it is a
//! second old, and none do before two thirds of the witnesses are heard. Digests carry plain
//! clocks, never mesh time: corrections of corrections would run away, because the way of every
//! message makes the other clock look late.

use core::time::Duration;

use crate::identity::PeerIx;
use crate::time::Time;

/// After this long the directory of who was met first has arrived, and the witnesses are drawn
/// from it.
const RIPE: Duration = Duration::from_secs(1);

/// What a witness' clock showed.
#[derive(Clone, Copy, Debug)]
struct Said {
    peer: PeerIx,
    ahead_ms: i64,
    since: Time,
}

/// What witnesses' clocks showed, in milliseconds ahead of the own.
#[derive(Clone, Debug, Default)]
pub(super) struct Clocks {
    /// By peer; at most as many as there are witnesses.
    said: Vec<Said>,
    offset: i64,
}

impl Clocks {
    /// A peer's clock is so far ahead.
    pub(super) fn hear(&mut self, peer: PeerIx, ahead_ms: i64, now: Time) {
        match self.said.binary_search_by_key(&peer, |said| said.peer) {
            Ok(at) => self.said[at].ahead_ms = ahead_ms,
            Err(at) => self.said.insert(at, Said { peer, ahead_ms, since: now }),
        }
    }

    /// Forgets who is no witness, and takes the offset anew if enough of `witnesses` were heard.
    pub(super) fn settle(
        &mut self,
        witnesses: usize,
        now: Time,
        is_witness: impl Fn(PeerIx) -> bool,
    ) {
        self.said.retain(|said| is_witness(said.peer));
        let ripe = self.said.iter().filter(|said| now.since(said.since) >= RIPE);
        let mut all: Vec<i64> = ripe.map(|said| said.ahead_ms).chain([0]).collect();
        if 3 * (all.len() - 1) < 2 * witnesses {
            return;
        }
        all.sort_unstable();
        let third = all.len() / 3;
        self.offset = 0i64.clamp(all[third], all[all.len() - 1 - third]);
    }

    /// Milliseconds that mesh time is ahead of the own clock.
    pub(super) const fn offset(&self) -> i64 {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After `said`, of so many witnesses.
    fn of(said: &[i64], witnesses: usize) -> Clocks {
        let mut clocks = Clocks::default();
        for (i, &ms) in said.iter().enumerate() {
            clocks.hear(PeerIx::new(i, 0), ms, Time::ZERO);
        }
        clocks.settle(witnesses, Time::ZERO + RIPE, |_| true);
        clocks
    }

    fn offset(said: &[i64]) -> i64 {
        of(said, said.len()).offset()
    }

    #[test]
    fn a_clock_that_all_others_contradict_is_wrong() {
        assert_eq!(offset(&[600_000, 600_002, 599_998]), 599_998);
        assert_eq!(offset(&[-5, 600_000, 3]), 0);
        assert_eq!(offset(&[-600_000, -600_002, -599_998]), -599_998);
    }

    #[test]
    fn less_than_two_thirds_cannot_move_it_beyond_the_honest() {
        for lie in [i64::MAX, i64::MIN, 3_600_000] {
            for liars in 1..=7 {
                let mut said = vec![lie; liars];
                said.extend([4, -3, 2, 1, -2].iter().cycle().take(11 - liars));
                assert!((-3..=4).contains(&offset(&said)), "{liars} say {lie}");
            }
        }
    }

    #[test]
    fn one_peer_against_one_is_no_majority() {
        assert_eq!((offset(&[]), offset(&[600_000]), offset(&[-600_000])), (0, 0, 0));
        assert_eq!(offset(&[600_000, 600_010]), 600_000);
    }

    #[test]
    fn the_first_few_of_many_decide_nothing() {
        let ahead = [3_600_000; 8];
        assert_eq!(of(&ahead[..2], 12).offset(), 0);
        assert_eq!(of(&ahead[..7], 12).offset(), 0);
        assert_eq!(of(&ahead, 12).offset(), 3_600_000);
    }

    #[test]
    fn a_clock_counts_when_it_was_heard_for_a_second() {
        let (mut clocks, later) = (Clocks::default(), Time::ZERO + RIPE / 2);
        for i in 0..2 {
            clocks.hear(PeerIx::new(i, 0), 900, Time::ZERO);
            clocks.hear(PeerIx::new(i, 0), 700, later);
        }
        clocks.settle(2, later, |_| true);
        assert_eq!(clocks.offset(), 0);
        clocks.settle(2, Time::ZERO + RIPE, |_| true);
        assert_eq!(clocks.offset(), 700, "the last word of each");
    }

    #[test]
    fn who_is_no_witness_any_more_says_nothing() {
        let mut clocks = of(&[900, 900, 900], 3);
        let (now, first) = (Time::ZERO + RIPE, |peer: PeerIx| peer.index() == 0);
        clocks.settle(3, now, first);
        assert_eq!((clocks.offset(), clocks.said.len()), (900, 1), "too few to change it");
        clocks.settle(1, now, first);
        assert_eq!(clocks.offset(), 0);
    }
}
