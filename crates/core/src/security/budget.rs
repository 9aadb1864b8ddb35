//! What one peer may make this node do. Each kind of work has a token bucket of its own, so that a
//! flood of one kind takes nothing from the others; who goes far beyond them is blamed once a
//! second, and after ten such seconds its link ends and stays out for a minute.
//!
//! ```text
//!   message ─► gate: tokens left? ── no ─► refused unread: forgotten, not marked as seen
//!                         │ yes                 │ a hundred in a second: a strike, blame
//!                         ▼                     ▼ ten strikes, or no reputation left
//!              verified, handled: paid          link ends, barred for a minute
//! ```
//!
//! A limit delays and never decides: what is refused here comes by another link or by the rounds.
//! Buckets are kept only while much is said: a peer cannot exceed its own without that.

use core::time::Duration;

use crate::identity::{NodeId, PeerIx};
use crate::time::Time;

/// Refusals within a second that are nobody's fault: limits may be set low, and bursts happen.
const TOLERATED: u32 = 100;
/// Control messages a second that are never too many: rounds and heartbeats need them.
const LEAST_CONTROL: u32 = 500;
/// Seconds beyond the limits after which a link ends, within [`STRIKES_LAST`] of each other.
const STRIKES: u8 = 10;
const STRIKES_LAST: Duration = Duration::from_secs(10);
/// Who was thrown out stays out so long.
const BARRED: Duration = Duration::from_secs(60);
/// Nodes that are remembered as barred; more push out the oldest.
const MAX_BARRED: usize = 64;
/// Bytes that a message may have on average: at the usual rate, as many a second as a node answers
/// with at most.
const BYTES_A_MESSAGE: u64 = 4 * 1024;

/// Kinds of work, each with a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Digests, questions, answers: no signature.
    Control,
    /// Signed messages that come unasked.
    Push,
    /// Signed messages of repair: a node that was away gets everything at once.
    Repair,
    /// Bytes of all of them.
    Bytes,
}

impl Work {
    const ALL: [Work; 4] = [Work::Control, Work::Push, Work::Repair, Work::Bytes];

    /// An unused allowance is kept so long.
    const fn burst(self) -> Duration {
        Duration::from_secs(match self {
            Work::Control | Work::Push | Work::Bytes => 2,
            Work::Repair => 8,
        })
    }
}

/// What becomes of a peer that went beyond its limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Excess {
    /// Not blamed, or in this second already.
    Counted,
    /// Blame it.
    Strike,
    /// End its link.
    Out,
}

/// How much is said to a node: messages of the second that is running. Four bytes, because every
/// node has one; buckets come with the first flood.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace(u32);

/// Low bits of a [`Pace`] that count; above them is the second.
const COUNT: u32 = 24;

impl Pace {
    /// One message more; how many there were in this second.
    pub fn hear(&mut self, now: Time) -> u32 {
        let (second, most) = (second_of(now) << COUNT, (1 << COUNT) - 1);
        let heard = if self.0 & !most == second { self.0 & most } else { 0 };
        let heard = (heard + 1).min(most);
        self.0 = second | heard;
        heard
    }
}

/// Whether a message of `len` bytes, the `heard`th of its second, is paid for: a peer cannot exceed
/// its own limits while little is said altogether.
#[must_use]
pub const fn is_paid(heard: u32, len: usize, rate: u32) -> bool {
    heard > rate / 2 || len > BYTES_A_MESSAGE as usize
}

/// The buckets of one node, and whom it threw out.
#[derive(Debug, Default)]
pub struct Budgets {
    accounts: Vec<Account>,
    barred: Vec<(NodeId, Time)>,
}

#[derive(Debug)]
struct Account {
    peer: PeerIx,
    /// By [`Work`]: until when everything is paid.
    paid_at: [Time; Work::ALL.len()],
    /// A second, and what was refused in it.
    refused: (u32, u32),
    strikes: u8,
    /// The last strike.
    struck: Option<Time>,
}

impl Account {
    fn over(&self, work: Work, now: Time) -> bool {
        self.paid_at[work as usize].since(now) >= work.burst()
    }

    fn is_idle(&self, now: Time) -> bool {
        let paid = self.paid_at.iter().all(|at| *at <= now);
        paid && self.struck.is_none_or(|at| now.since(at) >= STRIKES_LAST)
    }
}

fn second_of(now: Time) -> u32 {
    (now.0 / 1_000_000_000) as u32
}

impl Budgets {
    /// Seconds beyond the limits with which a link ends.
    pub const STRIKES: u8 = STRIKES;

