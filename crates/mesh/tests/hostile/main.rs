//! The hostile node of `--example hostile`, small: bytes and bounds are counted, never times. Its
//! victims are processes of this test.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic, reason = "a test")]
#![allow(dead_code, reason = "the example uses the rest")]

#[path = "../../examples/hostile/allocate.rs"]
mod allocate;
#[path = "../../examples/hostile/answer.rs"]
mod answer;
#[path = "../../examples/hostile/bounds.rs"]
mod bounds;
#[path = "../../examples/hostile/process.rs"]
mod process;
#[path = "../../examples/hostile/relay.rs"]
mod relay;
#[path = "../../examples/hostile/tls.rs"]
mod tls;
#[path = "../../examples/hostile/wire.rs"]
mod wire;

use std::time::Duration;

use allocate::{Member, Stranger};
use answer::Way;
use data_encoding::HEXLOWER;

/// Not a test where it runs as one: the life of a victim, in a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn victim() {
    process::be().await;
}

/// Lines of the vectors at the end of docs/WIRE.md, those that continue included.
fn vector(name: &str) -> Vec<u8> {
    let text = include_str!("../../../../docs/WIRE.md");
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&format!("{name}  ")));
    let first = lines.next().unwrap().strip_prefix(name).unwrap().trim().to_owned();
    let rest = lines.take_while(|line| line.starts_with("  ")).map(str::trim);
    let hex = std::iter::once(first.as_str()).chain(rest).collect::<String>();
    HEXLOWER.decode(hex.as_bytes()).unwrap()
}

#[test]
fn what_is_made_from_the_document_alone_is_its_vectors() {
    let mut author = wire::Author::new([7; 32]);
    author.mesh = wire::mesh_named("default", None);
    assert_eq!(author.mesh.as_slice(), vector("mesh id"));
    author.incarnation = 1_800_000_000 << 24;
    assert_eq!(author.id().as_slice(), vector("author"));
    let stamp = 1_800_000_000_000 << 16;
    let records = [vector("record 0"), vector("record 1")];
    assert_eq!(wire::record(16, stamp, b"k", b"v"), records[0]);
    assert_eq!(author.frame(stamp + 1, &records), vector("frame"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_more_bytes_than_it_sent_before_it_is_admitted() {
    let secret = wire::noise();
    for answered in answer::join(Way::ALL.map(|way| way.run(secret, 2))).await {
        let counts = answered.counts;
        assert!(counts.sent > 0, "{}: {counts:?}", answered.name);
        assert!(counts.got <= counts.sent, "{}: {counts:?}", answered.name);
        assert_eq!(counts.excess, 0, "never ahead: {}: {counts:?}", answered.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_stays_within_its_bounds() {
    let secret = wire::noise();
    let strangers = [Stranger::LongChains, Stranger::Streams, Stranger::Datagrams];
    for held in answer::join(strangers.map(|stranger| stranger.run(secret, 70))).await {
        assert!(held.heap <= bounds::STRANGERS_BYTES, "{}: {}", held.name, held.heap);
    }
    let members = [Member::Streams, Member::Bombs, Member::OneOfEach, Member::SmallInBig];
    let length = Duration::from_secs(2);
    for held in answer::join(members.map(|member| member.run(secret, length))).await {
        assert!(held.heap <= bounds::MEMBER_BYTES, "{}: {}", held.name, held.heap);
    }
}
