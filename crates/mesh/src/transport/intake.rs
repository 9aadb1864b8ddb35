//! How fast one peer is read: a token bucket that holds one second's worth. Who sends more is not
//! cut off: its messages wait unread, its credit runs out, and its own outbox fills.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// An unused allowance is kept this long.
const BURST: Duration = Duration::from_secs(1);

/// Until when a peer has used up its rate; `None` before its first message.
#[derive(Default)]
pub(super) struct Intake(Mutex<Option<Instant>>);

impl Intake {
    /// Waits until `messages` more may be read at `rate` a second.
    pub(super) async fn wait(&self, messages: usize, rate: u32) {
        let now = Instant::now();
        let turn = self.turn(messages, rate, now);
        // A sleep that is over already would still last until the timer's next millisecond.
        if turn > now {
            tokio::time::sleep_until(turn).await;
        }
    }

    /// When `messages` more may be read at `rate` a second.
    fn turn(&self, messages: usize, rate: u32, now: Instant) -> Instant {
        let price = Duration::from_secs(messages as u64) / rate.max(1);
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = now.checked_sub(BURST).unwrap_or(now);
        let until = used.map_or(oldest, |used| used.max(oldest)) + price;
        *used = Some(until);
        until.max(now)
    }
}

#[cfg(test)]
mod tests {
    use core::future::Future as _;
    use core::pin::pin;
    use core::task::{Context, Waker};

    use super::*;

    /// On the running clock: under a paused one a timer of zero is over at once.
    #[tokio::test]
    async fn who_is_within_its_rate_does_not_wait_for_a_timer() {
        let intake = Intake::default();
        let mut at_once = pin!(intake.wait(90, 100));
        assert!(at_once.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let (intake, start) = (Intake::default(), Instant::now() + 2 * BURST);
        assert_eq!(intake.turn(100, 100, start), start);
        assert_eq!(intake.turn(50, 100, start), start + BURST / 2);
        assert_eq!(intake.turn(50, 100, start), start + BURST);
        let later = start + 10 * BURST;
        assert_eq!(intake.turn(100, 100, later), later, "no more than one second is kept");
        assert_eq!(intake.turn(1, 100, later), later + BURST / 100);
        assert_eq!(intake.turn(1, 0, later), later + BURST / 100 + BURST, "zero is no division");
    }
}
