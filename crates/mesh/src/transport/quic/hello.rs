//! The first stream each way: who may come in, and the newest digest. Only a hello that holds a
//! digest or nothing may travel as early data, which somebody could replay: a digest heard twice
//! is as good as once.

use bytes::Bytes;
use knhk_mesh_core::admission::{Pass, Token};
use knhk_mesh_core::messages::{Lane, Message};
use quinn::RecvStream;

use super::super::batch::{self, BatchError};

/// "Who are you? I have a token."
const JOIN: u8 = 33;
const PASS: u8 = 34;
const TOKEN: u8 = 35;
/// No hello is longer.
const MAX_BYTES: usize = 2_048;
/// A digest and two passes.
const MAX_MESSAGES: usize = 3;

/// What one end says first.
#[derive(Default)]
pub(super) struct Hello {
    pub(super) join: bool,
    pub(super) passes: Vec<Pass>,
    pub(super) token: Option<Token>,
    pub(super) digest: Option<Bytes>,
}

impl Hello {
    /// Nothing but a digest, as every node that needs no pass says it.
    pub(super) fn of_digest(digest: Option<Bytes>) -> Self {
        Hello { digest, ..Hello::default() }
    }

    /// The hello as a batch. With a digest only it is one of the digest lane.
    pub(super) fn encode(&self) -> Vec<u8> {
        let tagged = |tag: u8, bytes: Vec<u8>| Bytes::from([&[tag][..], &bytes].concat());
        let mut messages = Vec::new();
        if self.join {
            messages.push(tagged(JOIN, Vec::new()));
        }
        messages.extend(self.passes.iter().map(|pass| tagged(PASS, pass.encode())));
        messages.extend(self.token.iter().map(|token| tagged(TOKEN, token.encode())));
        let lane = if messages.is_empty() { Lane::Digest } else { Lane::Control };
        messages.extend(self.digest.clone());
        batch::encode(lane, &messages, false)
    }

    /// Reads the batch of one stream. `early`: it may be a replay.
    pub(super) fn decode(bytes: &Bytes, early: bool) -> Result<Self, BatchError> {
        let (lane, messages) = batch::decode(bytes)?;
        if messages.len() > MAX_MESSAGES || (early && lane != Lane::Digest) {
            return Err(BatchError::Unknown);
        }
        let mut hello = Hello::default();
        for message in messages {
            let (tag, rest) = message.split_first().ok_or(BatchError::Unknown)?;
            let unknown = |_| BatchError::Unknown;
            match *tag {
                JOIN if rest.is_empty() && lane == Lane::Control => hello.join = true,
                PASS if lane == Lane::Control => {
                    hello.passes.push(Pass::decode(rest).map_err(unknown)?);
                }
                TOKEN if lane == Lane::Control => {
                    hello.token = Some(Token::decode(rest).map_err(unknown)?);
                }
                _ if hello.digest.is_none()
                    && matches!(Message::decode(&message), Ok(Message::Digest(_))) =>
                {
                    hello.digest = Some(message);
                }
                _ => return Err(BatchError::Unknown),
            }
        }
        Ok(hello)
    }
}

/// Reads a stream that holds a hello.
pub(super) async fn read(stream: &mut RecvStream) -> Result<Hello, BatchError> {
    let early = stream.is_0rtt();
    let bytes = stream.read_to_end(MAX_BYTES).await.map_err(|_| BatchError::Truncated)?;
    Hello::decode(&Bytes::from(bytes), early)
}

#[cfg(test)]
mod tests {
    use super::*;
    use knhk_mesh_core::admission::NEVER;
    use knhk_mesh_core::digest::Root;
    use knhk_mesh_core::frame::Class;
    use knhk_mesh_core::identity::{Keypair, MeshId, Signer};
    use knhk_mesh_core::messages::Digest;
    use knhk_mesh_core::time::WallMs;

    fn digest() -> Bytes {
        let (root, wall) = (Root([7; 32]), WallMs(1));
        let digest = Digest { class: Class::Cell, reply: false, root, count: 1, wall };
        Message::Digest(digest).encode()
    }

    fn token() -> Token {
        let pair = Keypair::from_secret(&[1; 32]);
        Token::sign(&pair, &MeshId([5; 32]), [9; 16], NEVER, NEVER, Some(pair.node_id()))
    }

    fn read(hello: &Hello, early: bool) -> Result<Hello, BatchError> {
        Hello::decode(&hello.encode().into(), early)
    }

    #[test]
    fn only_a_digest_or_nothing_is_taken_as_early_data() {
        let plain = Hello::of_digest(Some(digest()));
        assert_eq!(read(&plain, true).unwrap().digest, Some(digest()));
        assert!(read(&Hello::default(), true).unwrap().digest.is_none());
        let pass = Pass::of_token(token()).unwrap();
        let said = [
            Hello { join: true, ..Hello::default() },
            Hello { passes: vec![pass], digest: Some(digest()), ..Hello::default() },
            Hello { token: Some(token()), ..Hello::default() },
        ];
        for hello in &said {
            assert!(read(hello, true).is_err());
            let back = read(hello, false).unwrap();
            assert_eq!(back.encode(), hello.encode());
        }
        for lane in Lane::ALL {
            let other = batch::encode(lane, &[Message::Prune.encode()], false);
            assert!(Hello::decode(&other.into(), false).is_err(), "nothing else is a hello");
        }
        let smuggled = [&[TOKEN][..], &token().encode()].concat();
        let smuggled = batch::encode(Lane::Digest, &[smuggled.into()], false);
        assert!(Hello::decode(&smuggled.into(), true).is_err());
    }
}
