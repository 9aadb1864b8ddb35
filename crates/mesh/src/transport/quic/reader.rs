//! Takes batches off one connection. All open streams are read side by side in one task, so a large
//! batch delays no small one; a batch is delivered when its stream has ended whole. While the owner
//! does not take events, nothing is read, and the peer's credit runs out.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use knhk_mesh_core::messages::Lane;
use quinn::{Connection, ReadError, RecvStream};

use super::super::Link;
use super::super::batch::{self, BatchError, HEADER_BYTES, Header};
use super::ledger::Free;
use super::{Shared, endpoint};

/// First buffer of a stream; most hot batches fit.
const FIRST_BYTES: usize = 1_024;

/// Reads until the connection ends or the peer breaks the protocol.
pub(super) async fn read_batches(
    shared: &Shared,
    link: &Link,
    connection: &Connection,
    free: &mut Free,
) {
    let most = endpoint::uni_streams(shared.local.settings.profile) as usize;
    let mut streams: Vec<Partial> = Vec::new();
    let mut accepts = true;
    let mut datagrams = true;
    while accepts || datagrams || !streams.is_empty() {
        let read = tokio::select! {
            // Digests are rare and must not starve; streams that are open come before new ones.
            biased;
            datagram = connection.read_datagram(), if datagrams => match datagram {
                // The digest lane only: a datagram may be early data, which somebody could replay.
                // A copy, because the packet's buffer is much larger and would be kept alive.
                Ok(bytes) => match bytes.get(1) {
                    Some(lane) if *lane != Lane::Digest as u8 => Err(BatchError::Unknown),
                    _ => Ok(Some(Bytes::copy_from_slice(&bytes))),
                },
                Err(_) => {
                    datagrams = false;
                    continue;
                }
            },
            done = poll_fn(|cx| poll_any(&mut streams, cx)), if !streams.is_empty() => done,
            accepted = connection.accept_uni(), if accepts && streams.len() < most => {
                match accepted {
                    Ok(stream) => streams.push(Partial::new(stream)),
                    // What arrived before the end is still to be read.
                    Err(_) => accepts = false,
                }
                continue;
            }
        };
        let batch = read.and_then(|bytes| match bytes {
            Some(bytes) => batch::decode(&bytes).map(|batch| (bytes.len(), batch)),
            None => Ok((0, (Lane::Control, Vec::new()))),
        });
        match batch {
            Ok((bytes, (lane, messages))) => {
                free.follow(connection.remote_address());
                if !shared.local.deliver(link, bytes, lane, messages).await {
                    return;
                }
            }
            Err(error) => return shared.local.broken(link, error),
        }
    }
}

/// The next stream that ended: its bytes, or nothing if it was given up by the peer.
fn poll_any(
    streams: &mut Vec<Partial>,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Bytes>, BatchError>> {
    for at in 0..streams.len() {
        if let Poll::Ready(done) = streams[at].poll(cx) {
            streams.swap_remove(at);
            return Poll::Ready(done);
        }
    }
    Poll::Pending
}

/// A stream and what of its batch has arrived.
struct Partial {
    stream: RecvStream,
    bytes: Vec<u8>,
    /// Header and body together, once the header is here.
    whole: Option<usize>,
}

impl Partial {
    fn new(stream: RecvStream) -> Self {
        Partial { stream, bytes: Vec::new(), whole: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BatchError>> {
        loop {
            let filled = self.bytes.len();
            let room = self.room();
            // Exact: streams that never end hold what they sent and no more.
            self.bytes.reserve_exact(room);
            self.bytes.resize(filled + room, 0);
            let read = self.stream.poll_read(cx, &mut self.bytes[filled..]);
            let count = match &read {
                Poll::Ready(Ok(count)) => *count,
                _ => 0,
            };
            self.bytes.truncate(filled + count);
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(self.ended()),
                Poll::Ready(Ok(_)) => {
                    if let Err(error) = self.check() {
                        return Poll::Ready(Err(error));
                    }
                }
                // A reset stream is a batch that its sender gave up; a lost connection says so.
                Poll::Ready(Err(ReadError::Reset(_) | ReadError::ConnectionLost(_))) => {
                    return Poll::Ready(Ok(None));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(BatchError::Truncated)),
            }
        }
    }

    /// How many bytes to ask for: doubling, but never more than one byte beyond the batch.
    fn room(&self) -> usize {
        let doubled = self.bytes.len().max(FIRST_BYTES);
        match self.whole {
            Some(whole) => doubled.min(whole - self.bytes.len() + 1),
            None => doubled,
        }
    }

    fn check(&mut self) -> Result<(), BatchError> {
        if self.whole.is_none()
            && let Some(head) = self.bytes.first_chunk::<HEADER_BYTES>()
        {
            self.whole = Some(HEADER_BYTES + Header::parse(head)?.body_bytes);
        }
        match self.whole {
            Some(whole) if self.bytes.len() > whole => Err(BatchError::Trailing),
            _ => Ok(()),
        }
    }

    fn ended(&mut self) -> Result<Option<Bytes>, BatchError> {
        if self.whole != Some(self.bytes.len()) {
            return Err(BatchError::Truncated);
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        // Messages are slices that may live long; they keep no more than their batch.
        bytes.shrink_to_fit();
        Ok(Some(bytes.into()))
    }
}
