//! Writes what waits in the outbox of one link: each batch on a uni stream of its own, a digest in
//! a datagram where it fits.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use knhk_mesh_core::messages::{Close, Lane};
use quinn::{Connection, SendStream, VarInt};
use tokio::time::timeout;

use super::super::batch;
use super::super::outbox::Taken;
use super::super::{Down, Link};
use super::hello::Hello;

/// A peer that gives neither stream credit nor window for so long is given up.
const STALL: Duration = Duration::from_secs(10);
/// Error code of a stream that was given up; the reader only sees that it was.
const GIVEN_UP: VarInt = VarInt::from_u32(1);

/// Why a batch could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("the connection is lost")]
    Lost,
    #[error("the peer gives no credit")]
    Stalled,
}

/// Opens the conversation.
pub(super) async fn write_hello(connection: &Connection, hello: &Hello) -> Result<(), WriteError> {
    write_stream(connection, Lane::Control, hello.encode()).await?;
    Ok(())
}

/// Writes until the link ends. At a graceful end everything was acknowledged before the connection
/// is closed, because closing a QUIC connection forgets what is under way.
pub(super) async fn write_batches(
    link: Link,
    connection: Connection,
    compress: bool,
    streams: u32,
) {
    // The peer grants this many streams at a time, so no older one can be unacknowledged.
    let mut finished: VecDeque<SendStream> = VecDeque::new();
    while let Some(taken) = link.outbox().next().await {
        match write(&link, &connection, &taken, compress).await {
            Ok(None) => {}
            Ok(Some(stream)) => {
                if finished.len() >= streams as usize {
                    finished.pop_front();
                }
                finished.push_back(stream);
            }
            Err(WriteError::Stalled) => link.end(Down::Stalled),
            // The reader knows why.
            Err(WriteError::Lost) => break,
        }
    }
    if link.ended().is_none() && connection.close_reason().is_none() {
        for stream in &finished {
            let _ = stream.stopped().await;
        }
        link.end(Down::Here(Close::Leaving));
    }
    link.outbox().set_flushed();
}

async fn write(
    link: &Link,
    connection: &Connection,
    taken: &Taken,
    compress: bool,
) -> Result<Option<SendStream>, WriteError> {
    let bytes = batch::encode(taken.lane, &taken.messages, compress);
    link.count_out(bytes.len(), taken.messages.len());
    if taken.lane == Lane::Digest && fits_datagram(connection, bytes.len()) {
        // Digests may be lost, and the next one is as good.
        let _ = connection.send_datagram(bytes.into());
        return Ok(None);
    }
    write_stream(connection, taken.lane, bytes).await.map(Some)
}

/// Checked first, because a full datagram buffer would silently drop its oldest entry.
fn fits_datagram(connection: &Connection, bytes: usize) -> bool {
    connection.max_datagram_size().is_some_and(|max| bytes <= max)
        && connection.datagram_send_buffer_space() >= bytes
}

async fn write_stream(
    connection: &Connection,
    lane: Lane,
    bytes: Vec<u8>,
) -> Result<SendStream, WriteError> {
    let opened = timeout(STALL, connection.open_uni()).await;
    let stream = opened.map_err(|_| WriteError::Stalled)?.map_err(|_| WriteError::Lost)?;
    let mut unfinished = Unfinished(Some(stream));
    let Some(stream) = &mut unfinished.0 else { return Err(WriteError::Lost) };
    // Hot updates have the default, which costs no call.
    match lane {
        Lane::Control => stream.set_priority(1),
        Lane::Bulk => stream.set_priority(-1),
        Lane::Digest | Lane::Delta => Ok(()),
    }
    .map_err(|_| WriteError::Lost)?;
    let written = timeout(STALL, stream.write_chunk(Bytes::from(bytes))).await;
    written.map_err(|_| WriteError::Stalled)?.map_err(|_| WriteError::Lost)?;
    stream.finish().map_err(|_| WriteError::Lost)?;
    unfinished.0.take().ok_or(WriteError::Lost)
}

/// A dropped stream looks finished to the peer; one dropped too early is reset instead.
struct Unfinished(Option<SendStream>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(stream) = &mut self.0 {
            let _ = stream.reset(GIVEN_UP);
        }
    }
}
