//! Who else is there, and whom to talk to. The registry has two halves. The [`Directory`] is what
//! the mesh says about its members (ids, addresses, regions): it is shared by reference and copied
//! only when it changes, so that a simulator hands one to a million nodes. What this node observed
//! by itself (reputation, last contact, round-trip time) is private, sparse, and never gossiped:
//! nobody can be slandered.
//!
//! ```text
//!   member records --> register() --> Arc<Directory> --+
//!   links, checks  --> touch()                         +--> random() nearest() hybrid()
//!                      observe_rtt()  --> Observed ----+      O(k), into the caller's buffer
//!                      update_reputation()
//! ```
//!
//! All choices are made from one list: the members, less the own node, less those whose reputation
//! is below the threshold (`Eligible`).

use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::config::Config;
use crate::identity::{Incarnation, NodeId, PeerIx};
use crate::time::Time;

mod directory;
mod eligible;
mod names;
mod selection;

pub use directory::Directory;
use eligible::Eligible;

/// What is told about a peer when it is registered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerInfo {
    /// Its key.
    pub id: NodeId,
    /// Where to dial it; at most [`PeerInfo::MAX_ADDRESSES`].
    pub addresses: Vec<SocketAddr>,
    /// Its region, at most [`PeerInfo::MAX_NAME`] bytes.
    pub region: String,
    /// Its zone inside the region, at most [`PeerInfo::MAX_NAME`] bytes.
    pub zone: String,
    /// The start of its process that said so; older ones change nothing.
    pub incarnation: Incarnation,
}

impl PeerInfo {
    /// Most addresses of a peer.
    pub const MAX_ADDRESSES: usize = 4;
    /// Most bytes of a region's or a zone's name.
    pub const MAX_NAME: usize = 64;
}

/// Why a peer was not registered. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// It is this node itself.
    #[error("a node is not its own peer")]
    Own,
    /// The registry holds its maximum of peers.
    #[error("the registry is full")]
    Full,
    /// More than [`PeerInfo::MAX_ADDRESSES`].
    #[error("a peer has at most 4 addresses")]
    TooManyAddresses,
    /// A region or zone longer than [`PeerInfo::MAX_NAME`] bytes.
    #[error("names of regions and zones have at most 64 bytes")]
    NameTooLong,
    /// More different regions and zones than the registry can number.
    #[error("too many different regions and zones")]
    TooManyNames,
    /// Every index has been given to 256 peers. Only a restart helps; that is after more than four
    /// thousand million registrations.
    #[error("no peer index is left")]
    Exhausted,
}

/// The bounds of a registry.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Settings {
    /// Most peers at a time.
    pub max_peers: usize,
    /// Reputation below which a peer is not selected, 0-1.
    pub byzantine_threshold: f32,
    /// Members expected, the own node included; 0 = unknown. The quorum never counts fewer.
    pub expected_members: usize,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Settings {
            max_peers: config.genesis.limits.max_authors as usize,
            byzantine_threshold: config.byzantine_threshold,
            expected_members: config.expected_members,
        }
    }
}

/// All that is known about one peer.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PeerView<'a> {
    /// Its index in this process.
    pub ix: PeerIx,
    /// Its key.
    pub id: NodeId,
    /// Where to dial it.
    pub addresses: &'a [SocketAddr],
    /// Its region.
    pub region: &'a str,
    /// Its zone.
    pub zone: &'a str,
    /// The newest start of its process known here.
    pub incarnation: Incarnation,
    /// What this node thinks of it, 0.0-1.0; starts at 1.0.
    pub reputation: f32,
    /// The last contact; before the first one, its registration.
    pub last_seen: Time,
    /// Smoothed round-trip time, if one was measured.
    pub latency: Option<Duration>,
}

/// What this node observed of one peer.
#[derive(Clone, Copy, Debug)]
struct Observation {
    last_seen: Time,
    reputation: f32,
    /// Microseconds; 0 = not measured.
    rtt_us: u32,
}

