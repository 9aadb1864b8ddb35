//! The whole way of a frame, through a node as its driver sees it.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use knhk_mesh_core::crdt::Family;
use knhk_mesh_core::error::WriteError;
use knhk_mesh_core::frame::{Class, verify};
use knhk_mesh_core::identity::{Keypair, NodeId, PeerIx};
use knhk_mesh_core::messages::sink::WriteId;
use knhk_mesh_core::messages::{Close, Digest, Input, Lane, Message, Persist, Receipt, Sink};
use knhk_mesh_core::node::{Checked, Node, Restored};
use knhk_mesh_core::telemetry::Event;
use knhk_mesh_core::time::{Now, Time};

use crate::clock::timed;
use crate::report::{Report, Samples};
use crate::workload::{END, Workload};

/// Links of a node, on average.
const LINKS: u8 = 24;
/// Those of them that it dialled.
const CHOSEN: usize = 12;
/// One moment for the whole run: no round of the node's own comes between.
const NOW: Now = Now { mono: Time::ZERO, wall: END };

/// Measures frames of `size` and prints their row.
pub(crate) fn measure(size: usize, frames: usize, report: &mut Report) -> std::io::Result<()> {
    let mut workload = Workload::new();
    let (mut node, peers) = node(&workload);
    let from = |turn: usize| peers[turn % peers.len()];
    let mut turn = 0;
    workload.full_state(size, |frame| {
        node.handle(NOW, Input::Verified(from(turn), Lane::Delta, &frame), &mut Nothing);
        turn += 1;
    });
    let state = node.store().len();
    let mut path = Samples::default();
    workload.arrivals(frames, size, |bytes| {
        turn += 1;
        let root = node.root();
        let digest = Digest { class: Class::Cell, reply: true, root, count: 0, wall: END };
        let digest = Message::Digest(digest);
        node.handle(NOW, Input::Control(from(turn), &digest), &mut Nothing);
        let (verified, ns) = timed(|| receive(&mut node, from(turn), bytes));
        path.push(ns, size);
        drop(verified);
        assert_eq!(node.store().len(), state, "every record is an overwrite");
    });
    report.row("path", Some(size), None, &path)
}

/// What a driver does with a packet, then what a round asks.
fn receive(node: &mut Node, from: PeerIx, bytes: &Bytes) -> impl Sized + use<> {
    let job = match node.check(NOW, from, Lane::Delta, bytes) {
        Checked::Verify(job) => job,
        other => unreachable!("the frame is new, but {other:?}"),
    };
    let verified = verify(*job).expect("it is signed");
    node.handle(NOW, Input::Verified(from, Lane::Delta, &verified), &mut Nothing);
    black_box(node.status(NOW).converged);
    verified
}

fn node(workload: &Workload) -> (Node, Vec<PeerIx>) {
    let key = Box::new(Keypair::from_secret(&[255; 32]));
    let restored = Restored { new_key: true, ..Restored::default() };
    let mut node = Node::new(Arc::clone(&workload.settings), key, &restored, 7, NOW);
    let ids: Vec<NodeId> = (1..=LINKS).map(|n| NodeId([n; 32])).collect();
    for (n, &id) in ids.iter().enumerate() {
        node.handle(NOW, Input::LinkUp { node: id, chosen: n < CHOSEN }, &mut Nothing);
    }
    let peers = ids.iter().map(|id| node.peer(id).expect("its link stands")).collect();
    (node, peers)
}

/// A driver that drops every effect: sending belongs to the transport.
struct Nothing;

impl Sink for Nothing {
    fn send(&mut self, to: &[PeerIx], lane: Lane, message: &Message) {
        black_box((to, lane, message));
    }
    fn persist(&mut self, _: Persist) {}
    fn done(&mut self, _: WriteId, _: Result<Receipt, WriteError>) {}
    fn changed(&mut self, family: Family, key: &[u8]) {
        black_box((family, key));
    }
    fn connect(&mut self, _: NodeId, _: bool) {}
    fn disconnect(&mut self, _: PeerIx, _: Close) {}
    fn emit(&mut self, _: Event) {}
}
