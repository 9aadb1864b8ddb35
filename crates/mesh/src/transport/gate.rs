//! Who may begin a handshake. A handshake costs twenty times what it costs to ask for one, so the
//! places are few, and an address that nobody has proved can take none of them away from others.
//!
//! ```text
//!   places all taken                                    ─► refused
//!   address not proved, many under way or too fast      ─► "prove it" (QUIC Retry: one round trip)
//!   proved, too many under way or too fast from there   ─► refused
//!   proved, too fast altogether                         ─► refused
//! ```
//!
//! Only proved addresses are counted against: otherwise whoever writes a victim's address on his
//! packets would lock the victim out. Addresses of this host are not limited one by one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Addresses that are remembered.
const MAX_SOURCES: usize = 4_096;
/// An unused allowance of handshakes is kept this long.
const BURST: Duration = Duration::from_secs(2);

/// Limits of handshakes that others begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HandshakeLimits {
    /// Most under way; more are refused (64).
    pub under_way: usize,
    /// Above this many under way an address has to prove itself first (32).
    pub retry_above: usize,
    /// Most under way from one proved address: IPv4 /32, IPv6 /64 (16).
    pub per_address: usize,
    /// Handshakes a second from one proved address, with a burst of two seconds' worth (20).
    pub per_second: u32,
    /// Handshakes a second from all proved addresses, with the same burst (100): what they may cost
    /// altogether.
    pub per_second_in_all: u32,
    /// Handshakes a second without a proof of the address, with the same burst (25): faster, and
    /// everybody has to prove it.
    pub per_second_unproved: u32,
}

impl Default for HandshakeLimits {
    fn default() -> Self {
        HandshakeLimits {
            under_way: 64,
            retry_above: 32,
            per_address: 16,
            per_second: 20,
            per_second_in_all: 100,
            per_second_unproved: 25,
        }
    }
}

impl HandshakeLimits {
    /// For many nodes in one process, which all start at once: what they may cost altogether is
    /// their owner's own business.
    #[must_use]
    pub fn of_a_swarm() -> Self {
        let (per_second_in_all, per_second_unproved) = (2_000, 2_000);
        HandshakeLimits { per_second_in_all, per_second_unproved, ..HandshakeLimits::default() }
    }
}

/// What becomes of a handshake that somebody begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// It goes on once the address is proved.
    Prove,
    /// It ends here.
    Busy,
}

pub(crate) struct Gate {
    limits: HandshakeLimits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    under_way: usize,
    /// Until when the rates of all together are used up: without and with a proof.
    used: [Option<Instant>; 2],
    sources: HashMap<IpAddr, Source>,
}

struct Source {
    under_way: usize,
    /// Until when its rate is used up.
    used: Instant,
}

impl Gate {
    pub(crate) fn new(limits: HandshakeLimits) -> Arc<Self> {
        Arc::new(Gate { limits, state: Mutex::default() })
    }

    /// A place for a handshake from `ip`.
    pub(crate) fn enter(
        self: &Arc<Self>,
        ip: IpAddr,
        proved: bool,
        now: Instant,
    ) -> Result<HalfOpen, Refusal> {
        let mut state = self.lock();
        if state.under_way >= self.limits.under_way {
            return Err(Refusal::Busy);
        }
        if !proved && state.under_way >= self.limits.retry_above {
            return Err(Refusal::Prove);
        }
        let (rate, otherwise) = match proved {
            false => (self.limits.per_second_unproved, Refusal::Prove),
            true => (self.limits.per_second_in_all, Refusal::Busy),
        };
        let used = spend(state.used[usize::from(proved)], rate, now).ok_or(otherwise)?;
        let source = source(ip).filter(|_| proved);
        if let Some(source) = source {
            self.charge(&mut state, source, now)?;
        }
        state.used[usize::from(proved)] = Some(used);
        state.under_way += 1;
        Ok(HalfOpen { gate: Arc::clone(self), source })
    }

