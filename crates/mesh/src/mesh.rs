//! The handle of a node that applications hold. Clones are the same node; all methods may be called
//! from any task. Writes and reads pass through the node's bounded mailbox, so a handle never sees
//! half of a merge, and its own acknowledged writes are in what it reads next.
//!
//! ```text
//!   Mesh::join ─> key, store, transport ─> node task
//!   Mesh ──set, get, watch ...──> mailbox (1,024) ──> node task ──> reply
//! ```

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use knhk_mesh_core::config;
use knhk_mesh_core::digest::Root;
use knhk_mesh_core::identity::{AgentNo, Keypair, MeshId, NodeId, Signer};
use knhk_mesh_core::node::{self, Node, Restored, Standing};
use knhk_mesh_core::rng::mix;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::admission::Trust;
use crate::clock::Clock;
use crate::error::{JoinError, Stopped, WatchError};
use crate::key_file::{self, KEY_FILE, Loaded};
use crate::node_task::{
    Acquaintances, Asked, Command, Compared, Dialler, Effects, Farewell, MAILBOX, NodeTask,
};
use crate::options::{Identity, Options, TransportKind};
use crate::peer_registry::{PeerInfo, PeerRegistry};
use crate::seeds::SeedStatus;
use crate::storage::backup::{BackupError, Summary};
use crate::storage::{Answer, Found, Health, Store, StoreError};
use crate::transport::{self, BindError, Profile, Settings, Traffic, Transport};
use crate::watch::{Watch, Watchers};

/// Answers of the disk that wait for the node task; more only make the disk wait.
const ANSWERS: usize = 256;

/// What is read of a peer for each message that it may have worked on: beyond it, nothing is read,
/// and the peer's credit runs out.
const READ_AHEAD: u32 = 4;

/// A node of a mesh. See [`Mesh::join`].
#[derive(Clone)]
pub struct Mesh {
    pub(crate) inner: Arc<Inner>,
    pub(crate) agent: AgentNo,
}

pub(crate) struct Inner {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) trust: Arc<Trust>,
    node: NodeId,
    mesh: MeshId,
    local_addr: SocketAddr,
    random: u64,
}

/// What a node says about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// The protocol's view: phase, members, links, root, counters.
    pub node: node::Status,
    /// What its links carried since the start.
    pub traffic: Traffic,
    /// Where it listens.
    pub local_addr: SocketAddr,
    /// Its disk.
    pub storage: Health,
    /// Handshakes and batches that its transport refused since the start, by reason.
    pub refused_links: Vec<(&'static str, u64)>,
    /// Milliseconds by which its clock is ahead of the median of its linked peers' clocks, the way
    /// of their messages included; `None` while no peer has said what its clock shows.
    pub clock_skew_ms: Option<i64>,
    /// The seeds, and which of them are not reached.
    pub seeds: Vec<SeedStatus>,
}

