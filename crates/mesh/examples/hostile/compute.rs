//! What the hostile node makes the victim compute, and answer once it is admitted, against the
//! budgets of docs/SECURITY.md.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use quinn::Connection;
use tokio::time::{sleep, timeout};

use crate::process::{Report, Victim};
use crate::tls::{self, Fault};
use crate::wire::{self, Author};

/// What a second of the attack costs the victim.
pub(crate) struct Cost {
    pub(crate) name: &'static str,
    /// Offered in a second.
    pub(crate) offered: f64,
    /// What the budget is about, in the whole time.
    pub(crate) counted: u64,
    /// The budget for that time, bursts included.
    pub(crate) budget: u64,
    pub(crate) unit: &'static str,
    /// Seconds of CPU for a second of attack.
    pub(crate) cpu: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Handshakes,
    HandshakesOfMany,
    Frames,
    FramesBothLanes,
    BadSignatures,
    Wants,
    Sessions,
    Recover,
    Summaries,
    ForgedDenials,
    DenialsAgain,
}

/// Messages and handshakes a second that are offered.
const RATE: u32 = 5_000;

impl Load {
    pub(crate) const ALL: [Load; 11] = [
        Load::Handshakes,
        Load::HandshakesOfMany,
        Load::Frames,
        Load::FramesBothLanes,
        Load::BadSignatures,
        Load::Wants,
        Load::Sessions,
        Load::Recover,
        Load::Summaries,
        Load::ForgedDenials,
        Load::DenialsAgain,
    ];

    const fn name(self) -> &'static str {
        match self {
            Load::Handshakes => "whole handshakes of strangers",
            Load::HandshakesOfMany => "the same from 128 addresses",
            Load::Frames => "new frames of one record, pushed",
            Load::FramesBothLanes => "the same, pushed and as repair",
            Load::BadSignatures => "frames with wrong signatures",
            Load::Wants => "want, of frames that there are",
            Load::Sessions => "sessions that ask for everything, without end",
            Load::Recover => "\"send me my records\"",
            Load::Summaries => "\"other notices than yours\", of 2,000 denials",
            Load::ForgedDenials => "denials that nobody signed",
            Load::DenialsAgain => "a hundred denials that it knows, in each message",
        }
    }

    pub(crate) async fn run(self, secret: [u8; 32], length: Duration) -> Cost {
        let id = Author::new(secret).id();
        let denied = if self.is_of_denials() { 2_000 } else { 0 };
        let mut victim = Victim::start(&[id], 1_000, denied);
        sleep(Duration::from_millis(500)).await;
        let (before, cpu, start) = (victim.report(), victim.cpu(), Instant::now());
        let (offered, got) = match self {
            Load::Handshakes => (storm(victim.addr, false, length).await, 0),
            Load::HandshakesOfMany => (storm(victim.addr, true, length).await, 0),
            _ => self.flood(victim.addr, secret, length).await,
        };
        let seconds = start.elapsed().as_secs_f64();
        let cpu = (victim.cpu() - cpu).as_secs_f64() / seconds;
        sleep(Duration::from_millis(500)).await;
        let after = victim.report();
        let (counted, budget, unit) = self.verdict(&before, &after, got, seconds);
        let offered = offered as f64 / seconds;
        Cost { name: self.name(), offered, counted, budget, unit, cpu }
    }

    fn is_of_denials(self) -> bool {
        matches!(self, Load::Summaries | Load::ForgedDenials | Load::DenialsAgain)
    }

    /// What was counted, what may be at most, and of what.
    fn verdict(
        self,
        before: &Report,
        after: &Report,
        got: u64,
        s: f64,
    ) -> (u64, u64, &'static str) {
        let grew = |names: &[&str]| names.iter().map(|name| after[*name] - before[*name]).sum();
        let checks = grew(&["merged", "stale", "signature"]);
        match self {
            // Loopback is no single address to the gate: 25 unproved and 100 proved a second,
            // each with two seconds' worth of burst.
            Load::Handshakes | Load::HandshakesOfMany => {
                (grew(&["handshakes"]), (125.0 * (s + 2.0)) as u64, "handshakes")
            }
            Load::Frames | Load::BadSignatures | Load::ForgedDenials => {
                (checks, (1_000.0 * (s + 2.0)) as u64, "signatures")
            }
            Load::FramesBothLanes => {
                (checks, (1_000.0 * (s + 2.0) + 1_000.0 * (s + 8.0)) as u64, "signatures")
            }
            Load::Wants | Load::Recover => {
                // A question of recovery is answered with 4 MiB at most, every five seconds.
                (got, (f64::from(4 << 20) * (s + 1.0)) as u64, "bytes")
            }
            Load::Sessions => (got, (f64::from(4 << 20) * (s + 1.0)) as u64, "bytes"),
            // All of them once in ten seconds, whatever is said.
            Load::Summaries | Load::DenialsAgain => {
                (got, (f64::from(250 << 10) * (1.0 + s / 10.0)) as u64, "bytes")
            }
        }
    }

    /// Offers messages on one link, as fast as it takes them, and on a new one when that ends; how
    /// many were offered, and the bytes of streams that came back.
    async fn flood(self, to: SocketAddr, secret: [u8; 32], length: Duration) -> (u64, u64) {
        let endpoint = tls::endpoint([127, 0, 0, 1]);
        let (heard, end) = (Arc::new(Heard::default()), Instant::now() + length);
        let (mut offered, mut author) = (0, Author::new(secret));
        while Instant::now() < end {
            let Ok(Ok(link)) = timeout(length, tls::link(&endpoint, to, secret)).await else {
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            let reader = tokio::spawn(hear(link.clone(), Arc::clone(&heard)));
            if self == Load::Wants {
                // A session tells which frames there are.
                let _ = tls::stream(&link, &wire::batch(wire::CONTROL, &[wire::empty_opening(1)]))
                    .await;
                sleep(Duration::from_millis(300)).await;
            }
            if self == Load::DenialsAgain && heard.denials.lock().unwrap().is_empty() {
                let asks = wire::batch(wire::BULK, &[wire::strange_summary()]);
                let _ = tls::stream(&link, &asks).await;
                sleep(Duration::from_millis(300)).await;
                assert!(!heard.denials.lock().unwrap().is_empty(), "it told none");
            }
            let start = Instant::now();
            let mut sent = 0;
            while Instant::now() < end && link.close_reason().is_none() {
                let due = (start.elapsed().as_secs_f64() * f64::from(RATE)) as u64;
                if sent >= due {
                    sleep(Duration::from_millis(2)).await;
                    continue;
                }
                let batch = self.batch(&mut author, 10, sent as u32, &heard);
                let written = timeout(Duration::from_secs(1), tls::stream(&link, &batch)).await;
                if !matches!(written, Ok(Ok(()))) {
                    break;
                }
                sent += 10;
            }
            offered += sent;
            if Instant::now() >= end {
                sleep(Duration::from_millis(500)).await;
            }
            reader.abort();
        }
        (offered, heard.bytes.load(Relaxed))
    }

    /// `count` messages.
    fn batch(self, author: &mut Author, count: u32, number: u32, heard: &Heard) -> Vec<u8> {
        let known = heard.references.lock().unwrap().clone();
        let denials = heard.denials.lock().unwrap().clone();
        let now = wire::now_ms() << 16;
        let mut frame = |n: u32| author.frame(now, &[wire::record(16 + n as u16, now, b"k", b"v")]);
        let (lane, message): (u8, &mut dyn FnMut(u32) -> Vec<u8>) = match self {
            Load::Frames => (wire::DELTA, &mut frame),
            Load::FramesBothLanes if number.is_multiple_of(20) => (wire::BULK, &mut frame),
            Load::FramesBothLanes => (wire::DELTA, &mut frame),
            Load::BadSignatures => (wire::DELTA, &mut |n| {
                let mut frame = frame(n);
                frame[160] ^= 1;
                frame
            }),
            Load::Wants => (wire::CONTROL, &mut |_| wire::listed(wire::WANT, &known)),
            Load::Sessions => (wire::CONTROL, &mut |n| wire::empty_opening(number + n)),
            Load::Summaries => (wire::BULK, &mut |_| wire::strange_summary()),
            Load::ForgedDenials => (wire::BULK, &mut |_| wire::denials(&[wire::forged_denial()])),
            Load::DenialsAgain => (wire::BULK, &mut |_| wire::denials(&denials)),
            _ => (wire::CONTROL, &mut |_| vec![wire::RECOVER]),
        };
        wire::batch(lane, &(0..count).map(message).collect::<Vec<_>>())
    }
}

