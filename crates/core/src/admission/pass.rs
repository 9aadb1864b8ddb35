//! What a node shows at every link: a token bound to it, or the word of a node that admitted it.

use super::{NotAdmitted, Token, check_signature};
use crate::codec::{Reader, Writer};
use crate::error::Refused;
use crate::identity::{MeshId, NodeId, Signer};
use crate::time::WallMs;

const PASS_DOMAIN: &[u8] = b"knhk-mesh pass v1\0";
const BY_TOKEN: u8 = 0;
const BY_NODE: u8 = 1;

/// The proof that a node was admitted. It is no secret: only the holder of the node's key can show
/// it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pass(Kind);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Kind {
    /// The admission key named the node itself.
    Token(Token),
    /// Another node saw the token.
    Admitted(Box<Admitted>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Admitted {
    token: Token,
    node: NodeId,
    at: WallMs,
    /// The bound token of the node that admitted.
    by: Token,
    signature: [u8; 64],
}

/// What a good pass says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The admitted node.
    pub node: NodeId,
    /// Its admission ends then.
    pub until: WallMs,
    /// The token that it came in with.
    pub token: [u8; 16],
    /// Until then somebody else could still bring that token.
    pub redeem_by: WallMs,
    /// Whether the node may admit others.
    pub may_admit: bool,
}

impl Pass {
    /// Longest encoding in bytes.
    pub const MAX_LEN: usize = 1 + 97 + 32 + 8 + 129 + 64;

    /// The pass of a node whose token is bound to it.
    ///
    /// # Errors
    /// [`NotAdmitted::OtherNode`] for a token that is not bound.
    pub fn of_token(token: Token) -> Result<Self, NotAdmitted> {
        token.node.map(|_| Pass(Kind::Token(token))).ok_or(NotAdmitted::OtherNode)
    }

    /// The word of the node `admitting`, whose own bound token is `by`, that `node` brought
    /// `token`. Checks nothing: see [`Pass::check`].
    #[must_use]
    pub fn sign(
        admitting: &impl Signer,
        by: Token,
        mesh: &MeshId,
        token: Token,
        node: NodeId,
        at: WallMs,
    ) -> Self {
        let mut admitted = Admitted { token, node, at, by, signature: [0; 64] };
        admitted.signature = admitting.sign(&admitted.statement(mesh));
        Pass(Kind::Admitted(Box::new(admitted)))
    }

    /// The token of a node that may admit others.
    #[must_use]
    pub fn bound_token(&self) -> Option<&Token> {
        match &self.0 {
            Kind::Token(token) => Some(token),
            Kind::Admitted(_) => None,
        }
    }

    /// The token that its node came in with; whether it is a good one, [`Pass::check`] says.
    #[must_use]
    pub fn token(&self) -> &Token {
        match &self.0 {
            Kind::Token(token) => token,
            Kind::Admitted(admitted) => &admitted.token,
        }
    }

    /// The pass as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(Self::MAX_LEN);
        match &self.0 {
            Kind::Token(token) => token.write(w.u8(BY_TOKEN)),
            Kind::Admitted(admitted) => {
                admitted.write_fields(w.u8(BY_NODE));
                w.bytes(&admitted.signature);
            }
        }
        w.into_vec()
    }

    /// Reads the bytes of a pass; whether it is a good one, [`Pass::check`] says.
    ///
    /// # Errors
    /// [`NotAdmitted::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, NotAdmitted> {
        let mut r = Reader::new(bytes);
        let kind = match r.u8()? {
            BY_TOKEN => Kind::Token(Token::read(&mut r)?),
            BY_NODE => Kind::Admitted(Box::new(Admitted::read(&mut r)?)),
            _ => return Err(NotAdmitted::Malformed),
        };
        r.end()?;
        Ok(Pass(kind))
    }

    /// Whether it admits its node to `mesh` at `now`. At most three signatures are checked.
    ///
    /// # Errors
    /// [`NotAdmitted`] says what is wrong with it.
    pub fn check(
        &self,
        admission_key: &NodeId,
        mesh: &MeshId,
        now: WallMs,
    ) -> Result<Claim, NotAdmitted> {
        // Before any signature: passes that are over may come without end.
        if now >= self.token().until {
            return Err(NotAdmitted::Expired);
        }
        let (token, node) = match &self.0 {
            Kind::Token(token) => (token, token.node.ok_or(NotAdmitted::OtherNode)?),
            Kind::Admitted(admitted) => {
                admitted.check(admission_key, mesh)?;
                (&admitted.token, admitted.node)
            }
        };
        token.check(admission_key, mesh)?;
        let (until, redeem_by, may_admit) = (token.until, token.redeem_by, token.node.is_some());
        Ok(Claim { node, until, token: token.id, redeem_by, may_admit })
    }
}

impl Admitted {
    fn write_fields(&self, w: &mut Writer) {
        self.token.write(w);
        w.bytes(&self.node.0).u64(self.at.0);
        self.by.write(w);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Refused> {
        let (token, node, at) = (Token::read(r)?, NodeId(r.array()?), WallMs(r.u64()?));
        let by = Token::read(r)?;
        // Whoever is bound brings no token, and who is not bound admits nobody: such a pass never
        // holds, and it would be longer than any that does.
        if token.node.is_some() || by.node.is_none() {
            return Err(Refused::Malformed);
        }
        Ok(Admitted { token, node, at, by, signature: r.array()? })
    }

    fn statement(&self, mesh: &MeshId) -> Vec<u8> {
        let mut w = Writer::with_capacity(400);
        w.bytes(PASS_DOMAIN).bytes(&mesh.0);
        self.write_fields(&mut w);
        w.into_vec()
    }

    /// Everything but the token's own signature and end.
    fn check(&self, admission_key: &NodeId, mesh: &MeshId) -> Result<(), NotAdmitted> {
        let admitting = self.by.node.ok_or(NotAdmitted::CannotAdmit)?;
        if self.token.node.is_some() {
            // A bound token is a pass by itself; nobody else speaks for its node.
            return Err(NotAdmitted::OtherNode);
        }
        if self.at >= self.token.redeem_by || self.at >= self.by.until {
            return Err(NotAdmitted::Expired);
        }
        self.by.check(admission_key, mesh)?;
        check_signature(&admitting, &self.statement(mesh), &self.signature)
    }
}
