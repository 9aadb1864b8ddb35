//! Links between nodes: authenticated, bounded, with four lanes. Three transports stand behind one
//! type: QUIC for production, TCP in clear for development on one host, memory for tests.
//!
//! ```text
//!   dial(Target) ──► handshake: keys, mesh id, admission ──► duplicate rule ──► Event::Up(Link)
//!   accept ────────►        (refused: counted, DialFailed)
//!   Link::send ──► outbox (4 lanes) ──► writer: one batch a stream ──► wire
//!   wire ──► reader: whole batches only ──► Event::Batch ──► bounded channel of the owner
//! ```
//!
//! Nothing blocks the owner: `dial` and `send` return at once, outcomes are [`Event`]s. When the
//! owner does not keep up with its events, the readers wait and the peers' send credit runs out;
//! their outboxes fill, and [`SendError::Full`] tells their owners.

pub mod backoff;
pub mod batch;
mod counters;
mod gate;
mod greeting;
mod intake;
mod link;
mod local;
pub mod memory;
mod outbox;
pub mod quic;
mod registry;
pub mod tcp;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use knhk_mesh_core::config::Admission;
use knhk_mesh_core::identity::{Committee, Keypair, MeshId, NodeId};
use knhk_mesh_core::messages::{Close, Lane};
use tokio::sync::mpsc;

use crate::admission::{AdmissionError, Credentials, Trust};
use crate::clock::WallClock;
use local::Local;

pub use counters::{Counters, Refusal};
pub use gate::HandshakeLimits;
pub use greeting::Greeting;
pub use link::{Datagrams, Link, LinkId, Traffic};
pub use outbox::SendError;

/// Events that a transport's channel should hold.
pub const EVENT_CAPACITY: usize = 1_024;

/// Age at which a TLS key is renewed, unless the settings say otherwise.
pub const ROTATE_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// How much memory a connection may use at rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Profile {
    /// One node a process: large windows, MTU discovery, keep-alive.
    #[default]
    Normal,
    /// Many nodes in one process: small windows, few streams, no keep-alive.
    Lean,
}

/// What a transport is told when it is bound.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The identity; it signs certificates and hellos and never leaves this process.
    pub keypair: Arc<Keypair>,
    /// The mesh; peers of another one are refused in the handshake.
    pub mesh: MeshId,
    /// Who may link.
    pub admission: Admission,
    /// What this node shows, and what it demands of others with [`Admission::Proven`].
    pub credentials: Credentials,
    /// The mesh's admission key: it signs tokens, and denials where there is no committee.
    pub admission_key: Option<NodeId>,
    /// The mesh's committee: a quorum of it denies, and certifies what needs agreement.
    pub committee: Option<Committee>,
    /// Folder for what has to be remembered of admission; `None` keeps it in memory.
    pub folder: Option<PathBuf>,
    /// Where the time of day is read: certificates and passes end by it.
    pub clock: WallClock,
    /// Whether a peer that was met before is greeted with the first packet (lean: never).
    pub zero_rtt: bool,
    /// Address to listen on and to dial from; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Whether batches above 512 bytes are sent as zstd where that pays.
    pub compression: bool,
    /// Age at which the TLS key is renewed, +-10 %; it is valid for twice as long.
    pub rotate_every: Duration,
    /// TLS offers and takes AES-256-GCM only.
    pub aes_256_only: bool,
    /// Messages per second that are read from one peer, with a burst of one second; more wait
    /// unread. `None` reads all.
    pub read_rate: Option<u32>,
    /// Carries QUIC's datagrams instead of the system's sockets, for tests of the whole stack.
    #[doc(hidden)]
    pub underlay: Option<Arc<dyn quic::Underlay>>,
    /// Allows [`Admission::Open`] and plaintext TCP beyond loopback.
    pub insecure: bool,
    /// Most links, accepted ones included.
    pub max_links: usize,
    /// Memory at rest.
    pub profile: Profile,
    /// Longest handshake, dialled or accepted (3 s).
    pub handshake_timeout: Duration,
    /// Handshakes that others begin.
    pub handshakes: HandshakeLimits,
    /// Pause after which an idle connection is probed; `None` = never (10 s, lean: never).
    pub keep_alive: Option<Duration>,
    /// Silence after which a connection is dead (30 s, lean: 60 s). Zero = never.
    pub idle_timeout: Duration,
}

