//! What a node costs in memory when a simulator holds a million of them: counted by an allocator of
//! its own, so this file has one test.
#![expect(unsafe_code, reason = "a global allocator is unsafe by its trait; this one only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use knhk_mesh_core::config::{Config, Settings};
use knhk_mesh_core::crdt::Family;
use knhk_mesh_core::error::WriteError;
use knhk_mesh_core::frame::{Chain, Class, Kind, RecordHead, Slot, seal};
use knhk_mesh_core::identity::{Incarnation, Keypair, NodeId, PeerIx, Signer};
use knhk_mesh_core::messages::sink::WriteId;
use knhk_mesh_core::messages::{Close, Digest, Input, Lane, Message, Persist, Receipt, Sink};
use knhk_mesh_core::node::Node;
use knhk_mesh_core::peer_registry::{PeerInfo, PeerRegistry};
use knhk_mesh_core::telemetry::Event;
use knhk_mesh_core::time::{Hlc, Now, Time, WallMs};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is the system allocator's; the counter beside it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Nobody;

impl Sink for Nobody {
    fn send(&mut self, _: &[PeerIx], _: Lane, _: &Message) {}
    fn persist(&mut self, _: Persist) {}
    fn done(&mut self, _: WriteId, _: Result<Receipt, WriteError>) {}
    fn changed(&mut self, _: Family, _: &[u8]) {}
    fn connect(&mut self, _: NodeId, _: bool) {}
    fn disconnect(&mut self, _: PeerIx, _: Close) {}
    fn emit(&mut self, _: Event) {}
}

/// A simulated member of the directory: its key follows from its number, should it ever write.
struct Listed(usize);

impl Signer for Listed {
    fn node_id(&self) -> NodeId {
        id(self.0)
    }
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        Keypair::from_secret(&self.node_id().0).sign(message)
    }
}

const NODES: usize = 1_000;
const LINKS: usize = 24;
/// What a node may cost beyond the shared directory. A third of it is the store's: two entries, a
/// frame, an author.
const HELD: usize = 1_024;

fn now(ms: u64) -> Now {
    Now { mono: Time::from_ms(ms), wall: WallMs(1_000_000 + ms) }
}

fn id(n: usize) -> NodeId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&(n as u64 + 1).to_le_bytes());
    NodeId(id)
}

/// A node, and what was allocated before it.
struct Life {
    before: usize,
    node: Node,
}

#[test]
fn a_simulated_node_stays_within_its_memory() {
    let settings = Settings::new(Config::default()).unwrap();
    let directory = {
        let mut all = PeerRegistry::new(NodeId([7; 32]), (&**settings).into());
        for n in 0..NODES {
            let (addresses, zone) = (Vec::new(), String::new());
            let (region, incarnation) = ("r".to_owned(), Incarnation(1));
            let info = PeerInfo { id: id(n), addresses, region, zone, incarnation };
            all.register(info, Time::ZERO).unwrap();
        }
        all.snapshot()
    };
    let record = RecordHead::new(Slot(16), Kind::LWW, Hlc::at(WallMs(1_000_000)));
    let author = Keypair::from_secret(&[8; 32]);
    let mut chain = Chain::start(Class::Cell, Incarnation(1), Default::default());
    let payload = [&[1, b'k'][..], b"0123456789abcdef"].concat();
    let frame = seal(&mut chain, &[record.encode(&payload)], &[], &settings.mesh, &author);

    let mut lives: Vec<Life> = Vec::with_capacity(NODES);
    let mut steps = [0usize; 4];
    let start = LIVE.load(Relaxed);
    for n in 0..NODES {
        let mut last = LIVE.load(Relaxed);
        let mut step = |i: usize| {
            let live = LIVE.load(Relaxed);
            steps[i] += live.saturating_sub(last);
            last = live;
        };
        let before = LIVE.load(Relaxed);
        let signer: Box<dyn Signer + Send> = Box::new(Listed(n));
        let (settings, directory) = (Arc::clone(&settings), Arc::clone(&directory));
        let mut node = Node::over_snapshot(settings, signer, directory, n as u64, now(0));
        step(0);
        node.reserve_links(LINKS);
        for link in 0..LINKS {
            let (node_id, chosen) = (id((n + 1 + link) % NODES), link < LINKS / 2);
            node.handle(now(1), Input::LinkUp { node: node_id, chosen }, &mut Nobody);
        }
        step(1);
        let via = node.peer(&id((n + 1) % NODES)).unwrap();
        node.handle(now(2), Input::Verified(via, Lane::Delta, &frame), &mut Nobody);
        step(2);
        let root = node.root();
        for link in 0..LINKS {
            let via = node.peer(&id((n + 1 + link) % NODES)).unwrap();
            // One in three had not heard of the record yet.
            let root = if link % 3 == 0 { knhk_mesh_core::digest::Root([3; 32]) } else { root };
            let (class, reply, count, wall) = (Class::Cell, false, 2, now(3).wall);
            let digest = Message::Digest(Digest { class, reply, root, count, wall });
            node.handle(now(3), Input::Control(via, &digest), &mut Nobody);
        }
        for ms in [200, 400, 3_000, 6_000] {
            node.handle(now(ms), Input::Timeout, &mut Nobody);
        }
        step(3);
        lives.push(Life { before, node });
    }
    let heap = (LIVE.load(Relaxed) - start) / NODES;
    let all = heap + size_of::<Node>();
    let [made, links, record, digests] = steps.map(|bytes| bytes / NODES);
    let parts = format!(
        "{} on the stack, {made} made, {links} links, {record} record, {digests} digests",
        size_of::<Node>()
    );
    assert!(all <= HELD, "{all} bytes a node: {parts}");
    assert!(lives.iter().all(|life| life.node.store().len() == 2 && life.before >= start));
}
