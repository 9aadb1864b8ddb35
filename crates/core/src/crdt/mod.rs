//! Stub until the views land: the names that the interface needs.
#![allow(missing_docs)]
use bytes::Bytes;
use core::time::Duration;
use crate::error::WriteError;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Family { Lww, Multi, Counter, Set, Max, Min }

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key(Bytes);
impl Key {
    pub fn new(bytes: Bytes) -> Result<Self, WriteError> {
        if bytes.is_empty() || bytes.len() > 255 { return Err(WriteError::KeyLength { len: bytes.len(), max: 255 }); }
        Ok(Key(bytes))
    }
    pub fn as_bytes(&self) -> &[u8] { &self.0 }
}
impl TryFrom<&str> for Key {
    type Error = WriteError;
    fn try_from(text: &str) -> Result<Self, WriteError> { Key::new(Bytes::copy_from_slice(text.as_bytes())) }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    Set { key: Key, value: Bytes, ttl: Option<Duration> },
    Delete { key: Key },
    Put { key: Key, value: Bytes },
    Incr { key: Key, by: i64 },
    Add { key: Key, member: Bytes },
    Remove { key: Key, member: Bytes },
    Max { key: Key, value: i64 },
    Min { key: Key, value: i64 },
}