impl Mesh {
    /// Starts a node and returns as soon as it listens; joining goes on in the background, and an
    /// absent seed is tried for ever. Must be called inside a tokio runtime, on which the node then
    /// lives until [`Mesh::leave`], [`Mesh::close`] or the drop of its last handle.
    ///
    /// # Errors
    /// [`JoinError`] says what to change; no node runs then.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use knhk_mesh::{Mesh, Options};
    /// let mesh = Mesh::join(Options::default()).await?;
    /// mesh.set("greeting", "hello").await?;
    /// let value = mesh.get("greeting").await?.ok_or("absent")?;
    /// assert_eq!(value.value, "hello");
    /// mesh.leave().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn join(options: Options) -> Result<Mesh, JoinError> {
        options.check()?;
        let drawn = || getrandom::u64().map_err(|e| JoinError::Randomness(e.to_string()));
        let random = options.random_seed.map_or_else(drawn, Ok)?;
        let mesh = options.config.genesis.mesh_id();
        let (answer, answers) = mpsc::channel(ANSWERS);
        let folder = options.data_dir.clone();
        let opened = open(options.identity, options.data_dir, mesh, answer).await?;
        let keypair = Arc::new(opened.key.keypair);
        let mut config = options.config;
        let settings = Settings {
            admission: config.admission.clone(),
            credentials: options.credentials,
            admission_key: config.genesis.admission_key,
            committee: config.genesis.committee.clone(),
            folder: folder.clone(),
            clock: options.clock.clone(),
            zero_rtt: options.zero_rtt && options.profile == Profile::Normal,
            bind: options.bind,
            insecure: options.insecure,
            compression: options.compression,
            rotate_every: options.rotate_every,
            aes_256_only: options.aes_256_only,
            read_rate: Some(config.rate_limit_per_peer.saturating_mul(READ_AHEAD)),
            max_links: config.most_links(),
            ..Settings::new(Arc::clone(&keypair), mesh, options.profile)
        };
        let (event, events) = mpsc::channel(transport::EVENT_CAPACITY);
        let transport = match bind(options.transport, settings, event) {
            Ok(transport) => transport,
            Err(error) => {
                // The caller may try another address with the same folder: it has to be free.
                release(opened.store).await;
                return Err(error.into());
            }
        };
        let local_addr = transport.local_addr();
        if config.addresses.is_empty() {
            config.addresses.push(local_addr);
        }
        let node_id = keypair.node_id();
        let restored = restored(opened.found, opened.key.made || opened.key.unused.is_some());
        let clock = Clock::start(options.clock);
        let (config, seed) = (config::Settings::new(config)?, mix(random ^ 1));
        let node = Node::new(config, Box::new(keypair), &restored, seed, clock.now());
        if let (1.., Some(folder)) = (node.counters().refused_total(), &folder) {
            release(opened.store).await;
            return Err(StoreError::not_as_signed(folder).into());
        }
        let dialler = Dialler::new(&options.seeds, mix(random ^ 2), Instant::now());
        let (commands, mailbox) = mpsc::channel(MAILBOX);
        let trust = transport.trust();
        let task = NodeTask {
            node,
            effects: Effects::new(opened.store, dialler, transport.greeting()),
            trust: Arc::clone(&trust),
            compared: Compared::default(),
            acquaintances: Acquaintances::remembered(folder, mix(random ^ 4), Instant::now()),
            clock,
            transport,
            events,
            commands: mailbox,
            answers,
            unused_key: opened.key.unused,
        };
        tokio::spawn(task.run());
        let random = mix(random ^ 3);
        let inner = Inner { commands, trust, node: node_id, mesh, local_addr, random };
        Ok(Mesh { inner: Arc::new(inner), agent: AgentNo::default() })
    }

    /// The same node for one of its agents: what is written through it carries the agent's number,
    /// under the signature of the node. A fresh handle is agent 0.
    #[must_use]
    pub fn agent(&self, agent: AgentNo) -> Mesh {
        Mesh { inner: Arc::clone(&self.inner), agent }
    }

    /// This node's public key.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.inner.node
    }

    /// The mesh's id: the hash of its genesis.
    #[must_use]
    pub fn mesh_id(&self) -> MeshId {
        self.inner.mesh
    }

    /// Where this node listens, with the port it got: what others use as a seed.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr
    }

    /// The directory of peers: selection, reputation, counts.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn peer_registry(&self) -> Result<PeerRegistry, Stopped> {
        let random = mix(self.inner.random);
        let model = self.ask(move |asked| asked.open_registry(random)).await?;
        Ok(PeerRegistry::new(model, self.inner.commands.downgrade()))
    }

    /// Every peer in the directory, sorted by id; the own node is not one.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, Stopped> {
        let mut peers = self.peer_registry().await?.get_all_peers();
        peers.sort_unstable_by_key(|peer| peer.id);
        Ok(peers)
    }

    /// How everybody stands with this node, and why: reputation part by part, budgets, what
    /// observers, forks and the operator say. Sorted by id; it is this node's own view.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn standings(&self) -> Result<Vec<Standing>, Stopped> {
        self.ask(|asked| asked.node.standings(asked.now)).await
    }

    /// What this node says about itself now.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn status(&self) -> Result<Status, Stopped> {
        let local_addr = self.inner.local_addr;
        self.ask(move |asked| Status {
            node: asked.node.status(asked.now),
            traffic: asked.effects.links.traffic(),
            local_addr,
            storage: asked.effects.health(),
            refused_links: asked.transport.counters().all(),
            clock_skew_ms: asked.effects.links.clock_skew_ms(),
            seeds: asked.effects.dialler.seeds(),
        })
        .await
    }

    /// The root over all records that this node holds: equal roots, equal state.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn digest(&self) -> Result<Root, Stopped> {
        self.ask(|asked| asked.node.root()).await
    }

    /// Copies what this node has on disk into the new file `to`: everything but its key. What was
    /// acknowledged before the call is in it. [`crate::storage::backup::restore`] reads it.
    ///
    /// # Errors
    /// [`BackupError`]; no file is left behind.
    pub async fn back_up(&self, to: impl Into<PathBuf>) -> Result<Summary, BackupError> {
        let to = to.into();
        let answer = self.ask(move |asked| asked.effects.back_up(to)).await;
        let answer = answer.map_err(|Stopped| BackupError::Stopped)?;
        answer.await.unwrap_or(Err(BackupError::Stopped))
    }

    /// Changes of the keys that begin with `prefix` (empty: all), from now on, own writes included.
    /// At most 1,024 changes wait; see [`Watch::next`] for what happens to a slow watcher.
    ///
    /// # Errors
    /// [`WatchError`].
    pub async fn watch(&self, prefix: impl AsRef<[u8]>) -> Result<Watch, WatchError> {
        let prefix = bytes::Bytes::copy_from_slice(prefix.as_ref());
        let watch = self.ask(move |asked| asked.effects.watchers.add(prefix)).await;
        let watch = watch.map_err(|Stopped| WatchError::Stopped)?;
        watch.ok_or(WatchError::TooMany { max: Watchers::MAX })
    }

    /// Tells the mesh that this node leaves for good, then stops it like [`Mesh::close`].
    pub async fn leave(&self) {
        self.stop(Farewell::Goodbye).await;
    }

    /// Leaves like [`Mesh::leave`], and takes along what this node wrote: its records vanish at
    /// every member, for good.
    pub async fn purge(&self) {
        self.stop(Farewell::Purge).await;
    }

    /// Stops the node without a word to the mesh: it stays a member and may come back with its data
    /// folder. Acknowledged writes are on disk; what waits for the disk or for a link gets up to 1
    /// s each. Returns when address and data folder are free. Does nothing if the node has stopped.
    pub async fn close(&self) {
        self.stop(Farewell::Silent).await;
    }

    async fn stop(&self, farewell: Farewell) {
        let (reply, stopped) = oneshot::channel();
        if self.inner.commands.send(Command::Stop { farewell, reply }).await.is_ok() {
            // Another handle may have stopped it first: then this is dropped unanswered.
            let _ = stopped.await;
        }
        self.inner.commands.closed().await;
    }

    /// Runs `question` inside the node task.
    pub(crate) async fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Asked<'_>) -> R + Send + 'static,
    ) -> Result<R, Stopped> {
        ask(&self.inner.commands, question).await
    }
}

