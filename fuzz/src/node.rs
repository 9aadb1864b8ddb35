//! A node with three links under any sequence of inputs: raw bytes, frames of hostile authors,
//! altered answers to its own messages, writes, time. It never panics, sends only what reads, its
//! state moves only by what verifies, and whatever state it came to, its repair copies it.

use bytes::Bytes;
use knhk_mesh_core::crdt::{Key, Op, Store};
use knhk_mesh_core::digest::Root;
use knhk_mesh_core::frame::{Class, FrameRef, Job, Sealed, Tag, verify};
use knhk_mesh_core::identity::{AgentNo, PeerIx, Signer as _};
use knhk_mesh_core::messages::sink::WriteId;
use knhk_mesh_core::messages::{Digest, Input, Lane, Message, RangeContent, Ranges};
use knhk_mesh_core::telemetry::Event;
use knhk_mesh_core::time::WallMs;

use crate::Reached;
use crate::forge::{Forge, keypair};
use crate::host::{Host, Way, settings};
use crate::plan::Plan;

/// The ways that messages take, and what a state may come to.
pub const PATHS: [&str; 14] = [
    "control",
    "duplicate",
    "refused",
    "frame",
    "proof",
    "head",
    "conviction",
    "write",
    "session",
    "convicted",
    "repaired",
    "wanted",
    "recovered",
    "copied",
];
/// Inputs of a run.
const MOST_STEPS: usize = 96;
/// Links: with nodes 4, 5 and 6; the node itself is 7.
const LINKS: usize = 3;
/// Bytes that one message may bring out of a node: a whole session or recovery, and what it says.
const MOST_ANSWERED: usize = 3 * 4 * 1024 * 1024;

/// Runs one input.
pub fn run(input: &[u8], reached: Reached<'_>) {
    let mut plan = Plan::new(input);
    let (mut host, mut forge) = (Host::new(7, u64::from(plan.byte())), Forge::default());
    let links: Vec<PeerIx> = (0..LINKS).filter_map(|n| host.link(4 + n, n == 0)).collect();
    assert_eq!(links.len(), LINKS);
    host.wait(1);
    for _ in 0..MOST_STEPS {
        if plan.done() {
            break;
        }
        step(&mut host, &mut forge, &links, &mut plan, reached);
        let bytes: usize = host.out.sent.iter().map(|sent| sent.2.len()).sum();
        assert!(bytes <= MOST_ANSWERED, "{bytes} bytes for one input");
        let newest = host.out.sent.len().saturating_sub(64);
        host.out.sent.drain(..newest);
        host.out.events.drain(..).for_each(|event| match event {
            Event::Convicted(..) => reached("convicted"),
            Event::Session { .. } => reached("session"),
            _ => {}
        });
    }
    copy(&mut host, reached);
}

fn step(
    host: &mut Host,
    forge: &mut Forge,
    links: &[PeerIx],
    plan: &mut Plan<'_>,
    reached: Reached<'_>,
) {
    let act = plan.byte();
    let via = links[usize::from(act >> 4) % links.len()];
    let lane = Lane::ALL[usize::from(act >> 6)];
    match act % 16 {
        0..=6 => {
            let message = forge.message(plan);
            tell(host.receive(via, lane, &message), reached);
        }
        7 => tell(host.receive(via, lane, &Bytes::copy_from_slice(plan.bytes())), reached),
        8 | 9 => answer(host, via, plan, reached),
        10 | 11 => control(host, via, plan, reached),
        12 => write(host, plan, reached),
        13 => host.persist(),
        14 => {
            let node = keypair(4 + plan.below(LINKS)).node_id();
            if let Some(peer) = host.node.peer(&node) {
                host.handle(Input::LinkDown(peer));
            }
            host.handle(Input::LinkUp { node, chosen: act > 127 });
        }
        _ => {
            let ms = 7 * u64::from(plan.byte());
            host.wait(ms);
        }
    }
}

fn tell(way: Way, reached: Reached<'_>) {
    reached(match way {
        Way::Control => "control",
        Way::Duplicate => "duplicate",
        Way::Refused(_) => "refused",
        Way::Verified(Tag::Frame) => "frame",
        Way::Verified(Tag::Proof) => "proof",
        Way::Verified(Tag::Head) => "head",
        Way::Verified(Tag::Conviction) => "conviction",
    });
}

/// A well-formed control message.
fn control(host: &mut Host, via: PeerIx, plan: &mut Plan<'_>, reached: Reached<'_>) {
    let store = host.node.store();
    let held: Vec<FrameRef> = store.all_entries().filter_map(|e| store.frame_ref(e)).collect();
    let refs = |plan: &mut Plan<'_>| {
        let mut refs: Vec<FrameRef> = held.iter().copied().take(plan.below(256)).collect();
        refs.iter_mut().take(plan.below(3)).for_each(|r| r.tag ^= 1);
        refs
    };
    let member = |plan: &mut Plan<'_>| keypair(plan.below(9)).node_id();
    let message = match plan.below(9) {
        0 | 1 => {
            let root = if plan.byte() < 16 { host.node.root() } else { Root([plan.byte(); 32]) };
            let (count, wall) = (u32::from(plan.byte()), WallMs(0));
            Message::Digest(Digest { class: Class::Cell, reply: false, root, count, wall })
        }
        2 => Message::Have(refs(plan)),
        3 => Message::Want(refs(plan)),
        4 => Message::Prune,
        5 => Message::Alive(plan.byte() > 99),
        6 => Message::Ask(member(plan)),
        7 => Message::Vouch(member(plan)),
        _ => Message::Recover,
    };
    let before = host.out.sent.len();
    tell(host.receive(via, Lane::Control, &message.encode()), reached);
    let signed = host.out.sent[before..].iter().any(|sent| Tag::of(&sent.2).is_some());
    match message {
        Message::Want(_) if signed => reached("wanted"),
        Message::Recover => reached("recovered"),
        _ => {}
    }
}

