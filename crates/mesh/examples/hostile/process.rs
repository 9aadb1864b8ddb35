//! The victim: this program again, as a process of its own whose every allocation is counted. It is
//! the real node; only what it says of itself is added.
#![expect(unsafe_code, reason = "a global allocator is unsafe by its trait; this one only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use knhk_mesh::core::admission::Denial;
use knhk_mesh::core::config::Admission;
use knhk_mesh::core::error::Refused;
use knhk_mesh::core::identity::Signer as _;
use knhk_mesh::identity::{Keypair, NodeId};
use knhk_mesh::time::WallMs;
use knhk_mesh::{Mesh, Options};

use crate::wire::ADMISSION_KEY;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grow(bytes: usize) {
    PEAK.fetch_max(LIVE.fetch_add(bytes, Relaxed) + bytes, Relaxed);
}

// SAFETY: every call is the system allocator's; the counters beside it allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grow(size);
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(at, layout, size) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Set, with what it is told, where a process is the victim.
const ROLE: &str = "KNHK_HOSTILE_VICTIM";
const MARK: &str = "victim> ";

/// What the victim says about itself: numbers by name.
pub(crate) type Report = BTreeMap<String, u64>;

pub(crate) struct Victim {
    pub(crate) addr: SocketAddr,
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Victim {
    /// A node that admits the keys of `admitted`, has written `records` of 1,000 bytes, and holds
    /// denials of as many others as `denied` says.
    pub(crate) fn start(admitted: &[[u8; 32]], records: u32, denied: u32) -> Self {
        let admitted: Vec<String> = admitted.iter().map(|id| crate::wire::text(id)).collect();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "victim", "--nocapture"]);
        command.env(ROLE, format!("{} {records} {denied}", admitted.join(",")));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut victim = Victim { addr: SocketAddr::from(([127, 0, 0, 1], 0)), child, lines };
        victim.addr = victim.line().parse().unwrap();
        victim
    }

    /// Since the last report for `peak`, since the start for what is counted.
    pub(crate) fn report(&mut self) -> Report {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let line = self.line();
        let pairs = line.split(' ').map(|word| word.split_once('=').unwrap());
        pairs.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
    }

    fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the victim is gone");
            // Beside what it says itself there is what a test's frame says.
            if let Some((_, said)) = line.split_once(MARK) {
                return said.trim().to_owned();
            }
        }
    }

    /// User and system time; the kernel counts in hundredths of a second.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(10 * ticks)
    }

    /// The most bytes that it ever had in memory.
    pub(crate) fn rss_peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1_024
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Its input ends with this process in any case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The life of the victim, if this process is to be it.
pub(crate) async fn be() -> bool {
    let Ok(role) = std::env::var(ROLE) else { return false };
    let [admitted, records, denied] = role.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{ROLE} is three words, not {role}")
    };
    let admitted: Vec<NodeId> = admitted.split(',').map(|id| id.parse().unwrap()).collect();
    let operator = Keypair::from_secret(&ADMISSION_KEY);
    let mut options = Options::default();
    options.config.admission = Admission::allowlist(admitted);
    options.config.genesis.admission_key = Some(operator.node_id());
    let mesh = Mesh::join(options).await.unwrap();
    for number in 0..denied.parse::<u64>().unwrap() {
        let who = Keypair::from_secret(&crate::wire::noise()).node_id();
        mesh.deny(Denial::sign(&operator, &mesh.mesh_id(), who, WallMs(number))).await.unwrap();
    }
    for number in 0..records.parse::<u32>().unwrap() {
        let value = format!("{number:0>900}");
        mesh.set(&format!("record {number}"), value).await.unwrap();
    }
    println!("{MARK}{}", mesh.local_addr());
    let (asked, mut asks) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        let lines = std::io::stdin().lines();
        lines.map_while(Result::ok).for_each(|_| asked.blocking_send(()).unwrap());
        // Nobody is there to be answered.
        std::process::exit(0);
    });
    while asks.recv().await.is_some() {
        let peak = PEAK.swap(LIVE.load(Relaxed), Relaxed);
        let status = mesh.status().await.unwrap();
        let counters = &status.node.counters;
        let links = |why| {
            let found = status.refused_links.iter().find(|(name, _)| *name == why);
            found.map_or(0, |(_, count)| *count)
        };
        let mut words = vec![
            ("live", LIVE.load(Relaxed) as u64),
            ("peak", peak as u64),
            ("links", status.node.links as u64),
            ("merged", counters.merged),
            ("stale", counters.stale),
            ("duplicates", counters.duplicates),
            // Of strangers: TLS verified each that was not admitted.
            ("handshakes", links("not_admitted")),
            ("timed_out", links("timed_out")),
            ("sessions", u64::from(counters.sessions)),
        ];
        let refused = Refused::ALL.map(|why| (why.name(), u64::from(counters.refused_for(why))));
        words.extend(refused);
        let words: Vec<_> = words.iter().map(|(name, n)| format!("{name}={n}")).collect();
        println!("{MARK}{}", words.join(" "));
    }
    true
}
