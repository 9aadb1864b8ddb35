//! Stub until the node lands: its public face.
#![allow(missing_docs, unused_variables, clippy::todo, clippy::needless_pass_by_value)]
use crate::config::Config;
use crate::crdt::Key;
use crate::digest::Root;
use crate::error::Refused;
use crate::frame::{Job, Verified};
use crate::identity::{Incarnation, MeshId, NodeId, PeerIx, Signer};
use crate::messages::{Input, Sink};
use crate::telemetry::Counters;
use crate::time::{Hlc, Now, Time, WallMs};
use bytes::Bytes;
use std::sync::Arc;

/// What the shell took back from disk.
#[derive(Debug, Default)]
pub struct Restored {
    /// The highest incarnation that was ever persisted.
    pub incarnation: Option<Incarnation>,
    /// Own records as stored ([`crate::messages::sink::OwnRecord::bytes`]); each is verified again.
    pub records: Vec<Bytes>,
    /// The key was made in this start: there is nothing to take back from peers.
    pub new_key: bool,
}

/// Verdict of the gate on a signed message.
#[derive(Debug)]
pub enum Checked {
    Duplicate,
    Refused(Refused),
    Verify(Box<Job>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    Recovering,
    Ready,
    Left,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    pub node: NodeId,
    pub mesh: MeshId,
    pub incarnation: Incarnation,
    pub phase: Phase,
    /// Members in the directory, this node included.
    pub members: usize,
    pub links: usize,
    pub converged: bool,
    /// Age of the oldest root heard from a link that is still among the own last 16; zero when all agree.
    pub lag: core::time::Duration,
    pub root: Root,
    pub records: usize,
    pub counters: Counters,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Lww {
    pub value: Bytes,
    pub author: NodeId,
    pub hlc: Hlc,
    pub concurrent: bool,
}
#[derive(Clone, PartialEq, Debug)]
pub struct Sibling {
    pub value: Bytes,
    pub author: NodeId,
    pub hlc: Hlc,
}

pub struct Node {
    _config: Arc<Config>,
}
impl Node {
    pub fn new(
        config: Arc<Config>,
        signer: Box<dyn Signer + Send>,
        restored: Restored,
        seed: u64,
        now: Now,
    ) -> Self {
        todo!()
    }
    /// Cheap, stateful gate for signed messages (first byte is a `frame::Tag`).
    pub fn check(&self, now: Now, via: PeerIx, bytes: &Bytes) -> Checked {
        todo!()
    }
    pub fn handle(&mut self, now: Now, input: Input<'_>, sink: &mut impl Sink) {
        todo!()
    }
    /// When to call `handle(Input::Timeout)`; always `Some` after `new` (call it once at once).
    pub fn next_timeout(&self) -> Option<Time> {
        todo!()
    }
    /// The index of a peer that has a link or is a member.
    pub fn peer(&self, node: &NodeId) -> Option<PeerIx> {
        todo!()
    }
    pub fn get(&self, key: &Key, wall: WallMs) -> Option<Lww> {
        todo!()
    }
    pub fn siblings(&self, key: &Key, wall: WallMs) -> Vec<Sibling> {
        todo!()
    }
    pub fn counter(&self, key: &Key, wall: WallMs) -> Option<i128> {
        todo!()
    }
    pub fn members_of(&self, key: &Key, wall: WallMs) -> Vec<Bytes> {
        todo!()
    }
    pub fn max(&self, key: &Key, wall: WallMs) -> Option<i64> {
        todo!()
    }
    pub fn min(&self, key: &Key, wall: WallMs) -> Option<i64> {
        todo!()
    }
    pub fn status(&mut self, now: Now) -> Status {
        todo!()
    }
    pub fn root(&mut self) -> Root {
        todo!()
    }
}
