//! The seeds: small valid inputs of each target, made here and kept in seeds/<target>/.
//!
//! ```text
//! cargo run --example seeds            writes them anew
//! cargo run --example seeds -- reach   counts `Ok` paths over seeds/ and corpus/
//! cargo test --example seeds           they are those of this file, and reach every path
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use bytes::Bytes;
use knhk_mesh_core::admission::{Denial, NEVER, Pass, Token};
use knhk_mesh_core::certified::{Certificate, Certified, Conflict, Fact, Vote};
use knhk_mesh_core::codec::Writer;
use knhk_mesh_core::crdt::value::{Body, Payload};
use knhk_mesh_core::digest::{Position, Prefix, Root, Summary};
use knhk_mesh_core::frame::{
    Chain, Class, Extension, FrameRef, Kind, RecordHead, Slot, Verified, seal, write_head,
};
use knhk_mesh_core::identity::{Genesis, Incarnation, Seq, Signer as _};
use knhk_mesh_core::membership::Member;
use knhk_mesh_core::messages::{Digest, Lane, Message, Range, RangeContent, Ranges};
use knhk_mesh_core::rng::Rng;
use knhk_mesh_core::time::{Hlc, WallMs};
use knhk_mesh_fuzz::admission::committee;
use knhk_mesh_fuzz::forge::{keypair, proof_of};
use knhk_mesh_fuzz::{TARGETS, Target, batch_format};

type Seeds = Vec<(String, Vec<u8>)>;