/// The private half; absent until there is something to hold.
#[derive(Clone, Debug, Default)]
struct Observed {
    /// By the index of the peer. Its order is never used.
    peers: HashMap<u32, Observation, FixedState>,
    eligible: Eligible,
    /// Eligible peers with a measured latency, nearest first.
    near: Vec<PeerIx>,
}

/// Who the node itself is.
#[derive(Clone, Debug)]
enum Own {
    /// The directory came from a snapshot that holds it, at this place.
    Listed(PeerIx),
    Unlisted(Box<NodeId>),
}

/// The peers of one node; see the module.
#[derive(Clone, Debug)]
pub struct PeerRegistry {
    directory: Arc<Directory>,
    own: Own,
    observed: Option<Box<Observed>>,
}

impl PeerRegistry {
    /// An empty registry of the node `own`.
    #[must_use]
    pub fn new(own: NodeId, settings: Settings) -> Self {
        Self::from_snapshot(Arc::new(Directory::new(settings)), own)
    }

    /// The registry of `own` over a shared directory, in which `own` may be listed: 32 bytes then,
    /// until it observes something.
    #[must_use]
    pub fn from_snapshot(directory: Arc<Directory>, own: NodeId) -> Self {
        let listed = directory.find(&own);
        let own = listed.map_or_else(|| Own::Unlisted(Box::new(own)), Own::Listed);
        PeerRegistry { directory, own, observed: None }
    }

    /// The own node's place, if it is listed.
    const fn own_ix(&self) -> Option<PeerIx> {
        match self.own {
            Own::Listed(ix) => Some(ix),
            Own::Unlisted(_) => None,
        }
    }

    fn is_own(&self, id: &NodeId) -> bool {
        match &self.own {
            Own::Listed(ix) => self.directory.row(*ix).is_some_and(|row| row.id == *id),
            Own::Unlisted(own) => **own == *id,
        }
    }

