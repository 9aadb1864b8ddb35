//! "Converged?", answered from what the links said: at least `convergence_threshold` of the links
//! heard in the last two effective intervals named one of the own last 16 roots. No links: false.
//! Lag is the age of the oldest of those roots.

use core::time::Duration;

use super::{Gossip, Scene};
use crate::config::Settings;
use crate::links;
use crate::messages::Sink;
use crate::time::Time;

/// The clock of what links said: half intervals, wrapping after 256.
#[must_use]
pub fn tick(now: Time, settings: &Settings) -> u8 {
    let half = u64::try_from(settings.interval.as_nanos() / 2).unwrap_or(u64::MAX).max(1);
    (now.0 / half) as u8
}

impl Gossip {
    /// Whether the scope has converged, seen from here.
    pub fn is_converged<S: Sink>(&mut self, scene: &mut Scene<'_, S>) -> bool {
        self.current_root(scene.store, scene.now.mono);
        self.converged_at(scene.now.mono, scene.settings)
    }

    /// Whether links that were heard lately hold something else. Silence is no contradiction: peers
    /// that back off are seldom heard, and who hurried because of it would hear them no sooner.
    pub(super) fn is_contradicted<S: Sink>(&mut self, scene: &mut Scene<'_, S>) -> bool {
        let converged = self.is_converged(scene);
        !converged && self.count_agreeing(scene.now.mono, scene.settings).0 > 0
    }

    /// The same from the last root that was taken: a few compares.
    #[must_use]
    pub fn converged_at(&self, now: Time, settings: &Settings) -> bool {
        let (heard, agree) = self.count_agreeing(now, settings);
        heard > 0 && f64::from(agree) >= settings.convergence_threshold * f64::from(heard)
    }

    fn count_agreeing(&self, now: Time, settings: &Settings) -> (u32, u32) {
        let window = 4 << self.back_off();
        let tick = tick(now, settings);
        let (mut heard, mut agree) = (0, 0);
        for tag in self.links.iter().filter_map(|link| link.heard_within(window, tick)) {
            heard += 1;
            agree += u32::from(self.roots.iter().rev().any(|past| links::tag(past.tag) == tag));
        }
        (heard, agree)
    }

    /// How long ago the own state was what the link furthest behind named last; zero if all are
    /// up to date or unknown.
    #[must_use]
    pub fn lag(&self, now: Time, settings: &Settings) -> Duration {
        let (window, tick) = (4 << self.back_off(), tick(now, settings));
        let heard = self.links.iter().filter_map(|link| link.heard_within(window, tick));
        let age = |tag: u32| {
            let at = self.roots.iter().rposition(|past| links::tag(past.tag) == tag)?;
            Some(super::age(self.roots.get(at + 1)?.since, now))
        };
        heard.filter_map(age).max().unwrap_or_default()
    }

    /// Roots older than half of the tick clock's range would look fresh again.
    pub(super) fn forget_old_roots_of_links<S: Sink>(&mut self, scene: &Scene<'_, S>) {
        let tick = tick(scene.now.mono, scene.settings);
        for link in self.links.iter_mut() {
            if link.heard_within(links::MAX_TICKS, tick).is_none() {
                link.forget_heard();
            }
        }
    }
}
