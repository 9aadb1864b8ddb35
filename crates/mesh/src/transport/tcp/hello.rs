//! The signed hello. Both ends sign both nonces, both ids and the mesh under a domain of their own,
//! so a signature fits one end of one connection only.
//!
//! ```text
//! dialler ──► magic, mesh, id, nonce
//!         ◄── verdict; if good: mesh, id, nonce, signature
//!         ──► verdict; if good: signature
//!         ◄── verdict (a full or duplicate link is refused here)
//! ```

use knhk_mesh_core::identity::{NodeId, Signer};
use knhk_mesh_core::messages::Close;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::DialError;
use super::super::local::Local;
use super::super::registry::Claim;

const MAGIC: [u8; 16] = *b"knhk-mesh tcp/1\n";
const DOMAIN: &[u8] = b"knhk-mesh tcp hello v1\0";
const GOOD: u8 = 0;
/// A close code travels above the faults of the hello.
const CLOSE: u8 = 0x80;
const FAULTS: [DialError; 5] = [
    DialError::OtherMesh,
    DialError::NotAdmitted,
    DialError::WrongKey,
    DialError::Myself,
    DialError::AlreadyLinked,
];

/// What one end says first.
struct Introduction {
    mesh: [u8; 32],
    node: [u8; 32],
    nonce: [u8; 32],
}

impl Introduction {
    fn own(local: &Local) -> Result<Self, DialError> {
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).map_err(|error| DialError::Handshake(error.to_string()))?;
        Ok(Introduction { mesh: local.settings.mesh.0, node: local.own.0, nonce })
    }

    async fn read(stream: &mut TcpStream) -> Result<Self, DialError> {
        let mut said = Introduction { mesh: [0; 32], node: [0; 32], nonce: [0; 32] };
        for part in [&mut said.mesh, &mut said.node, &mut said.nonce] {
            stream.read_exact(part).await.map_err(broken)?;
        }
        Ok(said)
    }

    fn to_bytes(&self) -> [u8; 96] {
        let mut bytes = [0; 96];
        bytes[..32].copy_from_slice(&self.mesh);
        bytes[32..64].copy_from_slice(&self.node);
        bytes[64..].copy_from_slice(&self.nonce);
        bytes
    }
}

#[derive(Clone, Copy)]
enum Role {
    Dialler,
    Acceptor,
}

/// What the `role` signs.
fn statement(role: Role, dialler: &Introduction, acceptor: &Introduction) -> Vec<u8> {
    [DOMAIN, &[role as u8], &dialler.to_bytes(), &acceptor.to_bytes()].concat()
}

/// Greets as the dialler: who answered, and that they want the link.
pub(super) async fn dial(
    local: &Local,
    demanded: Option<NodeId>,
    claim: &mut Claim<'_>,
    stream: &mut TcpStream,
) -> Result<NodeId, DialError> {
    let own = Introduction::own(local)?;
    stream.write_all(&[MAGIC.as_slice(), &own.to_bytes()].concat()).await.map_err(broken)?;
    read_verdict(stream).await?;
    let theirs = Introduction::read(stream).await?;
    let mut signature = [0; 64];
    stream.read_exact(&mut signature).await.map_err(broken)?;
    let node = NodeId(theirs.node);
    let fault = if theirs.mesh != own.mesh {
        Some(DialError::OtherMesh)
    } else if !node.has_signed(&statement(Role::Acceptor, &own, &theirs), &signature) {
        return Err(unproven());
    } else if demanded.is_some_and(|demanded| demanded != node) {
        Some(DialError::WrongKey)
    } else if local.trust.admits(&node).is_err() {
        Some(DialError::NotAdmitted)
    } else {
        claim.node(node).err()
    };
    if let Some(why) = fault {
        stream.write_all(&[verdict_of(&why)]).await.map_err(broken)?;
        return Err(why);
    }
    let proof = local.settings.keypair.sign(&statement(Role::Dialler, &own, &theirs));
    stream.write_all(&[&[GOOD], proof.as_slice()].concat()).await.map_err(broken)?;
    read_verdict(stream).await?;
    Ok(node)
}

/// Greets as the acceptor: who dialled. [`welcome`] is still to be said.
pub(super) async fn accept(local: &Local, stream: &mut TcpStream) -> Result<NodeId, DialError> {
    let mut magic = [0; MAGIC.len()];
    stream.read_exact(&mut magic).await.map_err(broken)?;
    if magic != MAGIC {
        return Err(unproven());
    }
    let theirs = Introduction::read(stream).await?;
    let own = Introduction::own(local)?;
    let node = NodeId(theirs.node);
    let fault = if theirs.mesh != own.mesh {
        Some(DialError::OtherMesh)
    } else if node == local.own {
        Some(DialError::Myself)
    } else if local.trust.admits(&node).is_err() {
        Some(DialError::NotAdmitted)
    } else {
        None
    };
    if let Some(why) = fault {
        stream.write_all(&[verdict_of(&why)]).await.map_err(broken)?;
        return Err(why);
    }
    let proof = local.settings.keypair.sign(&statement(Role::Acceptor, &theirs, &own));
    let answer = [&[GOOD], own.to_bytes().as_slice(), &proof].concat();
    stream.write_all(&answer).await.map_err(broken)?;
    read_verdict(stream).await?;
    let mut signature = [0; 64];
    stream.read_exact(&mut signature).await.map_err(broken)?;
    if node.has_signed(&statement(Role::Dialler, &theirs, &own), &signature) {
        Ok(node)
    } else {
        Err(unproven())
    }
}

/// The acceptor's last word: welcome, or why not.
pub(super) async fn welcome(stream: &mut TcpStream, refused: Option<Close>) -> std::io::Result<()> {
    let verdict = refused.map_or(GOOD, |why| CLOSE | why.code() as u8);
    stream.write_all(&[verdict]).await
}

async fn read_verdict(stream: &mut TcpStream) -> Result<(), DialError> {
    let mut verdict = [0];
    stream.read_exact(&mut verdict).await.map_err(broken)?;
    let [verdict] = verdict;
    if verdict == GOOD {
        return Ok(());
    }
    if verdict & CLOSE != 0 {
        let close = Close::ALL.get(usize::from(verdict & !CLOSE));
        return Err(close.map_or_else(unproven, |close| (*close).into()));
    }
    Err(FAULTS.get(usize::from(verdict) - 1).cloned().unwrap_or_else(unproven))
}

fn verdict_of(why: &DialError) -> u8 {
    let fault = FAULTS.iter().position(|fault| fault == why);
    // Whatever else keeps this node from linking, there is a link or a dial already.
    fault.unwrap_or(FAULTS.len() - 1) as u8 + 1
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn broken(error: std::io::Error) -> DialError {
    DialError::Handshake(error.to_string())
}

fn unproven() -> DialError {
    DialError::Handshake("no valid proof of a node key".into())
}
