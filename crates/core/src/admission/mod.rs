//! Statements of the admission key: who may come in ([`Token`], [`Pass`]) and who may no longer
//! ([`Denial`]). Pure values that anybody who knows the mesh's admission key can check offline; who
//! carries and keeps them is the shell's business.
//!
//! ```text
//!   admission key ──signs──► token bound to a node            = its pass; it may admit others
//!                 ──signs──► token for whoever brings it first
//!                               └─ the admitting node signs "this token, this node, now" = pass
//!                 ──signs──► denial of a node
//! ```
//!
//! The admission key stays with its operator: a node that admits signs with its own key, and its
//! own token, signed by the admission key, travels in the pass. So a pass proves itself for as long
//! as it holds, also to a node that starts with nothing but the mesh's genesis.

mod denial;
mod pass;

pub use denial::{Denial, Denials};
pub use pass::{Claim, Pass};

use crate::certified::NotCertified;
use crate::codec::{Reader, Writer};
use crate::error::Refused;
use crate::identity::{MeshId, NodeId, Signer, from_base32, to_base32};
use crate::time::WallMs;

/// A time that never comes: "without end".
pub const NEVER: WallMs = WallMs(u64::MAX);

const TOKEN_DOMAIN: &[u8] = b"knhk-mesh token v1\0";
/// What every token's text begins with: people and secret scanners know it by that.
const TOKEN_PREFIX: &str = "knhk1";
const BEARER: u8 = 0;
const BOUND: u8 = 1;

/// Why a statement admits nobody. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotAdmitted {
    /// The text or the bytes are no token or pass.
    #[error("this is no token: it was cut or altered")]
    Malformed,
    /// The signature is not one of this mesh's admission key.
    #[error("not signed by the admission key of this mesh")]
    Signature,
    /// The token or pass names another node.
    #[error("made for another node")]
    OtherNode,
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// Another node came in with it.
    #[error("the token was used by another node")]
    Used,
    /// This node's own token does not let it admit others, or it has none.
    #[error("only a node whose token is bound to its id admits others: try its address")]
    CannotAdmit,
    /// More tokens are in use than are remembered.
    #[error("too many tokens were used within their time: try later")]
    Busy,
    /// The node was denied.
    #[error("denied by the operator")]
    Denied,
    /// The genesis appoints a committee, and the admission key alone denies nobody.
    #[error("in this mesh a quorum of the committee denies and forgets, not the admission key")]
    NeedsQuorum,
    /// The genesis appoints no committee.
    #[error("this mesh has no committee")]
    NoCommittee,
    /// No quorum of the committee stands for it.
    #[error(transparent)]
    Uncertified(#[from] NotCertified),
}

impl From<Refused> for NotAdmitted {
    fn from(_: Refused) -> Self {
        NotAdmitted::Malformed
    }
}

/// What the admission key signs so that one node may come in: a secret, unless it is bound to a
/// node.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Names it; 16 bytes of the operating system's randomness.
    pub id: [u8; 16],
    /// It has to be brought before this.
    pub redeem_by: WallMs,
    /// The admission that it gives ends then; [`NEVER`] = without end.
    pub until: WallMs,
    /// The only node that it is for, which then may admit others; `None` = whoever is first.
    pub node: Option<NodeId>,
    signature: [u8; 64],
}

impl Token {
    /// Signs a token of `mesh` with the admission key.
    #[must_use]
    pub fn sign(
        admission_key: &impl Signer,
        mesh: &MeshId,
        id: [u8; 16],
        redeem_by: WallMs,
        until: WallMs,
        node: Option<NodeId>,
    ) -> Self {
        let unsigned = Token { id, redeem_by, until, node, signature: [0; 64] };
        let signature = admission_key.sign(&unsigned.statement(mesh));
        Token { signature, ..unsigned }
    }

    fn statement(&self, mesh: &MeshId) -> Vec<u8> {
        let mut w = Writer::with_capacity(160);
        w.bytes(TOKEN_DOMAIN).bytes(&mesh.0);
        self.write_fields(&mut w);
        w.into_vec()
    }

    fn write_fields(&self, w: &mut Writer) {
        w.bytes(&self.id).u64(self.redeem_by.0).u64(self.until.0);
        match &self.node {
            None => w.u8(BEARER),
            Some(node) => w.u8(BOUND).bytes(&node.0),
        };
    }

    fn write(&self, w: &mut Writer) {
        self.write_fields(w);
        w.bytes(&self.signature);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Refused> {
        let (id, redeem_by, until) = (r.array()?, WallMs(r.u64()?), WallMs(r.u64()?));
        let node = match r.u8()? {
            BEARER => None,
            BOUND => Some(NodeId(r.array()?)),
            _ => return Err(Refused::Malformed),
        };
        Ok(Token { id, redeem_by, until, node, signature: r.array()? })
    }

    /// The token as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(129);
        self.write(&mut w);
        w.into_vec()
    }

    /// Reads the bytes of a token; whether it is a good one, [`Token::check`] says.
    ///
    /// # Errors
    /// [`NotAdmitted::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, NotAdmitted> {
        let mut r = Reader::new(bytes);
        let token = Token::read(&mut r)?;
        r.end()?;
        Ok(token)
    }

    /// Whether the admission key of `mesh` signed it. Times are not looked at.
    ///
    /// # Errors
    /// [`NotAdmitted::Signature`].
    pub fn check(&self, admission_key: &NodeId, mesh: &MeshId) -> Result<(), NotAdmitted> {
        check_signature(admission_key, &self.statement(mesh), &self.signature)
    }

    /// The token as a line of text.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{TOKEN_PREFIX}{}", to_base32(&self.encode()))
    }

    /// Reads a line of text; blanks around it are passed over.
    ///
    /// # Errors
    /// [`NotAdmitted::Malformed`].
    pub fn from_text(text: &str) -> Result<Self, NotAdmitted> {
        let text = text.trim().strip_prefix(TOKEN_PREFIX).ok_or(NotAdmitted::Malformed)?;
        Token::decode(&from_base32(text).ok_or(NotAdmitted::Malformed)?)
    }
}

/// A bearer's secret is never printed.
impl core::fmt::Debug for Token {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match &self.node {
            Some(node) => write!(f, "Token(for {node:?})"),
            None => f.write_str("Token(for whoever brings it)"),
        }
    }
}

fn check_signature(
    key: &NodeId,
    statement: &[u8],
    signature: &[u8; 64],
) -> Result<(), NotAdmitted> {
    key.has_signed(statement, signature).then_some(()).ok_or(NotAdmitted::Signature)
}

#[cfg(test)]
mod tests;