impl Settings {
    /// The defaults of `profile`: a free port on loopback, open admission, 64 links.
    #[must_use]
    pub fn new(keypair: Arc<Keypair>, mesh: MeshId, profile: Profile) -> Self {
        let lean = profile == Profile::Lean;
        Settings {
            keypair,
            mesh,
            admission: Admission::Open,
            credentials: Credentials::Key,
            admission_key: None,
            committee: None,
            folder: None,
            clock: WallClock::system(),
            zero_rtt: !lean,
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            compression: true,
            rotate_every: ROTATE_EVERY,
            aes_256_only: false,
            read_rate: None,
            underlay: None,
            insecure: false,
            max_links: 64,
            profile,
            // Many nodes on one machine share its CPU: a dial that is slow there is not dead.
            handshake_timeout: Duration::from_secs(if lean { 15 } else { 3 }),
            handshakes: match profile {
                Profile::Normal => HandshakeLimits::default(),
                Profile::Lean => HandshakeLimits::of_a_swarm(),
            },
            keep_alive: (!lean).then_some(Duration::from_secs(10)),
            idle_timeout: Duration::from_secs(if lean { 60 } else { 30 }),
        }
    }

    fn check(&self, clear: bool) -> Result<(), BindError> {
        if !matches!(self.credentials, Credentials::Key) && clear {
            return Err(AdmissionError::NeedsQuic.into());
        }
        check_exposure(self.bind, &self.admission, clear, self.insecure)
    }
}

/// Whether a node bound to `bind` admits everybody, or sends in `clear`, beyond this host.
pub(crate) fn check_exposure(
    bind: SocketAddr,
    admission: &Admission,
    clear: bool,
    insecure: bool,
) -> Result<(), BindError> {
    if bind.ip().is_loopback() || insecure {
        Ok(())
    } else if *admission == Admission::Open {
        Err(BindError::OpenBeyondLoopback(bind))
    } else if clear {
        Err(BindError::PlaintextBeyondLoopback(bind))
    } else {
        Ok(())
    }
}

/// Whom to dial.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    /// The key that must answer; `None` for a seed whose key is not known yet.
    pub node: Option<NodeId>,
    /// Where.
    pub addr: SocketAddr,
}

/// What happened. The events of one link are in order: `Up`, any number of `Batch`, `Down`.
/// Batches of one link may overtake each other. When a link replaces another one of the same node,
/// its `Up` may come before the `Down` of the old one.
#[derive(Debug)]
pub enum Event {
    /// A link is usable.
    Up(Link),
    /// Messages arrived together; slices of one buffer.
    Batch {
        /// The link they came on.
        link: LinkId,
        /// Their lane.
        lane: Lane,
        /// The messages; never empty.
        messages: Vec<Bytes>,
    },
    /// A link ended; nothing more comes from it.
    Down {
        /// The link.
        link: LinkId,
        /// Its peer.
        node: NodeId,
        /// Why.
        why: Down,
    },
    /// A dial did not lead to a link.
    DialFailed {
        /// Who was dialled.
        target: Target,
        /// Why.
        why: DialError,
    },
}

/// Why a link ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Down {
    /// This node closed it.
    #[error("closed here: {0:?}")]
    Here(Close),
    /// The peer closed it; `None` is a code of no meaning.
    #[error("closed by the peer: {0:?}")]
    There(Option<Close>),
    /// The peer sent what no peer sends; closed here with [`Close::Protocol`].
    #[error("the peer broke the protocol: {0}")]
    Protocol(batch::BatchError),
    /// The peer was silent for the idle timeout.
    #[error("silent for too long")]
    Silent,
    /// The peer took nothing for 10 s.
    #[error("the peer takes nothing")]
    Stalled,
    /// The connection broke.
    #[error("the connection broke")]
    Lost,
}