fn named<const N: usize>(seeds: [(&str, Vec<u8>); N]) -> Seeds {
    seeds.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

/// The seeds of one target.
fn seeds_of(target: &Target) -> Seeds {
    match target.0 {
        "codec_reader" => codec_reader(),
        "signed" => signed(),
        "message" => messages(),
        "record" => records(),
        "value" => values(),
        "member" => members(),
        "admission" => admissions(),
        "batch" => batches(),
        _ => drawn(target),
    }
}

fn codec_reader() -> Seeds {
    let mut every = vec![8, 0, 1, 2, 3, 4, 5, 6, 15];
    every.extend((0..61).map(|n| n + 1));
    every.extend([2, 0, 1, 1, 1, 2, 2, 2]);
    named([
        ("nothing", vec![0]),
        ("every_read", every),
        ("to_the_end", vec![1, 1, 7, 7]),
        ("count_at_end", vec![1, 7, 0, 0]),
    ])
}

fn hlc(n: u64) -> Hlc {
    Hlc::at(WallMs(1_800_000_000_000 + n))
}

fn register(slot: u16, value: &[u8]) -> Vec<u8> {
    let payload = Payload { key: b"key", body: Body::Lww(value) }.encode();
    RecordHead::new(Slot(slot), Kind::LWW, hlc(u64::from(slot))).encode(&payload)
}

fn frame(chain: &mut Chain, records: usize, extensions: &[Extension<'_>]) -> Verified {
    let records: Vec<_> = (0..records).map(|n| register(16 + n as u16, b"value")).collect();
    seal(chain, &records, extensions, &Genesis::default().mesh_id(), keypair(0))
}

fn signed() -> Seeds {
    let mut chain = Chain::start(Class::Cell, Incarnation(5), Default::default());
    let one = frame(&mut chain, 1, &[]);
    let mut fork = chain.clone();
    let five = frame(&mut chain, 5, &[]);
    let later = frame(&mut fork, 2, &[Extension { kind: 9, value: b"later" }]);
    let mut region = Chain::start(Class::Region, Incarnation(5), Default::default());
    named([
        ("frame_of_one", one.bytes().to_vec()),
        ("frame_of_five", five.bytes().to_vec()),
        ("frame_extended", later.bytes().to_vec()),
        ("frame_of_a_region", frame(&mut region, 2, &[]).bytes().to_vec()),
        ("proof_of_two", proof_of(&five, &[1, 4]).to_vec()),
        ("proof_of_one", proof_of(&one, &[0]).to_vec()),
        ("head", write_head(five.header(), None).to_vec()),
        ("conviction", write_head(five.header(), Some(later.header())).to_vec()),
    ])
}

fn messages() -> Seeds {
    let class = Class::Cell;
    let digest =
        Digest { class, reply: true, root: Root([3; 32]), count: 7, wall: WallMs(1_800_000) };
    let named_frame = |n| FrameRef {
        author: keypair(1).node_id(),
        incarnation: Incarnation(5),
        seq_lo: Seq(n),
        tag: n,
    };
    let child = |n| Prefix::ROOT.child(n).expect("the root has sixteen children");
    let items = |n| vec![(child(n).first(), 1), (Position(child(n).first().0 + 1), 2)];
    let content = |answer, n| RangeContent::Items { answer, items: items(n) };
    let steps = vec![
        Range { prefix: child(1), content: RangeContent::Branches(Box::new([SUMMARY; 16])) },
        Range { prefix: child(2), content: content(true, 2) },
        Range { prefix: child(9), content: content(false, 9) },
    ];
    let ranges =
        |step, ranges| Message::Ranges(Ranges { class, session: 9, step, salt: 0, ranges });
    let all = [
        ("digest", Message::Digest(digest)),
        ("have", Message::Have(vec![named_frame(1), named_frame(2)])),
        ("want", Message::Want(vec![named_frame(3)])),
        ("have_nothing", Message::Have(Vec::new())),
        ("prune", Message::Prune),
        ("ranges", ranges(1, steps)),
        ("last_ranges", ranges(4, Vec::new())),
        ("recover", Message::Recover),
        ("recovered", Message::Recovered(12)),
        ("alive", Message::Alive(true)),
        ("ask", Message::Ask(keypair(1).node_id())),
        ("vouch", Message::Vouch(keypair(2).node_id())),
        ("signed", Message::Signed(Bytes::from_static(&[1, 2, 3]))),
    ];
    named(all.map(|(name, message)| (name, message.encode().to_vec())))
}

const SUMMARY: Summary = Summary { sum: 77, count: 2 };

fn records() -> Seeds {
    let plain = RecordHead::new(Slot(20), Kind::COUNTER, hlc(1));
    let flagged = RecordHead {
        tombstone: true,
        ephemeral: true,
        ttl_ds: 30,
        trace: Some([5; 24]),
        ..RecordHead::new(Slot(0), Kind(200), hlc(2))
    };
    let both = [plain.encode(b"payload"), plain.encode(b"")].concat();
    named([
        ("plain", plain.encode(b"payload")),
        ("every_flag", flagged.encode(b"of a later version")),
        ("two", both),
    ])
}

fn values() -> Seeds {
    let mut list = Writer::default();
    list.u8(2).bytes(&[1; 8]).u64(10).bytes(&[2; 8]).u64(20);
    let seen = list.into_vec();
    let payload =
        |kind: Kind, parts: &[&[u8]]| [&[kind.0, 3][..], b"key", &parts.concat()].concat();
    named([
        ("lww", payload(Kind::LWW, &[b"value"])),
        ("multi", payload(Kind::MULTI, &[&seen, b"value"])),
        ("multi_first", payload(Kind::MULTI, &[&[0], b"value"])),
        ("counter", payload(Kind::COUNTER, &[&[7; 16]])),
        ("set_add", payload(Kind::SET_ADD, &[&[2, 0], b"me", &seen])),
        ("set_remove", payload(Kind::SET_REMOVE, &[&[2, 0], b"me", &seen])),
        ("max", payload(Kind::MAX, &[&[1; 8]])),
        ("min", payload(Kind::MIN, &[&[255; 8]])),
    ])
}

fn members() -> Seeds {
    let v4 = ([10, 0, 0, 1], 7_000).into();
    let v6 = ([0xfd00, 0, 0, 0, 0, 0, 0, 1], 7_000).into();
    let nobody = ([0, 0, 0, 0], 7_000).into();
    let member = |left, addresses| Member {
        left,
        wire_version: 1,
        region: "north".into(),
        zone: "a".into(),
        addresses,
    };
    let later = [member(false, vec![v4]).encode(), b"later".to_vec()].concat();
    named([
        ("no_address", member(false, vec![]).encode()),
        ("left", member(true, vec![v4]).encode()),
        ("four_addresses", member(false, vec![v4, v6, v4, v6]).encode()),
        ("address_of_nobody", member(false, vec![v4, nobody, v6]).encode()),
        ("later_fields", later),
    ])
}

fn admissions() -> Seeds {
    let (mesh, by_when, node) = (Genesis::default().mesh_id(), WallMs(9), keypair(1).node_id());
    let token = |to| Token::sign(keypair(0), &mesh, [7; 16], by_when, NEVER, to);
    let (bearer, bound) = (token(None), token(Some(node)));
    let own = Pass::of_token(bound.clone()).expect("it is bound");
    let by_node = Pass::sign(
        keypair(1),
        bound.clone(),
        &mesh,
        bearer.clone(),
        keypair(2).node_id(),
        WallMs(1),
    );
    let of_kind = |kind, bytes: &[u8]| [&[kind], bytes].concat();
    let committee = committee();
    let signed = |n, fact| Vote::sign(keypair(n), fact, &committee, &mesh).expect("a member");
    let certified = |fact: &Fact| -> Certified {
        let votes = [0, 1, 2].map(|n| signed(n, fact.clone()));
        Certificate::join(&votes, &committee, &mesh).expect("three of four")
    };
    let fact = |value: &[u8]| Fact::new("k", 1, value.to_vec()).expect("within the bounds");
    let void = certified(&Fact::void(&node, Incarnation(9)));
    let [a, b] = [b"a", b"b"].map(|value| certified(&fact(value)));
    let conflict = Conflict::between(&a, &b).expect("two values");
    named([
        ("bearer_token", of_kind(0, &bearer.encode())),
        ("bound_token", of_kind(0, &bound.encode())),
        ("text", of_kind(1, bearer.to_text().as_bytes())),
        ("pass_by_token", of_kind(2, &own.encode())),
        ("pass_by_node", of_kind(2, &by_node.encode())),
        ("denial", of_kind(3, &Denial::sign(keypair(0), &mesh, node, WallMs(1)).encode())),
        ("vote", of_kind(4, &signed(1, fact(b"")).encode())),
        ("certificate", of_kind(5, &void.certificate().encode())),
        ("conflict", of_kind(6, &conflict.proof().encode())),
    ])
}

fn batches() -> Seeds {
    let text = Bytes::from(b"so it goes ".repeat(60));
    let small = Bytes::from_static(b"small");
    named([
        ("greeting", batch_format::encode(Lane::Control, &[], false)),
        ("digest", batch_format::encode(Lane::Digest, std::slice::from_ref(&small), false)),
        ("delta", batch_format::encode(Lane::Delta, &[small.clone(), small], false)),
        ("bulk_zstd", batch_format::encode(Lane::Bulk, &[text.clone(), text], true)),
    ])
}

/// Plans drawn at random, each kept if it reached a path that none before it did.
fn drawn(target: &Target) -> Seeds {
    let (mut rng, mut missing) = (Rng::new(11), target.2.to_vec());
    let mut seeds = Seeds::new();
    for _ in 0..5_000 {
        if missing.is_empty() {
            break;
        }
        let len = 40 + rng.below(360);
        let plan: Vec<u8> = (0..len).map(|_| rng.below(256) as u8).collect();
        let before = missing.len();
        (target.1)(&plan, &mut |path| missing.retain(|m| *m != path));
        if missing.len() < before {
            seeds.push((format!("plan_{:02}", seeds.len()), plan));
        }
    }
    seeds
}

fn folder(parent: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(parent).join(target)
}

fn inputs(folder: &Path) -> Seeds {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let read = |file: fs::DirEntry| {
        let name = file.file_name().into_string().ok()?;
        Some((name, fs::read(file.path()).ok()?))
    };
    let mut all: Seeds = files.filter_map(read).collect();
    all.sort();
    all
}

/// How often each path was reached.
fn reach(target: &Target, inputs: &Seeds) -> BTreeMap<&'static str, usize> {
    let mut hits: BTreeMap<_, usize> = target.2.iter().map(|path| (*path, 0)).collect();
    for (_, input) in inputs {
        (target.1)(input, &mut |path| *hits.get_mut(path).expect("a path of this target") += 1);
    }
    hits
}

fn write(target: &Target) {
    let folder = folder("seeds", target.0);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("the folder of the seeds");
    for (name, bytes) in seeds_of(target) {
        fs::write(folder.join(name), bytes).expect("a seed");
    }
}

fn main() {
    let counts = env::args().nth(1).is_some_and(|what| what == "reach");
    for target in &TARGETS {
        if !counts {
            write(target);
        }
        for parent in ["seeds", "corpus"].into_iter().take(1 + usize::from(counts)) {
            let inputs = inputs(&folder(parent, target.0));
            let hits = reach(target, &inputs);
            println!("{} ({parent}, {} inputs): {hits:?}", target.0, inputs.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_those_of_this_file() {
        // Which plans are kept depends on how nodes behave, not on the format alone.
        let fixed = |target: &&Target| !["node", "ranges"].contains(&target.0);
        for target in TARGETS.iter().filter(fixed) {
            let mut made = seeds_of(target);
            made.sort();
            assert!(made == inputs(&folder("seeds", target.0)), "{}: write them anew", target.0);
        }
    }

    #[test]
    fn the_seeds_reach_every_ok_path() {
        for target in &TARGETS {
            let hits = reach(target, &inputs(&folder("seeds", target.0)));
            let missing: Vec<_> = hits.iter().filter(|(_, n)| **n == 0).collect();
            assert!(missing.is_empty(), "{}: not reached: {missing:?}", target.0);
        }
    }
}