/// An answer to a step of a session that the node sent, or the first step of one.
fn answer(host: &mut Host, via: PeerIx, plan: &mut Plan<'_>, reached: Reached<'_>) {
    let ranges = host.out.sent.iter().rev().find_map(|(to, _, bytes)| {
        let Ok(Message::Ranges(ranges)) = Message::decode(bytes) else { return None };
        (*to == via).then_some(ranges)
    });
    let mut ranges = ranges.map_or_else(
        || Ranges { class: Class::Cell, session: 1, step: 0, salt: 0, ranges: Vec::new() },
        |ranges| Ranges { step: ranges.step.wrapping_add(1), ..ranges },
    );
    if plan.byte() > 200 {
        ranges.salt = u64::from(plan.byte());
    }
    alter(&mut ranges, plan);
    let bytes = Message::Ranges(ranges).encode();
    let bytes = if plan.byte() < 200 { bytes } else { plan.altered(&bytes).into() };
    let before = host.out.sent.len();
    tell(host.receive(via, Lane::Bulk, &bytes), reached);
    if host.out.sent[before..].iter().any(|sent| Tag::of(&sent.2).is_some()) {
        reached("repaired");
    }
}

/// Other contents, other prefixes, in whatever order.
fn alter(ranges: &mut Ranges, plan: &mut Plan<'_>) {
    use knhk_mesh_core::digest::{Prefix, Summary};
    use knhk_mesh_core::messages::Range;
    for _ in 0..plan.below(4) {
        let nibble = plan.byte();
        let parent = ranges.ranges.first().map_or(Prefix::ROOT, |range| range.prefix);
        let prefix = if nibble < 128 { Some(parent) } else { parent.child(nibble % 16) };
        let content = match plan.below(3) {
            0 => {
                let sum = u128::from(plan.byte());
                let count = u32::from(plan.byte()) << 24 | 1;
                RangeContent::Branches(Box::new([Summary { sum, count }; 16]))
            }
            1 => RangeContent::Branches(Box::default()),
            _ => RangeContent::Items { answer: plan.byte() > 99, items: Vec::new() },
        };
        let Some(prefix) = prefix else { continue };
        ranges
            .ranges
            .retain(|r| !prefix.contains(r.prefix.first()) && !r.prefix.contains(prefix.first()));
        ranges.ranges.push(Range { prefix, content });
    }
    ranges.ranges.sort_by_key(|range| range.prefix.first());
}

fn write(host: &mut Host, plan: &mut Plan<'_>, reached: Reached<'_>) {
    let (what, value) = (plan.byte(), plan.byte());
    let Ok(key) = Key::new(vec![b'k', value % 4]) else { return };
    let member = Bytes::copy_from_slice(&[value % 3]);
    let op = match what % 8 {
        0 => Op::Set { key, value: member, ttl: None },
        1 => Op::Delete { key },
        2 => Op::Put { key, value: member },
        3 => Op::Incr { key, by: i64::from(value) - 128 },
        4 => Op::Add { key, member },
        5 => Op::Remove { key, member },
        6 => Op::Max { key, value: i64::from(value) },
        _ => Op::Min { key, value: i64::from(value) },
    };
    host.handle(Input::Write(WriteId(1), AgentNo(0), &op));
    host.persist();
    if host.out.done > 0 {
        reached("write");
    }
}

/// Everything that the node holds, sent to one that holds nothing, makes it equal. Where an author
/// let its floor fall, what an older header dropped on the way comes back with the second repair.
fn copy(host: &mut Host, reached: Reached<'_>) {
    let root = host.node.root();
    let from = host.node.store();
    let all: Vec<_> = from.all_entries().collect();
    let mut to = Store::new(settings().clone(), Class::Cell, 1);
    let exported = from.export(&all, usize::MAX).messages;
    for _ in 0..2 {
        exported.iter().for_each(|bytes| merge(&mut to, bytes));
        if to.root() == root {
            break;
        }
    }
    assert_eq!(to.root(), root, "a replica is copied by its repair");
    if !all.is_empty() {
        reached("copied");
    }
}

fn merge(to: &mut Store, bytes: &Bytes) {
    let sealed = Sealed::read(bytes, &settings().genesis.limits);
    let verified = sealed.and_then(|sealed| verify(Job::new(sealed, settings().mesh)));
    let verified = verified.expect("a replica exports what verifies");
    to.merge(&verified, &mut Vec::new(), &mut |_, _| ());
}
