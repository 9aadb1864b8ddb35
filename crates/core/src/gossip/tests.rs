//! Sessions against an honest counterpart, and against an arbitrary one. Two sides share a wire
//! that the test may bend.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::reconcile::{MAX_AGE, MAX_DIGEST_BYTES, MAX_RECORD_BYTES, MAX_SESSIONS, MAX_STEPS};
use super::*;
use crate::config::Config;
use crate::crdt::Family;
use crate::crdt::store::Known;
use crate::digest::{Position, Prefix, Summary, author_salt};
use crate::error::{Refused, WriteError};
use crate::frame::{
    Chain, Class, Job, Kind, RecordHead, Sealed, Slot, Verified, seal, verify, write_head,
};
use crate::identity::{Incarnation, Keypair, MeshId, NodeId, Signer as _};
use crate::links::Link;
use crate::messages::sink::WriteId;
use crate::messages::{Close, Digest, Persist, Range, RangeContent, Ranges, Receipt};
use crate::rng::Rng;
use crate::telemetry::Event;
use crate::time::{Hlc, WallMs};

#[derive(Default)]
struct Wire {
    sent: VecDeque<(PeerIx, Message)>,
    steps: Vec<u32>,
}

impl Sink for Wire {
    fn send(&mut self, to: &[PeerIx], _: Lane, message: &Message) {
        self.sent.extend(to.iter().map(|&peer| (peer, message.clone())));
    }
    fn emit(&mut self, event: Event) {
        if let Event::Session { steps, .. } = event {
            self.steps.push(steps);
        }
    }
    fn persist(&mut self, _: Persist) {}
    fn done(&mut self, _: WriteId, _: Result<Receipt, WriteError>) {}
    fn changed(&mut self, _: Family, _: &[u8]) {}
    fn connect(&mut self, _: NodeId, _: bool) {}
    fn disconnect(&mut self, _: PeerIx, _: Close) {}
}

fn peer(n: usize) -> PeerIx {
    PeerIx::new(n, 0)
}

struct Side {
    settings: Arc<Settings>,
    gossip: Gossip,
    store: Store,
    rng: Rng,
    counters: Counters,
    wire: Wire,
    now: Now,
}

impl Side {
    fn new(seed: u64) -> Self {
        let settings = Settings::new(Config::default()).unwrap();
        let store = Store::new(Arc::clone(&settings), Class::Cell, seed);
        let (rng, counters, wire) = (Rng::new(seed), Counters::default(), Wire::default());
        let now = Now { mono: Time::from_ms(1_000), wall: WallMs(1_000_000) };
        let mut gossip = Gossip::default();
        for n in 0..=MAX_SESSIONS {
            gossip.links.add(Link::new(peer(n), true));
        }
        Side { settings, gossip, store, rng, counters, wire, now }
    }

    fn scene(&mut self) -> (&mut Gossip, Scene<'_, Wire>) {
        let Side { settings, gossip, store, rng, counters, wire: sink, now } = self;
        (gossip, Scene { now: *now, settings, store, rng, counters, sink })
    }

    fn start(&mut self) -> bool {
        let (gossip, mut scene) = self.scene();
        gossip.start_session(&mut scene, peer(0))
    }

    /// As a node would: verified, merged, or a step of a session.
    fn take(&mut self, from: PeerIx, message: &Message) -> Result<(), Refused> {
        match message {
            Message::Signed(bytes) => self.merge_bytes(bytes),
            Message::Ranges(ranges) => {
                let (gossip, mut scene) = self.scene();
                gossip.on_ranges(&mut scene, from, ranges)
            }
            _ => Ok(()),
        }
    }

    fn merge_bytes(&mut self, bytes: &Bytes) -> Result<(), Refused> {
        let sealed = Sealed::read(bytes, &self.settings.genesis.limits)?;
        let job = match self.store.knows(&sealed)? {
            Known::Duplicate => return Ok(()),
            Known::Header(header) => {
                Job::new(sealed, self.settings.mesh).with_known_header(&header)
            }
            Known::Nothing => Job::new(sealed, self.settings.mesh),
        };
        self.merge(&verify(job)?);
        Ok(())
    }

    fn merge(&mut self, verified: &Verified) {
        self.store.merge(verified, &mut Vec::new(), &mut |_, _| ());
    }

    fn running(&self) -> usize {
        self.gossip.sessions.as_ref().map_or(0, |sessions| sessions.count())
    }

