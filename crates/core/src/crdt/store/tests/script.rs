//! Histories: what up to four authors sign, honestly or not, as messages, and what a replica that
//! got all of them must hold.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::rng::Rng;

/// One thing that an author does.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Signs a frame of these records, with an extension that nobody knows or without.
    Frame(Vec<Draft>, bool),
    /// Starts anew.
    Restart,
    /// Raises its floor to this share of its last incarnation, in 255ths.
    Raise(u8),
    /// Signs another frame in the place of its last one.
    Fork(Vec<Draft>),
}

#[derive(Clone, Debug)]
pub(super) struct Draft {
    slot: u16,
    key: u8,
    kind: u8,
    value: u8,
}

impl Draft {
    fn encode(&self, stamp: u64) -> Vec<u8> {
        let mut head = RecordHead::new(Slot(self.slot), Kind::LWW, hlc(stamp));
        let key = [b'k', self.key];
        match self.kind {
            0 => {
                head.tombstone = true;
                head.encode(&Payload { key: &key, body: Body::Lww(b"") }.encode())
            }
            1 => {
                head.kind = Kind(200);
                head.encode(&[self.value; 30])
            }
            2 => {
                head.kind = Kind::MAX;
                head.trace = Some([self.value; 24]);
                head.encode(&Payload { key: &key, body: Body::Max(self.value.into()) }.encode())
            }
            // A payload that does not read.
            3 => head.encode(&[0; 3]),
            _ => {
                let value = vec![self.value; usize::from(self.value) % 9];
                head.encode(&Payload { key: &key, body: Body::Lww(&value) }.encode())
            }
        }
    }
}

fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    let draft = (0u16..12, 0u8..3, 0u8..12, any::<u8>())
        .prop_map(|(slot, key, kind, value)| Draft { slot: slot + 10, key, kind, value });
    vec(draft, 1..=8)
}

/// What honest authors do.
pub(super) fn honest() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (drafts(), any::<bool>()).prop_map(|(d, e)| Act::Frame(d, e)),
        2 => Just(Act::Restart),
        2 => any::<u8>().prop_map(Act::Raise),
    ]
}

/// What any author may do.
pub(super) fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![10 => honest(), 1 => drafts().prop_map(Act::Fork)]
}

/// Acts of authors 0-3, in order.
pub(super) fn acts(
    act: impl Strategy<Value = Act>,
    max: usize,
) -> impl Strategy<Value = Vec<(u8, Act)>> {
    vec((0u8..4, act), 1..max)
}

struct Writer {
    keys: Keypair,
    chain: Chain,
    /// Before the last frame.
    before: Chain,
    extended: bool,
}

/// Everything that was signed.
#[derive(Default)]
pub(super) struct History {
    pub(super) frames: Vec<Verified>,
    /// Headers of each pair that proves a fork.
    pub(super) forks: Vec<[Arc<SignedHeader>; 2]>,
}

impl History {
    pub(super) fn play(acts: &[(u8, Act)]) -> Self {
        let mesh = settings().mesh;
        let mut history = History::default();
        let mut writers: Vec<Writer> = (0..4)
            .map(|n| {
                let start = chain(10);
                Writer { keys: keys(n), chain: start.clone(), before: start, extended: false }
            })
            .collect();
        for (stamp, (who, act)) in (0u64..).zip(acts) {
            let w = &mut writers[usize::from(*who)];
            let (drafts, extended) = match act {
                Act::Frame(drafts, extended) => {
                    w.before = w.chain.clone();
                    (drafts, *extended)
                }
                Act::Fork(drafts) => {
                    w.chain = w.before.clone();
                    (drafts, !w.extended)
                }
                Act::Restart => {
                    let next = Incarnation(w.chain.incarnation.0 + 1);
                    w.chain = Chain::start(Class::Cell, next, w.chain.floor);
                    w.before = w.chain.clone();
                    continue;
                }
                Act::Raise(share) => {
                    let seq = w.chain.next.0 * u64::from(*share) / 255;
                    w.chain.floor = w.chain.floor.max((w.chain.incarnation, Seq(seq)));
                    continue;
                }
            };
            let records: Vec<_> = drafts.iter().map(|d| d.encode(stamp)).collect();
            let unknown = [Extension { kind: 77, value: b"of a later version" }];
            let extensions = if extended { &unknown[..] } else { &[] };
            w.extended = extended;
            let v = seal(&mut w.chain, &records, extensions, &mesh, &w.keys);
            history.add(v);
        }
        history
    }

