//! No more bytes to an address than came from it, until whoever is there is admitted. QUIC allows
//! three times as many before an address is proved and any number after it (RFC 9000, 8.1); a node
//! owes a stranger neither, so this stands between QUIC and the socket and counts.
//!
//! ```text
//!   from the socket ──► long header, or counted already ─► credit ─► what was kept back goes
//!   to the socket   ──► free (dialled, admitted)         ─► goes
//!                       counted: within its credit       ─► goes
//!                                beyond, long header     ─► kept back, two datagrams an address
//!                                beyond, short header    ─► lost; QUIC sends it again
//!                       unknown: long header             ─► lost
//!                                short header            ─► goes (a link that moved)
//! ```
//!
//! A handshake's answer is somewhat longer than the first packet that it answers. So that no honest
//! handshake takes a round trip more, the first datagram to a dialled address goes twice.

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::time::Instant;

/// Addresses that are counted in one generation. With more, the oldest are forgotten: they have to
/// send again.
const MAX_COUNTED: usize = 4_096;
/// A generation lasts longer than a handshake may; an address is forgotten after two.
const GENERATION: Duration = Duration::from_secs(10);
/// Datagrams that are kept back for one address: the rest of one answer.
const MAX_KEPT: usize = 2;
/// The same for all addresses, in each generation.
const MAX_KEPT_IN_ALL: usize = 128;
/// What may still go where a connection just ended: its last words.
const FAREWELL_BYTES: u64 = 4_800;
/// Set in the first byte of what belongs to a handshake (RFC 8999, 5.1).
const LONG_HEADER: u8 = 0x80;

/// What each stranger sent and got.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    state: Mutex<State>,
    /// Whether nothing is counted: links at rest pass without the lock.
    counts: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// By address, where a connection was dialled or admitted.
    free: HashMap<SocketAddr, Known>,
    now: HashMap<SocketAddr, Stranger>,
    before: HashMap<SocketAddr, Stranger>,
    kept: usize,
    since: Option<Instant>,
}

#[derive(Debug, Default)]
struct Known {
    uses: usize,
    /// The next datagram of a handshake goes twice.
    twice: bool,
}

#[derive(Debug, Default)]
struct Stranger {
    /// Bytes that came and were not answered.
    credit: u64,
    kept: Vec<Kept>,
}

/// A datagram that waits for credit.
#[derive(Debug)]
struct Kept {
    bytes: Vec<u8>,
    ecn: Option<EcnCodepoint>,
    src_ip: Option<IpAddr>,
}

/// What may become of bytes for an address.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    /// So many of them go.
    bytes: usize,
    /// The first datagram goes once more.
    twice: bool,
}

impl Ledger {
    /// Nothing to `addr` is counted while the result lives: there is, or is dialled, a peer.
    pub(super) fn free(self: &Arc<Self>, addr: SocketAddr, dialled: bool) -> Free {
        let mut state = self.lock();
        state.take(&key(addr));
        let known = state.free.entry(key(addr)).or_default();
        known.uses += 1;
        known.twice |= dialled;
        drop(state);
        Free { ledger: Arc::clone(self), addr }
    }

    /// Counts what came; what may go to the sender now.
    fn received(&self, from: SocketAddr, bytes: &[u8], stride: usize, now: Instant) -> Vec<Kept> {
        let mut datagrams = bytes.chunks(stride.max(1));
        let long = datagrams.any(|datagram| datagram[0] & LONG_HEADER != 0);
        if !long && !self.counts.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let state = &mut *self.lock();
        state.age(now);
        let from = key(from);
        let mut due = Vec::new();
        let known = state.take(&from);
        if let Some(mut stranger) = known.or_else(|| long.then(Stranger::default))
            && !state.free.contains_key(&from)
        {
            stranger.credit += bytes.len() as u64;
            while let Some(kept) = stranger.kept.first()
                && stranger.credit >= kept.bytes.len() as u64
            {
                stranger.credit -= kept.bytes.len() as u64;
                due.push(stranger.kept.remove(0));
            }
            state.put(from, stranger);
        }
        self.counts.store(state.counts(), Ordering::Relaxed);
        due
    }

