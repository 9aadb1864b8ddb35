//! Reading and writing shared state. Which type fits which job:
//!
//! | job | calls | when two nodes write at once |
//! |---|---|---|
//! | one value, newest wins | `set`, `get`, `delete` | the later clock wins, the other is gone |
//! | no write may be lost | `put`, `siblings` | both stay until somebody writes again |
//! | counting | `incr`, `counter` | the sum of both |
//! | membership | `add`, `remove`, `members` | an add wins over a concurrent remove |
//! | greatest, least | `offer_max`, `max`, `offer_min`, `min` | the greatest, the least |
//!
//! A key may hold a view of each kind; they are independent. Every write is sent to peers at once
//! and acknowledged with a [`Receipt`] when it is on the own disk (at once without a data folder).
//! It waits while the node takes its own state back from peers ([`knhk_mesh_core::node::Phase`]).

use std::time::Duration;

use bytes::Bytes;
use knhk_mesh_core::crdt::{Key, Op};
use knhk_mesh_core::error::WriteError as Rejected;
use knhk_mesh_core::identity::NodeId;
use knhk_mesh_core::messages::Receipt;
use knhk_mesh_core::node::Node;
use knhk_mesh_core::time::{Hlc, WallMs};
use tokio::sync::oneshot;

use crate::error::{ReadError, WriteError};
use crate::mesh::Mesh;
use crate::node_task::Command;

/// A value and where it comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Value {
    /// The bytes that were set.
    pub value: Bytes,
    /// The node that set them.
    pub author: NodeId,
    /// When, by the author's hybrid logical clock.
    pub clock: Hlc,
    /// Another author wrote or deleted something else at most 500 ms earlier: clocks of a mesh may
    /// differ by that much, so which of the two came last is not known.
    pub concurrent: bool,
}

/// One of the values of a multi-value register.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sibling {
    /// The bytes that were put.
    pub value: Bytes,
    /// The node that put them.
    pub author: NodeId,
    /// When, by the author's hybrid logical clock.
    pub clock: Hlc,
}

impl Mesh {
    /// Sets `key` (1-255 bytes) to `value`; key and value together must fit a record
    /// (`mesh.max_payload`, 1 KiB by default). The write is stamped above the value it replaces.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn set(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Receipt, WriteError> {
        let value = Bytes::copy_from_slice(value.as_ref());
        self.write(Op::Set { key: key_of(&key)?, value, ttl: None }).await
    }

    /// As [`Mesh::set`]; readers see the value for `ttl` (in steps of 100 ms) after the write by
    /// their own clock, and nothing afterwards.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn set_with_ttl(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        ttl: Duration,
    ) -> Result<Receipt, WriteError> {
        let value = Bytes::copy_from_slice(value.as_ref());
        self.write(Op::Set { key: key_of(&key)?, value, ttl: Some(ttl) }).await
    }

    /// The value of `key` as this node knows it; `None` if it was never set, deleted or expired.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>, ReadError> {
        self.read(&key, |node, key, wall| {
            node.get(key, wall).map(|lww| Value {
                value: Bytes::copy_from_slice(lww.value),
                author: lww.author,
                clock: lww.hlc,
                concurrent: lww.concurrent,
            })
        })
        .await
    }

    /// Deletes `key` at every node; a later `set` brings it back, a node that was away does not.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<Receipt, WriteError> {
        self.write(Op::Delete { key: key_of(&key)? }).await
    }

    /// Writes a value of a multi-value register: it replaces every value this node knows and stands
    /// beside those it does not.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn put(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Receipt, WriteError> {
        let value = Bytes::copy_from_slice(value.as_ref());
        self.write(Op::Put { key: key_of(&key)?, value }).await
    }

    /// All values of a multi-value register that no other write replaced,
    /// newest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn siblings(&self, key: impl AsRef<[u8]>) -> Result<Vec<Sibling>, ReadError> {
        self.read(&key, |node, key, wall| {
            let siblings = node.siblings(key, wall).into_iter();
            let owned = siblings.map(|sibling| Sibling {
                value: Bytes::copy_from_slice(sibling.value),
                author: sibling.author,
                clock: sibling.hlc,
            });
            owned.collect()
        })
        .await
    }

    /// Adds `by` to a counter; negative numbers count down.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn incr(&self, key: impl AsRef<[u8]>, by: i64) -> Result<Receipt, WriteError> {
        self.write(Op::Incr { key: key_of(&key)?, by }).await
    }

    /// The sum of all increments that this node knows; `None` if there was none.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn counter(&self, key: impl AsRef<[u8]>) -> Result<Option<i128>, ReadError> {
        self.read(&key, Node::counter).await
    }

    /// Adds a member to a set.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn add(
        &self,
        key: impl AsRef<[u8]>,
        member: impl AsRef<[u8]>,
    ) -> Result<Receipt, WriteError> {
        let member = Bytes::copy_from_slice(member.as_ref());
        self.write(Op::Add { key: key_of(&key)?, member }).await
    }

    /// Removes a member from a set: the additions that this node knows. A concurrent one stays.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn remove(
        &self,
        key: impl AsRef<[u8]>,
        member: impl AsRef<[u8]>,
    ) -> Result<Receipt, WriteError> {
        let member = Bytes::copy_from_slice(member.as_ref());
        self.write(Op::Remove { key: key_of(&key)?, member }).await
    }

    /// The members of a set, sorted; none if nobody ever wrote it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn members(&self, key: impl AsRef<[u8]>) -> Result<Vec<Bytes>, ReadError> {
        self.read(&key, |node, key, wall| {
            let members = node.members_of(key, wall).unwrap_or_default();
            members.into_iter().map(Bytes::copy_from_slice).collect()
        })
        .await
    }

    /// Offers `value` to a register that keeps the greatest.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn offer_max(
        &self,
        key: impl AsRef<[u8]>,
        value: i64,
    ) -> Result<Receipt, WriteError> {
        self.write(Op::Max { key: key_of(&key)?, value }).await
    }

    /// The greatest value offered, as this node knows it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn max(&self, key: impl AsRef<[u8]>) -> Result<Option<i64>, ReadError> {
        self.read(&key, Node::max).await
    }

    /// Offers `value` to a register that keeps the smallest.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn offer_min(
        &self,
        key: impl AsRef<[u8]>,
        value: i64,
    ) -> Result<Receipt, WriteError> {
        self.write(Op::Min { key: key_of(&key)?, value }).await
    }

    /// The smallest value offered, as this node knows it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn min(&self, key: impl AsRef<[u8]>) -> Result<Option<i64>, ReadError> {
        self.read(&key, Node::min).await
    }

    async fn write(&self, op: Op) -> Result<Receipt, WriteError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Write { op, agent: self.agent, reply };
        self.inner.commands.send(command).await.map_err(|_| WriteError::Stopped)?;
        answer.await.unwrap_or(Err(WriteError::Stopped))
    }

    async fn read<R: Send + 'static>(
        &self,
        key: &impl AsRef<[u8]>,
        view: impl FnOnce(&Node, &Key, WallMs) -> R + Send + 'static,
    ) -> Result<R, ReadError> {
        let key = key_of(key).map_err(ReadError::Key)?;
        let answer = self.ask(move |asked| view(asked.node, &key, asked.now.wall)).await;
        answer.map_err(|_| ReadError::Stopped)
    }
}

fn key_of(key: &impl AsRef<[u8]>) -> Result<Key, Rejected> {
    Key::new(Bytes::copy_from_slice(key.as_ref()))
}