    fn charge(&self, state: &mut State, source: IpAddr, now: Instant) -> Result<(), Refusal> {
        if state.sources.len() >= MAX_SOURCES && !state.sources.contains_key(&source) {
            state.sources.retain(|_, known| known.under_way > 0 || known.used > now);
            if state.sources.len() >= MAX_SOURCES {
                return Err(Refusal::Busy);
            }
        }
        let fresh = Source { under_way: 0, used: now.checked_sub(BURST).unwrap_or(now) };
        let known = state.sources.entry(source).or_insert(fresh);
        let used = spend(Some(known.used), self.limits.per_second, now).ok_or(Refusal::Busy)?;
        if known.under_way >= self.limits.per_address {
            return Err(Refusal::Busy);
        }
        known.used = used;
        known.under_way += 1;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until when a rate of `a_second` is used up with one handshake more; `None` if it is already.
fn spend(used: Option<Instant>, a_second: u32, now: Instant) -> Option<Instant> {
    let oldest = now.checked_sub(BURST).unwrap_or(now);
    let used = used.map_or(oldest, |used| used.max(oldest));
    let used = used + Duration::from_secs(1) / a_second.max(1);
    (used <= now).then_some(used)
}

/// What is counted together; `None` for this host.
fn source(ip: IpAddr) -> Option<IpAddr> {
    let ip = ip.to_canonical();
    if ip.is_loopback() {
        return None;
    }
    Some(match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    })
}

/// A place among the accepted handshakes under way.
pub(crate) struct HalfOpen {
    gate: Arc<Gate>,
    source: Option<IpAddr>,
}

impl Drop for HalfOpen {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.under_way -= 1;
        if let Some(source) = self.source.and_then(|source| state.sources.get_mut(&source)) {
            source.under_way -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Arc<Gate> {
        let [per_second_in_all, per_second_unproved] = [10_000, 2_000];
        let limits = HandshakeLimits {
            under_way: 6,
            retry_above: 4,
            per_address: 2,
            per_second: 3,
            per_second_in_all,
            per_second_unproved,
        };
        Gate::new(limits)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn under_pressure_an_address_has_to_prove_itself_and_then_the_places_end() {
        let (gate, now) = (gate(), Instant::now() + BURST);
        let enter = |n: u8, proved| gate.enter(IpAddr::from([10, 0, 0, n]), proved, now);
        let some: Vec<_> = (0..4).map(|n| enter(n, false).ok().unwrap()).collect();
        assert_eq!(enter(9, false).err(), Some(Refusal::Prove));
        let two = [enter(9, true), enter(8, true)];
        assert!(two.iter().all(Result::is_ok));
        assert_eq!(enter(7, true).err(), Some(Refusal::Busy));
        drop(some);
        assert!(enter(7, false).is_ok(), "places are given back");
    }

    #[test]
    fn a_forged_address_takes_nothing_from_its_owner() {
        let (gate, now) = (gate(), Instant::now() + BURST);
        for _ in 0..1_000 {
            drop(gate.enter(ip("192.0.2.1"), false, now).ok().unwrap());
        }
        let forged: Vec<_> = (0..3).map(|_| gate.enter(ip("192.0.2.1"), false, now)).collect();
        assert!(gate.enter(ip("192.0.2.1"), true, now).is_ok());
        drop(forged);
        assert_eq!(gate.lock().sources.len(), 1, "only proved addresses are remembered");
    }

    #[test]
    fn one_address_has_few_places_and_a_rate_and_a_network_of_v6_counts_as_one() {
        let (gate, now) = (gate(), Instant::now() + BURST);
        let held = [0, 1].map(|_| gate.enter(ip("2001:db8::1"), true, now).ok().unwrap());
        assert_eq!(gate.enter(ip("2001:db8::2"), true, now).err(), Some(Refusal::Busy));
        assert!(gate.enter(ip("2001:db8:0:1::1"), true, now).is_ok());
        drop(held);
        let mut passed = 2;
        while gate.enter(ip("2001:db8::2"), true, now).is_ok() {
            passed += 1;
        }
        assert_eq!(passed, 6, "two seconds' worth");
        assert!(gate.enter(ip("2001:db8::2"), true, now + BURST).is_ok());
        for _ in 0..100 {
            let enter = gate.enter(ip("127.0.0.1"), true, now + BURST);
            assert!(enter.is_ok(), "this host is not limited");
        }
        assert_eq!(gate.lock().under_way, 0);
    }

    #[test]
    fn who_is_too_fast_has_to_prove_its_address_and_all_together_have_a_rate() {
        let limits =
            HandshakeLimits { per_second_in_all: 6, per_second_unproved: 4, ..Default::default() };
        let (gate, now) = (Gate::new(limits), Instant::now() + BURST);
        let enter = |proved, now| gate.enter(ip("127.0.0.1"), proved, now).map(drop);
        let passed = |proved, now| (0..100).take_while(|_| enter(proved, now).is_ok()).count();
        assert_eq!(passed(false, now), 8, "two seconds' worth");
        assert_eq!(enter(false, now), Err(Refusal::Prove));
        assert_eq!(passed(true, now), 12, "who proves it is not held up by those who do not");
        assert_eq!(enter(true, now), Err(Refusal::Busy));
        let later = now + Duration::from_secs(1);
        assert_eq!((passed(false, later), passed(true, later)), (4, 6));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten_when_it_is_over() {
        let (gate, now) = (gate(), Instant::now() + BURST);
        let from = |n: usize| IpAddr::from((n as u32 + (1 << 30)).to_be_bytes());
        for n in 0..MAX_SOURCES {
            drop(gate.enter(from(n), true, now).ok().unwrap());
        }
        assert!(gate.enter(from(MAX_SOURCES), true, now + BURST).is_ok());
        assert!(gate.lock().sources.len() <= MAX_SOURCES);
    }
}