    fn later(&mut self, span: Duration) {
        self.now.mono = self.now.mono + span;
        self.gossip.expire_sessions(self.now.mono);
    }

    /// What was sent of each session: bytes of ranges, and bytes of records of all together.
    fn check_bounds(&self) {
        let (mut ranges, mut records) = (BTreeMap::<(usize, u32), usize>::new(), 0);
        for (to, message) in &self.wire.sent {
            match message {
                Message::Ranges(r) => {
                    assert!(r.step <= MAX_STEPS);
                    let len = message.encode().len();
                    assert!(len <= Ranges::MAX_LEN);
                    *ranges.entry((to.index(), r.session)).or_default() += len;
                }
                Message::Signed(bytes) => records += bytes.len(),
                _ => {}
            }
        }
        let overhead = usize::from(MAX_STEPS) * 32;
        assert!(ranges.values().all(|&len| len <= MAX_DIGEST_BYTES + overhead));
        assert!(records <= (MAX_RECORD_BYTES + 300 * 1_024) * ranges.len().max(1));
        assert!(self.running() <= MAX_SESSIONS);
    }
}

/// Carries messages until both are silent; `bend` may change or drop (`None`) each.
fn exchange(a: &mut Side, b: &mut Side, mut bend: impl FnMut(bool, Message) -> Option<Message>) {
    for _ in 0..10_000 {
        if let Some((_, message)) = a.wire.sent.pop_front() {
            if let Some(message) = bend(true, message) {
                assert_eq!(b.take(peer(0), &message), Ok(()));
            }
        } else if let Some((_, message)) = b.wire.sent.pop_front() {
            if let Some(message) = bend(false, message) {
                assert_eq!(a.take(peer(0), &message), Ok(()));
            }
        } else {
            return;
        }
    }
    unreachable!("a session ends");
}

/// Frames of one record each: author, slot, and who of A and B has it.
type Script = Vec<(u8, u16, bool, bool)>;

fn script(max: usize) -> impl Strategy<Value = Script> {
    vec((0u8..6, 16u16..80, any::<bool>(), any::<bool>()), 0..max)
}

/// Two sides that differ as the script says, and one that has it all.
fn sides(script: &Script) -> [Side; 3] {
    let mut sides = [Side::new(1), Side::new(2), Side::new(3)];
    let mut chains: Vec<Chain> =
        (0..6).map(|_| Chain::start(Class::Cell, Incarnation(1), Default::default())).collect();
    let keys: Vec<Keypair> = (0..6).map(|n| Keypair::from_secret(&[n + 1; 32])).collect();
    for (i, &(author, slot, to_a, to_b)) in script.iter().enumerate() {
        let head = RecordHead::new(Slot(slot), Kind(99), Hlc::at(WallMs(i as u64)));
        let (chain, key) = (&mut chains[usize::from(author)], &keys[usize::from(author)]);
        let frame = seal(chain, &[head.encode(b"x")], &[], &sides[0].settings.mesh, key);
        let has = [to_a, to_b, to_a || to_b];
        sides.iter_mut().zip(has).filter(|(_, has)| *has).for_each(|(s, _)| s.merge(&frame));
    }
    sides
}

