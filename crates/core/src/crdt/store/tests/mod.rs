//! The store against a model that is a fold over everything that was ever signed.
//!
//! ```text
//!   World: authors --seal--> messages --deliver: knows, verify, merge--> replicas --audit
//!                               `------> Model: what every replica must hold in the end
//! ```

mod bounds;
mod departed;
mod digests;
mod knows;
mod laws;
mod proofs;
mod script;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::entry::NONE;
use super::frames::NEWEST;
use super::pages::root_of;
use super::*;
use crate::config::Config;
use crate::crdt::value::{Body, Payload};
use crate::digest::{Position, Prefix, Summary};
use crate::frame::{
    Chain, Extension, Job, Kind, RecordHead, Sealed, Tag, merkle, seal, verify, write_head,
};
use crate::identity::{Genesis, Keypair, Limits, Signer as _};
use crate::time::{Hlc, WallMs};

/// Everything fits.
const ALL: usize = usize::MAX;

fn settings_with(limits: Limits) -> Arc<Settings> {
    let genesis = Genesis { limits, ..Genesis::default() };
    Settings::new(Config { genesis, ..Config::default() }).unwrap()
}

fn settings() -> Arc<Settings> {
    settings_with(Limits { max_slots: 64, ..Limits::default() })
}

fn store() -> Store {
    Store::new(settings(), Class::Cell, 7)
}

fn keys(n: u8) -> Keypair {
    Keypair::from_secret(&[n + 1; 32])
}

fn chain(incarnation: u64) -> Chain {
    Chain::start(Class::Cell, Incarnation(incarnation), Default::default())
}

fn hlc(n: u64) -> Hlc {
    Hlc::at(WallMs(1_000 + n))
}

/// A register `key` in `slot`.
fn lww(slot: u16, key: u8, value: u64) -> Vec<u8> {
    let value = value.to_le_bytes();
    let payload = Payload { key: &[b'k', key], body: Body::Lww(&value) }.encode();
    RecordHead::new(Slot(slot), Kind::LWW, hlc(u64::from(key))).encode(&payload)
}

/// The next frame of `chain`, for the mesh of [`settings`].
fn frame(chain: &mut Chain, who: &Keypair, records: &[Vec<u8>]) -> Verified {
    seal(chain, records, &[], &settings().mesh, who)
}

/// One record in each of `slots`.
fn filled(chain: &mut Chain, who: &Keypair, slots: impl IntoIterator<Item = u16>) -> Verified {
    let seq = chain.next.0;
    let records: Vec<_> = slots.into_iter().map(|slot| lww(slot, slot as u8, seq)).collect();
    frame(chain, who, &records)
}

fn open(store: &Store, bytes: &Bytes) -> Result<Verified, Refused> {
    let settings = &store.settings;
    verify(Job::new(Sealed::read(bytes, &settings.genesis.limits)?, settings.mesh))
}

fn merge(store: &mut Store, v: &Verified) -> Merged {
    store.merge(v, &mut Vec::new(), &mut |_, _| ())
}

fn knows(store: &Store, bytes: &Bytes) -> Result<Known, Refused> {
    store.knows(&Sealed::read(bytes, &store.settings.genesis.limits).unwrap())
}

/// The way of a message through a node: read, asked for, verified, merged. `Ok(None)`: a duplicate.
fn deliver(store: &mut Store, bytes: &Bytes) -> Result<Option<Merged>, Refused> {
    let sealed = Sealed::read(bytes, &store.settings.genesis.limits)?;
    let known = store.knows(&sealed)?;
    let job = Job::new(sealed, store.settings.mesh);
    let verified = match known {
        Known::Duplicate => return Ok(None),
        Known::Header(header) => verify(job.with_known_header(&header))?,
        Known::Nothing => verify(job)?,
    };
    let merged = merge(store, &verified);
    merged.refused.map_or(Ok(Some(merged)), Err)
}

/// Sends everything, or the convictions only, from one replica to another.
fn repair(from: &Store, to: &mut Store, convictions_only: bool) {
    let wanted = |ix: &EntryIx| !convictions_only || from.entries[*ix as usize].is_marker();
    let entries: Vec<EntryIx> = from.all_entries().filter(wanted).collect();
    for message in from.export(&entries, ALL).messages {
        let _ = deliver(to, &message);
    }
}

fn merge_all<'a>(store: &mut Store, all: impl IntoIterator<Item = &'a Verified>) {
    for v in all {
        merge(store, v);
    }
}

fn deliver_all(store: &mut Store, messages: &[Bytes]) {
    for message in messages {
        deliver(store, message).unwrap();
    }
}

/// What readers see: every record with author, slot, version and bytes.
type State = BTreeMap<(NodeId, Slot), (Incarnation, Seq, Hash, Vec<u8>)>;

fn state(store: &Store) -> State {
    let contributions = store.all_entries().filter_map(|ix| store.contribution(ix));
    contributions
        .map(|c| {
            let bytes = c.record.head.encode(c.record.payload);
            ((c.author, c.record.head.slot), (c.incarnation, c.seq, c.id, bytes))
        })
        .collect()
}

/// Asserts what holds of a store at any time.
fn audit(store: &mut Store) {
    let records = audit_frames(store);
    audit_heads_and_markers(store, records);
    audit_index(store);
    audit_digests(store);
}

