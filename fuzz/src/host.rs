//! A node and the shell around it, as small as a shell can be: bytes are given to the doors where
//! they belong, and what the node sends must be what an honest node may send.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use knhk_mesh_core::config::{Config, Detect, Settings};
use knhk_mesh_core::crdt::Family;
use knhk_mesh_core::error::{Refused, WriteError};
use knhk_mesh_core::frame::{Sealed, Tag, verify};
use knhk_mesh_core::identity::{Keypair, NodeId, PeerIx, Signer as _};
use knhk_mesh_core::messages::sink::{PersistId, WriteId};
use knhk_mesh_core::messages::{Close, Input, Lane, Message, Persist, Receipt, Sink};
use knhk_mesh_core::node::{Checked, Node, Restored};
use knhk_mesh_core::security::MAX_MESSAGE;
use knhk_mesh_core::telemetry::Event;
use knhk_mesh_core::time::{Now, Time, WallMs};

use crate::forge::{WALL, keypair};

/// The settings of every node.
pub fn settings() -> &'static Arc<Settings> {
    static SETTINGS: OnceLock<Arc<Settings>> = OnceLock::new();
    let config = Config { detect: Detect::Fast, ..Config::default() };
    SETTINGS.get_or_init(|| Settings::new(config).expect("they are in range"))
}

/// The default mesh's signer of node `n`.
fn signer(n: usize) -> Box<Keypair> {
    Box::new(Keypair::from_secret(&keypair(n).secret()))
}

/// What a node did.
#[derive(Default)]
pub struct Out {
    /// Messages sent, oldest first.
    pub sent: Vec<(PeerIx, Lane, Bytes)>,
    /// Stores asked for and not answered.
    pub persisted: Vec<PersistId>,
    /// What happened.
    pub events: Vec<Event>,
    /// Links that the node ended.
    pub ended: Vec<PeerIx>,
    /// Writes that ended.
    pub done: usize,
}

impl Sink for Out {
    fn send(&mut self, to: &[PeerIx], lane: Lane, message: &Message) {
        let bytes = message.encode();
        assert!(bytes.len() <= MAX_MESSAGE, "a message of {} bytes", bytes.len());
        if Tag::of(&bytes).is_some() {
            let read = Sealed::read(&bytes, &settings().genesis.limits);
            assert!(read.is_ok(), "sent {:?}, which nobody reads: {read:?}", Tag::of(&bytes));
        } else {
            assert_eq!(Message::decode(&bytes).as_ref(), Ok(message), "sent what nobody reads");
        }
        self.sent.extend(to.iter().map(|&peer| (peer, lane, bytes.clone())));
    }
    fn persist(&mut self, batch: Persist) {
        self.persisted.push(batch.id);
    }
    fn done(&mut self, _: WriteId, _: Result<Receipt, WriteError>) {
        self.done += 1;
    }
    fn changed(&mut self, _: Family, key: &[u8]) {
        assert!((1..=255).contains(&key.len()));
    }
    fn connect(&mut self, _: NodeId, _: bool) {}
    fn disconnect(&mut self, peer: PeerIx, _: Close) {
        self.ended.push(peer);
    }
    fn emit(&mut self, event: Event) {
        self.events.push(event);
    }
}

/// Which way a message took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// A control message.
    Control,
    /// Known already.
    Duplicate,
    /// Refused by the gate, the decoder or the signature check.
    Refused(Refused),
    /// Verified and handled.
    Verified(Tag),
}

/// A node and its clock.
pub struct Host {
    /// The node.
    pub node: Node,
    /// What it did and nobody took yet.
    pub out: Out,
    /// Milliseconds since the start.
    pub ms: u64,
}

impl Host {
    /// Node `n`, started, without links.
    #[must_use]
    pub fn new(n: usize, seed: u64) -> Self {
        let now = Now { mono: Time::from_ms(0), wall: WALL };
        let restored = Restored { new_key: true, ..Restored::default() };
        let node = Node::new(Arc::clone(settings()), signer(n), &restored, seed, now);
        Host { node, out: Out::default(), ms: 0 }
    }

    /// Its clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { mono: Time::from_ms(self.ms), wall: WallMs(WALL.0 + self.ms) }
    }

    /// Gives it an input.
    pub fn handle(&mut self, input: Input<'_>) {
        self.node.handle(self.now(), input, &mut self.out);
    }

    /// A link with node `n` came up.
    pub fn link(&mut self, n: usize, chosen: bool) -> Option<PeerIx> {
        let node = keypair(n).node_id();
        self.handle(Input::LinkUp { node, chosen });
        self.node.peer(&node)
    }

    /// Bytes came from `via`: the way that a shell takes with them. What does not verify leaves
    /// the state as it was.
    pub fn receive(&mut self, via: PeerIx, lane: Lane, bytes: &Bytes) -> Way {
        let before = (self.node.root(), self.node.store().len());
        let way = self.dispatch(via, lane, bytes);
        if !matches!(way, Way::Verified(_)) {
            assert_eq!((self.node.root(), self.node.store().len()), before, "{way:?}");
        }
        way
    }

    fn dispatch(&mut self, via: PeerIx, lane: Lane, bytes: &Bytes) -> Way {
        if Tag::of(bytes).is_none() {
            return match Message::decode(bytes) {
                Ok(message) => {
                    self.handle(Input::Control(via, &message));
                    Way::Control
                }
                Err(why) => self.refuse(via, why),
            };
        }
        match self.node.check(self.now(), via, lane, bytes) {
            Checked::Duplicate => {
                self.handle(Input::Duplicate(via, lane, bytes));
                Way::Duplicate
            }
            Checked::Refused(why) => self.refuse(via, why),
            Checked::Verify(job) => match verify(*job) {
                Ok(verified) => {
                    self.handle(Input::Verified(via, lane, &verified));
                    Way::Verified(verified.tag())
                }
                Err(why) => self.refuse(via, why),
            },
        }
    }

    fn refuse(&mut self, via: PeerIx, why: Refused) -> Way {
        self.handle(Input::Refused(via, why));
        Way::Refused(why)
    }

    /// The disk has everything.
    pub fn persist(&mut self) {
        for id in std::mem::take(&mut self.out.persisted) {
            self.handle(Input::Persisted(id, Ok(())));
        }
    }

    /// Time passes, and the node is woken once.
    pub fn wait(&mut self, ms: u64) {
        self.ms += ms;
        self.handle(Input::Timeout);
    }
}