    /// Charges `to` with as much of a transmit as may go, in whole datagrams.
    fn charge(&self, transmit: &Transmit<'_>) -> Verdict {
        let contents = transmit.contents;
        let all = Verdict { bytes: contents.len(), twice: false };
        let long = contents.first().is_some_and(|first| first & LONG_HEADER != 0);
        if !long && !self.counts.load(Ordering::Relaxed) {
            return all;
        }
        let state = &mut *self.lock();
        let to = key(transmit.destination);
        if let Some(known) = state.free.get_mut(&to) {
            return Verdict { twice: long && mem::take(&mut known.twice), ..all };
        }
        let room = state.kept < MAX_KEPT_IN_ALL;
        let Some(stranger) = state.stranger(&to) else {
            return if long { Verdict { bytes: 0, twice: false } } else { all };
        };
        let mut bytes = 0;
        for datagram in contents.chunks(transmit.segment_size.unwrap_or(contents.len()).max(1)) {
            if stranger.credit >= datagram.len() as u64 {
                stranger.credit -= datagram.len() as u64;
                bytes += datagram.len();
                continue;
            }
            if datagram[0] & LONG_HEADER != 0 && room && stranger.kept.len() < MAX_KEPT {
                let (ecn, src_ip) = (transmit.ecn, transmit.src_ip);
                stranger.kept.push(Kept { bytes: datagram.to_vec(), ecn, src_ip });
                state.kept += 1;
            }
            break;
        }
        Verdict { bytes, twice: false }
    }

