//! The discrete-event engine: machines in eight shards, virtual time in slots of a millisecond.
//!
//! ```text
//!   slot:  every shard, on any thread      events of the slot --> effects --> outboxes
//!          then, in the order of shards    outboxes --> queues;  requests --> the world
//! ```
//!
//! The number of shards is fixed, mail is merged in the order of the shards that sent it, and no
//! message arrives in the slot in which it was sent: one thread and two give the same trace.

pub(crate) mod event;
pub(crate) mod host;
pub(crate) mod queue;
pub(crate) mod shard;
mod verdicts;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use knhk_mesh_core::identity::{NodeId, PeerIx};
use knhk_mesh_core::node::Node;
use knhk_mesh_core::rng::mix;
use knhk_mesh_core::time::{Now, Time, WallMs};

pub use event::Slot;
use host::Host;
pub use queue::QueueKind;
pub use shard::Tally;
use shard::{Request, Shard};

use crate::network::Network;
use verdicts::Verdicts;

/// Parts of a world, whatever its size and the number of threads.
pub(crate) const SHARDS: usize = 8;
/// Events of one slot from which a second thread is worth its start. The unit tests start one for
/// each slot: what they run is small.
const WORTH_A_THREAD: usize = if cfg!(test) { 1 } else { 256 };
/// Wall clock of the world's first moment: 2026-01-01.
const EPOCH_MS: u64 = 1_767_225_600_000;

/// What all machines read and none writes while a slot runs.
pub(crate) struct Shared {
    pub(crate) network: Network,
    /// Encode and decode every message.
    pub(crate) wire: bool,
    /// Process of each machine.
    pub(crate) boots: Vec<u8>,
    pub(crate) who: Who,
    /// Milliseconds that everything takes longer at a machine.
    pub(crate) slow: HashMap<usize, Slot, FixedState>,
    pub(crate) any_slow: bool,
    pub(crate) verdicts: Verdicts,
}

/// How machines and nodes are matched.
pub(crate) enum Who {
    /// One directory for all: the peer's index is the machine's.
    Listed,
    /// Each node has a directory of its own.
    Known { ids: Vec<NodeId>, machines: HashMap<NodeId, usize, FixedState> },
}

impl Shared {
    pub(crate) fn new(network: Network, wire: bool, who: Who) -> Self {
        let (boots, slow, verdicts) = (Vec::new(), HashMap::default(), Verdicts::default());
        Shared { network, wire, boots, who, slow, any_slow: false, verdicts }
    }

    pub(crate) fn now(&self, slot: Slot, clock_error: i64) -> Now {
        let wall = WallMs((EPOCH_MS + slot).saturating_add_signed(clock_error));
        Now { mono: Time::from_ms(slot), wall }
    }

    /// The index that `node` has for machine `from`.
    fn peer(&self, node: &Node, from: usize) -> Option<PeerIx> {
        match &self.who {
            Who::Listed => Some(PeerIx::new(from, 0)),
            Who::Known { ids, .. } => node.peer(&ids[from]),
        }
    }

    fn index_of(&self, node: &NodeId) -> Option<usize> {
        match &self.who {
            Who::Listed => None,
            Who::Known { machines, .. } => machines.get(node).copied(),
        }
    }

    /// The machine behind an index of `host`.
    fn behind(&self, host: &mut Host, peer: PeerIx) -> Option<usize> {
        let Who::Known { machines, .. } = &self.who else { return Some(peer.index()) };
        if let Some(view) = host.node.registry().get(peer)
            && let Some(&other) = machines.get(&view.id)
        {
            host.own().peers.insert(peer, other);
            return Some(other);
        }
        host.own().peers.get(&peer).copied()
    }

    pub(crate) fn slowness(&self, machine: usize) -> Slot {
        if self.any_slow { self.slow.get(&machine).copied().unwrap_or(0) } else { 0 }
    }
}

pub(crate) struct Engine {
    pub(crate) shards: Vec<Shard>,
    pub(crate) shared: Shared,
    pub(crate) now: Slot,
    pub(crate) threads: usize,
}

impl Engine {
    pub(crate) fn new(shared: Shared, seed: u64, queue: QueueKind, threads: usize) -> Self {
        let shards = (0..SHARDS).map(|number| Shard::new(number, seed, queue)).collect();
        Engine { shards, shared, now: 0, threads: threads.clamp(1, SHARDS) }
    }

