//! What the hostile node makes the victim hold: growth of its heap, counted by its allocator.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use quinn::Connection;
use tokio::time::{sleep, timeout};

use crate::answer::Hello;
use crate::process::Victim;
use crate::relay::Relay;
use crate::tls::{self, Fault};
use crate::wire::{self, Author};

/// How long an attack lasts that goes on.
const LONG: Duration = Duration::from_secs(4);

pub(crate) struct Held {
    pub(crate) name: &'static str,
    /// More than before, at the worst moment.
    pub(crate) heap: u64,
    /// What the system gave the process, since its start.
    pub(crate) rss: u64,
}

/// What may be tried before anybody is admitted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stranger {
    FirstPackets,
    LongChains,
    NoHello,
    Streams,
    Datagrams,
}

impl Stranger {
    pub(crate) const ALL: [Stranger; 5] = [
        Stranger::FirstPackets,
        Stranger::LongChains,
        Stranger::NoHello,
        Stranger::Streams,
        Stranger::Datagrams,
    ];

    const fn name(self) -> &'static str {
        match self {
            Stranger::FirstPackets => "first packets, never answered",
            Stranger::LongChains => "chains of 200 certificates, never ended",
            Stranger::NoHello => "handshakes without a hello",
            Stranger::Streams => "1 MiB on every stream there is, no hello",
            Stranger::Datagrams => "1 MiB of datagrams, no hello",
        }
    }

    /// `abreast` of them at once.
    pub(crate) async fn run(self, secret: [u8; 32], abreast: usize) -> Held {
        let mut victim = Victim::start(&[Author::new(secret).id()], 0, 0);
        sleep(Duration::from_millis(300)).await;
        let before = victim.report()["live"];
        let to = victim.addr;
        let attacks: Vec<_> = (0..abreast).map(|_| tokio::spawn(self.attack(to, secret))).collect();
        for attack in attacks {
            attack.await.unwrap();
        }
        held(self.name(), &mut victim, before)
    }

    async fn attack(self, to: SocketAddr, secret: [u8; 32]) {
        let endpoint = tls::endpoint([127, 0, 0, 1]);
        let (up, fault) = match self {
            Stranger::FirstPackets => (1, Fault::Nothing),
            Stranger::LongChains => (14, Fault::LongChain),
            _ => (u64::MAX, Fault::Nothing),
        };
        let relay = Relay::start(to, up, up > 1).await;
        let dial = tls::handshake(&endpoint, relay.addr, tls::config(secret, fault));
        let Ok(Ok(connection)) = timeout(LONG, dial).await else { return };
        let mut open = Vec::new();
        match self {
            Stranger::Streams => open = Hello::Streams.say(&connection).await,
            Stranger::Datagrams => {
                for _ in 0..1_024 {
                    let _ = connection.send_datagram(vec![0; 1_024].into());
                    tokio::task::yield_now().await;
                }
            }
            _ => {}
        }
        sleep(LONG).await;
        drop(open);
    }
}

/// What a member may try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    Streams,
    Declared,
    Bombs,
    BigFrames,
    OneOfEach,
    SmallInBig,
    Early,
    Questions,
    Sessions,
    Deaf,
    DeafToNotices,
    Redial,
}

impl Member {
    pub(crate) const ALL: [Member; 12] = [
        Member::Streams,
        Member::Declared,
        Member::Bombs,
        Member::BigFrames,
        Member::OneOfEach,
        Member::SmallInBig,
        Member::Early,
        Member::Questions,
        Member::Sessions,
        Member::Deaf,
        Member::DeafToNotices,
        Member::Redial,
    ];

