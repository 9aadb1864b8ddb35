//! What a node tells about itself: events as they happen, counters that only grow. Names follow
//! the registry; exporting them is the shell's business.

use crate::error::Refused;
use crate::identity::{Incarnation, NodeId};

/// Something that happened. Small and `Copy`, so that telling costs nothing when nobody listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A round was sent to this many links.
    Round {
        /// Links chosen.
        links: u32,
    },
    /// A member appeared in the directory.
    MemberJoined(NodeId),
    /// A member was not reachable for long, and is listed no more until it is. It still counts for
    /// the quorum.
    MemberLost(NodeId),
    /// A member said that it leaves.
    MemberLeft(NodeId),
    /// An author forked an incarnation and everybody can prove it.
    Convicted(NodeId, Incarnation),
    /// The operator denied a node.
    Denied(NodeId),
    /// The operator made void what a node signed up to an incarnation.
    Forgotten(NodeId, Incarnation),
    /// The own state was taken back from peers; writes go on.
    Recovered {
        /// Peers that answered.
        peers: u32,
        /// Own records that came back.
        records: u32,
    },
    /// A reconciliation session ended.
    Session {
        /// Steps it took.
        steps: u32,
        /// Messages of repair sent by this side.
        sent: u32,
    },
    /// The node is cut off from its quorum.
    Partitioned {
        /// Members or witnesses that answer, itself included.
        reachable: u32,
        /// How many have to.
        required: u32,
    },
    /// The quorum answers again, and the node catches up.
    Recovering,
    /// The node has caught up.
    Healed {
        /// Milliseconds since the quorum answered again.
        recovery_ms: u32,
    },
    /// A message was refused.
    Refused(Refused),
}

/// Counters of one node, since its start. The small ones stop at their maximum.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Records that changed the state.
    pub merged: u64,
    /// Records that came verified and were older than what was there.
    pub stale: u64,
    /// Signed messages that were known already, by any lane.
    pub duplicates: u64,
    /// Payload copies received: records in signed messages, duplicates included.
    pub copies: u64,
    /// Signed messages sent on by the tree.
    pub forwarded: u64,
    /// Rounds.
    pub rounds: u32,
    /// Digests received.
    pub digests: u32,
    /// Sessions started by this node.
    pub sessions: u32,
    /// Repair messages sent.
    pub repairs: u64,
    /// Messages dropped because a queue of the link was full.
    pub congested: u32,
    /// Refused messages by [`Refused::index`], once there are some.
    refused: Option<Box<[u32; Refused::ALL.len()]>>,
}

impl Counters {
    /// Counts a refusal.
    pub fn refuse(&mut self, why: Refused) {
        let count = &mut self.refused.get_or_insert_default()[why.index()];
        *count = count.saturating_add(1);
    }

    /// Refusals for one reason.
    #[must_use]
    pub fn refused_for(&self, why: Refused) -> u32 {
        self.refused.as_ref().map_or(0, |refused| refused[why.index()])
    }

    /// All refusals.
    #[must_use]
    pub fn refused_total(&self) -> u64 {
        self.refused.iter().flat_map(|refused| refused.iter()).map(|&n| u64::from(n)).sum()
    }
}
