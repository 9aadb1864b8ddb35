//! Why a reputation is what it is: what was taken from each peer, by reason. Like the reputation
//! it is this node's own and never gossiped; it is forgotten when the reputation is whole again.

use crate::error::Refused;
use crate::identity::PeerIx;
use crate::time::Time;

/// Peers that are written down; of more the one goes that was blamed longest ago.
const MOST: usize = 256;

/// What one reason took from a peer.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Taken {
    /// The reason. [`Refused::Rate`] stands for whole seconds beyond its budgets.
    pub why: Refused,
    /// How often.
    pub times: u32,
    /// How much in all.
    pub amount: f32,
    /// The last time.
    pub last: Time,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Ledger(Vec<(PeerIx, Vec<Taken>)>);

impl Ledger {
    /// Whether nothing is written down.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes down that `why` took `amount` from `peer`.
    pub fn note(&mut self, peer: PeerIx, why: Refused, amount: f32, now: Time) {
        let at = self.0.iter().position(|(known, _)| *known == peer).unwrap_or_else(|| {
            if self.0.len() == MOST {
                let last = |taken: &[Taken]| taken.iter().map(|taken| taken.last).max();
                let oldest = (0..MOST).min_by_key(|&at| last(&self.0[at].1)).unwrap_or(0);
                self.0.swap_remove(oldest);
            }
            self.0.push((peer, Vec::new()));
            self.0.len() - 1
        });
        let taken = &mut self.0[at].1;
        // There are no more entries than reasons.
        match taken.iter_mut().find(|taken| taken.why == why) {
            Some(taken) => {
                taken.times = taken.times.saturating_add(1);
                taken.amount += amount;
                taken.last = now;
            }
            None => taken.push(Taken { why, times: 1, amount, last: now }),
        }
    }

    /// What was taken from `peer`, in the order of the first time.
    #[must_use]
    pub fn of(&self, peer: PeerIx) -> &[Taken] {
        self.0.iter().find(|(known, _)| *known == peer).map_or(&[], |(_, taken)| taken)
    }

    /// Forgets all but those that `keep` says.
    pub fn retain(&mut self, keep: impl Fn(PeerIx) -> bool) {
        self.0.retain(|(peer, _)| keep(*peer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_add_up_by_reason_and_the_whole_is_bounded() {
        let mut ledger = Ledger::default();
        let peer = PeerIx::new(1, 1);
        for at in 1..=3 {
            ledger.note(peer, Refused::Signature, 0.25, Time(at));
        }
        ledger.note(peer, Refused::Rate, 0.1, Time(4));
        let signature = Taken { why: Refused::Signature, times: 3, amount: 0.75, last: Time(3) };
        let rate = Taken { why: Refused::Rate, times: 1, amount: 0.1, last: Time(4) };
        assert_eq!(ledger.of(peer), [signature, rate]);
        assert!(ledger.of(PeerIx::new(1, 2)).is_empty(), "another peer at the same index");
        for other in 0..2 * MOST {
            ledger.note(PeerIx::new(2 + other, 1), Refused::Root, 0.25, Time(5 + other as u64));
        }
        assert_eq!(ledger.0.len(), MOST);
        assert!(ledger.of(peer).is_empty(), "blamed longest ago");
        assert_eq!(ledger.of(PeerIx::new(1 + 2 * MOST, 1)).len(), 1);
        ledger.retain(|_| false);
        assert!(ledger.is_empty());
    }
}
