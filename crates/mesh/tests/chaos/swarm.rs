//! Whole nodes on the network in memory: keys, choices and both clocks follow from the seed.

use std::sync::Arc;
use std::time::Duration;

use knhk_mesh::clock::WallClock;
use knhk_mesh::config::{Config, Lanes};
use knhk_mesh::identity::Keypair;
use knhk_mesh::node::Status;
use knhk_mesh::rng::mix;
use knhk_mesh::time::WallMs;
use knhk_mesh::transport::Settings;
use knhk_mesh::{Identity, Mesh, Options, Profile, TransportKind};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::net::{Net, Weather};

/// When the story begins, in milliseconds since 1970.
const BEGIN: WallMs = WallMs(1_800_000_000_000);
/// One round.
pub(crate) const ROUND: Duration = Duration::from_millis(100);
/// As many start at once: a large mesh grows, or every seed would meet all nodes in one moment.
const WAVE: usize = 50;
/// No scenario waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const FINE: Weather =
    Weather { delay: Duration::from_millis(4), jitter: Duration::from_millis(4), loss: 0.0 };

pub(crate) struct Swarm {
    pub(crate) net: Net,
    pub(crate) nodes: Vec<Mesh>,
    seed: u64,
    config: Config,
    born: u64,
    wall: WallClock,
    writes: u32,
}

/// Runs `story` on a runtime of its own whose clock only moves when nobody has anything to do.
pub(crate) fn tell<R>(story: impl Future<Output = R>) -> R {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(story)
}

impl Swarm {
    /// `n` nodes that know each other.
    pub(crate) async fn gather(n: usize, seed: u64, lanes: Lanes) -> Self {
        Self::configured(n, seed, Config { lanes, ..Options::default().config }).await
    }

    /// The same with more to choose.
    pub(crate) async fn configured(n: usize, seed: u64, config: Config) -> Self {
        let net = Net::new(seed, FINE);
        let wall = WallClock::virtual_from(BEGIN);
        let mut swarm = Swarm { net, nodes: Vec::new(), seed, config, born: 0, wall, writes: 0 };
        while swarm.nodes.len() < n {
            for _ in 0..WAVE.min(n - swarm.nodes.len()) {
                swarm.join().await;
            }
            let took = swarm.acquainted().await;
            if n > WAVE {
                println!("{} of {n} nodes are in, the last after {took:?}", swarm.nodes.len());
            }
        }
        swarm
    }

    /// One more node.
    pub(crate) async fn join(&mut self) {
        self.born += 1;
        let node = self.start(Identity::New(self.key(self.born)), self.born).await;
        self.nodes.push(node);
    }

    /// The key of the node that was born as number `born`, from 1.
    pub(crate) fn key(&self, born: u64) -> Keypair {
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&mix(self.seed ^ mix(born)).to_le_bytes());
        Keypair::from_secret(&secret)
    }

    /// A node that is none of the swarm's.
    pub(crate) async fn start(&self, identity: Identity, number: u64) -> Mesh {
        let options = Options {
            config: self.config.clone(),
            transport: TransportKind::QuicOver(Arc::new(self.net.clone())),
            seeds: self.nodes.iter().take(3).map(Mesh::local_addr).collect(),
            identity,
            clock: self.wall.clone(),
            profile: Profile::Lean,
            random_seed: Some(mix(self.seed ^ mix(number))),
            ..Options::default()
        };
        Mesh::join(options).await.unwrap()
    }

    /// What a transport of its own needs, to be a member that breaks the rules.
    pub(crate) fn settings(&self, key: Keypair) -> Settings {
        let mesh = self.nodes[0].mesh_id();
        Settings {
            underlay: Some(Arc::new(self.net.clone())),
            clock: self.wall.clone(),
            ..Settings::new(Arc::new(key), mesh, Profile::Lean)
        }
    }

    /// What all nodes read the time of day from.
    pub(crate) fn clock(&self) -> WallClock {
        self.wall.clone()
    }

    /// Waits until every node lists all others.
    pub(crate) async fn acquainted(&self) -> Duration {
        let n = self.nodes.len();
        self.every("all are members everywhere", |status| status.members >= n).await
    }

    /// Waits until the status of every node is as wanted; how long that took.
    pub(crate) async fn every(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Duration {
        self.until(what, async |swarm: &Self| {
            for node in &swarm.nodes {
                if !wanted(&node.status().await.unwrap().node) {
                    return false;
                }
            }
            true
        })
        .await
    }

    /// Waits until all nodes hold the same records; how long that took.
    pub(crate) async fn agreed(&self) -> Duration {
        self.until("all nodes hold the same", async |swarm: &Self| {
            let first = swarm.nodes[0].digest().await.unwrap();
            for node in &swarm.nodes {
                if node.digest().await.unwrap() != first {
                    return false;
                }
            }
            true
        })
        .await
    }

    async fn until(&self, what: &str, holds: impl AsyncFn(&Self) -> bool) -> Duration {
        let start = Instant::now();
        while !holds(self).await {
            assert!(start.elapsed() < PATIENCE, "seed {}: {what}: not in time", self.seed);
            sleep(Duration::from_millis(10)).await;
        }
        start.elapsed()
    }

    /// Rounds from a write at one of `nodes` until all of them show it.
    pub(crate) async fn spread(&mut self, writer: usize, nodes: &[usize]) -> u32 {
        rounds(self.spread_time(writer, nodes).await)
    }

    /// The same as time.
    pub(crate) async fn spread_time(&mut self, writer: usize, nodes: &[usize]) -> Duration {
        self.writes += 1;
        let key = format!("news/{}", self.writes);
        let mut watches = JoinSet::new();
        for &at in nodes {
            let mut watch = self.nodes[at].watch(&key).await.unwrap();
            watches.spawn(async move { watch.next().await.is_some() });
        }
        let start = Instant::now();
        self.nodes[writer].set(&key, "said").await.unwrap();
        let seen = timeout(PATIENCE, watches.join_all()).await;
        let seen = seen.unwrap_or_else(|_| panic!("seed {}: {key}: not everywhere", self.seed));
        assert!(seen.into_iter().all(|shown| shown), "a node stopped");
        start.elapsed()
    }

    /// Its process is gone without a word: nothing leaves or reaches it any more.
    pub(crate) fn kill(&mut self, at: usize) {
        let gone = self.nodes.remove(at);
        self.net.kill(gone.local_addr());
    }

    /// Nobody of `left` hears anybody else.
    pub(crate) fn cut(&self, left: impl Fn(usize) -> bool) {
        let addrs = self.nodes.iter().map(Mesh::local_addr).enumerate();
        self.net.cut(addrs.filter(|(at, _)| left(*at)).map(|(_, addr)| addr));
    }
}

/// Rounds of an event that took `elapsed`.
pub(crate) fn rounds(elapsed: Duration) -> u32 {
    elapsed.as_nanos().div_ceil(ROUND.as_nanos()) as u32
}
