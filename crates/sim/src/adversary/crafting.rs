//! Bytes that liars make: forks, forgeries, and frames that look right and are not.
//!
//! ```text
//!   a frame of somebody --> payload | header field | one record less | records under another
//!                           header | all of it sealed again with the liar's own key
//! ```
//!
//! What is tampered with keeps its form: it gets as far as the tree and the signature.

use bytes::{Bytes, BytesMut};
use knhk_mesh_core::codec::{Reader, Writer};
use knhk_mesh_core::config::Settings;
use knhk_mesh_core::frame::{
    self, Chain, Class, Record, RecordHead, Sealed, SignedHeader, Tag, seal,
};
use knhk_mesh_core::identity::{Incarnation, Keypair, Limits, MeshId, NodeId, Signer};
use knhk_mesh_core::rng::Rng;
use knhk_mesh_core::time::{Hlc, WallMs};

/// The name that liars fork, in the slot [`FORKED`].
const COIN: &[u8] = b"\x04coin";
/// Where the forked record stands.
pub(crate) const FORKED: frame::Slot = frame::Slot(20);

/// Two different frames for the first place in the chain of one incarnation: proof of a fork to
/// whoever sees both.
pub(crate) fn forked(settings: &Settings, key: &[u8; 32], wall: WallMs) -> [Bytes; 2] {
    let signer = Keypair::from_secret(key);
    [b"heads".as_slice(), b"tails"].map(|value| {
        let mut chain = Chain::start(Class::Cell, Incarnation(wall.0), Default::default());
        let payload = [COIN, value].concat();
        let record = RecordHead::new(FORKED, frame::Kind::LWW, Hlc::at(wall)).encode(&payload);
        seal(&mut chain, &[record], &[], &settings.mesh, &signer).bytes().clone()
    })
}

/// Who signed a message, by its own word.
pub(super) fn author_of(bytes: &Bytes) -> Option<NodeId> {
    let mut reader = Reader::new(bytes);
    let header = reader.u8().and_then(|_| SignedHeader::read(&mut reader));
    header.ok().map(|header| header.fields.author)
}

/// Whether somebody suspects nobody any more in it: what the node of a liar says by itself.
pub(super) fn takes_back(bytes: &Bytes) -> bool {
    let sealed = Sealed::read(bytes, &Limits::default());
    let empty =
        |record: &Record<'_>| record.head.slot == frame::Slot::MISSING && record.payload == [0];
    sealed.is_ok_and(|sealed| sealed.records().any(|(_, record)| empty(&record)))
}

/// `bytes` with one bit changed, anywhere behind the tag.
pub(super) fn altered(bytes: &Bytes, rng: &mut Rng) -> Bytes {
    let mut copy = BytesMut::from(&bytes[..]);
    if copy.len() > 1 {
        let at = 1 + rng.below(copy.len() as u32 - 1) as usize;
        copy[at] ^= 1 << rng.below(8);
    }
    copy.freeze()
}

/// Says that it is `named`, and signs with a key of its own.
struct Impostor<'a> {
    named: NodeId,
    key: &'a [u8; 32],
}

impl Signer for Impostor<'_> {
    fn node_id(&self) -> NodeId {
        self.named
    }
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        Keypair::from_secret(self.key).sign(message)
    }
}

/// A man in the middle: the frames of others, made into others of the same form.
#[derive(Debug, Default)]
pub(super) struct Tampering {
    key: [u8; 32],
    own: Option<NodeId>,
    turn: usize,
    /// Records of the last frame that passed.
    before: Vec<Vec<u8>>,
}

impl Tampering {
    /// Of the node with this key. What it wrote itself it leaves as it is: it would fork itself.
    pub(super) fn of(key: [u8; 32]) -> Self {
        let own = Some(Keypair::from_secret(&key).node_id());
        Tampering { key, own, ..Tampering::default() }
    }

    pub(super) fn is_own(&self, bytes: &Bytes) -> bool {
        author_of(bytes) == self.own
    }

    /// `bytes`, tampered with in the next of the ways; never the same bytes.
    pub(super) fn tamper(&mut self, bytes: &Bytes, mesh: &MeshId, rng: &mut Rng) -> Bytes {
        self.turn += 1;
        let out = match Sealed::read(bytes, &Limits::default()) {
            Ok(sealed) if Tag::of(bytes) == Some(Tag::Frame) => {
                let records = sealed.records().map(|(_, record)| encoded(&record)).collect();
                let before = core::mem::replace(&mut self.before, records);
                self.frame(sealed.header(), before, mesh, rng)
            }
            Ok(sealed) => {
                let mut header = (**sealed.header()).clone();
                misdate(&mut header, rng);
                let mut out = Writer::default();
                out.u8(bytes[0]);
                header.write(&mut out);
                out.bytes(&bytes[1 + header.wire_len()..]);
                Bytes::from(out.into_vec())
            }
            Err(_) => altered(bytes, rng),
        };
        if out == bytes { altered(bytes, rng) } else { out }
    }