impl Down {
    /// What the peer is told.
    fn code(self) -> Close {
        match self {
            Down::Here(code) => code,
            Down::Protocol(_) => Close::Protocol,
            Down::There(_) | Down::Silent | Down::Stalled | Down::Lost => Close::Leaving,
        }
    }
}

/// Why a dial failed. Nothing remains of it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// There is a link to that node; of two simultaneous dials the other one was kept.
    #[error("already linked")]
    AlreadyLinked,
    /// A dial of the same target is under way.
    #[error("already dialling")]
    AlreadyDialling,
    /// The target is this node.
    #[error("this node itself")]
    Myself,
    /// Another key answered than the dialled one.
    #[error("another key answered")]
    WrongKey,
    /// One end does not admit the other.
    #[error("not admitted")]
    NotAdmitted,
    /// This node has a token, and the target may not admit others.
    #[error("the target may not admit others: dial a node whose token is bound to its id")]
    CannotAdmit,
    /// The target belongs to another mesh or speaks another version.
    #[error("another mesh or another version")]
    OtherMesh,
    /// All links of this node are in use.
    #[error("no room for another link here")]
    NoRoom,
    /// All links of the target are in use.
    #[error("no room for another link there")]
    Full,
    /// The target refuses connections at the moment.
    #[error("the target is busy")]
    Busy,
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The target or this node is leaving.
    #[error("leaving")]
    Leaving,
    /// The handshake failed in another way.
    #[error("handshake failed: {0}")]
    Handshake(String),
    /// The address cannot be dialled from here.
    #[error("address cannot be reached: {0}")]
    Unreachable(String),
}

impl From<Close> for DialError {
    /// What a refusal after the handshake means for the dialler.
    fn from(why: Close) -> Self {
        match why {
            Close::Duplicate | Close::Rotated => DialError::AlreadyLinked,
            Close::Full => DialError::Full,
            Close::Denied | Close::Expired => DialError::NotAdmitted,
            Close::Leaving | Close::Silent => DialError::Leaving,
            Close::Protocol => DialError::Handshake("the peer found a fault".into()),
        }
    }
}

/// Why a transport could not be bound. Nothing was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address is taken, not local or not allowed.
    #[error("cannot listen on {addr}: {source}")]
    Socket {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Everybody would be admitted from everywhere.
    #[error(
        "open admission is for loopback only, and {0} is not: list the members' node ids in the \
         allowlist, bind to 127.0.0.1, or set insecure if everybody may write"
    )]
    OpenBeyondLoopback(SocketAddr),
    /// Plaintext would leave the host.
    #[error("tcp sends in clear, and {0} is not loopback: use quic, or set insecure")]
    PlaintextBeyondLoopback(SocketAddr),
    /// The certificates could not be made.
    #[error("cannot make the certificates: {0}")]
    Certificate(String),
    /// What admission demands is not there.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
}

/// A bound transport: accepts and dials until [`Transport::shutdown`] or until it is dropped.
pub enum Transport {
    /// QUIC with TLS 1.3 over one UDP socket.
    Quic(quic::Quic),
    /// TCP in clear, for development on one host.
    Tcp(tcp::Tcp),
    /// Channels inside this process.
    Memory(memory::Memory),
}

impl Transport {
    /// Binds QUIC. Must be called inside a tokio runtime, on which it then lives.
    ///
    /// # Errors
    /// [`BindError`]; nothing was started.
    pub fn quic(settings: Settings, events: mpsc::Sender<Event>) -> Result<Self, BindError> {
        settings.check(false)?;
        quic::Quic::bind(settings, events).map(Transport::Quic)
    }