    const fn name(self) -> &'static str {
        match self {
            Member::Streams => "a batch less its last byte on every stream",
            Member::Declared => "a batch declared on every stream, none sent",
            Member::Bombs => "batches that unpack 60-fold to 300 KB",
            Member::BigFrames => "frames of 256 KiB over all slots",
            Member::OneOfEach => "frames of 256 KiB of which one record stays",
            Member::SmallInBig => "small frames in batches of 256 KiB",
            Member::Early => "frames of 256 KiB that wait for their time",
            Member::Questions => "the longest have, want and ranges, answers not read",
            Member::Sessions => "sessions begun and not ended",
            Member::Deaf => "\"send me everything\", answers not read",
            Member::DeafToNotices => "\"other notices than yours\", answers not read",
            Member::Redial => "a new link every 50 ms, the old ones left open",
        }
    }

    pub(crate) async fn run(self, secret: [u8; 32], length: Duration) -> Held {
        let author = Author::new(secret);
        let records = if self == Member::Deaf { 1_000 } else { 0 };
        let denied = if self == Member::DeafToNotices { 2_000 } else { 0 };
        let mut victim = Victim::start(&[author.id()], records, denied);
        sleep(Duration::from_millis(300)).await;
        let before = victim.report()["live"];
        self.attack(victim.addr, secret, length).await;
        held(self.name(), &mut victim, before)
    }

    async fn attack(self, to: SocketAddr, secret: [u8; 32], length: Duration) {
        let endpoint = tls::endpoint([127, 0, 0, 1]);
        let link = tls::link(&endpoint, to, secret).await.unwrap();
        let end = Instant::now() + length;
        match self {
            Member::Streams | Member::Declared => {
                let sent = if self == Member::Streams { wire::MAX_BODY - 1 } else { 0 };
                let open = hang(&link, sent).await;
                sleep(length).await;
                drop(open);
            }
            Member::Redial => {
                let mut links = vec![link];
                while Instant::now() < end {
                    let dial = tls::link(&endpoint, to, secret);
                    links.extend(timeout(length, dial).await.into_iter().flatten());
                    sleep(Duration::from_millis(50)).await;
                }
            }
            _ => {
                let mut author = Author::new(secret);
                let mut number = 0;
                while Instant::now() < end && link.close_reason().is_none() {
                    let batch = self.batch(&mut author, number);
                    if timeout(length, tls::stream(&link, &batch)).await.is_err() {
                        break;
                    }
                    number += 1;
                    // What is sent above the budgets is forgotten unread and proves nothing.
                    sleep(self.pause()).await;
                }
                sleep(Duration::from_millis(300)).await;
            }
        }
    }

    fn pause(self) -> Duration {
        Duration::from_millis(match self {
            Member::BigFrames | Member::OneOfEach | Member::Early => 50,
            Member::Sessions | Member::Deaf => 20,
            Member::SmallInBig => 4,
            _ => 1,
        })
    }

    /// The next of an attack that goes on.
    fn batch(self, author: &mut Author, number: u32) -> Vec<u8> {
        let now = wire::now_ms() << 16;
        let slot = 300 + (number % 700) as u16;
        match self {
            Member::Bombs => wire::swollen(wire::BULK),
            Member::BigFrames => {
                let from = 16 + 252 * (number % 4) as u16;
                wire::batch(wire::DELTA, &[big(author, now, from..from + 252)])
            }
            Member::OneOfEach => {
                let slots = (16..267).chain([slot]);
                wire::batch(wire::DELTA, &[big(author, now, slots)])
            }
            Member::SmallInBig => {
                let small = author.frame(now, &[wire::record(slot, now, b"k", b"v")]);
                let mut other = Author::new([7; 32]);
                let rest = big(&mut other, now, 16..268);
                wire::batch(wire::DELTA, &[small, rest])
            }
            Member::Early => {
                let stamp = (wire::now_ms() + 4_500) << 16;
                wire::batch(wire::DELTA, &[big(author, stamp, 16..268)])
            }
            Member::Questions => {
                let messages = [
                    wire::references(wire::HAVE),
                    wire::references(wire::WANT),
                    wire::lists(number),
                    wire::digest(wire::noise(), 1_000),
                ];
                wire::batch(wire::CONTROL, &messages)
            }
            Member::Sessions => wire::batch(wire::CONTROL, &[wire::strange_opening(number)]),
            Member::Deaf => wire::batch(
                wire::CONTROL,
                &[vec![wire::RECOVER], wire::empty_opening(number), wire::digest(wire::noise(), 9)],
            ),
            Member::DeafToNotices => wire::batch(wire::BULK, &[wire::strange_summary()]),
            Member::Streams | Member::Declared | Member::Redial => Vec::new(),
        }
    }
}

/// A frame of records of 1,000 bytes.
fn big(author: &mut Author, stamp: u64, slots: impl IntoIterator<Item = u16>) -> Vec<u8> {
    let record = |slot: u16| wire::record(slot, stamp, &slot.to_le_bytes(), &[0; 950]);
    author.frame(stamp, &slots.into_iter().map(record).collect::<Vec<_>>())
}

/// As many streams as there may be, each with the head of the longest batch and `sent` bytes of it.
async fn hang(link: &Connection, sent: usize) -> Vec<quinn::SendStream> {
    let mut open = Vec::new();
    let bytes =
        [wire::batch_head(wire::BULK, false, wire::MAX_BODY as u32), vec![0; sent]].concat();
    let mut writes = Vec::new();
    while let Ok(Ok(stream)) = timeout(Duration::from_millis(300), link.open_uni()).await {
        open.push(stream);
    }
    for mut stream in open.drain(..) {
        let bytes = bytes.clone();
        writes.push(tokio::spawn(async move {
            let _ = timeout(Duration::from_secs(2), stream.write_all(&bytes)).await;
            stream
        }));
    }
    for write in writes {
        open.push(write.await.unwrap());
    }
    open
}

fn held(name: &'static str, victim: &mut Victim, before: u64) -> Held {
    let report = victim.report();
    Held { name, heap: report["peak"].saturating_sub(before), rss: victim.rss_peak() }
}