fn assert_equal(a: &mut Side, b: &mut Side, all: &mut Side) {
    assert_eq!(a.store.root(), all.store.root());
    assert_eq!(b.store.root(), all.store.root());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn honest_sides_meet_in_one_session(script in script(200), both: bool) {
        let [mut a, mut b, mut all] = sides(&script);
        prop_assert!(a.start() && !a.start(), "one session with a peer at a time");
        prop_assert!(!both || b.start());
        exchange(&mut a, &mut b, |_, message| Some(message));
        assert_equal(&mut a, &mut b, &mut all);
        prop_assert_eq!((a.running(), b.running()), (0, 0));
        let steps = a.wire.steps.iter().chain(&b.wire.steps);
        prop_assert!(steps.into_iter().all(|&steps| steps <= u32::from(MAX_STEPS) + 1));
    }

    #[test]
    fn loss_only_delays(script in script(80), lost in vec(any::<bool>(), 8)) {
        let [mut a, mut b, mut all] = sides(&script);
        let mut lost = lost.into_iter();
        for _ in 0..10 {
            a.start();
            exchange(&mut a, &mut b, |_, message| {
                Some(message).filter(|_| !lost.next().unwrap_or_default())
            });
            a.later(MAX_AGE);
            b.later(MAX_AGE);
            prop_assert_eq!((a.running(), b.running()), (0, 0));
        }
        assert_equal(&mut a, &mut b, &mut all);
    }

    #[test]
    fn an_arbitrary_counterpart_ends_within_bounds(
        script in script(60),
        messages in vec(any_ranges(), 0..60),
    ) {
        let [mut a, mut b, mut all] = sides(&script);
        for (from, start, mut ranges, fit) in messages {
            if start {
                let (gossip, mut scene) = a.scene();
                gossip.start_session(&mut scene, peer(from));
            }
            let sent = a.wire.sent.iter().rev();
            let last = sent.filter(|(to, _)| *to == peer(from)).find_map(|(_, m)| match m {
                Message::Ranges(r) => Some(r.clone()),
                _ => None,
            });
            // Half of them fit into the session that runs.
            if let Some(last) = last.filter(|_| fit) {
                (ranges.session, ranges.step) = (last.session, last.step + 1);
                ranges.salt = if ranges.salt % 2 == 0 { last.salt } else { ranges.salt };
            }
            // What the decoder refuses never gets there.
            if let Ok(message) = Message::decode(&Message::Ranges(ranges).encode()) {
                let _ = a.take(peer(from), &message);
            }
            a.check_bounds();
        }
        a.later(MAX_AGE);
        prop_assert_eq!(a.running(), 0);
        a.wire.sent.clear();
        prop_assert!(a.start(), "the node works on");
        exchange(&mut a, &mut b, |_, message| Some(message));
        assert_equal(&mut a, &mut b, &mut all);
    }
}

fn any_content(prefix: Prefix) -> impl Strategy<Value = RangeContent> {
    let summary = (any::<u128>(), 0u32..200).prop_map(|(sum, count)| Summary { sum, count });
    let branches = vec(summary, 16).prop_map(|all| {
        let mut children = Box::new([Summary::default(); 16]);
        children.iter_mut().zip(all).for_each(|(child, summary)| *child = summary);
        RangeContent::Branches(children)
    });
    let items = (any::<bool>(), vec((any::<u64>(), any::<u64>()), 0..40));
    let items = items.prop_map(move |(answer, items)| {
        let inside = |(at, tag): (u64, u64)| {
            let depth = u32::from(prefix.depth());
            let at = if depth == 0 { at } else { at.checked_shr(4 * depth).unwrap_or(0) };
            (Position(prefix.bits() | at), tag)
        };
        let mut items: Vec<_> = items.into_iter().map(inside).collect();
        items.sort_unstable();
        items.dedup();
        RangeContent::Items { answer, items }
    });
    prop_oneof![branches, items]
}

/// From whom, whether the node starts one itself, what comes, and whether it is made to fit.
fn any_ranges() -> impl Strategy<Value = (usize, bool, Ranges, bool)> {
    let range = (any::<u64>(), 0u8..5).prop_flat_map(|(at, depth)| {
        let prefix = Prefix::of(Position(at), depth);
        any_content(prefix).prop_map(move |content| Range { prefix, content })
    });
    let whole =
        any_content(Prefix::ROOT).prop_map(|content| vec![Range { prefix: Prefix::ROOT, content }]);
    let ranges = prop_oneof![whole, vec(range, 0..12)];
    (
        0..=MAX_SESSIONS,
        any::<bool>(),
        ranges,
        0u8..10,
        prop_oneof![Just(0), any::<u64>()],
        any::<bool>(),
    )
        .prop_map(|(from, start, mut ranges, step, salt, fit)| {
            ranges.sort_by_key(|range| (range.prefix.first(), range.prefix.depth()));
            let (class, session) = (Class::Cell, 7);
            (from, start, Ranges { class, session, step, salt, ranges }, fit)
        })
}

#[test]
fn records_whose_digests_cancel_out_are_found_by_a_salted_recount() {
    let script = (0..60).map(|i| (i % 6, 16 + u16::from(i), i % 3 > 0, i % 5 > 0)).collect();
    let [mut a, mut b, mut all] = sides(&script);
    let root = b.store.root();
    let (gossip, mut scene) = a.scene();
    let (class, reply, count, wall) = (Class::Cell, true, 48, WallMs(0));
    gossip.on_digest(&mut scene, peer(0), &Digest { class, reply, root, count, wall });
    a.wire.sent.clear();
    a.later(MAX_AGE);
    // B's first step shows what A has, as chosen records would make it: the trees seem equal.
    let same = a.store.children(Prefix::ROOT, 0);
    let (mut salted, mut seen) = (0, 0);
    assert!(b.start());
    exchange(&mut a, &mut b, |from_a, mut message| {
        if let Message::Ranges(ranges) = &mut message {
            if !from_a && ranges.step == 0 {
                let content = RangeContent::Branches(Box::new(same));
                ranges.ranges = vec![Range { prefix: Prefix::ROOT, content }];
            }
            seen += 1;
            salted += u32::from(ranges.salt != 0);
        }
        Some(message)
    });
    assert_equal(&mut a, &mut b, &mut all);
    assert_eq!((seen, salted), (seen, seen - 1), "all but the first are salted");
}

