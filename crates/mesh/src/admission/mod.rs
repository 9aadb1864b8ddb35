//! Who may be a member, decided at the link: what a node shows, what it demands of others, what it
//! remembers, and what it tells others about tokens that were used and nodes that are denied.
//!
//! ```text
//!   files: roots, certificate, token, pass ─┐        ┌─ TLS, and after each handshake
//!   operator or committee: denials ─────────┼─ Trust ┼─ live links: something ends or changes
//!   peers: notices ─────────────────────────┘   │    └─ the node: records of the denied vanish
//!                                               └─> file `notices`, other links
//! ```
//!
//! The statements themselves and their signatures are core's ([`knhk_mesh_core::admission`]).

pub mod certificates;
mod chain;
mod facts;
mod handle;
pub(crate) mod keep;
mod known;
mod notices;
pub(crate) mod strict;
mod trust;

use std::fmt;
use std::path::PathBuf;

pub use knhk_mesh_core::admission::{Claim, Denial, Denials, NEVER, NotAdmitted, Pass, Token};
use knhk_mesh_core::identity::{Incarnation, NodeId};
use knhk_mesh_core::time::WallMs;

#[cfg(test)]
pub(crate) use chain::Anchors;
pub(crate) use chain::{Proven, Unproven};
pub(crate) use notices::NOTICES;
pub(crate) use trust::Trust;

/// What a node shows to be admitted, where an allowlist or nothing does not decide.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Its key alone.
    #[default]
    Key,
    /// A token of the admission key, or the pass that it led to (kept in the data folder).
    Token {
        /// The token itself; it goes before the file.
        token: Option<Token>,
        /// File that holds one, for its owner only. It may be gone once there is a pass.
        file: Option<PathBuf>,
    },
    /// A certificate under an operator's roots.
    Certificate {
        /// PEM file of the roots that are trusted.
        roots: PathBuf,
        /// PEM file of this node's certificate.
        certificate: PathBuf,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::Key => f.write_str("Key"),
            Credentials::Token { file, .. } => write!(f, "Token({file:?})"),
            Credentials::Certificate { roots, certificate } => {
                write!(f, "Certificate({} under {})", certificate.display(), roots.display())
            }
        }
    }
}

/// What is void of a node, by the admission key's word or, where there is a committee, by that of a
/// quorum of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Void {
    /// Who is denied, or forgotten.
    pub node: NodeId,
    /// What it signed in this incarnation and before is void.
    pub up_to: Incarnation,
    /// When the admission key signed that; a quorum names no time.
    pub at: Option<WallMs>,
}

impl Void {
    /// Whether the node is no member any more, whatever it signs.
    #[must_use]
    pub fn is_for_ever(&self) -> bool {
        self.up_to == Denial::FOR_EVER
    }
}

/// Why a node cannot show or check what its mesh demands. Nothing was started or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdmissionError {
    /// The mesh has no admission key, and tokens and denials are signed by it.
    #[error("this mesh has no admission key")]
    NoKey,
    /// Only TLS carries what admission demands.
    #[error("admission by token or certificate needs QUIC")]
    NeedsQuic,
    /// There is neither a token nor a pass from an earlier start.
    #[error("there is no token, and no pass of an earlier start")]
    NoToken,
    /// The token does not admit this node.
    #[error("the token does not admit this node: {0}")]
    Token(NotAdmitted),
    /// Others may read the token, and whoever reads it may come in.
    #[error("{path} is readable by others (mode {mode:o}): run `chmod 600 {path}`")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// What was denied and certified can not be read back whole; nothing was changed.
    #[error("{path} is cut or altered: delete it, and peers tell what it held")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A statement was refused.
    #[error(transparent)]
    Refused(#[from] NotAdmitted),
    /// A certificate could not be read.
    #[error(transparent)]
    Certificate(#[from] certificates::CertificateError),
    /// The certificate does not admit this node.
    #[error("{path} does not admit this node to this mesh: {reason}")]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The list of denials is full.
    #[error("{max} nodes are denied already, and more are not remembered")]
    Full {
        /// Most denials.
        max: usize,
    },
    /// The list of certified keys is full.
    #[error("{max} keys are certified already, and more are not remembered")]
    FactsFull {
        /// Most keys.
        max: usize,
    },
    /// The data folder could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
