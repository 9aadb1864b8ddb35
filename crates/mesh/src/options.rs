//! How a node starts. Every field has a default that needs no thought: QUIC on a free port of
//! loopback, a fresh key, nothing on disk.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use knhk_mesh_core::config::{Admission, Config, Detect};
use knhk_mesh_core::identity::Keypair;

use crate::admission::Credentials;
use crate::clock::WallClock;
use crate::error::JoinError;
use crate::transport::memory::MemoryHub;
use crate::transport::quic::Underlay;
use crate::transport::{self, Profile, check_exposure};

/// What carries the links.
#[derive(Clone, Default)]
pub enum TransportKind {
    /// QUIC with TLS 1.3 over UDP.
    #[default]
    Quic,
    /// TCP in clear, for development on one host.
    Tcp,
    /// Channels inside this process, for tests; nodes with clones of one hub reach each other.
    Memory(MemoryHub),
    /// QUIC over a network of the caller's own, for tests of the whole stack.
    #[doc(hidden)]
    QuicOver(Arc<dyn Underlay>),
}

impl fmt::Debug for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TransportKind::Quic => "Quic",
            TransportKind::Tcp => "Tcp",
            TransportKind::Memory(_) => "Memory",
            TransportKind::QuicOver(_) => "QuicOver",
        })
    }
}

/// The node's key.
#[derive(Debug, Default)]
pub enum Identity {
    /// `node.key` in the data folder, made if absent (mode 0600); a fresh key without a data
    /// folder.
    #[default]
    Auto,
    /// The key of this file, which has to be there. If [`key_file`](crate::key_file) made it and it
    /// was never used, it is as [`Identity::New`], else as [`Identity::Existing`].
    File(PathBuf),
    /// A key made just now, which has never written: nothing is asked back from peers.
    New(Keypair),
    /// A key that may have written before. Without its data folder the node takes its own records
    /// back from peers before it writes, and waits for them.
    Existing(Keypair),
}

/// How a node starts.
///
/// ```
/// use knhk_mesh::Options;
/// let options = Options { seeds: vec!["127.0.0.1:9000".parse()?], ..Options::default() };
/// assert!(options.bind.ip().is_loopback());
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug)]
pub struct Options {
    /// Protocol settings; all nodes of a mesh need the same `genesis`. If `addresses` is empty, the
    /// bound address is told to others.
    pub config: Config,
    /// What carries the links.
    pub transport: TransportKind,
    /// Where to listen; port 0 takes a free one (default 127.0.0.1:0).
    pub bind: SocketAddr,
    /// First contacts. An absent one never stops a node and is tried for ever.
    pub seeds: Vec<SocketAddr>,
    /// Folder of the key file and of the own records; `None` keeps both in memory. Made with mode
    /// 0700. One node at a time may use it.
    pub data_dir: Option<PathBuf>,
    /// The node's key.
    pub identity: Identity,
    /// What this node shows, and what it demands of others, with
    /// [`Admission::Proven`].
    pub credentials: Credentials,
    /// Whether a node that was met before is greeted with the first packet (default true; never
    /// with [`Profile::Lean`]). Only a digest travels so.
    pub zero_rtt: bool,
    /// Allows open admission and plaintext beyond loopback.
    pub insecure: bool,
    /// Whether batches are compressed where that pays (default true).
    pub compression: bool,
    /// Age at which the TLS key is renewed, +-10 % (default 24 h). It stays valid for twice as
    /// long.
    pub rotate_every: Duration,
    /// TLS offers and takes AES-256-GCM only. QUIC's first packets keep AES-128 (RFC 9001, 5.2).
    pub aes_256_only: bool,
    /// Memory of a connection at rest: `Lean` for many nodes in one process.
    pub profile: Profile,
    /// Where the time of day is read.
    pub clock: WallClock,
    /// Fixes the node's random choices, for tests; `None` draws from the operating system.
    pub random_seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            config: Config { detect: Detect::BySize, ..Config::default() },
            transport: TransportKind::default(),
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            seeds: Vec::new(),
            data_dir: None,
            identity: Identity::default(),
            credentials: Credentials::default(),
            zero_rtt: true,
            insecure: false,
            compression: true,
            rotate_every: transport::ROTATE_EVERY,
            aes_256_only: false,
            profile: Profile::default(),
            clock: WallClock::system(),
            random_seed: None,
        }
    }
}

impl Options {
    /// What can be refused before anything is made or bound.
    pub(crate) fn check(&self) -> Result<(), JoinError> {
        self.config.check()?;
        let proven = self.config.admission == Admission::Proven;
        if proven == matches!(self.credentials, Credentials::Key) {
            return Err(JoinError::Credentials);
        }
        let addr = self.bind;
        if matches!(self.transport, TransportKind::Memory(_)) {
            return Ok(());
        }
        let clear = matches!(self.transport, TransportKind::Tcp);
        check_exposure(addr, &self.config.admission, clear, self.insecure)?;
        if addr.ip().is_unspecified() && self.config.addresses.is_empty() {
            return Err(JoinError::NoAddress { addr });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use knhk_mesh_core::identity::NodeId;

    fn refused(options: &Options) -> String {
        options.check().err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_would_open_a_node_to_everybody_is_refused_with_what_helps() {
        let out = |ip: [u8; 4]| SocketAddr::from((ip, 9000));
        let open = Options { bind: out([192, 0, 2, 1]), ..Options::default() };
        assert!(refused(&open).contains("allowlist"));
        assert_eq!(refused(&Options { insecure: true, ..open }), "");
        let allowlist = Admission::allowlist(vec![NodeId([1; 32])]);
        let config = Config { admission: allowlist, ..Config::default() };
        let listed = Options { bind: out([192, 0, 2, 1]), config, ..Options::default() };
        assert_eq!(refused(&listed), "");
        let clear = Options { transport: TransportKind::Tcp, ..listed };
        assert!(refused(&clear).contains("use quic"));
        let anywhere = Options { bind: out([0, 0, 0, 0]), transport: TransportKind::Quic, ..clear };
        assert!(refused(&anywhere).contains("config.addresses"));
        let other = Options { bind: out([127, 9, 9, 9]), ..Options::default() };
        assert_eq!(refused(&other), "");
    }

    #[test]
    fn a_setting_out_of_range_is_named() {
        let config = Config { fanout: 0, ..Config::default() };
        assert!(refused(&Options { config, ..Options::default() }).contains("gossip.fanout"));
    }
}
