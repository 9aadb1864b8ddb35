//! Choosing peers. Every choice appends to the caller's buffer, costs O(k) list reads (and O(k^2)
//! comparisons of four bytes: k is a fanout, at most 100), and never returns the own node, a peer
//! below the reputation threshold, or one peer twice.
//!
//! To draw k of a list without some barred members, uniformly and in bounded time: draw k and as
//! many more as are barred, drop the barred ones, then drop random ones down to k. What is left
//! is a uniform draw of k from the rest, whatever was drawn.

use super::PeerRegistry;
use crate::identity::PeerIx;
use crate::rng::Rng;

impl PeerRegistry {
    /// Number of peers that can be chosen: all but those below the reputation threshold.
    #[must_use]
    pub fn eligible_count(&self) -> usize {
        self.count() - self.byzantine_count()
    }

    /// Appends `k` eligible peers, drawn uniformly; all of them if there are fewer. The order is
    /// of no meaning.
    pub fn random(&self, k: usize, rng: &mut Rng, into: &mut Vec<PeerIx>) {
        self.draw(k, into.len(), rng, into);
    }

    /// Appends the `k` eligible peers with the lowest measured latency, nearest first, as of the
    /// last [`PeerRegistry::rebuild_near`]; fewer if fewer were measured.
    pub fn nearest(&self, k: usize, into: &mut Vec<PeerIx>) {
        if let Some(observed) = &self.observed {
            into.extend(observed.near.iter().take(k));
        }
    }

    /// Appends `k` eligible peers, 80 % of them (rounded to the nearest) the nearest ones and the
    /// rest drawn uniformly from the others. Always `min(k, eligible)` different peers: where
    /// latencies are unknown, random peers stand in.
    pub fn hybrid(&self, k: usize, rng: &mut Rng, into: &mut Vec<PeerIx>) {
        let k = k.min(self.eligible_count());
        let start = into.len();
        self.nearest((4 * k + 2) / 5, into);
        self.draw(k - (into.len() - start), start, rng, into);
    }

    /// Appends every peer of `region`, whatever its reputation.
    pub fn by_region(&self, region: &str, into: &mut Vec<PeerIx>) {
        let peers = self.directory.region(region).iter().copied();
        into.extend(peers.filter(|ix| Some(*ix) != self.own_ix()));
    }

    /// Sorts the measured eligible peers by latency for [`PeerRegistry::nearest`]. O(m log m) for m
    /// measured peers; peers measured or trusted again since then are in no list before.
    pub fn rebuild_near(&mut self) {
        let Some(observed) = self.observed.as_deref_mut() else { return };
        let threshold = self.directory.settings().byzantine_threshold;
        let measured = observed
            .peers
            .iter()
            .filter(|(_, seen)| seen.rtt_us > 0 && seen.reputation >= threshold);
        let mut by_latency: Vec<(u32, u32)> =
            measured.map(|(index, seen)| (seen.rtt_us, *index)).collect();
        by_latency.sort_unstable();
        observed.near.clear();
        let near = by_latency.iter().filter_map(|(_, index)| self.directory.at(*index));
        observed.near.extend(near);
    }

    /// Draws `k` eligible peers that are not in `into[chosen..]` yet.
    fn draw(&self, k: usize, chosen: usize, rng: &mut Rng, into: &mut Vec<PeerIx>) {
        let start = into.len();
        let own = usize::from(self.own_ix().is_some());
        let eligible = self.eligible_count() + own;
        // All barred ones are eligible places, so they fit.
        let barred = start - chosen + own;
        let wanted = k.min(eligible - barred);
        if wanted == 0 {
            return;
        }
        self.draw_places(wanted + barred, eligible, rng, into);
        if barred == 0 {
            return;
        }
        let mut at = start;
        while at < into.len() {
            let ix = into[at];
            if Some(ix) == self.own_ix() || into[chosen..start].contains(&ix) {
                into.swap_remove(at);
            } else {
                at += 1;
            }
        }
        while into.len() - start > wanted {
            let drop = rng.below((into.len() - start) as u32) as usize;
            into.swap_remove(start + drop);
        }
    }

    /// Draws `k <= eligible` members, the own node among them, by Floyd's algorithm.
    fn draw_places(&self, k: usize, eligible: usize, rng: &mut Rng, into: &mut Vec<PeerIx>) {
        let members = self.directory.members();
        let member = |index: usize| match &self.observed {
            None => members[index],
            Some(observed) => members[observed.eligible.place(index)],
        };
        if k == eligible {
            into.extend((0..k).map(member));
            return;
        }
        // Indexes first, members after: look-ups that do not wait for each other.
        let mut drawn: Vec<u32> = Vec::with_capacity(k);
        for upper in (eligible - k) as u32..eligible as u32 {
            let index = rng.below(upper + 1);
            drawn.push(if drawn.contains(&index) { upper } else { index });
        }
        into.extend(drawn.into_iter().map(|index| member(index as usize)));
    }
}
