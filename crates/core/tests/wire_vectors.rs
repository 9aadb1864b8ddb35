//! docs/WIRE.md against the code: the vectors that it prints are read from it and made again.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use knhk_mesh_core::config::{Config, Settings};
use knhk_mesh_core::crdt::Store;
use knhk_mesh_core::crdt::value::{Body, Payload};
use knhk_mesh_core::digest::{Position, author_salt};
use knhk_mesh_core::frame::{
    Chain, Class, Hash, Job, Kind, RecordHead, Sealed, Slot, Verified, merkle, seal, verify,
    write_proof,
};
use knhk_mesh_core::identity::{AgentNo, Genesis, Incarnation, Keypair, Limits, Signer as _};
use knhk_mesh_core::messages::{Digest, Message};
use knhk_mesh_core::time::{Hlc, WallMs};

const WALL: WallMs = WallMs(1_800_000_000_000);

/// The vectors of the document: a name, two spaces, hexadecimal digits that go on in lines that
/// begin with a space.
fn documented() -> BTreeMap<String, Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/WIRE.md");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text.split("\n## Test vectors\n").nth(1).expect("the section of the vectors");
    let block = section.split("```").nth(1).expect("its block");
    let mut all: Vec<(String, String)> = Vec::new();
    for line in block.lines().skip(1) {
        match (line.starts_with(' '), line.split_once("  ")) {
            (false, Some((name, hex))) => all.push((name.into(), hex.replace(' ', ""))),
            _ => all.last_mut().unwrap().1.push_str(&line.replace(' ', "")),
        }
    }
    let decode = |(name, hex): (String, String)| {
        let bytes = HEXLOWER.decode(hex.as_bytes()).unwrap();
        (name, bytes)
    };
    all.into_iter().map(decode).collect()
}

fn author() -> Keypair {
    Keypair::from_secret(&[7; 32])
}

fn records() -> [Vec<u8>; 2] {
    let register = RecordHead::new(Slot(16), Kind::LWW, Hlc::at(WALL));
    let counter = RecordHead {
        agent: AgentNo(1),
        ..RecordHead::new(Slot(17), Kind::COUNTER, Hlc::at(WALL).next())
    };
    let value = Payload { key: b"k", body: Body::Lww(b"v") }.encode();
    let share = Payload { key: b"n", body: Body::Counter { up: 3, down: 1 } }.encode();
    [register.encode(&value), counter.encode(&share)]
}

fn frame() -> Verified {
    let incarnation = Incarnation::after(None, WALL);
    let mut chain = Chain::start(Class::Cell, incarnation, Default::default());
    seal(&mut chain, &records(), &[], &Genesis::default().mesh_id(), &author())
}

fn proof(frame: &Verified) -> Bytes {
    let ids: Vec<Hash> = frame.leaves().iter().map(|leaf| leaf.id).collect();
    let paths = merkle::paths(&ids, &[1]);
    write_proof(frame.header(), &[(1, &paths[0], &records()[1])])
}

fn store(frame: &Verified) -> Store {
    let mut store = Store::new(Settings::new(Config::default()).unwrap(), Class::Cell, 0);
    store.merge(frame, &mut Vec::new(), &mut |_, _| ());
    store
}

fn made() -> BTreeMap<String, Vec<u8>> {
    let (frame, mesh) = (frame(), Genesis::default().mesh_id());
    let mut store = store(&frame);
    let salt = author_salt(&author().node_id().0);
    let digest = Digest {
        class: Class::Cell,
        reply: false,
        root: store.root(),
        count: store.len() as u32,
        wall: WALL,
    };
    let all: [(&str, Vec<u8>); 14] = [
        ("mesh id", mesh.0.to_vec()),
        ("author", author().node_id().0.to_vec()),
        ("record 0", records()[0].clone()),
        ("record 1", records()[1].clone()),
        ("leaf 0", frame.leaves()[0].id.to_vec()),
        ("leaf 1", frame.leaves()[1].id.to_vec()),
        ("root", frame.header().fields.root.to_vec()),
        ("frame", frame.bytes().to_vec()),
        ("proof of 1", proof(&frame).to_vec()),
        ("head id", frame.header().id(&mesh).to_vec()),
        ("position 16", Position::of(salt, 16).0.to_le_bytes().to_vec()),
        ("position head", Position::of(salt, Slot::HEAD.0).0.to_le_bytes().to_vec()),
        ("state root", store.root().0.to_vec()),
        ("digest", Message::Digest(digest).encode().to_vec()),
    ];
    all.map(|(name, bytes)| (name.to_owned(), bytes)).into()
}

#[test]
fn the_document_says_what_the_code_does() {
    let (documented, made) = (documented(), made());
    for (name, bytes) in &made {
        let said = documented.get(name).map(|bytes| HEXLOWER.encode(bytes));
        assert_eq!(said, Some(HEXLOWER.encode(bytes)), "{name}");
    }
    assert_eq!(documented.len(), made.len(), "each documented vector is made here");
}

#[test]
fn the_documented_bytes_verify() {
    let documented = documented();
    for name in ["frame", "proof of 1"] {
        let bytes = Bytes::from(documented[name].clone());
        let sealed = Sealed::read(&bytes, &Limits::default()).unwrap();
        let verified = verify(Job::new(sealed, Genesis::default().mesh_id())).unwrap();
        assert_eq!(verified.leaves().last().unwrap().id.to_vec(), documented["leaf 1"]);
    }
}
