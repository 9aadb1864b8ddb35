//! Frames end to end: what an author seals is read and verified, and nothing else is.

use proptest::prelude::*;

use super::*;
use crate::error::Refused;
use crate::frame::{Job, Kind, RecordHead, Sealed, Slot, verify};
use crate::identity::{Genesis, Keypair, Limits, NodeId};
use crate::time::WallMs;

fn mesh() -> MeshId {
    Genesis::default().mesh_id()
}

fn author() -> Keypair {
    Keypair::from_secret(&[9; 32])
}

fn records(n: usize) -> Vec<Vec<u8>> {
    (0..n)
        .map(|i| {
            let hlc = Hlc::at(WallMs(1_000 + i as u64));
            RecordHead::new(Slot(16 + i as u16), Kind::LWW, hlc).encode(&[i as u8; 20])
        })
        .collect()
}

fn chain() -> Chain {
    Chain::start(Class::Cell, Incarnation(5), Default::default())
}

fn open(bytes: &Bytes) -> Result<Verified, Refused> {
    verify(Job::new(Sealed::read(bytes, &Limits::default())?, mesh()))
}

#[test]
fn a_sealed_frame_opens_with_the_same_ids() {
    let mut chain = chain();
    for n in [1, 2, 3, 128, 256] {
        let own = seal(&mut chain, &records(n), &[], &mesh(), &author());
        let opened = open(own.bytes()).unwrap();
        assert_eq!(opened, own);
        assert_eq!(opened.leaves().len(), n);
    }
    assert_eq!(chain.next, Seq(1 + 2 + 3 + 128 + 256));
}

#[test]
fn an_unknown_extension_is_carried_and_signed() {
    let extensions = [Extension { kind: 7, value: b"later" }, Extension { kind: 900, value: b"" }];
    let own = seal(&mut chain(), &records(3), &extensions, &mesh(), &author());
    let opened = open(own.bytes()).unwrap();
    assert_eq!(opened.header().extensions().collect::<Vec<_>>(), extensions);
    let mut bytes = own.bytes().to_vec();
    let at = bytes.windows(5).position(|w| w == b"later").unwrap();
    bytes[at] ^= 1;
    assert_eq!(open(&bytes.into()), Err(Refused::Signature));
}

#[test]
fn a_mesh_is_part_of_every_signature() {
    let own = seal(&mut chain(), &records(2), &[], &mesh(), &author());
    let other = Genesis { name: "other".into(), ..Genesis::default() }.mesh_id();
    let sealed = Sealed::read(own.bytes(), &Limits::default()).unwrap();
    assert_eq!(verify(Job::new(sealed, other)), Err(Refused::Root));
    let head = write_head(own.header(), None);
    let sealed = Sealed::read(&head, &Limits::default()).unwrap();
    assert_eq!(verify(Job::new(sealed, other)), Err(Refused::Signature));
}

#[test]
fn two_branches_are_a_transferable_proof_and_two_frames_in_a_row_are_none() {
    let mut main = chain();
    let first = seal(&mut main, &records(2), &[], &mesh(), &author());
    let mut fork = main.clone();
    let second = seal(&mut main, &records(2), &[], &mesh(), &author());
    let forked = seal(&mut fork, &records(3), &[], &mesh(), &author());
    let mut unchained = Chain { next: second.header().fields.seq_end(), ..chain() };
    unchained.last_root = [1; 32];
    let adjacent = seal(&mut unchained, &records(1), &[], &mesh(), &author());
    assert!(!first.header().equivocates(second.header()));
    assert!(!first.header().equivocates(first.header()));
    let forks = [(&second, &forked), (&second, &adjacent)];
    for (a, b) in forks.into_iter().flat_map(|(a, b)| [(a, b), (b, a)]) {
        assert!(a.header().equivocates(b.header()));
        let proof = write_head(a.header(), Some(b.header()));
        assert_eq!(open(&proof).unwrap().other(), Some(b.header()));
    }
    // The second signature counts as much as the first.
    let forged = |at_end: usize| {
        let mut bytes = write_head(second.header(), Some(forked.header())).to_vec();
        let at = bytes.len() - at_end;
        bytes[at] ^= 1;
        open(&bytes.into())
    };
    let signature_end = forked.header().wire_len() - super::super::header::HEADER_LEN + 1;
    assert_eq!(forged(signature_end), Err(Refused::Signature));
    assert_eq!(forged(forked.header().wire_len() + signature_end), Err(Refused::Signature));
    let no_proof = write_head(first.header(), Some(second.header()));
    assert_eq!(open(&no_proof), Err(Refused::Malformed));
}