    /// The socket had no room for what was charged.
    fn refund(&self, to: SocketAddr, verdict: &Verdict) {
        let state = &mut *self.lock();
        if let Some(known) = state.free.get_mut(&key(to)) {
            known.twice |= verdict.twice;
        } else if let Some(stranger) = state.stranger(&key(to)) {
            stranger.credit += verdict.bytes as u64;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn counts(&self) -> bool {
        !(self.now.is_empty() && self.before.is_empty())
    }

    fn stranger(&mut self, addr: &SocketAddr) -> Option<&mut Stranger> {
        self.now.get_mut(addr).or_else(|| self.before.get_mut(addr))
    }

    fn take(&mut self, addr: &SocketAddr) -> Option<Stranger> {
        let taken = self.now.remove(addr).or_else(|| self.before.remove(addr))?;
        self.kept -= taken.kept.len();
        Some(taken)
    }

    fn put(&mut self, addr: SocketAddr, stranger: Stranger) {
        if self.now.len() >= MAX_COUNTED {
            self.turn();
        }
        self.kept += stranger.kept.len();
        self.now.insert(addr, stranger);
    }

    fn age(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= GENERATION {
            self.turn();
            self.since = Some(now);
        }
    }

    fn turn(&mut self) {
        self.before = mem::take(&mut self.now);
        self.kept = self.before.values().map(|stranger| stranger.kept.len()).sum();
    }
}

/// One address has one key, however the socket writes it.
fn key(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// An address to which nothing is counted.
#[derive(Debug)]
pub(super) struct Free {
    ledger: Arc<Ledger>,
    addr: SocketAddr,
}

impl Free {
    /// The peer may have moved.
    pub(super) fn follow(&mut self, addr: SocketAddr) {
        if addr != self.addr {
            *self = self.ledger.free(addr, false);
        }
    }
}

impl Drop for Free {
    fn drop(&mut self) {
        let state = &mut *self.ledger.lock();
        let addr = key(self.addr);
        let Some(known) = state.free.get_mut(&addr) else { return };
        known.uses -= 1;
        if known.uses == 0 {
            state.free.remove(&addr);
            state.put(addr, Stranger { credit: FAREWELL_BYTES, kept: Vec::new() });
            self.ledger.counts.store(true, Ordering::Relaxed);
        }
    }
}

/// A socket under a ledger.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) socket: Arc<dyn AsyncUdpSocket>,
    pub(super) ledger: Arc<Ledger>,
}

impl AsyncUdpSocket for Counted {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let verdict = self.ledger.charge(transmit);
        if verdict.bytes == 0 {
            return Ok(());
        }
        let part = |bytes: usize| Transmit {
            contents: &transmit.contents[..bytes],
            segment_size: transmit.segment_size.filter(|segment| *segment < bytes),
            ..*transmit
        };
        let sent = self.socket.try_send(&part(verdict.bytes));
        if sent.is_err() {
            self.ledger.refund(transmit.destination, &verdict);
        } else if verdict.twice {
            // It is a courtesy: without it the handshake may take a round trip more.
            let first = transmit.segment_size.unwrap_or(verdict.bytes).min(verdict.bytes);
            let _ = self.socket.try_send(&part(first));
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let polled = self.socket.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(count)) = polled {
            for (meta, buffer) in meta.iter().zip(bufs.iter()).take(count) {
                let (bytes, now) = (&buffer[..meta.len], Instant::now());
                for kept in self.ledger.received(meta.addr, bytes, meta.stride, now) {
                    // What does not go now is lost on the way.
                    let _ = self.socket.try_send(&Transmit {
                        destination: meta.addr,
                        ecn: kept.ecn,
                        contents: &kept.bytes,
                        segment_size: None,
                        src_ip: kept.src_ip,
                    });
                }
            }
        }
        polled
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn long(bytes: usize) -> Vec<u8> {
        vec![0xc0; bytes]
    }

    fn short(bytes: usize) -> Vec<u8> {
        vec![0x40; bytes]
    }

    fn hear(ledger: &Ledger, from: u16, bytes: &[u8]) -> Vec<usize> {
        let due = ledger.received(at(from), bytes, bytes.len(), Instant::now());
        due.iter().map(|kept| kept.bytes.len()).collect()
    }

    fn say(ledger: &Ledger, to: u16, contents: &[u8], segment: Option<usize>) -> (usize, bool) {
        let verdict = ledger.charge(&Transmit {
            destination: at(to),
            ecn: None,
            contents,
            segment_size: segment,
            src_ip: None,
        });
        (verdict.bytes, verdict.twice)
    }

    #[test]
    fn a_stranger_gets_no_more_than_it_sent_and_the_rest_when_it_sends_again() {
        let ledger = Ledger::default();
        assert_eq!(say(&ledger, 1, &long(40), None).0, 0, "to nobody");
        assert!(hear(&ledger, 1, &long(1_200)).is_empty());
        assert_eq!(say(&ledger, 1, &long(1_338), Some(1_200)).0, 1_200, "in whole datagrams");
        assert_eq!(say(&ledger, 1, &short(30), None).0, 0);
        assert!(hear(&ledger, 1, &short(100)).is_empty());
        assert_eq!(hear(&ledger, 1, &short(100)), [138]);
        assert_eq!(say(&ledger, 1, &short(62), None).0, 62);
        assert_eq!(say(&ledger, 1, &short(1), None).0, 0);
    }

    #[test]
    fn who_is_admitted_or_dialled_is_not_counted_and_its_end_leaves_room_for_last_words() {
        let ledger = Arc::new(Ledger::default());
        hear(&ledger, 1, &long(1_200));
        let link = ledger.free(at(1), false);
        assert_eq!(say(&ledger, 1, &short(9_000), Some(1_000)), (9_000, false));
        hear(&ledger, 1, &long(1_200));
        assert_eq!(say(&ledger, 1, &short(9_000), None), (9_000, false), "still not counted");
        let again = ledger.free(at(1), true);
        drop(link);
        assert_eq!(say(&ledger, 1, &long(1_200), None), (1_200, true));
        assert_eq!(say(&ledger, 1, &long(1_200), None), (1_200, false));
        drop(again);
        assert_eq!(say(&ledger, 1, &long(9_000), Some(1_200)).0, 4_800);
        assert_eq!(say(&ledger, 2, &short(9_000), None).0, 9_000, "a link that moved");
    }

    #[test]
    fn a_moved_link_is_free_where_it_is() {
        let ledger = Arc::new(Ledger::default());
        let mut link = ledger.free(at(1), false);
        hear(&ledger, 2, &long(50));
        assert_eq!(say(&ledger, 2, &short(51), None).0, 0, "somebody forged its new address");
        link.follow(at(2));
        assert_eq!(say(&ledger, 2, &short(9_000), None).0, 9_000);
        hear(&ledger, 2, &long(50));
        assert_eq!(say(&ledger, 2, &short(9_000), None).0, 9_000);
    }

    #[test]
    fn what_is_counted_and_kept_is_bounded_and_forgotten() {
        let ledger = Ledger::default();
        let start = Instant::now();
        for n in 0..3 * MAX_COUNTED as u32 {
            let from = SocketAddr::new(IpAddr::from((n + (1 << 30)).to_be_bytes()), 9);
            ledger.received(from, &long(1_200), 1_200, start);
            let (contents, segment_size) = (&long(9_600)[..], Some(1_200));
            for _ in 0..3 {
                let (ecn, src_ip) = (None, None);
                ledger.charge(&Transmit { destination: from, ecn, contents, segment_size, src_ip });
            }
        }
        let count = |state: &State| {
            let all = state.now.values().chain(state.before.values());
            all.map(|stranger| stranger.kept.len()).sum::<usize>()
        };
        let mut state = ledger.lock();
        assert!(state.now.len() <= MAX_COUNTED && state.before.len() <= MAX_COUNTED);
        assert!(count(&state) <= MAX_KEPT_IN_ALL && count(&state) > 0);
        assert_eq!(count(&state), state.kept);
        state.age(start + GENERATION);
        state.age(start + 2 * GENERATION);
        assert!(!state.counts());
        assert_eq!(state.kept, 0);
    }

    #[test]
    fn what_the_socket_did_not_take_is_not_charged() {
        let ledger = Ledger::default();
        hear(&ledger, 1, &long(1_200));
        let verdict = Verdict { bytes: say(&ledger, 1, &long(1_200), None).0, twice: false };
        ledger.refund(at(1), &verdict);
        assert_eq!(say(&ledger, 1, &long(1_200), None).0, 1_200);
    }
}