    pub(crate) fn add(&mut self, host: Host) -> usize {
        let index = self.len();
        self.shared.boots.push(0);
        self.shards[index % SHARDS].hosts.push(host);
        index
    }

    pub(crate) fn len(&self) -> usize {
        self.shared.boots.len()
    }

    pub(crate) fn host(&self, i: usize) -> &Host {
        &self.shards[i % SHARDS].hosts[i / SHARDS]
    }

    pub(crate) fn host_mut(&mut self, i: usize) -> &mut Host {
        &mut self.shards[i % SHARDS].hosts[i / SHARDS]
    }

    pub(crate) fn hosts(&self) -> impl Iterator<Item = (usize, &Host)> {
        (0..self.len()).map(|i| (i, self.host(i)))
    }

    /// The shard of machine `i`, its place there, and what all share.
    pub(crate) fn place(&mut self, i: usize) -> (&mut Shard, usize, &Shared) {
        (&mut self.shards[i % SHARDS], i / SHARDS, &self.shared)
    }

    /// The first slot in which something happens.
    pub(crate) fn next(&self) -> Option<Slot> {
        self.shards.iter().filter_map(|shard| shard.queue.next()).min()
    }

    /// Runs the slot `slot`, then brings the mail to its shards.
    pub(crate) fn step(&mut self, slot: Slot) {
        assert!(slot >= self.now, "time does not go back");
        self.now = slot;
        let worth_it = self.threads > 1 && self.due(slot) >= WORTH_A_THREAD;
        let Engine { shards, shared, threads, .. } = self;
        if worth_it {
            let (mut rest, mut left) = (&mut shards[..], *threads);
            std::thread::scope(|scope| {
                // As even as can be: five threads of eight shards take 2, 2, 2, 1, 1.
                while left > 0 {
                    let (part, others) = rest.split_at_mut(rest.len().div_ceil(left));
                    (rest, left) = (others, left - 1);
                    let shared = &*shared;
                    scope.spawn(move || part.iter_mut().for_each(|s| s.step(slot, shared)));
                }
            });
        } else {
            shards.iter_mut().for_each(|shard| shard.step(slot, shared));
        }
        self.carry_mail();
    }

    /// Events that happen in `slot`, those that they cause in it left out.
    fn due(&self, slot: Slot) -> usize {
        self.shards.iter().map(|shard| shard.queue.due(slot)).sum()
    }

    /// Outboxes to queues, in the order of the senders' shards.
    pub(crate) fn carry_mail(&mut self) {
        for from in 0..SHARDS {
            for to in 0..SHARDS {
                let mut mail = core::mem::take(&mut self.shards[from].outbox[to]);
                for (slot, event) in mail.drain(..) {
                    self.shards[to].queue.push(slot, event);
                }
                self.shards[from].outbox[to] = mail;
            }
        }
    }

    pub(crate) fn take_requests(&mut self) -> Vec<Request> {
        self.shards.iter_mut().flat_map(|shard| core::mem::take(&mut shard.requests)).collect()
    }

    pub(crate) fn tally(&self) -> Tally {
        self.shards.iter().fold(Tally::default(), |sum, Shard { tally, .. }| Tally {
            events: sum.events + tally.events,
            messages: sum.messages + tally.messages,
            bytes: sum.bytes + tally.bytes,
            copies: sum.copies + tally.copies,
            congested: sum.congested + tally.congested,
            informed: sum.informed + tally.informed,
            longest_digest: sum.longest_digest.max(tally.longest_digest),
        })
    }

    /// Depends on everything that happened.
    pub(crate) fn trace(&self) -> u64 {
        self.shards.iter().fold(0, |all, shard| mix(all ^ shard.trace))
    }
}

#[cfg(test)]
mod tests {
    use super::event::Event;
    use super::*;

    #[test]
    fn only_what_is_due_in_a_slot_is_worth_a_thread() {
        for kind in [QueueKind::Wheel, QueueKind::Heap] {
            let shared = Shared::new(Network::default(), true, Who::Listed);
            let mut engine = Engine::new(shared, 1, kind, 2);
            for n in 0..10_000 {
                engine.shards[n % SHARDS].queue.push(7 + n as Slot, Event::timer(n, 0));
            }
            (0..300).for_each(|n| engine.shards[3].queue.push(8, Event::timer(n, 0)));
            assert_eq!([6, 7, 8, 5_000].map(|slot| engine.due(slot)), [0, 1, 301, 1], "{kind:?}");
        }
    }
}