#[test]
fn a_salt_that_the_answering_side_did_not_choose_is_refused() {
    let script = (0..40).map(|i| (i % 6, 16 + u16::from(i), true, false)).collect();
    let [mut a, ..] = sides(&script);
    let ranges = |step, salt| {
        let content = RangeContent::Branches(Box::new([Summary { sum: 1, count: 90 }; 16]));
        let ranges = vec![Range { prefix: Prefix::of(Position(0), step), content }];
        Message::Ranges(Ranges { class: Class::Cell, session: 5, step, salt, ranges })
    };
    assert_eq!(a.take(peer(0), &ranges(0, 7)), Ok(()));
    assert_eq!((a.running(), a.wire.sent.len()), (0, 0), "no salt in a first step");
    assert_eq!(a.take(peer(0), &ranges(0, 0)), Ok(()));
    assert_eq!(a.running(), 1);
    assert_eq!(a.take(peer(0), &ranges(2, 7)), Err(Refused::Session), "nor in a later one");
    assert_eq!(a.running(), 0);
}

#[test]
fn digests_that_do_not_deepen_end_the_session() {
    let script = (0..60).map(|i| (0, 16 + i, true, false)).collect();
    let [mut a, ..] = sides(&script);
    let at_root = |step| {
        let content = RangeContent::Branches(Box::new([Summary { sum: 1, count: 90 }; 16]));
        let ranges = vec![Range { prefix: Prefix::ROOT, content }];
        Message::Ranges(Ranges { class: Class::Cell, session: 5, step, salt: 0, ranges })
    };
    assert_eq!(a.take(peer(0), &at_root(0)), Ok(()));
    assert_eq!(a.take(peer(0), &at_root(2)), Err(Refused::Session));
    assert_eq!(a.running(), 0);
}

/// The inverse of [`crate::rng::mix`].
fn unmix(mut x: u64) -> u64 {
    x = (x ^ (x >> 31) ^ (x >> 62)).wrapping_mul(0x3196_42b2_d24d_8ec3);
    x = (x ^ (x >> 27) ^ (x >> 54)).wrapping_mul(0x96de_1b17_3f11_9089);
    x ^ (x >> 30) ^ (x >> 60)
}

/// A fork of the `n`th throw-away identity, whose incarnation is chosen so that the conviction
/// stands where all the others stand.
fn aimed_conviction(n: u8, mesh: &MeshId) -> Bytes {
    let key = Keypair::from_secret(&[n + 50; 32]);
    let incarnation = Incarnation(unmix(author_salt(&key.node_id().0) ^ 77));
    let branch = |word: &[u8]| {
        let record = RecordHead::new(Slot(16), Kind(99), Hlc(0)).encode(word);
        let mut chain = Chain::start(Class::Cell, incarnation, Default::default());
        seal(&mut chain, &[record], &[], mesh, &key)
    };
    write_head(branch(b"a").header(), Some(branch(b"b").header()))
}

#[test]
fn nobody_hides_records_from_sessions_by_crowding_them_under_one_prefix() {
    let script = (0..40).map(|i| (0, 16 + i, true, i != 7)).collect();
    let [mut a, mut b, mut all] = sides(&script);
    let mesh = a.settings.mesh;
    for n in 0..80 {
        let conviction = aimed_conviction(n, &mesh);
        let holder = if n % 2 == 0 { &mut a } else { &mut b };
        assert_eq!(holder.merge_bytes(&conviction), Ok(()));
        assert_eq!(all.merge_bytes(&conviction), Ok(()));
    }
    let deepest = Prefix::of(Position::of(77, Slot::CONVICTION.0), Prefix::MAX_DEPTH);
    assert_eq!(a.store.items(deepest).len(), 40, "they crowd as deep as the tree goes");
    assert!(a.start());
    exchange(&mut a, &mut b, |_, message| Some(message));
    assert_equal(&mut a, &mut b, &mut all);
}