    /// Seconds in which `peer` went beyond its limits, as far as they still count.
    #[must_use]
    pub fn strikes(&self, peer: PeerIx, now: Time) -> u8 {
        let Some(account) = self.place(peer).map(|at| &self.accounts[at]) else { return 0 };
        let counts = account.struck.is_some_and(|at| now.since(at) < STRIKES_LAST);
        if counts { account.strikes } else { 0 }
    }

    /// Who is barred at `now`.
    pub fn barred_at(&self, now: Time) -> impl Iterator<Item = &NodeId> {
        self.barred.iter().filter(move |(_, until)| *until > now).map(|(node, _)| node)
    }

    /// How long `node` stays out yet, if it was thrown out lately.
    #[must_use]
    pub fn barred_for(&self, node: &NodeId, now: Time) -> Option<Duration> {
        let barred = self.barred.iter().find(|(known, until)| known == node && *until > now);
        barred.map(|(_, until)| until.since(now))
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.barred.is_empty()
    }

    fn place(&self, peer: PeerIx) -> Option<usize> {
        self.accounts.iter().position(|account| account.peer == peer)
    }

    /// Whether `peer` has buckets: it then pays for everything.
    #[must_use]
    pub fn knows(&self, peer: PeerIx) -> bool {
        self.place(peer).is_some()
    }

    /// Whether `peer` may have `work` done now. Without effect.
    #[must_use]
    pub fn allows(&self, peer: PeerIx, work: Work, now: Time) -> bool {
        self.place(peer).is_none_or(|at| {
            let account = &self.accounts[at];
            !account.over(work, now) && !account.over(Work::Bytes, now)
        })
    }

    /// `peer` had one message of `len` bytes worked on, at `rate` messages a second for each kind.
    /// Without `work` it was refused, and counts as whatever it might have been.
    pub fn charge(&mut self, peer: PeerIx, work: Option<Work>, len: usize, rate: u32, now: Time) {
        let at = self.place(peer).unwrap_or_else(|| {
            let paid_at = [now; Work::ALL.len()];
            let account = Account { peer, paid_at, refused: (0, 0), strikes: 0, struck: None };
            self.accounts.push(account);
            self.accounts.len() - 1
        });
        let message = Duration::from_secs(1) / rate.max(1);
        let control = Duration::from_secs(1) / rate.max(LEAST_CONTROL);
        let nanos = message.as_nanos() as u64 * len as u64 / BYTES_A_MESSAGE;
        for kind in Work::ALL {
            let price = match (kind, work) {
                (Work::Bytes, _) => Duration::from_nanos(nanos),
                (_, Some(done)) if done != kind => continue,
                (Work::Control, _) => control,
                _ => message,
            };
            let paid_at = &mut self.accounts[at].paid_at[kind as usize];
            *paid_at = (*paid_at).max(now) + price;
        }
    }

    /// A message of `peer` was beyond its limits.
    pub fn exceeded(&mut self, peer: PeerIx, now: Time) -> Excess {
        let Some(at) = self.place(peer) else { return Excess::Counted };
        let account = &mut self.accounts[at];
        let (second, before) = account.refused;
        let count = if second == second_of(now) { before + 1 } else { 1 };
        account.refused = (second_of(now), count);
        if count != TOLERATED {
            return Excess::Counted;
        }
        match account.struck {
            Some(last) if now.since(last) < STRIKES_LAST => account.strikes += 1,
            _ => account.strikes = 1,
        }
        account.struck = Some(now);
        if account.strikes >= STRIKES { Excess::Out } else { Excess::Strike }
    }

    /// Keeps `node` out for a while.
    pub fn bar(&mut self, node: NodeId, now: Time) {
        self.barred.retain(|(known, until)| *known != node && *until > now);
        if self.barred.len() == MAX_BARRED {
            self.barred.remove(0);
        }
        self.barred.push((node, now + BARRED));
    }

    /// Whether `node` was thrown out lately.
    #[must_use]
    pub fn is_barred(&self, node: &NodeId, now: Time) -> bool {
        self.barred_for(node, now).is_some()
    }

    /// The index will name another peer.
    pub fn forget(&mut self, peer: PeerIx) {
        self.accounts.retain(|account| account.peer != peer);
    }

