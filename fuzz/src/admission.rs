//! Tokens, passes and denials, which strangers bring before anything is known about them: each has
//! one encoding, and no input makes a signature hold. The first byte chooses among them.

use knhk_mesh_core::admission::{Denial, Pass, Token};
use knhk_mesh_core::identity::{Genesis, Signer as _};
use knhk_mesh_core::time::WallMs;

use crate::Reached;
use crate::forge::keypair;

/// Each kind, by shape.
pub const PATHS: [&str; 7] = [
    "bearer token",
    "bound token",
    "text",
    "pass by token",
    "pass by node",
    "denial",
    "a good one",
];

/// Runs one input.
pub fn run(input: &[u8], reached: Reached<'_>) {
    let Some((kind, bytes)) = input.split_first() else { return };
    let (key, mesh) = (keypair(0).node_id(), Genesis::default().mesh_id());
    let good = match kind % 4 {
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
