//! What a node can say before anybody asked: its newest digest. It travels with the hello and comes
//! back with the welcome, so that two nodes know whether they differ as soon as they meet; between
//! nodes that met before, after one round trip.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use knhk_mesh_core::messages::Message;

/// The newest digest as two messages: as a question and as an answer.
#[derive(Default)]
pub struct Greeting(Mutex<Option<[Bytes; 2]>>);

impl Greeting {
    /// From now on this is said. Anything but a digest is passed over.
    pub fn set(&self, message: &Message) {
        let Message::Digest(digest) = message else { return };
        let [ask, answer] = [false, true].map(|reply| {
            let mut digest = *digest;
            digest.reply = reply;
            Message::Digest(digest).encode()
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some([ask, answer]);
    }

    pub(crate) fn ask(&self) -> Option<Bytes> {
        self.get().map(|[ask, _]| ask)
    }

    pub(crate) fn answer(&self) -> Option<Bytes> {
        self.get().map(|[_, answer]| answer)
    }

    fn get(&self) -> Option<[Bytes; 2]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