    fn frame(
        &self,
        header: &SignedHeader,
        before: Vec<Vec<u8>>,
        mesh: &MeshId,
        rng: &mut Rng,
    ) -> Bytes {
        let mut header = header.clone();
        let mut records = self.before.clone();
        match self.turn % 5 {
            0 => reword(&mut records, rng),
            1 => misdate(&mut header, rng),
            2 if records.len() > 1 => drop(records.pop()),
            2 => records.iter_mut().for_each(shorten),
            3 if !before.is_empty() => records = before,
            _ => {
                reword(&mut records, rng);
                return self.sealed_again(&header, &records, mesh);
            }
        }
        let latest = records.iter().filter_map(|record| Record::stored(record));
        header.fields.hlc_max = latest.map(|record| record.head.hlc).max().unwrap_or_default();
        header.fields.count = records.len() as u16;
        header.fields.body_len = records.iter().map(Vec::len).sum::<usize>() as u32;
        let mut out = Writer::default();
        out.u8(Tag::Frame as u8);
        header.write(&mut out);
        out.bytes(&records.concat());
        Bytes::from(out.into_vec())
    }

    /// Root and signature are right, but for the key.
    fn sealed_again(&self, header: &SignedHeader, records: &[Vec<u8>], mesh: &MeshId) -> Bytes {
        let fields = &header.fields;
        let mut chain = Chain {
            class: fields.class,
            incarnation: fields.incarnation,
            next: fields.seq_lo,
            last_root: fields.prev_root,
            floor: fields.floor,
        };
        let signer = Impostor { named: fields.author, key: &self.key };
        seal(&mut chain, records, &[], mesh, &signer).bytes().clone()
    }
}

fn encoded(record: &Record<'_>) -> Vec<u8> {
    record.head.encode(record.payload)
}

/// Another word at the end of each payload.
fn reword(records: &mut [Vec<u8>], rng: &mut Rng) {
    for record in records {
        if let Some(last) = record.last_mut() {
            *last ^= 1 + rng.below(255) as u8;
        }
    }
}

fn shorten(record: &mut Vec<u8>) {
    let short = Record::stored(record)
        .and_then(|r| Some(r.head.encode(r.payload.split_last().map(|(_, rest)| rest)?)));
    if let Some(short) = short {
        *record = short;
    }
}

/// One field of the header says something else.
fn misdate(header: &mut SignedHeader, rng: &mut Rng) {
    let fields = &mut header.fields;
    match rng.below(4) {
        // At the beginning of a chain the other fields have but one value.
        1 if fields.seq_lo.0 > 0 => fields.seq_lo.0 += 1,
        2 if fields.seq_lo.0 > 0 => fields.floor = (fields.incarnation, fields.seq_lo),
        3 if fields.seq_lo.0 > 0 => fields.prev_root[0] ^= 1,
        _ => fields.incarnation.0 += 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use knhk_mesh_core::frame::{Job, verify};

    #[test]
    fn a_forger_changes_one_bit() {
        let mut rng = Rng::new(1);
        let bytes = Bytes::from_static(&[1; 40]);
        let forged = altered(&bytes, &mut rng);
        let bits: u32 = bytes.iter().zip(&forged).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!((bits, forged[0]), (1, 1));
    }

    #[test]
    fn what_is_tampered_with_keeps_its_form_and_is_refused() {
        let settings = Settings::new(knhk_mesh_core::config::Config::default()).unwrap();
        let (mut tampering, mut rng) = (Tampering::default(), Rng::new(1));
        let author = Keypair::from_secret(&[9; 32]);
        let mut chain = Chain::start(Class::Cell, Incarnation(7), Default::default());
        let (mut whole, mut refused) = (0, std::collections::BTreeSet::new());
        for n in 0..100u8 {
            let record = |i: u8| {
                let payload = [COIN, &[n, i]].concat();
                let slot = frame::Slot(16 + u16::from(i));
                RecordHead::new(slot, frame::Kind::LWW, Hlc::at(WallMs(5))).encode(&payload)
            };
            let records: Vec<_> = (0..=n % 3).map(record).collect();
            let good = seal(&mut chain, &records, &[], &settings.mesh, &author);
            assert!(verify(job(good.bytes(), &settings)).is_ok());
            let bad = tampering.tamper(good.bytes(), &settings.mesh, &mut rng);
            assert_ne!(bad, good.bytes());
            assert_eq!(author_of(&bad), Some(author.node_id()), "under the name of its author");
            whole += usize::from(Sealed::read(&bad, &Limits::default()).is_ok());
            refused.insert(verify(job(&bad, &settings)).map(|_| ()).unwrap_err() as u8);
        }
        assert_eq!(whole, 100, "all of them have the form of a frame");
        assert!(refused.len() >= 2, "by the root and by the signature: {refused:?}");
    }

    fn job(bytes: &Bytes, settings: &Settings) -> Job {
        Job::new(Sealed::read(bytes, &Limits::default()).unwrap(), settings.mesh)
    }
}
