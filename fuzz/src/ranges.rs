//! Two nodes that hold different parts of the same honest history, over a channel that drops and
//! alters what the plan says. Sessions stay in their bounds whatever comes, and once the channel is
//! honest both nodes come to one root.

use std::collections::VecDeque;

use bytes::Bytes;
use knhk_mesh_core::frame::{Chain, Class, Tag, seal};
use knhk_mesh_core::gossip::reconcile::MAX_DIGEST_BYTES;
use knhk_mesh_core::identity::{Incarnation, PeerIx};
use knhk_mesh_core::messages::{Input, Lane, Message};

use crate::Reached;
use crate::forge::{keypair, proof_of, record};
use crate::host::{Host, settings};
use crate::plan::Plan;

/// What must happen in some run.
pub const PATHS: [&str; 6] =
    ["altered", "dropped", "ranges", "repaired", "agreed", "started equal"];
/// Frames of the history.
const MOST_FRAMES: usize = 24;
/// Simulated time in which the channel may spoil messages: two nodes at rest say little.
const SPOILT_MS: u64 = 10_000;
/// Simulated time until both must agree: sessions that stalled, a minute shut out for what was
/// altered, and one that does not.
const PATIENCE_MS: u64 = 600_000;

struct Pair {
    hosts: [Host; 2],
    peers: [PeerIx; 2],
    wire: VecDeque<(usize, Lane, Bytes)>,
}

/// Runs one input.
pub fn run(input: &[u8], reached: Reached<'_>) {
    let mut plan = Plan::new(input);
    let mut pair = Pair::new(u64::from(plan.byte()));
    history(&mut pair, &mut plan);
    pair.collect();
    if pair.agree() {
        reached("started equal");
    }
    while pair.hosts[0].ms < PATIENCE_MS {
        while let Some((to, lane, bytes)) = pair.wire.pop_front() {
            let how = if pair.spoils(&plan) { plan.byte() } else { 0 };
            let bytes = match how {
                0..160 => bytes,
                160..200 => {
                    reached("dropped");
                    continue;
                }
                _ => {
                    reached("altered");
                    plan.altered(&bytes).into()
                }
            };
            pair.deliver(to, lane, &bytes, reached);
        }
        if pair.agree() && !pair.spoils(&plan) {
            reached("agreed");
            return;
        }
        pair.hosts.iter_mut().for_each(|host| host.wait(50));
        pair.link_again();
        pair.collect();
    }
    panic!("no agreement within {PATIENCE_MS} ms over an honest channel");
}

/// Frames of two honest authors; each node gets them whole, in part, or not at all.
fn history(pair: &mut Pair, plan: &mut Plan<'_>) {
    let mesh = &settings().mesh;
    let start = || Chain::start(Class::Cell, Incarnation(5), Default::default());
    let mut chains = [start(), start()];
    for _ in 0..plan.below(MOST_FRAMES) {
        let who = plan.below(2);
        let records: Vec<_> = (0..1 + plan.below(4)).map(|_| record(plan)).collect();
        let frame = seal(&mut chains[who], &records, &[], mesh, keypair(who));
        for node in 0..2 {
            let bytes = match plan.below(4) {
                0 | 1 => frame.bytes().clone(),
                2 => proof_of(&frame, &[plan.below(frame.leaves().len()) as u16]),
                _ => continue,
            };
            let via = pair.peers[node];
            pair.hosts[node].receive(via, Lane::Bulk, &bytes);
        }
    }
}

impl Pair {
    fn new(seed: u64) -> Self {
        let mut hosts = [Host::new(4, seed), Host::new(5, seed + 1)];
        let [a, b] = &mut hosts;
        let peers = [a.link(5, true), b.link(4, false)].map(|peer| peer.expect("there is room"));
        Pair { hosts, peers, wire: VecDeque::new() }
    }

    /// Who sends too much that is altered is thrown out for a minute; its next dial is as good as
    /// any.
    fn link_again(&mut self) {
        let ended = self.hosts.iter().position(|host| !host.out.ended.is_empty());
        let Some(ended) = ended else { return };
        self.wire.clear();
        for (side, host) in self.hosts.iter_mut().enumerate() {
            host.out.sent.clear();
            host.out.ended.clear();
            if side != ended {
                host.handle(Input::LinkDown(self.peers[side]));
            }
            if let Some(peer) = host.link(5 - side, side == 0) {
                self.peers[side] = peer;
            }
        }
    }

    /// Puts on the wire what the nodes sent.
    fn collect(&mut self) {
        for from in 0..2 {
            for (_, lane, bytes) in self.hosts[from].out.sent.drain(..) {
                self.wire.push_back((1 - from, lane, bytes));
            }
        }
        assert!(self.wire.len() < 10_000, "two nodes talk without end");
    }

    fn deliver(&mut self, to: usize, lane: Lane, bytes: &Bytes, reached: Reached<'_>) {
        let via = self.peers[to];
        self.hosts[to].receive(via, lane, bytes);
        for (_, _, sent) in &self.hosts[to].out.sent {
            if Tag::of(sent).is_some() {
                reached("repaired");
            } else if matches!(Message::decode(sent), Ok(Message::Ranges(_))) {
                reached("ranges");
                assert!(sent.len() <= MAX_DIGEST_BYTES);
            }
        }
        self.collect();
    }

    /// Whether the channel is still hostile.
    fn spoils(&self, plan: &Plan<'_>) -> bool {
        !plan.done() && self.hosts[0].ms < SPOILT_MS
    }

    fn agree(&mut self) -> bool {
        let [a, b] = &mut self.hosts;
        a.node.root() == b.node.root()
    }
}