    fn add(&mut self, v: Verified) {
        let pairs = self.frames.iter().filter(|f| f.header().equivocates(v.header()));
        let forks: Vec<_> = pairs.map(|f| [f.header(), v.header()].map(Arc::clone)).collect();
        self.forks.extend(forks);
        self.frames.push(v);
    }

    /// The signed messages: all frames; besides heads, convictions, and proofs of single records
    /// and of many, as another replica sends them.
    pub(super) fn messages(&self) -> Vec<Bytes> {
        let mut messages: Vec<Bytes> = self.frames.iter().map(|v| v.bytes().clone()).collect();
        let mut other = store();
        for (n, v) in self.frames.iter().enumerate() {
            merge(&mut other, v);
            if n % 3 == 0 {
                messages.push(write_head(v.header(), None));
            }
            if n % 5 == 4 {
                let entries: Vec<_> = other.all_entries().collect();
                for chunk in entries.chunks(1 + n % 4) {
                    messages.extend(other.export(chunk, ALL).messages);
                }
            }
        }
        messages
    }

    pub(super) fn convictions(&self) -> Vec<Bytes> {
        self.forks.iter().map(|[a, b]| write_head(a, Some(b))).collect()
    }

    /// What every replica holds in the end: for each slot the newest record above the floor of its
    /// author's newest header and above its convicted incarnations.
    pub(super) fn model(&self) -> State {
        let mut newest: BTreeMap<NodeId, (Incarnation, Seq)> = BTreeMap::new();
        let mut floors: BTreeMap<NodeId, (Incarnation, Seq)> = BTreeMap::new();
        let mut forked: BTreeMap<NodeId, BTreeSet<Incarnation>> = BTreeMap::new();
        for [a, _] in &self.forks {
            forked.entry(a.fields.author).or_default().insert(a.fields.incarnation);
        }
        for v in &self.frames {
            let f = &v.header().fields;
            let at = newest.entry(f.author).or_default();
            if (f.incarnation, f.seq_lo) >= *at {
                *at = (f.incarnation, f.seq_lo);
                floors.insert(f.author, f.floor);
            }
        }
        let mut state = State::new();
        for v in &self.frames {
            let f = &v.header().fields;
            let convicted = forked.get(&f.author);
            let gone = convicted.is_some_and(|c| c.len() >= 3 || c.last() >= Some(&f.incarnation));
            for leaf in v.leaves().iter().filter(|_| !gone) {
                let seq = v.seq(leaf);
                if (f.incarnation, seq) < floors[&f.author] {
                    continue;
                }
                let key = (f.author, v.record(leaf).unwrap().head.slot);
                let new = (f.incarnation, seq, leaf.id, v.record_bytes(leaf).to_vec());
                let slot = state.entry(key).or_insert_with(|| new.clone());
                if new > *slot {
                    *slot = new;
                }
            }
        }
        state
    }
}

/// `messages` in an order of its own, some of them twice.
pub(super) fn shuffled(messages: &[Bytes], seed: u64) -> Vec<Bytes> {
    let mut rng = Rng::new(seed);
    let mut order: Vec<Bytes> = messages.to_vec();
    for _ in 0..messages.len() / 2 {
        order.push(messages[rng.below(messages.len() as u32) as usize].clone());
    }
    for i in (1..order.len()).rev() {
        order.swap(i, rng.below(i as u32 + 1) as usize);
    }
    order
}