/// Frames and live records name each other; each live record can be proven. Returns how many.
fn audit_frames(store: &Store) -> usize {
    let (mut records, mut frames) = (0, 0);
    for (a, author) in store.authors.iter().enumerate() {
        frames += author.frames.len();
        let keys: Vec<_> = author.frames.iter().map(|&f| store.frames[f as usize].key()).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "frames stand in order");
        for (at, &frame) in author.frames.iter().enumerate() {
            let state = &store.frames[frame as usize];
            let count = usize::from(state.header.fields.count);
            assert_eq!(state.header.fields.author, *author.id());
            let newest = at + NEWEST >= author.frames.len();
            assert!(newest || state.live_count() > 0, "only the newest eight may be dead");
            if let Some(tree) = state.tree() {
                assert_eq!(tree.last(), Some(&state.header.fields.root));
                assert_eq!(tree, merkle::tree(&tree[..count]));
                let paths = state.live_count() * merkle::siblings(0, count);
                assert!(paths >= tree.len(), "the tree is kept while it is smaller than the paths");
            }
            for ix in state.live() {
                let e = &store.entries[ix as usize];
                assert_eq!((e.author as usize, e.frame), (a, frame));
                assert!(store.age(e) >= author.floor(), "above the floor");
                assert!(count == 1 || e.path.is_some() || state.tree().is_some(), "provable");
                records += 1;
            }
        }
    }
    assert_eq!(store.frames.len(), frames, "no frame is lost");
    records
}

fn audit_heads_and_markers(store: &Store, records: usize) {
    let mut expected = records;
    for (a, author) in store.authors.iter().enumerate() {
        if author.is_vacant() {
            continue;
        }
        let head = store.entry_at(author.id(), Slot::HEAD);
        assert_eq!(head.is_some(), !author.frames.is_empty(), "who has headers has a head");
        if let Some(head) = head {
            let e = &store.entries[head as usize];
            let header = store.head(author.id()).unwrap();
            assert_eq!(Some(&e.frame), author.frames.last(), "the head is the newest header");
            assert_eq!(e.id, header.id(&store.settings.mesh));
            assert_eq!(author.floor(), header.fields.floor);
        }
        let markers = store.entries.iter().filter(|(_, e)| e.author == a as u32 && e.is_marker());
        let convictions = author.proofs().count();
        let wanted = if author.identity_convicted() { 1 } else { convictions };
        assert_eq!(markers.count(), wanted, "one marker an incarnation, or one in all");
        let live =
            author.frames.iter().map(|&f| store.frames[f as usize].header.fields.incarnation);
        assert!(
            live.into_iter().all(|i| author.refuses(i).is_none()),
            "no convicted frame is kept"
        );
        expected += usize::from(head.is_some()) + wanted;
    }
    assert_eq!(store.len(), expected, "no entry is lost");
}

/// The tables answer as a search through everything would.
fn audit_index(store: &Store) {
    let mut by_key: BTreeMap<(Family, Vec<u8>), BTreeSet<EntryIx>> = BTreeMap::new();
    for (ix, e) in &store.entries {
        let id = *store.authors[e.author as usize].id();
        if !e.is_marker() {
            assert_eq!(store.entry_at(&id, e.slot), Some(ix as EntryIx));
        }
        if let Some((family, key)) = e.key() {
            by_key.entry((family, key.to_vec())).or_default().insert(ix as EntryIx);
        }
        let (mut at, mut steps) = (ix as EntryIx, 0);
        while at != NONE {
            let next = store.index.as_ref().map_or(NONE, |index| index.next_of(at));
            (at, steps) = (next, steps + 1);
            assert!(steps <= store.len(), "the list of a key ends");
        }
    }
    for ((family, key), expected) in &by_key {
        let found = store.entries_of(*family, key);
        assert_eq!(found.len(), expected.len(), "each entry of a key is listed once");
        assert_eq!(&found.into_iter().collect::<BTreeSet<_>>(), expected);
    }
    let there = store.authors.iter().enumerate().filter(|(_, author)| !author.is_vacant());
    assert_eq!(there.clone().count(), store.author_count());
    for (a, author) in there {
        assert_eq!(store.find_author(author.id()), Some(a as u32));
        let by_author = |ix: &EntryIx| {
            let e = &store.entries[*ix as usize];
            e.author == a as u32 && !e.is_marker()
        };
        let expected: BTreeSet<EntryIx> = store.all_entries().filter(by_author).collect();
        let found = store.entries_by(author.id());
        assert_eq!(found.len(), expected.len());
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    }
}

/// Root and tree are those of the entries, counted anew.
fn audit_digests(store: &mut Store) {
    assert_eq!(store.root(), root_of(&store.entries), "the root of the entries");
    if let Some(index) = &store.index {
        index.pages.check(&store.entries);
    }
    let mut expected: Vec<(Position, u64, EntryIx)> = Vec::new();
    let mut children = [Summary::default(); 16];
    for (ix, e) in &store.entries {
        let at = e.position(store.authors[e.author as usize].salt);
        let tag = crate::digest::tag(&e.id);
        children[usize::from(at.nibble(0))] += Summary::one(tag);
        expected.push((at, tag as u64, ix as EntryIx));
    }
    expected.sort_unstable();
    assert_eq!(store.items(Prefix::ROOT), expected);
    assert_eq!(store.children(Prefix::ROOT, 0), children);
}