#[test]
fn sessions_are_bounded_and_end_without_progress() {
    let script = (0..40).map(|i| (0, 16 + i, true, false)).collect();
    let [mut a, ..] = sides(&script);
    let mut started = 0;
    for n in 0..=MAX_SESSIONS {
        let (gossip, mut scene) = a.scene();
        started += usize::from(gossip.start_session(&mut scene, peer(n)));
        assert!(!gossip.start_session(&mut scene, peer(100)), "one in motion at a time");
        a.later(Duration::from_millis(200));
    }
    assert_eq!((started, a.running()), (MAX_SESSIONS, MAX_SESSIONS));
    assert!(a.gossip.next_timeout() <= a.now.mono + Duration::from_secs(2));
    a.later(Duration::from_secs(2));
    assert_eq!(a.running(), 0);
}

#[test]
fn a_peer_that_answers_too_late_for_sessions_is_told_by_digests() {
    let [mut a, ..] = sides(&vec![(0, 16, true, false)]);
    assert!(a.start());
    let told = |a: &mut Side| {
        a.wire.sent.clear();
        let (class, root, wall) = (Class::Cell, Root::default(), a.now.wall);
        let theirs = Digest { class, reply: false, root, count: 0, wall };
        let (gossip, mut scene) = a.scene();
        gossip.on_digest(&mut scene, peer(0), &theirs);
        a.wire.sent.iter().any(|(_, message)| matches!(message, Message::Digest(d) if d.reply))
    };
    assert!(!told(&mut a), "the session will tell it");
    a.later(Duration::from_millis(200));
    assert!(told(&mut a) && a.running() == 1);
}

#[test]
fn sides_that_are_seconds_apart_meet_too() {
    let script = (0..200).map(|i| (i % 6, 16 + u16::from(i), i % 3 > 0, i % 3 < 2)).collect();
    let [mut a, mut b, mut all] = sides(&script);
    let way = Duration::from_secs(3);
    for _ in 0..4 {
        assert!(a.start());
        for _ in 0..2 * MAX_STEPS {
            let (to_b, to_a) = (a.wire.sent.split_off(0), b.wire.sent.split_off(0));
            a.later(way);
            b.later(way);
            assert_eq!((a.running(), b.running()), (0, 0), "nobody waits so long");
            to_b.iter().for_each(|(_, message)| assert_eq!(b.take(peer(0), message), Ok(())));
            to_a.iter().for_each(|(_, message)| assert_eq!(a.take(peer(0), message), Ok(())));
        }
    }
    assert_equal(&mut a, &mut b, &mut all);
}

#[test]
fn a_late_step_is_answered_once_nothing_moves_and_there_is_room() {
    let [mut a, ..] = sides(&vec![(0, 16, true, false)]);
    let late = |session, salt, empty: bool| {
        let everything = RangeContent::Items { answer: false, items: Vec::new() };
        let all = Range { prefix: Prefix::ROOT, content: everything };
        let ranges = if empty { Vec::new() } else { vec![all] };
        Message::Ranges(Ranges { class: Class::Cell, session, step: 1, salt, ranges })
    };
    let answers = |side: &mut Side, from: usize, message: &Message| {
        side.wire.sent.clear();
        assert_eq!(side.take(peer(from), message), Ok(()));
        side.wire.sent.len()
    };
    assert!(a.start());
    assert_eq!(answers(&mut a, 0, &late(7, 0, false)), 0, "the own session moves");
    a.later(Duration::from_millis(500));
    assert_eq!(answers(&mut a, 0, &late(7, 3, false)), 0, "it chose no salt");
    assert_eq!(answers(&mut a, 0, &late(7, 0, true)), 0, "there is nothing to answer");
    assert_eq!(a.running(), 1, "nor does that end what stands still");
    assert_eq!(answers(&mut a, 0, &late(7, 0, false)), 2, "records, and the end");
    assert_eq!(a.running(), 0, "one session a link");
    let mut first = |from: usize| {
        let content = RangeContent::Branches(Box::new([Summary { sum: 1, count: 90 }; 16]));
        let ranges = vec![Range { prefix: Prefix::ROOT, content }];
        let first = Ranges { class: Class::Cell, session: 9, step: 0, salt: 0, ranges };
        answers(&mut a, from, &Message::Ranges(first))
    };
    assert!(first(1) > 0 && first(2) > 0);
    assert_eq!(answers(&mut a, 0, &late(7, 0, false)), 0, "two are answered at a time");
}

