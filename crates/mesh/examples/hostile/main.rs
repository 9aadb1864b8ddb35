//! A hostile node against a real one, over real QUIC on loopback. Its side is written from
//! docs/WIRE.md: keys, certificates, batches, messages and signatures are of its own making. Three
//! things are measured, each against what docs/SECURITY.md promises:
//!
//! ```text
//!   allocate   what it makes the victim hold, counted by the victim's allocator
//!   answer     bytes that the victim sends before it admitted anybody, for each that it got
//!   compute    signatures, handshakes, answers and CPU of the victim
//! ```
//!
//! `cargo run --release -p knhk-mesh --example hostile -- [-o json] [part ...]`, on Linux;
//! `make hostile`. Exit code 1 if anything is above its bound, 2 if there is no such part.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a measurement")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a measurement")]

mod allocate;
mod answer;
mod bounds;
mod compute;
mod process;
mod relay;
mod tls;
mod wire;

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

const PARTS: [&str; 3] = ["allocate", "answer", "compute"];
/// An attack that goes on lasts so long.
const LENGTH: Duration = Duration::from_secs(5);
/// Handshakes that are left half-way at once, in each row of `answer`.
const ABREAST: usize = 8;
/// Strangers at once, in each row of `allocate`: more than there are places for.
const STRANGERS: usize = 100;

/// One line of a table.
struct Row {
    part: &'static str,
    name: String,
    measured: f64,
    bound: f64,
    unit: &'static str,
    /// What else was seen.
    more: Value,
}

impl Row {
    fn within(&self) -> bool {
        self.measured <= self.bound
    }

    fn show(&self) {
        let verdict = if self.within() { "within" } else { "ABOVE" };
        let more = self.more.as_object().unwrap();
        let more: Vec<_> = more.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let (measured, bound) = (number(self.measured), number(self.bound));
        println!(
            "{:<9} {:<64} {measured:>8} <= {bound:>8} {:<13} {verdict:<7} {}",
            self.part,
            self.name,
            self.unit,
            more.join(", ")
        );
    }

    fn json(&self) -> Value {
        json!({
            "part": self.part, "name": self.name, "measured": self.measured, "bound": self.bound,
            "unit": self.unit, "within": self.within(), "more": self.more,
        })
    }
}

fn number(value: f64) -> String {
    if value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    if process::be().await {
        return ExitCode::SUCCESS;
    }
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let as_json = args.windows(2).position(|two| two == ["-o", "json"]);
    if let Some(at) = as_json {
        args.drain(at..at + 2);
    }
    if let Some(strange) = args.iter().find(|arg| !PARTS.contains(&arg.as_str())) {
        eprintln!("there is no part {strange}; parts are {}, and -o json", PARTS.join(", "));
        return ExitCode::from(2);
    }
    let chosen = |part: &str| args.is_empty() || args.iter().any(|arg| arg == part);
    let secret = wire::noise();
    let mut rows = Vec::new();
    if chosen("allocate") {
        rows.extend(allocate_rows(secret, as_json.is_none()).await);
    }
    if chosen("answer") {
        rows.extend(answer_rows(secret, as_json.is_none()).await);
    }
    if chosen("compute") {
        rows.extend(compute_rows(secret, as_json.is_none()).await);
    }
    let above = rows.iter().filter(|row| !row.within()).count();
    if as_json.is_some() {
        let rows: Vec<Value> = rows.iter().map(Row::json).collect();
        println!("{}", json!({ "rows": rows, "above": above }));
    } else {
        println!("{} measured, {above} above its bound", rows.len());
    }
    if above == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn keep(rows: &mut Vec<Row>, row: Row, shown: bool) {
    if shown {
        row.show();
    }
    rows.push(row);
}

async fn allocate_rows(secret: [u8; 32], shown: bool) -> Vec<Row> {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let row = |who: &str, held: &allocate::Held, bound| Row {
        part: "allocate",
        name: format!("{who}: {}", held.name),
        measured: mib(held.heap),
        bound: mib(bound),
        unit: "MiB of heap",
        more: json!({ "peak_rss_mib": mib(held.rss).round() }),
    };
    let mut rows = Vec::new();
    // Each has a victim of its own, and what is counted does not depend on the time.
    let strangers = allocate::Stranger::ALL.map(|stranger| stranger.run(secret, STRANGERS));
    for held in answer::join(strangers).await {
        keep(&mut rows, row("strangers", &held, bounds::STRANGERS_BYTES), shown);
    }
    for some in allocate::Member::ALL.chunks(4) {
        let some = some.iter().map(|member| member.run(secret, LENGTH));
        for held in answer::join(some).await {
            keep(&mut rows, row("member", &held, bounds::MEMBER_BYTES), shown);
        }
    }
    rows
}

async fn answer_rows(secret: [u8; 32], shown: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    let ways = answer::Way::ALL.map(|way| way.run(secret, ABREAST));
    for answered in answer::join(ways).await {
        let counts = answered.counts;
        let row = Row {
            part: "answer",
            name: answered.name,
            measured: counts.ratio(),
            bound: bounds::ANSWER_RATIO,
            unit: "of its bytes",
            more: json!({ "sent": counts.sent, "got": counts.got, "ahead": counts.excess }),
        };
        keep(&mut rows, row, shown);
    }
    rows
}

async fn compute_rows(secret: [u8; 32], shown: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    for load in compute::Load::ALL {
        let cost = load.run(secret, LENGTH).await;
        let row = Row {
            part: "compute",
            name: cost.name.into(),
            measured: cost.counted as f64,
            bound: cost.budget as f64,
            unit: cost.unit,
            more: json!({
                "offered_per_s": cost.offered.round(),
                "cpu": (cost.cpu * 1_000.0).round() / 1_000.0,
            }),
        };
        keep(&mut rows, row, shown);
        let row = Row {
            part: "compute",
            name: format!("{}, CPU", cost.name),
            measured: cost.cpu,
            bound: bounds::CPU,
            unit: "of a core",
            more: json!({}),
        };
        keep(&mut rows, row, shown);
    }
    rows
}
