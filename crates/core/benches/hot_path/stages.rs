//! The way of a frame, stage by stage, through the rooms of the core.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use knhk_mesh_core::config::Settings;
use knhk_mesh_core::crdt::Store;
use knhk_mesh_core::crdt::store::EntryIx;
use knhk_mesh_core::digest::Root;
use knhk_mesh_core::frame::{Class, Job, Sealed, Verified, verify};
use knhk_mesh_core::gossip::Gossip;
use knhk_mesh_core::gossip::convergence::tick;
use knhk_mesh_core::identity::PeerIx;
use knhk_mesh_core::links::Link;
use knhk_mesh_core::rng::Rng;
use knhk_mesh_core::time::{Now, Time};

use crate::clock::timed;
use crate::report::{Report, Samples};
use crate::workload::{END, Workload};

/// Links of a node, on average.
const LINKS: usize = 24;
/// One moment for the whole run.
const NOW: Now = Now { mono: Time::ZERO, wall: END };

/// Measures frames of `size` and prints their rows.
pub(crate) fn measure(size: usize, frames: usize, report: &mut Report) -> std::io::Result<()> {
    let mut workload = Workload::new();
    let mut replica = Replica::new(Arc::clone(&workload.settings));
    workload.full_state(size, |frame| replica.merge(&frame));
    replica.digest();

    let mut rows = Rows::default();
    workload.arrivals(frames, size, |bytes| rows.add(&mut replica, bytes, size));
    let Rows { verify, merge, digest, convergence } = rows;
    report.row("verify", Some(size), None, &verify)?;
    report.row("merge", Some(size), None, &merge)?;
    report.row("digest", Some(size), None, &digest)?;
    report.row("convergence", Some(size), None, &convergence)
}

#[derive(Default)]
struct Rows {
    verify: Samples,
    merge: Samples,
    digest: Samples,
    convergence: Samples,
}

impl Rows {
    fn add(&mut self, replica: &mut Replica, bytes: &Bytes, size: usize) {
        let (verified, ns) = timed(|| replica.verify(bytes));
        self.verify.push(ns, size);
        let ((), ns) = timed(|| replica.merge(&verified));
        self.merge.push(ns, size);
        let (root, ns) = timed(|| replica.digest());
        self.digest.push(ns, size);
        replica.hear(root);
        let (_, ns) = timed(|| replica.converged());
        self.convergence.push(ns, size);
        replica.check();
    }
}

/// The parts of a node that a record passes.
struct Replica {
    settings: Arc<Settings>,
    store: Store,
    won: Vec<EntryIx>,
    gossip: Gossip,
    frames: usize,
}

impl Replica {
    fn new(settings: Arc<Settings>) -> Self {
        let store = Store::new(Arc::clone(&settings), Class::Cell, 7);
        let mut gossip = Gossip::new(&settings, &mut Rng::new(3), NOW);
        for n in 0..LINKS {
            assert!(gossip.links.add(Link::new(PeerIx::new(n, 0), true)), "there is room");
        }
        Replica { settings, store, won: Vec::new(), gossip, frames: 0 }
    }

    fn verify(&self, bytes: &Bytes) -> Verified {
        let sealed = Sealed::read(bytes, &self.settings.genesis.limits).expect("it is well formed");
        verify(Job::new(sealed, self.settings.mesh)).expect("it is signed")
    }

    fn merge(&mut self, frame: &Verified) {
        self.won.clear();
        let mut changes = 0u32;
        let merged = self.store.merge(frame, &mut self.won, &mut |_, _| changes += 1);
        black_box((merged, changes));
    }

    fn digest(&mut self) -> Root {
        self.store.flush();
        self.store.root()
    }

    /// One link after the other names the root of now, so that most of them name an older one.
    fn hear(&mut self, root: Root) {
        let peer = PeerIx::new(self.frames % LINKS, 0);
        self.frames += 1;
        let link = self.gossip.links.get_mut(peer).expect("its link stands");
        link.hear(&root, tick(NOW.mono, &self.settings));
    }

    /// The node's own check, with its memory of roots. The root itself is part of the digest.
    fn converged(&mut self) -> bool {
        self.gossip.current_root(&mut self.store, NOW.mono);
        self.gossip.converged_at(NOW.mono, &self.settings)
    }

    /// The frame changed something and added nothing.
    fn check(&self) {
        assert!(self.won.len() > 1, "a record and the head changed");
        assert_eq!(self.store.len(), 100_000 + 1_000, "every record is an overwrite");
    }
}
