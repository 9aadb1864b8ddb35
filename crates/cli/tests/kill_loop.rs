//! Three real processes under writes, one of them killed with -9 again and again: what was
//! acknowledged is there in the end, nothing counts twice, nobody convicts itself. A few rounds
//! here; `make kill-loop ROUNDS=200` runs as many as it is told, and prints what it saw.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Folder, Node, until, until_within};
use knhk_mesh::rng::Rng;
use serde_json::Value;

const NODES: usize = 3;
/// Keys that one writer sets in turn.
const KEYS: u64 = 40;
/// How long all may take to agree after the last start.
const AGREE: Duration = Duration::from_secs(60);

/// What one writer knows of its writes.
#[derive(Default)]
struct Ledger {
    /// Of one node's counter: increments with a receipt, and without an answer.
    counted: u64,
    in_doubt: u64,
    /// Per key: the newest value with a receipt, and the newest that was asked for.
    newest: BTreeMap<u64, (u64, u64)>,
    refused: u64,
}

/// Writes to the node at `data` until told to stop, through kills and starts.
fn write(data: &Path, name: usize, stop: &AtomicBool) -> Ledger {
    let mut ledger = Ledger::default();
    let mut value = 0;
    while !stop.load(Ordering::Relaxed) {
        let Ok(stream) = UnixStream::connect(data.join("control.sock")) else {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut lines = BufReader::new(stream);
        while !stop.load(Ordering::Relaxed) {
            value += 1;
            let key = value % KEYS;
            let entry = ledger.newest.entry(key).or_default();
            let incr = format!(r#"{{"v":1,"op":"incr","key":"hits/{name}"}}"#);
            let set = format!(r#"{{"v":1,"op":"set","key":"k/{name}/{key}","value":"{value}"}}"#);
            let line = if value % 2 == 0 { incr } else { set };
            let is_incr = value % 2 == 0;
            let answer = ask(&mut lines, &line);
            let lost = answer.is_none();
            match answer {
                Some(answer) if answer["ok"]["seq"].is_u64() => {
                    if is_incr {
                        ledger.counted += 1;
                    } else {
                        *entry = (value, value);
                    }
                }
                Some(answer) if answer["error"]["code"] != "timeout" => ledger.refused += 1,
                // No answer, or one that leaves it open: it may have been made.
                _ if is_incr => ledger.in_doubt += 1,
                _ => entry.1 = value,
            }
            if lost {
                break;
            }
        }
    }
    ledger
}

/// `None` if the connection ended.
fn ask(lines: &mut BufReader<UnixStream>, line: &str) -> Option<Value> {
    let mut answer = String::new();
    let asked = lines.get_mut().write_all(format!("{line}\n").as_bytes());
    let read = asked.and_then(|()| lines.read_line(&mut answer));
    read.ok().filter(|_| answer.ends_with('\n'))?;
    serde_json::from_str(&answer).ok()
}

fn figure(node: &Node, key: &str) -> u64 {
    node.get(key).map_or(0, |text| text.parse().unwrap())
}

struct Loop {
    folders: Vec<PathBuf>,
    addresses: Vec<String>,
    nodes: Vec<Option<Node>>,
    incarnations: Vec<u64>,
}

impl Loop {
    fn new(folder: &Folder) -> Loop {
        let folders: Vec<PathBuf> = (0..NODES).map(|i| folder.path(&format!("{i}"))).collect();
        let mut nodes: Vec<Option<Node>> = Vec::new();
        for data in &folders {
            let seeds = nodes.first().and_then(Option::as_ref).map(|node| node.address.clone());
            let more: Vec<&str> = seeds.iter().flat_map(|seed| ["--seeds", seed]).collect();
            nodes.push(Some(Node::start(data, &more)));
        }
        let all = nodes.iter().flatten();
        let addresses = all.clone().map(|node| node.address.clone()).collect();
        all.for_each(|node| node.await_members(NODES as u64));
        Loop { folders, addresses, nodes, incarnations: vec![0; NODES] }
    }

    /// Kills one, waits a moment, starts it on its address, and looks at it.
    fn round(&mut self, rng: &mut Rng) -> Duration {
        let victim = rng.below(NODES as u32) as usize;
        std::thread::sleep(Duration::from_millis(u64::from(rng.below(250))));
        self.nodes[victim].take().unwrap().kill();
        std::thread::sleep(Duration::from_millis(u64::from(rng.below(150))));
        // Now and then the one that is killed is the only one that knows the others.
        let other = &self.addresses[(victim + 1 + rng.below(2) as usize) % NODES];
        let bind = self.addresses[victim].clone();
        let more: &[&str] =
            if rng.chance(0.5) { &["--bind", &bind, "--seeds", other] } else { &["--bind", &bind] };
        let started = Instant::now();
        let node = Node::start(&self.folders[victim], more);
        let status = until("it is ready", || {
            let status = node.json(&["status"]);
            assert_ne!(status["state"], "convicted", "{status}");
            (status["state"] == "ready").then_some(status)
        });
        let incarnation = status["incarnation"].as_u64().unwrap();
        assert!(incarnation > self.incarnations[victim], "an incarnation is used once");
        self.incarnations[victim] = incarnation;
        self.nodes[victim] = Some(node);
        started.elapsed()
    }
}

#[test]
fn no_kill_loses_an_acknowledged_write_or_counts_one_twice() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let rounds = number("KILL_ROUNDS").unwrap_or(6);
    let seed = number("KILL_SEED").unwrap_or(1);
    let folder = Folder::new();
    let mut mesh = Loop::new(&folder);
    let stop = AtomicBool::new(false);
    let mut rng = Rng::new(seed);
    let begin = Instant::now();
    let (ledgers, mut back) = std::thread::scope(|scope| {
        let writers: Vec<_> = (mesh.folders.clone().into_iter().enumerate())
            .map(|(name, data)| {
                let stop = &stop;
                scope.spawn(move || write(&data, name, stop))
            })
            .collect();
        let back: Vec<Duration> = (0..rounds).map(|_| mesh.round(&mut rng)).collect();
        stop.store(true, Ordering::Relaxed);
        let ledgers: Vec<Ledger> =
            writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        (ledgers, back)
    });
    let took = begin.elapsed();
    let nodes: Vec<&Node> = mesh.nodes.iter().flatten().collect();
    let agreeing = Instant::now();
    until_within(AGREE, "equal digests", || {
        let digests: Vec<String> = nodes.iter().map(|node| node.tell(&["digest"])).collect();
        digests.iter().all(|digest| *digest == digests[0]).then_some(())
    });
    let agreed = agreeing.elapsed();
    for node in &nodes {
        let status = node.json(&["status"]);
        assert_eq!(status["state"], "ready", "{status}");
        assert_eq!(status["refused"]["messages"]["convicted"], Value::Null, "{status}");
        for (name, ledger) in ledgers.iter().enumerate() {
            let shown = figure(node, &format!("hits/{name}"));
            let most = ledger.counted + ledger.in_doubt;
            assert!(
                (ledger.counted..=most).contains(&shown),
                "{shown} of {}..={most}",
                ledger.counted
            );
            for (key, (stored, asked)) in &ledger.newest {
                let shown = figure(node, &format!("k/{name}/{key}"));
                assert!(shown == *stored || (*stored..=*asked).contains(&shown), "{key}: {shown}");
            }
        }
    }
    back.sort_unstable();
    let sum = |of: fn(&Ledger) -> u64| ledgers.iter().map(of).sum::<u64>();
    let ms = |time: Option<&Duration>| time.map_or(0, Duration::as_millis);
    println!(
        "{rounds} rounds in {:.0} s (seed {seed}): {} increments acknowledged, {} in doubt, {} \
         refused; ready again after p50 {} ms, max {} ms; all agreed {} ms after the last start",
        took.as_secs_f64(),
        sum(|ledger| ledger.counted),
        sum(|ledger| ledger.in_doubt),
        sum(|ledger| ledger.refused),
        ms(back.get(back.len() / 2)),
        ms(back.last()),
        agreed.as_millis(),
    );
}
