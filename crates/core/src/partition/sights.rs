//! Who was heard when. One entry for each link and for each witness, linked or not; at most
//! `max_links` and 128 of them, or 63.

use core::time::Duration;

use crate::identity::PeerIx;
use crate::time::Time;

/// How long a new witness counts as reachable before its link has to stand.
pub(super) const GRACE: Duration = Duration::from_secs(5);

const WITNESS: u8 = 1;
const LINKED: u8 = 2;
/// It said that it hears this node.
const HEARS_ME: u8 = 4;

#[derive(Clone, Copy, Debug)]
struct Sight {
    peer: PeerIx,
    flags: u8,
    /// The last sign of life; a time to come is credit.
    heard: Time,
}

impl Sight {
    const fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn set(&mut self, flag: u8, yes: bool) {
        self.flags = if yes { self.flags | flag } else { self.flags & !flag };
    }

    fn is_heard(&self, now: Time, silence: Duration) -> bool {
        now.since(self.heard) < silence
    }

    fn is_reachable(&self, now: Time, silence: Duration) -> bool {
        self.is(HEARS_ME) && self.is_heard(now, silence)
    }
}

/// By index of the peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Sights(Vec<Sight>);

impl Sights {
    fn place(&self, peer: PeerIx) -> Result<usize, usize> {
        self.0.binary_search_by_key(&peer, |sight| sight.peer)
    }

    fn of(&mut self, peer: PeerIx, heard: Time) -> &mut Sight {
        let at = self.place(peer).unwrap_or_else(|at| {
            self.0.insert(at, Sight { peer, flags: HEARS_ME, heard });
            at
        });
        &mut self.0[at]
    }

    /// A handshake went both ways.
    pub(super) fn link_up(&mut self, peer: PeerIx, now: Time) {
        let sight = self.of(peer, now);
        sight.heard = now;
        sight.set(LINKED | HEARS_ME, true);
    }

    /// Who comes back soon was never lost.
    pub(super) fn link_down(&mut self, peer: PeerIx) {
        let Ok(at) = self.place(peer) else { return };
        self.0[at].set(LINKED, false);
        if !self.0[at].is(WITNESS) {
            self.0.remove(at);
        }
    }

    pub(super) fn heard(&mut self, peer: PeerIx, now: Time) {
        if let Ok(at) = self.place(peer) {
            self.0[at].heard = now;
        }
    }

    pub(super) fn hears_me(&mut self, peer: PeerIx, yes: bool) {
        if let Ok(at) = self.place(peer) {
            self.0[at].set(HEARS_ME, yes);
        }
    }

    /// This process did not run for `span`: nobody was silent in it.
    pub(super) fn forgive(&mut self, span: Duration) {
        self.0.iter_mut().for_each(|sight| sight.heard = sight.heard + span);
    }

    /// Adds a witness, or tells that it is one.
    pub(super) fn add_witness(&mut self, peer: PeerIx, now: Time) -> bool {
        let sight = self.of(peer, now + GRACE);
        let is_new = !sight.is(WITNESS);
        sight.set(WITNESS, true);
        is_new
    }

    /// Drops the witnesses that `keeps` does not want.
    pub(super) fn retain_witnesses(&mut self, keeps: impl Fn(PeerIx) -> bool) {
        for sight in &mut self.0 {
            if sight.is(WITNESS) && !keeps(sight.peer) {
                sight.set(WITNESS, false);
            }
        }
        self.0.retain(|sight| sight.is(WITNESS | LINKED));
    }

    pub(super) fn is_witness(&self, peer: PeerIx) -> bool {
        self.place(peer).is_ok_and(|at| self.0[at].is(WITNESS))
    }

    pub(super) fn witnesses(&self) -> impl Iterator<Item = PeerIx> + '_ {
        self.0.iter().filter(|sight| sight.is(WITNESS)).map(|sight| sight.peer)
    }

    /// Witnesses without a link.
    pub(super) fn unlinked(&self) -> impl Iterator<Item = PeerIx> + '_ {
        let wanted = |sight: &&Sight| sight.is(WITNESS) && !sight.is(LINKED);
        self.0.iter().filter(wanted).map(|sight| sight.peer)
    }

    /// How many witnesses are reachable both ways.
    pub(super) fn reachable(&self, now: Time, silence: Duration) -> usize {
        let is = |sight: &&Sight| sight.is(WITNESS) && sight.is_reachable(now, silence);
        self.0.iter().filter(is).count()
    }

    /// Whether this peer was heard lately and hears this node.
    pub(super) fn reaches(&self, peer: PeerIx, now: Time, silence: Duration) -> bool {
        self.place(peer)
            .is_ok_and(|at| self.0[at].is(LINKED) && self.0[at].is_reachable(now, silence))
    }

    /// The links, those that were heard lately first and those that were not second.
    pub(super) fn linked(&self, now: Time, silence: Duration) -> [Vec<PeerIx>; 2] {
        let mut out = [Vec::new(), Vec::new()];
        for sight in self.0.iter().filter(|sight| sight.is(LINKED)) {
            out[usize::from(!sight.is_heard(now, silence))].push(sight.peer);
        }
        out
    }
}