#[test]
fn a_distrusted_peer_gets_a_session_now_and_then() {
    let [mut a, ..] = sides(&vec![(0, 16, true, false)]);
    a.gossip.links.get_mut(peer(0)).unwrap().set_distrusted(true);
    let mut started = 0;
    for _ in 0..320 {
        started += usize::from(a.start());
        a.gossip.forget_session(peer(0));
        a.later(Duration::from_secs(1));
    }
    // 20 expected; four standard deviations are 17.
    assert!((3..=37).contains(&started), "{started} of 320");
}

#[test]
fn a_link_that_ends_takes_its_session_along() {
    let [mut a, ..] = sides(&vec![(0, 16, true, false)]);
    assert!(a.start());
    a.gossip.forget_session(peer(1));
    assert_eq!(a.running(), 1);
    a.gossip.forget_session(peer(0));
    assert_eq!(a.running(), 0);
}

/// How many sessions of the peer `from` are answered, of so many that it begins at `step` and ends
/// at once.
fn answered(side: &mut Side, from: usize, step: u8, starts: u32) -> usize {
    side.wire.sent.clear();
    let everything = RangeContent::Items { answer: false, items: Vec::new() };
    let all = Range { prefix: Prefix::ROOT, content: everything };
    for session in 0..starts {
        let ranges = vec![all.clone()];
        let first = Ranges { class: Class::Cell, session, step, salt: 0, ranges };
        assert_eq!(side.take(peer(from), &Message::Ranges(first)), Ok(()));
    }
    let records = |(_, m): &&(PeerIx, Message)| matches!(m, Message::Signed(_));
    side.wire.sent.iter().filter(records).count()
}

#[test]
fn a_link_gets_four_sessions_a_second_and_takes_them_from_nobody_else() {
    let [mut a, ..] = sides(&vec![(0, 16, true, false)]);
    a.later(Duration::from_secs(1));
    assert_eq!(answered(&mut a, 0, 0, 100), 4);
    assert_eq!(a.wire.sent.len(), 4 + 100, "the others are told that it is busy");
    assert_eq!(answered(&mut a, 1, 0, 1), 1);
    a.later(Duration::from_secs(1));
    assert_eq!(answered(&mut a, 0, 0, 100), 4);
    assert_eq!(answered(&mut a, 0, 0, 100) + answered(&mut a, 0, 1, 100), 0);
    assert_eq!(answered(&mut a, 1, 1, 100), 4, "late steps cost as much");
    assert!(!a.start(), "nor can the peer make this side start them");
    a.later(Duration::from_secs(2));
    assert!(a.gossip.sessions.is_none(), "without debt there is nothing to remember");
}

#[test]
fn a_link_gets_a_bounded_rate_of_frames() {
    let script: Script = (0..200).map(|i| (0, 16 + i, true, false)).collect();
    let [mut a, ..] = sides(&script);
    a.later(Duration::from_secs(1));
    let entries: Vec<EntryIx> = a.store.all_entries().collect();
    let mut refs: Vec<_> = entries.iter().filter_map(|&e| a.store.frame_ref(e)).collect();
    refs.truncate(crate::messages::MAX_REFS);
    let sent = |side: &mut Side, from: usize| {
        let mut bytes = 0;
        for _ in 0..200 {
            let (gossip, mut scene) = side.scene();
            gossip.on_want(&mut scene, peer(from), &refs);
            bytes += side.wire.sent.drain(..).map(|(_, m)| m.encode().len()).sum::<usize>();
        }
        bytes
    };
    let second = 4 * 1_024 * 1_024;
    let once = sent(&mut a, 0);
    assert!((second..second + 300 * 1_024).contains(&once), "{once}");
    assert_eq!(sent(&mut a, 0), 0);
    assert_eq!(sent(&mut a, 1), once, "each link has its own");
    a.later(Duration::from_secs(2));
    assert!(sent(&mut a, 0) >= second);
    a.gossip.forget_session(peer(0));
    assert_eq!(sent(&mut a, 0), 0, "a new link of the same peer begins with its debt");
    a.gossip.forget_debt(peer(0));
    a.gossip.forget_debt(peer(1));
    a.gossip.expire_sessions(a.now.mono);
    assert!(a.gossip.sessions.is_none());
}
