//! The victim: this program again, as a process that answers a line on its input with a line about
//! itself.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use knhk_mesh::identity::{MeshId, NodeId};
use knhk_mesh::{Mesh, Options};

/// Microseconds since 1970, for latencies between processes of one host.
pub(crate) fn stamp() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

/// What the victim says about itself.
pub(crate) struct Report {
    /// From the honest writer to the victim's watcher, since the last report.
    pub(crate) p50_us: u64,
    /// Of the attacker, if it was ever a peer.
    pub(crate) reputation: String,
    /// Everything it refused, by reason.
    pub(crate) refused: String,
}

pub(crate) struct Victim {
    pub(crate) addr: SocketAddr,
    pub(crate) mesh: MeshId,
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Victim {
    /// A fresh one, which looks at the reputation of `attacker`.
    pub(crate) fn start(attacker: NodeId) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["victim", &attacker.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mesh = Options::default().config.genesis.mesh_id();
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut victim = Victim { addr, mesh, child, lines };
        victim.addr = victim.line().parse().unwrap();
        victim
    }

    pub(crate) fn report(&mut self) -> Report {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let line = self.line();
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let mut word = || words.next().unwrap();
        Report { p50_us: word().parse().unwrap(), reputation: word(), refused: word() }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// User and system time; the kernel counts in hundredths of a second.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(10 * ticks)
    }

    /// Bytes in memory.
    pub(crate) fn rss(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).unwrap();
        statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4_096
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Its input ends with this process in any case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The life of the victim.
pub(crate) async fn be() {
    let attacker: NodeId = std::env::args().nth(2).unwrap().parse().unwrap();
    let mesh = Mesh::join(Options::default()).await.unwrap();
    println!("{}", mesh.local_addr());
    let latencies = Arc::new(Mutex::new(Vec::new()));
    let mut watch = mesh.watch("beat").await.unwrap();
    tokio::spawn({
        let (mesh, latencies) = (mesh.clone(), Arc::clone(&latencies));
        async move {
            while watch.next().await.is_some() {
                if let Ok(Some(value)) = mesh.get("beat").await {
                    let sent: u64 = String::from_utf8_lossy(&value.value).parse().unwrap();
                    latencies.lock().unwrap().push(stamp().saturating_sub(sent));
                }
            }
        }
    });
    let (asked, mut asks) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        let lines = std::io::stdin().lines();
        lines.map_while(Result::ok).for_each(|_| asked.blocking_send(()).unwrap());
        // Nobody is there to be answered.
        std::process::exit(0);
    });
    while asks.recv().await.is_some() {
        let mut seen = std::mem::take(&mut *latencies.lock().unwrap());
        seen.sort_unstable();
        let p50 = seen.get(seen.len() / 2).copied().unwrap_or_default();
        let status = mesh.status().await.unwrap();
        let peers = mesh.peers().await.unwrap();
        let known = peers.iter().find(|peer| peer.id == attacker);
        let reputation = known.map_or("none".into(), |peer| format!("{:.2}", peer.reputation));
        let mut refused: Vec<String> = knhk_mesh::core::error::Refused::ALL
            .iter()
            .map(|why| (why.name(), u64::from(status.node.counters.refused_for(*why))))
            .chain(status.refused_links)
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{name}:{count}"))
            .collect();
        refused.push(format!("links:{} merged:{}", status.node.links, status.node.counters.merged));
        println!("{p50} {reputation} {}", refused.join(" "));
    }
}