/// What came back.
#[derive(Default)]
struct Heard {
    bytes: AtomicU64,
    /// Of frames that there are, as many as a message may name.
    references: Mutex<Vec<[u8; 56]>>,
    /// A hundred denials that there are.
    denials: Mutex<Vec<[u8; 112]>>,
}

async fn hear(link: Connection, heard: Arc<Heard>) {
    while let Ok(mut stream) = link.accept_uni().await {
        let heard = Arc::clone(&heard);
        tokio::spawn(async move {
            let Ok(batch) = stream.read_to_end(1 << 20).await else { return };
            heard.bytes.fetch_add(batch.len() as u64, Relaxed);
            let messages = wire::messages_in(&batch);
            let mut known = heard.references.lock().unwrap();
            let room = 256 - known.len();
            known.extend(messages.iter().filter_map(|message| wire::signed(message)).take(room));
            let mut denials = heard.denials.lock().unwrap();
            if denials.is_empty() {
                *denials =
                    messages.iter().flat_map(|m| wire::denials_in(m, 100)).take(100).collect();
            }
        });
    }
}

/// Whole handshakes of keys that are not admitted, 128 abreast; how many were begun.
async fn storm(to: SocketAddr, many: bool, length: Duration) -> u64 {
    let (begun, start) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let end = start + length;
    let tasks: Vec<_> = (0..128u32)
        .map(|task| {
            let begun = Arc::clone(&begun);
            tokio::spawn(async move {
                let last = if many { task as u8 } else { 0 };
                let endpoint = tls::endpoint([127, 0, last, 1]);
                let config = tls::config(wire::noise(), Fault::Nothing);
                while Instant::now() < end {
                    let due = (start.elapsed().as_secs_f64() * f64::from(RATE)) as u64;
                    if begun.load(Relaxed) >= due {
                        sleep(Duration::from_millis(1)).await;
                        continue;
                    }
                    begun.fetch_add(1, Relaxed);
                    let dial = tls::handshake(&endpoint, to, config.clone());
                    if let Ok(Ok(connection)) = timeout(Duration::from_secs(1), dial).await {
                        // The refusal comes after this end believes that it is done.
                        let _ = timeout(Duration::from_secs(1), connection.closed()).await;
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    begun.load(Relaxed)
}
