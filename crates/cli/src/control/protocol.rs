//! What is said on the control socket: requests, answers, and bytes that are no text.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::chaos::Order;
use crate::exit;

/// The protocol's version; a request of another one is refused.
pub(crate) const VERSION: u32 = 1;
/// Longest request. Key and value fit many times over.
pub(crate) const MAX_REQUEST: usize = 64 * 1024;
/// Longest answer that a client takes: a directory of the largest cell fits.
pub(crate) const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// One line from a client. Fields that an operation does not need are left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// [`VERSION`].
    pub(crate) v: u32,
    /// What to do: `get`, `set` ...
    pub(crate) op: String,
    /// Which node of the process; 0 is the first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) agent: usize,
    /// How long the answer may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_ms: Option<u64>,
    /// The key, or the prefix of a watch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_base64: Option<String>,
    /// The value, or the member of a set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value_base64: Option<String>,
    /// The type of view that `get` reads; all in turn without it.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<String>,
    /// What `incr` adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<i64>,
    /// After which a value of `set` is no longer shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ttl_ms: Option<u64>,
    /// The new file of `backup`: a whole path at the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
    /// Whom `ping` measures: a node id, or a beginning of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<String>,
    /// Whether `peers` says why.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) explain: bool,
    /// What `chaos` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chaos: Option<Order>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Request {
    pub(crate) fn new(op: &str) -> Self {
        Request { v: VERSION, op: op.into(), ..Request::default() }
    }

    pub(crate) fn with_value(self, value: &[u8]) -> Self {
        match std::str::from_utf8(value) {
            Ok(text) => Request { value: Some(text.into()), ..self },
            Err(_) => Request { value_base64: Some(BASE64.encode(value)), ..self },
        }
    }

    pub(crate) fn key_bytes(&self) -> Result<Vec<u8>, Fault> {
        bytes("key", self.key.as_deref(), self.key_base64.as_deref())
    }

    pub(crate) fn value_bytes(&self) -> Result<Vec<u8>, Fault> {
        bytes("value", self.value.as_deref(), self.value_base64.as_deref())
    }
}

fn bytes(name: &str, text: Option<&str>, base64: Option<&str>) -> Result<Vec<u8>, Fault> {
    match (text, base64) {
        (Some(text), None) => Ok(text.as_bytes().to_vec()),
        (None, Some(base64)) => BASE64
            .decode(base64.as_bytes())
            .map_err(|_| Fault::usage(&format!("{name}_base64 is no base64"))),
        (None, None) => Err(Fault::usage(&format!("the request has no {name}"))),
        (Some(_), Some(_)) => {
            Err(Fault::usage(&format!("the request has both {name} and {name}_base64")))
        }
    }
}

/// One line to a client: exactly one of the three.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) v: u32,
    /// The result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ok: Option<Box<RawValue>>,
    /// Something that a watch saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) event: Option<Box<RawValue>>,
    /// Why there is no result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Fault>,
}

/// Why a request was not done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Fault {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) help: String,
    /// The exit code that a command ends with.
    pub(crate) exit: u8,
    /// What else programs may want to know, by name.
    #[serde(flatten)]
    pub(crate) details: serde_json::Map<String, serde_json::Value>,
}

impl Fault {
    pub(crate) fn new(code: &str, exit: u8, message: &str, help: &str) -> Self {
        use serde_json::Map;
        Fault {
            code: code.into(),
            message: message.into(),
            help: help.into(),
            exit,
            details: Map::new(),
        }
    }

    pub(crate) fn usage(message: &str) -> Self {
        Fault::new("usage", exit::WRONG_USAGE, message, "docs/CLI.md describes the protocol")
    }
}

/// Bytes as JSON shows them: text where they are text, else base64 under the other name.
pub(crate) fn text_or_base64(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.into()), None),
        Err(_) => (None, Some(BASE64.encode(bytes))),
    }
}