pub(crate) async fn ask<R: Send + 'static>(
    commands: &mpsc::Sender<Command>,
    question: impl FnOnce(&mut Asked<'_>) -> R + Send + 'static,
) -> Result<R, Stopped> {
    let (reply, answer) = oneshot::channel();
    let boxed = Box::new(move |asked: &mut Asked<'_>| {
        // A caller that gave up does not hear it.
        let _ = reply.send(question(asked));
    });
    commands.send(Command::Ask(boxed)).await.map_err(|_| Stopped)?;
    answer.await.map_err(|_| Stopped)
}

impl std::fmt::Debug for Mesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mesh({:?} at {})", self.inner.node, self.inner.local_addr)
    }
}

/// What a node finds of itself when it starts.
struct Opened {
    key: Key,
    store: Store,
    found: Found,
}

struct Key {
    keypair: Keypair,
    /// It was made in this start.
    made: bool,
    /// Its file, if nobody has used it yet.
    unused: Option<PathBuf>,
}

fn restored(found: Found, new_key: bool) -> Restored {
    let Found { incarnation, records, outdated, .. } = found;
    Restored { incarnation, records, outdated, new_key }
}

fn bind(
    kind: TransportKind,
    settings: Settings,
    events: mpsc::Sender<transport::Event>,
) -> Result<Transport, BindError> {
    match kind {
        TransportKind::Quic => Transport::quic(settings, events),
        TransportKind::Tcp => Transport::tcp(settings, events),
        TransportKind::Memory(hub) => Transport::memory(settings, events, hub),
        TransportKind::QuicOver(net) => {
            Transport::quic(Settings { underlay: Some(net), ..settings }, events)
        }
    }
}

/// Gives a folder back; not on a worker of the runtime, because the disk may be slow.
async fn release(store: Store) {
    // A panic of the blocking thread was reported by its hook already.
    let _ = tokio::task::spawn_blocking(move || store.close()).await;
}

async fn open(
    identity: Identity,
    data_dir: Option<PathBuf>,
    mesh: MeshId,
    answers: mpsc::Sender<Answer>,
) -> Result<Opened, JoinError> {
    let Some(folder) = data_dir else {
        let key = read_key(identity, None)?;
        return Ok(Opened { key, store: Store::Memory, found: Found::default() });
    };
    let opening = move || -> Result<Opened, JoinError> {
        crate::storage::create_folder(&folder)
            .map_err(|reason| StoreError::Unusable { path: folder.clone(), reason })?;
        let key = read_key(identity, Some(&folder))?;
        let (store, found) = Store::open(&folder, key.keypair.node_id(), mesh, answers)?;
        Ok(Opened { key, store, found })
    };
    // The disk may be slow; not on a worker of the runtime.
    match tokio::task::spawn_blocking(opening).await {
        Ok(opened) => opened,
        Err(ended) => std::panic::resume_unwind(ended.into_panic()),
    }
}

fn read_key(identity: Identity, folder: Option<&Path>) -> Result<Key, JoinError> {
    Ok(match (identity, folder) {
        (Identity::New(keypair), _) => Key { keypair, made: true, unused: None },
        (Identity::Existing(keypair), _) => Key { keypair, made: false, unused: None },
        (Identity::File(path), _) => {
            let keypair = key_file::load(&path)?;
            Key {
                keypair,
                made: false,
                unused: Some(path).filter(|path| key_file::is_unused(path)),
            }
        }
        (Identity::Auto, Some(folder)) => {
            let path = folder.join(KEY_FILE);
            let loaded = key_file::load_or_create(&path)?;
            let made = matches!(loaded, Loaded::Created(_));
            let unused = Some(path).filter(|path| key_file::is_unused(path));
            Key { keypair: loaded.into_keypair(), made, unused }
        }
        (Identity::Auto, None) => Key { keypair: key_file::fresh()?, made: true, unused: None },
    })
}