proptest! {
    #[test]
    fn any_records_can_be_proven_alone(
        n in 1usize..=256, picks in proptest::collection::btree_set(0u16..256, 1..6),
    ) {
        let picks: Vec<u16> = picks.into_iter().filter(|&i| usize::from(i) < n).collect();
        prop_assume!(!picks.is_empty());
        let records = records(n);
        let own = seal(&mut chain(), &records, &[], &mesh(), &author());
        let ids: Vec<Hash> = own.leaves().iter().map(|leaf| leaf.id).collect();
        let paths = merkle::paths(&ids, &picks);
        let parts: Vec<_> = picks.iter().zip(&paths)
            .map(|(&i, path)| (i, &path[..], &records[usize::from(i)][..])).collect();
        let proof = write_proof(own.header(), &parts);
        let opened = open(&proof).unwrap();
        for (leaf, &i) in opened.leaves().iter().zip(&picks) {
            prop_assert_eq!(leaf.id, ids[usize::from(i)]);
            prop_assert_eq!(opened.record_bytes(leaf), &records[usize::from(i)][..]);
            prop_assert_eq!(opened.seq(leaf), Seq(u64::from(i)));
        }
    }

    #[test]
    fn a_proof_names_each_record_once_and_in_order(n in 2usize..20, a in 0u16..20, b in 0u16..20) {
        let (a, b) = (a % n as u16, b % n as u16);
        let records = records(n);
        let own = seal(&mut chain(), &records, &[], &mesh(), &author());
        let ids: Vec<Hash> = own.leaves().iter().map(|leaf| leaf.id).collect();
        let paths = merkle::paths(&ids, &[a, b]);
        let part = |i: u16, n: usize| (i, &paths[n][..], &records[usize::from(i)][..]);
        let opened = open(&write_proof(own.header(), &[part(a, 0), part(b, 1)]));
        prop_assert_eq!(opened.is_ok(), a < b);
        prop_assert!(a < b || opened == Err(Refused::Malformed));
    }

    #[test]
    fn every_flipped_bit_is_noticed(
        n in 1usize..6, at: prop::sample::Index, bit in 0u8..8, proof: bool,
    ) {
        let records = records(n);
        let own = seal(&mut chain(), &records, &[], &mesh(), &author());
        let ids: Vec<Hash> = own.leaves().iter().map(|leaf| leaf.id).collect();
        let all: Vec<u16> = (0..n as u16).collect();
        let paths = merkle::paths(&ids, &all);
        let parts: Vec<_> =
            all.iter().map(|&i| (i, &paths[i as usize][..], &records[i as usize][..])).collect();
        let proven = write_proof(own.header(), &parts);
        let bytes = if proof { proven } else { own.bytes().clone() };
        let mut flipped = bytes.to_vec();
        let at = at.index(flipped.len());
        flipped[at] ^= 1 << bit;
        prop_assert!(open(&flipped.into()).is_err());
        let cut = bytes.slice(..at);
        prop_assert!(Sealed::read(&cut, &Limits::default()).is_err());
        let mut longer = bytes.to_vec();
        longer.push(0);
        prop_assert!(Sealed::read(&longer.into(), &Limits::default()).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_refused_calmly(
        bytes in proptest::collection::vec(any::<u8>(), 0..600), tag in 0u8..6,
    ) {
        let mut bytes = bytes;
        bytes.insert(0, tag);
        bytes.insert(1, 1);
        prop_assert!(Sealed::read(&bytes.into(), &Limits::default()).is_err());
    }
}

#[test]
fn a_header_names_the_latest_stamp_of_its_frame_and_none_of_a_proof_is_later() {
    let records = records(2);
    let own = seal(&mut chain(), &records, &[], &mesh(), &author());
    let ids: Vec<Hash> = own.leaves().iter().map(|leaf| leaf.id).collect();
    let says = |hlc_max| {
        let fields = Header { hlc_max, ..own.header().fields.clone() };
        SignedHeader::sign(fields, &[], &mesh(), &author())
    };
    let proof = |header, i: u16| {
        let path = &merkle::paths(&ids, &[i])[0];
        open(&write_proof(header, &[(i, path, &records[usize::from(i)])]))
    };
    let frame = |header: &SignedHeader| {
        let mut w = Writer::default();
        w.u8(Tag::Frame as u8);
        header.write(&mut w);
        w.bytes(&records.concat());
        open(&w.into_vec().into())
    };
    let earlier = says(Hlc::at(WallMs(1_000)));
    assert!(proof(&earlier, 0).is_ok(), "a proof may be of an earlier record than the latest");
    assert_eq!(proof(&earlier, 1), Err(Refused::Malformed));
    assert_eq!(frame(&earlier), Err(Refused::Malformed));
    assert_eq!(frame(&says(Hlc::at(WallMs(9_000)))), Err(Refused::Malformed), "later than all");
    assert!(frame(&says(own.header().fields.hlc_max)).is_ok());
}

#[test]
fn a_header_that_contradicts_itself_is_malformed() {
    let mut main = chain();
    let _ = seal(&mut main, &records(2), &[], &mesh(), &author());
    let fields = seal(&mut main, &records(2), &[], &mesh(), &author()).header().fields.clone();
    let head = |change: fn(&mut Header)| {
        let mut fields = fields.clone();
        change(&mut fields);
        let header = SignedHeader::sign(fields, &[], &mesh(), &author());
        open(&write_head(&header, None)).map(drop)
    };
    assert_eq!(head(|_| ()), Ok(()));
    assert_eq!(head(|fields| fields.floor = (Incarnation(5), Seq(2))), Ok(()), "the frame itself");
    let impossible: [fn(&mut Header); 6] = [
        |fields| fields.floor = (Incarnation(5), Seq(3)),
        |fields| fields.floor = (Incarnation(6), Seq(0)),
        |fields| fields.count = 0,
        |fields| fields.prev_root = [0; 32],
        |fields| fields.seq_lo = Seq(0),
        |fields| fields.seq_lo = Seq(u64::MAX),
    ];
    for (n, change) in impossible.into_iter().enumerate() {
        assert_eq!(head(change), Err(Refused::Malformed), "header {n}");
    }
}

#[test]
fn a_weak_key_cannot_author() {
    let own = seal(&mut chain(), &records(1), &[], &mesh(), &author());
    let mut fields = own.header().fields.clone();
    fields.author = NodeId({
        let mut k = [0; 32];
        k[0] = 1;
        k
    });
    let mut bytes = own.bytes().to_vec();
    bytes[17..49].copy_from_slice(&fields.author.0);
    assert!(open(&bytes.into()).is_err());
}