    /// Nothing is remembered of those that are quiet again.
    pub fn expire(&mut self, now: Time) {
        self.accounts.retain(|account| !account.is_idle(now));
        self.barred.retain(|(_, until)| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 1_000;
    const PEER: PeerIx = PeerIx::new(1, 1);
    const OTHER: PeerIx = PeerIx::new(2, 1);

    /// As the node does it.
    #[derive(Default)]
    struct Budgets {
        pace: Pace,
        held: super::Budgets,
    }

    impl Budgets {
        fn allows(&self, peer: PeerIx, work: Work, now: Time) -> bool {
            self.held.allows(peer, work, now)
        }

        fn charge(&mut self, peer: PeerIx, work: Work, len: usize, now: Time) {
            let heard = self.pace.hear(now);
            if heard == 1 {
                self.held.expire(now);
            }
            if self.held.knows(peer) || is_paid(heard, len, RATE) {
                self.held.charge(peer, Some(work), len, RATE, now);
            }
        }
    }

    /// Sends `count` messages in the second from `start`; how many were worked on.
    fn send(budgets: &mut Budgets, start: u64, count: u64, work: Work, len: usize) -> u64 {
        let mut taken = 0;
        for at in 0..count {
            let now = Time(start * 1_000_000_000 + at * 1_000_000_000 / count);
            if budgets.allows(PEER, work, now) {
                budgets.charge(PEER, work, len, now);
                taken += 1;
            } else {
                budgets.held.exceeded(PEER, now);
            }
        }
        taken
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds_for_each_kind_of_its_own() {
        let mut budgets = Budgets::default();
        let first: u64 = (0..2).map(|s| send(&mut budgets, s, 5_000, Work::Push, 100)).sum();
        assert!((3_000..5_000).contains(&first), "{first}");
        for second in 2..6 {
            let taken = send(&mut budgets, second, 5_000, Work::Push, 100);
            assert!((990..1_010).contains(&taken), "{taken}");
        }
        let now = Time::from_ms(6_000);
        for work in [Work::Control, Work::Repair] {
            assert!(budgets.allows(PEER, work, now), "{work:?} has tokens of its own");
        }
        assert!(budgets.allows(OTHER, Work::Push, now), "and so has everybody else");
        assert!(
            send(&mut budgets, 6, 5_000, Work::Repair, 100) == 5_000,
            "repair may come at once"
        );
    }

    #[test]
    fn bytes_are_limited_whatever_carries_them() {
        let mut budgets = Budgets::default();
        let mut taken = 0;
        for second in 0..10 {
            taken += send(&mut budgets, second, 500, Work::Push, 256 * 1024);
        }
        // 4 MiB a second, and two seconds' worth.
        assert!((16 * 11..=16 * 13).contains(&taken), "{taken}");
    }

    #[test]
    fn who_goes_on_for_ten_seconds_is_out_and_barred_for_a_minute() {
        let mut budgets = Budgets::default();
        let (mut seconds, mut out) = (0, None);
        while out.is_none() {
            for at in 0..5_000 {
                let now = Time(seconds * 1_000_000_000 + at * 200_000);
                if budgets.allows(PEER, Work::Push, now) {
                    budgets.charge(PEER, Work::Push, 100, now);
                } else if budgets.held.exceeded(PEER, now) == Excess::Out {
                    out = Some(now);
                }
            }
            seconds += 1;
            assert!(seconds < 20, "never thrown out");
        }
        let out = out.unwrap();
        assert!((9..=13).contains(&seconds), "{seconds}");
        let node = NodeId([7; 32]);
        budgets.held.bar(node, out);
        assert!(budgets.held.is_barred(&node, out + Duration::from_secs(59)));
        assert!(!budgets.held.is_barred(&node, out + Duration::from_secs(60)));
        for other in 0..200u8 {
            budgets.held.bar(NodeId([other; 32]), out);
        }
        assert!(budgets.held.barred.len() <= MAX_BARRED);
    }

    #[test]
    fn strikes_far_apart_are_forgiven_and_the_quiet_cost_no_memory() {
        let mut budgets = Budgets::default();
        for minute in 0..30 {
            for second in 0..3 {
                send(&mut budgets, minute * 60 + second, 5_000, Work::Push, 100);
            }
            let account = &budgets.held.accounts[0];
            assert!((1..STRIKES).contains(&account.strikes), "{account:?}");
        }
        for second in 2_000..2_100 {
            send(&mut budgets, second, u64::from(RATE + TOLERATED) - 1, Work::Push, 100);
        }
        assert_eq!(budgets.held.accounts[0].strikes, 0, "a little more");
        budgets.charge(OTHER, Work::Control, 10, Time::from_ms(4_000_000));
        assert!(budgets.held.is_empty(), "{:?}", budgets.held);
        let few = send(&mut budgets, 5_000, u64::from(RATE / 2), Work::Push, 100);
        assert!(few == 500 && budgets.held.is_empty(), "{few}");
    }
}
