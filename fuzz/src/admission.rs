//! Tokens, passes, denials and what a committee signs, which strangers bring before anything is
//! known about them: each has one encoding, and no input makes a signature hold. The first byte
//! chooses among them.

use knhk_mesh_core::admission::{Denial, Pass, Token};
use knhk_mesh_core::certified::{Certificate, ConflictProof, Facts, Vote};
use knhk_mesh_core::identity::{Committee, Genesis, Signer as _};
use knhk_mesh_core::time::WallMs;

use crate::Reached;
use crate::forge::keypair;

/// Each kind, by shape.
pub const PATHS: [&str; 12] = [
    "bearer token",
    "bound token",
    "text",
    "pass by token",
    "pass by node",
    "denial",
    "a good one",
    "vote",
    "certificate",
    "certified",
    "conflict",
    "a proven conflict",
];

/// Four whose keys the seeds are made with.
///
/// # Panics
/// If four different keys were no committee.
#[must_use]
pub fn committee() -> Committee {
    let members = (0..4).map(|n| keypair(n).node_id()).collect();
    Committee::new(members).expect("four different keys")
}

/// Runs one input.
pub fn run(input: &[u8], reached: Reached<'_>) {
    let Some((kind, bytes)) = input.split_first() else { return };
    let (key, mesh) = (keypair(0).node_id(), Genesis::default().mesh_id());
    let good = match kind % 7 {
        0 => {
            let Ok(token) = Token::decode(bytes) else { return };
            assert_eq!(token.encode(), bytes, "one token, one encoding");
            reached(if token.node.is_some() { "bound token" } else { "bearer token" });
            token.check(&key, &mesh).is_ok()
        }
        1 => {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            let Ok(token) = Token::from_text(text) else { return };
            assert_eq!(Token::from_text(&token.to_text()), Ok(token));
            return reached("text");
        }
        2 => {
            let Ok(pass) = Pass::decode(bytes) else { return };
            assert!(bytes.len() <= Pass::MAX_LEN);
            assert_eq!(pass.encode(), bytes, "one pass, one encoding");
            let by_token = pass.bound_token().is_some();
            reached(if by_token { "pass by token" } else { "pass by node" });
            pass.check(&key, &mesh, WallMs(1)).is_ok()
        }
        4 => return vote(bytes, reached),
        5 => return certificate(bytes, reached),
        6 => return conflict(bytes, reached),
        _ => {
            let Ok(denial) = Denial::decode(bytes) else { return };
            assert_eq!(denial.encode(), bytes, "one denial, one encoding");
            reached("denial");
            denial.check(&key, &mesh).is_ok()
        }
    };
    if good {
        reached("a good one");
    }
}

fn vote(bytes: &[u8], reached: Reached<'_>) {
    let Ok(vote) = Vote::decode(bytes) else { return };
    assert!(bytes.len() <= Vote::MAX_LEN);
    assert_eq!(vote.encode(), bytes, "one vote, one encoding");
    reached("vote");
    assert_eq!(Vote::from_text(&vote.to_text()).as_ref(), Ok(&vote));
    let mesh = Genesis::default().mesh_id();
    let alone = Certificate::join(&[vote.clone(), vote.clone(), vote], &committee(), &mesh);
    assert!(alone.is_err(), "nobody is a quorum");
}

fn certificate(bytes: &[u8], reached: Reached<'_>) {
    let Ok(certificate) = Certificate::decode(bytes) else { return };
    assert!(bytes.len() <= Certificate::MAX_LEN);
    assert_eq!(certificate.encode(), bytes, "one certificate, one encoding");
    assert_eq!(Certificate::from_text(&certificate.to_text()).as_ref(), Ok(&certificate));
    reached("certificate");
    let (committee, mesh) = (committee(), Genesis::default().mesh_id());
    let mut facts = Facts::default();
    assert!(!facts.needs_no_check(&certificate));
    if let Ok(certified) = certificate.check(&committee, &mesh) {
        assert_eq!(certified.signers(&committee).count(), committee.quorum());
        reached("certified");
        facts.insert(certified);
    }
}

fn conflict(bytes: &[u8], reached: Reached<'_>) {
    let Ok(proof) = ConflictProof::decode(bytes) else { return };
    assert!(bytes.len() <= ConflictProof::MAX_LEN);
    assert_eq!(proof.encode(), bytes, "one proof, one encoding");
    reached("conflict");
    let committee = committee();
    if let Ok(conflict) = proof.check(&committee, &Genesis::default().mesh_id()) {
        assert!(conflict.signers_of_both(&committee).len() > committee.faulty());
        reached("a proven conflict");
    }
}