    /// Binds TCP, which authenticates but does not encrypt. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`]; nothing was started.
    pub fn tcp(settings: Settings, events: mpsc::Sender<Event>) -> Result<Self, BindError> {
        settings.check(true)?;
        tcp::Tcp::bind(settings, events).map(Transport::Tcp)
    }

    /// Binds an address of `hub`. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`]; nothing was started.
    pub fn memory(
        settings: Settings,
        events: mpsc::Sender<Event>,
        hub: memory::MemoryHub,
    ) -> Result<Self, BindError> {
        if !matches!(settings.credentials, Credentials::Key) {
            return Err(AdmissionError::NeedsQuic.into());
        }
        settings.check(false)?;
        memory::Memory::bind(settings, events, hub).map(Transport::Memory)
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        match self {
            Transport::Quic(quic) => quic.local_addr(),
            Transport::Tcp(tcp) => tcp.local_addr(),
            Transport::Memory(memory) => memory.local_addr(),
        }
    }

    /// Dials `target`. Never blocks; ends in [`Event::Up`] or [`Event::DialFailed`].
    pub fn dial(&self, target: Target) {
        match self {
            Transport::Quic(quic) => quic.dial(target),
            Transport::Tcp(tcp) => tcp.dial(target),
            Transport::Memory(memory) => memory.dial(target),
        }
    }

    /// What was refused so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        match self {
            Transport::Quic(quic) => quic.counters(),
            Transport::Tcp(tcp) => tcp.counters(),
            Transport::Memory(memory) => memory.counters(),
        }
    }

    /// Changes the key of the TLS connections to come; the live ones stay. Happens by itself every
    /// `rotate_every` +-10 %. No effect without TLS.
    ///
    /// # Errors
    /// [`BindError::Certificate`]; the old key stays in use.
    pub fn rotate(&self) -> Result<(), BindError> {
        match self {
            Transport::Quic(quic) => quic.rotate(),
            Transport::Tcp(_) | Transport::Memory(_) => Ok(()),
        }
    }

    /// Reads roots and certificate of this node again, where it has some, and shows the new one
    /// from now on. Live links stay, except of those that are not admitted any more. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// [`BindError`]; what was in use stays in use.
    pub fn reload_certificates(&self) -> Result<(), BindError> {
        match self {
            Transport::Quic(quic) => quic.reload(),
            Transport::Tcp(_) | Transport::Memory(_) => Ok(()),
        }
    }

    /// Moves to another address: links that this node dialled follow (RFC 9000, 9), the others are
    /// dialled anew. Only QUIC can.
    ///
    /// # Errors
    /// [`BindError::Socket`]; the old address stays in use.
    pub fn rebind(&self, addr: SocketAddr) -> Result<(), BindError> {
        match self {
            Transport::Quic(quic) => quic.rebind(addr),
            Transport::Tcp(_) | Transport::Memory(_) => {
                let source = io::ErrorKind::Unsupported.into();
                Err(BindError::Socket { addr, source })
            }
        }
    }

    /// What is said to whom this node meets.
    #[must_use]
    pub fn greeting(&self) -> Arc<Greeting> {
        self.local().greeting.clone()
    }

    pub(crate) fn trust(&self) -> Arc<Trust> {
        self.local().trust.clone()
    }

    fn local(&self) -> &Local {
        match self {
            Transport::Quic(quic) => quic.local(),
            Transport::Tcp(tcp) => tcp.local(),
            Transport::Memory(memory) => memory.local(),
        }
    }

    /// Ends it: accepts and dials nothing more, sends what is queued until the peers have it or
    /// `grace` is over, closes every link with [`Close::Leaving`]. Bounded by `grace` + 0.2 s.
    pub async fn shutdown(&self, grace: Duration) {
        match self {
            Transport::Quic(quic) => quic.shutdown(grace).await,
            Transport::Tcp(tcp) => tcp.shutdown(grace).await,
            Transport::Memory(memory) => memory.shutdown(grace).await,
        }
    }
}