    /// The directory as it is now; later changes of this registry do not show in it.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Directory> {
        Arc::clone(&self.directory)
    }

    /// Adds a peer, or updates what is told about it (its observations stay). Telling the same
    /// again, or something of an older incarnation, changes nothing.
    ///
    /// # Errors
    /// [`RegisterError`]; nothing has changed then.
    pub fn register(&mut self, peer: PeerInfo, now: Time) -> Result<PeerIx, RegisterError> {
        if self.is_own(&peer.id) {
            return Err(RegisterError::Own);
        }
        self.directory.check(&peer)?;
        if let Some(ix) = self.directory.find(&peer.id) {
            if self.directory.would_change(ix, &peer) {
                Arc::make_mut(&mut self.directory).update(ix, peer);
            }
            return Ok(ix);
        }
        if self.count() >= self.directory.settings().max_peers {
            return Err(RegisterError::Full);
        }
        let place = self.directory.members().len();
        let ix = Arc::make_mut(&mut self.directory).insert(peer, now)?;
        if let Some(observed) = &mut self.observed {
            observed.eligible.appended(place);
        }
        Ok(ix)
    }

    /// Removes a peer that left, with all that was observed of it. False if `ix` is nobody's.
    pub fn deregister(&mut self, ix: PeerIx) -> bool {
        let Some(row) = self.row(ix) else { return false };
        let (id, place) = (row.id, row.place());
        self.remove(ix, place);
        Arc::make_mut(&mut self.directory).forget_absent(&id);
        true
    }

    /// Removes a member by its id, also one that was pruned and still counts for the quorum: for
    /// peers that leave while they are absent, and for the operator. False if there is none.
    pub fn forget(&mut self, id: &NodeId) -> bool {
        if let Some(ix) = self.by_id(id) {
            return self.deregister(ix);
        }
        self.directory.is_absent(id) && Arc::make_mut(&mut self.directory).forget_absent(id)
    }

    /// Drops every peer not seen since `older_than`, and says how many. One that was never seen
    /// counts from its registration. The dropped ones stay members for the quorum (as many of
    /// them as there may be peers): silence must not lower the bar that silence is measured with.
    pub fn prune(&mut self, older_than: Time) -> usize {
        let is_stale = |ix: &PeerIx| self.get(*ix).is_some_and(|peer| peer.last_seen < older_than);
        let stale: Vec<PeerIx> = self.all().filter(is_stale).collect();
        for ix in &stale {
            self.bury(*ix);
        }
        stale.len()
    }

    /// Takes a peer out of the list that nobody reaches; it stays a member for the quorum. False if
    /// `ix` is nobody's.
    pub fn bury(&mut self, ix: PeerIx) -> bool {
        let Some((id, place)) = self.row(ix).map(|row| (row.id, row.place())) else { return false };
        self.remove(ix, place);
        Arc::make_mut(&mut self.directory).remember_absent(id);
        true
    }

    /// Whether `id` is a member that is not listed, because nobody reached it.
    #[must_use]
    pub fn is_absent(&self, id: &NodeId) -> bool {
        self.directory.is_absent(id)
    }

    /// The members that are not listed, because nobody reached them; the own node is none.
    pub fn absent_ids(&self) -> impl Iterator<Item = &NodeId> {
        self.directory.absent_ids().filter(|id| !self.is_own(id))
    }

    /// The absent member behind `after`, in the order of ids and round again. O(absent).
    #[must_use]
    pub fn next_absent(&self, after: &NodeId) -> Option<NodeId> {
        let later = self.absent_ids().filter(|id| *id > after).min();
        later.or_else(|| self.absent_ids().min()).copied()
    }

    /// All that is known about `ix`; `None` if the peer is gone.
    #[must_use]
    pub fn get(&self, ix: PeerIx) -> Option<PeerView<'_>> {
        let row = self.row(ix)?;
        let seen = self.observation(ix, row.registered);
        Some(PeerView {
            ix,
            id: row.id,
            addresses: &row.addresses,
            region: self.directory.name(row.region),
            zone: self.directory.name(row.zone),
            incarnation: row.incarnation,
            reputation: seen.reputation,
            last_seen: seen.last_seen,
            latency: (seen.rtt_us > 0).then(|| Duration::from_micros(seen.rtt_us.into())),
        })
    }

    /// The index of the peer with this key.
    #[must_use]
    pub fn by_id(&self, id: &NodeId) -> Option<PeerIx> {
        self.directory.find(id).filter(|ix| Some(*ix) != self.own_ix())
    }

    /// Every peer, in an order that only the history of registrations decides.
    pub fn all(&self) -> impl Iterator<Item = PeerIx> + '_ {
        self.directory.members().iter().copied().filter(|ix| Some(*ix) != self.own_ix())
    }

    /// Adds `delta` to the reputation of a peer and gives the new one, 0.0-1.0. Below the threshold
    /// the peer is not selected any more, at or above it is again. A delta that is no number counts
    /// as zero. `None` if the peer is gone.
    pub fn update_reputation(&mut self, ix: PeerIx, delta: f32) -> Option<f32> {
        let (registered, place) = self.row(ix).map(|row| (row.registered, row.place()))?;
        let threshold = self.directory.settings().byzantine_threshold;
        let observed = self.observed.get_or_insert_default();
        let seen = observed.of(ix, registered);
        let was_trusted = seen.reputation >= threshold;
        if !delta.is_nan() {
            seen.reputation = (seen.reputation + delta).clamp(0.0, 1.0);
        }
        let reputation = seen.reputation;
        match (was_trusted, reputation >= threshold) {
            (true, false) => {
                observed.eligible.exclude(place, self.directory.members().len());
                observed.near.retain(|near| *near != ix);
            }
            (false, true) => observed.eligible.include(place, self.directory.members().len()),
            _ => {}
        }
        Some(reputation)
    }

    /// Raises every reputation below 1.0 by `by`; those peers with the new ones. O(n).
    pub fn mend(&mut self, by: f32) -> Vec<(PeerIx, f32)> {
        let worn = |ix: &PeerIx| self.get(*ix).is_some_and(|peer| peer.reputation < 1.0);
        let worn: Vec<PeerIx> = self.all().filter(worn).collect();
        let mut mended = |ix| self.update_reputation(ix, by).map(|reputation| (ix, reputation));
        worn.into_iter().filter_map(&mut mended).collect()
    }

    /// Notes a contact with a peer at `now`. False if the peer is gone.
    pub fn touch(&mut self, ix: PeerIx, now: Time) -> bool {
        let Some(registered) = self.row(ix).map(|row| row.registered) else { return false };
        let seen = self.observed.get_or_insert_default().of(ix, registered);
        seen.last_seen = seen.last_seen.max(now);
        true
    }

    /// Notes a measured round-trip time: it falls quickly and rises slowly, because queues only
    /// ever add to the distance. False if the peer is gone.
    pub fn observe_rtt(&mut self, ix: PeerIx, rtt: Duration) -> bool {
        let Some(registered) = self.row(ix).map(|row| row.registered) else { return false };
        let sample = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX).max(1);
        let seen = self.observed.get_or_insert_default().of(ix, registered);
        seen.rtt_us = match seen.rtt_us {
            0 => sample,
            old if sample < old => sample + (old - sample) / 2,
            old => old + (sample - old) / 8,
        };
        true
    }

    /// Number of peers; the own node is not one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.directory.members().len() - usize::from(self.own_ix().is_some())
    }

    /// Number of peers seen at or after `since`. O(n).
    #[must_use]
    pub fn active_count(&self, since: Time) -> usize {
        self.all().filter_map(|ix| self.get(ix)).filter(|peer| peer.last_seen >= since).count()
    }

    /// Number of peers below the reputation threshold.
    #[must_use]
    pub fn byzantine_count(&self) -> usize {
        self.observed.as_ref().map_or(0, |observed| observed.eligible.excluded())
    }

    /// Members that count for the quorum: the own node, the peers, and those that were pruned but
    /// never left; at least the expected ones.
    #[must_use]
    pub fn members(&self) -> usize {
        let own_absent = matches!(&self.own, Own::Unlisted(own) if self.directory.is_absent(own));
        let absent = self.directory.absent() - usize::from(own_absent);
        let known = 1 + self.count() + absent;
        known.max(self.directory.settings().expected_members)
    }

    /// How many members must be heard: n - f, where f = (n - 1) / 3 rounded down may lie.
    #[must_use]
    pub fn quorum(&self) -> usize {
        let n = self.members();
        n - (n - 1) / 3
    }

    fn row(&self, ix: PeerIx) -> Option<&directory::Row> {
        self.directory.row(ix).filter(|_| Some(ix) != self.own_ix())
    }

    fn observation(&self, ix: PeerIx, registered: Time) -> Observation {
        let known = self.observed.as_ref().and_then(|o| o.peers.get(&(ix.index() as u32)));
        known.copied().unwrap_or(Observation::none(registered))
    }

    fn remove(&mut self, ix: PeerIx, place: usize) {
        if let Some(observed) = &mut self.observed {
            observed.eligible.swap_removed(place, self.directory.members().len());
            observed.peers.remove(&(ix.index() as u32));
            observed.near.retain(|near| *near != ix);
        }
        Arc::make_mut(&mut self.directory).remove(ix);
    }
}

impl Observation {
    const fn none(registered: Time) -> Self {
        Observation { last_seen: registered, reputation: 1.0, rtt_us: 0 }
    }
}

impl Observed {
    fn of(&mut self, ix: PeerIx, registered: Time) -> &mut Observation {
        self.peers.entry(ix.index() as u32).or_insert(Observation::none(registered))
    }
}

#[cfg(test)]
mod tests;
