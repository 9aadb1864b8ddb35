//! What can be asked of a running node.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use knhk_mesh::identity::NodeId;

use crate::args::duration;

#[derive(Debug, Subcommand)]
pub(crate) enum Ask {
    /// Print the value of a key
    ///
    /// A counter is printed as an integer, a set one member a line.
    Get(Get),
    /// Set a key to a value
    Set(Set),
    /// Delete the value of a key
    Del(Del),
    /// Add to a counter
    Incr(Incr),
    /// Add a member to a set
    Add(Member),
    /// Remove a member from a set
    Remove(Member),
    /// Print each change of the keys that begin with a prefix, until Ctrl-C
    Watch(Watch),
    /// List the peers that a node knows
    ///
    /// With --explain also those that are dead, denied, barred or convicted, and of each what its
    /// reputation consists of, until when, and what others say of it.
    Peers(Peers),
    /// Say how a node is
    Status(Plain),
    /// Print the digest of a node's state: equal digests, equal state
    Digest(Plain),
    /// Copy what a node has on disk into a new file, while it runs
    ///
    /// Everything but its key, which is to be kept apart: whoever has it is the node.
    /// `knhk-mesh restore` reads the file.
    Backup(Backup),
    /// Measure the round trip to a peer, on the link that stands with it
    Ping(Ping),
    /// Deny a node for good, in the whole mesh
    ///
    /// Signs the denial with the admission key here and gives it to a running node, which spreads
    /// it. The denied node's links end, nobody links with it again, and its records vanish. It
    /// cannot be taken back: a machine that shall come again needs a new key. A mesh with a
    /// committee refuses it: `fact sign --deny`.
    Deny(Deny),
    /// Forget a node that is gone, in the whole mesh
    ///
    /// Signs with the admission key here that everything the node signed until now is void, and
    /// gives it to a running node, which spreads it. The node counts as a member no more and its
    /// records vanish. It may come back: its next start is a new member without a past. A mesh with
    /// a committee refuses it: `fact sign --forget`.
    Forget(Deny),
    /// List the nodes that are denied or forgotten
    Denied(Plain),
}

/// Which node, and how long to wait for it.
#[derive(Clone, Debug, Args)]
pub(crate) struct Reach {
    /// Socket of the node [default: $KNHK_MESH_CONTROL_SOCKET, else in the data folder]
    #[arg(long, value_name = "PATH")]
    pub(crate) control_socket: Option<PathBuf>,
    /// Data folder of the node, which holds its socket [default: $KNHK_MESH_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Which node of `knhk-mesh dev`
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) agent: usize,
    /// Give up after this time, such as 500ms or 2m
    #[arg(long, value_name = "D", value_parser = duration, default_value = "5s")]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The key
    pub(crate) key: String,
    /// Which of the key's views [default: the first that holds something, in this order]
    #[arg(long = "type", value_enum)]
    pub(crate) kind: Option<Type>,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// The types of views.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Type {
    /// One value, the newest wins
    Lww,
    /// Sum of increments
    Counter,
    /// Members
    Set,
    /// All values that no other replaced
    Multi,
    /// Greatest value offered
    Max,
    /// Smallest value offered
    Min,
}

impl Type {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Type::Lww => "lww",
            Type::Counter => "counter",
            Type::Set => "set",
            Type::Multi => "multi",
            Type::Max => "max",
            Type::Min => "min",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The key
    pub(crate) key: String,
    /// The value; - reads standard input to its end
    #[arg(allow_hyphen_values = true)]
    pub(crate) value: String,
    /// Show it for this time only, such as 30s
    #[arg(long, value_name = "D", value_parser = duration)]
    pub(crate) ttl: Option<Duration>,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct Del {
    /// The key
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct Incr {
    /// The counter's key
    pub(crate) key: String,
    /// What to add; negative numbers count down
    #[arg(default_value_t = 1, allow_negative_numbers = true)]
    pub(crate) by: i64,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct Member {
    /// The set's key
    pub(crate) key: String,
    /// The member; - reads standard input to its end
    #[arg(allow_hyphen_values = true)]
    pub(crate) member: String,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Beginning of the keys [default: all keys]
    pub(crate) prefix: Option<String>,
    /// End after so many changes
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct Plain {
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct Peers {
    /// Say why each peer is trusted as it is
    #[arg(long)]
    pub(crate) explain: bool,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The new file; one that is there is never overwritten
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct Ping {
    /// The peer's node id, or at least four characters of its beginning
    pub(crate) node: String,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct Deny {
    /// The node's whole id
    pub(crate) node: NodeId,
    /// File of the admission key, whose id is mesh.admission_key
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

impl Ask {
    pub(crate) fn reach(&self) -> &Reach {
        match self {
            Ask::Get(get) => &get.reach,
            Ask::Set(set) => &set.reach,
            Ask::Del(del) => &del.reach,
            Ask::Incr(incr) => &incr.reach,
            Ask::Add(member) | Ask::Remove(member) => &member.reach,
            Ask::Watch(watch) => &watch.reach,
            Ask::Peers(peers) => &peers.reach,
            Ask::Status(plain) | Ask::Digest(plain) | Ask::Denied(plain) => &plain.reach,
            Ask::Backup(backup) => &backup.reach,
            Ask::Ping(ping) => &ping.reach,
            Ask::Deny(deny) | Ask::Forget(deny) => &deny.reach,
        }
    }
}
