//! Random scenarios: from a seed, a bounded mix of faults over real membership. What a seed makes
//! is a scenario file like any other, so a failing run can be kept, cut down and read.
//!
//! ```text
//!   seed --> scenario(seed, agents, seconds) --> TOML --> scenario::run
//! ```
//!
//! Hostile nodes stay at or below a third of those that start; clocks are off by no more than the
//! protocol tolerates; who is killed returns, except for those that leave for good.

use core::fmt::Write as _;

use knhk_mesh_core::rng::{Rng, mix};

use crate::adversary::Kind;
use crate::report::Report;
use crate::scenario::{ScenarioError, run_driven};
use crate::world::Drive;

/// Nodes at most that begin to flood or to replay at one moment: each message is an event to
/// simulate.
const MOST_LOUD: u32 = 2;
/// Milliseconds that the simulated clocks are off at most, either way.
const CLOCK_MS: u32 = 1_000;

/// Runs the chaos of `seed`.
///
/// # Errors
/// [`ScenarioError`] if `agents` or `seconds` make no scenario.
///
/// # Panics
/// If an invariant of the engine breaks; what the protocol breaks is in the report.
pub fn run(seed: u64, agents: u32, seconds: u32, drive: Drive) -> Result<Report, ScenarioError> {
    let mut report = run_driven(&scenario(seed, agents, seconds), Some(seed), drive, &mut |_| ())?;
    report.reproduce = format!(
        "cargo run --release -p knhk-mesh-sim --example nightly -- --first {seed} --seeds 1 \
         --agents {agents} --seconds {seconds} --print"
    );
    Ok(report)
}

/// The scenario of `seed`, as a file.
#[must_use]
pub fn scenario(seed: u64, agents: u32, seconds: u32) -> String {
    let rng = Rng::new(mix(seed ^ 0x0063_6861_6f73));
    let mut maker = Maker { rng, agents, end: seconds * 1_000, moments: Vec::new() };
    let head = maker.head(seed, seconds);
    maker.hostile();
    maker.splits();
    maker.one_way_cuts();
    maker.weather();
    maker.restarts();
    maker.slow_and_astray();
    maker.comings_and_goings();
    maker.moments.sort_unstable();
    let moments = maker.moments.iter().map(|(ms, what)| format!("[[at]]\nms = {ms}\n{what}\n"));
    head + &moments.collect::<String>()
}

struct Maker {
    rng: Rng,
    agents: u32,
    /// Milliseconds until the faults end.
    end: u32,
    moments: Vec<(u32, String)>,
}

impl Maker {
    fn up_to(&mut self, most: u32) -> u32 {
        self.rng.below(most + 1)
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.rng.below(all.len() as u32) as usize]
    }

    /// A moment after the first second.
    fn moment(&mut self) -> u32 {
        1_000 + self.rng.below(self.end.saturating_sub(1_000).max(1))
    }

    fn at(&mut self, ms: u32, what: String) {
        self.moments.push((ms.min(self.end), what));
    }

    fn head(&mut self, seed: u64, seconds: u32) -> String {
        let latency = self.of(&["lan", "lan", "1-5ms", "10-50ms", "world"]);
        let shares = [self.up_to(100), self.up_to(50), self.up_to(50)];
        let [loss, duplicate, reorder] = shares.map(|share| f64::from(share) / 1_000.0);
        let lanes = self.of(&["all", "all", "repair"]);
        let writes = 5 + self.up_to(15);
        let mut text = String::new();
        let written = write!(
            text,
            "name = \"chaos-{seed}\"\nsource = \"random faults\"\nagents = {}\n\
             seconds = {seconds}\nseed = {seed}\n[config]\nlanes = \"{lanes}\"\n[network]\n\
             latency = \"{latency}\"\nloss = {loss}\nduplicate = {duplicate}\nreorder = {reorder}\n\
             [load]\nwrites_per_s = {writes}\nfrom_ms = 1000\n[expect]\nagree_within_ms = 30000\n",
            self.agents
        );
        assert!(written.is_ok(), "a text takes everything");
        text
    }

    fn hostile(&mut self) {
        let most = self.agents / 3;
        let mut open = self.up_to(most);
        while open > 0 {
            let kind = self.of(&Kind::ALL);
            let (mut count, ms) = (1 + self.up_to(open - 1), self.rng.below(self.end / 2));
            if matches!(kind, Kind::Flood | Kind::Replay) {
                count = count.min(MOST_LOUD);
            }
            let aims =
                kind.aims().then(|| format!(", hides = \"{}\"", self.rng.below(self.agents)));
            let hides = aims.unwrap_or_default();
            let what = format!("adversary = {{ who = \"{count} any\", kind = \"{kind}\"{hides} }}");
            self.at(ms, what);
            open -= count;
        }
    }

    fn splits(&mut self) {
        for _ in 0..self.up_to(2) {
            let (ms, split) = (self.moment(), 1 + self.rng.below(self.agents - 1));
            self.at(ms, format!("split = {split}"));
            let healed = ms + 500 + self.up_to(15_000);
            self.at(healed, "heal = true".into());
        }
    }

    fn one_way_cuts(&mut self) {
        for _ in 0..self.up_to(2) {
            let ms = self.moment();
            let mut side = || {
                let first = self.rng.below(self.agents);
                let end = first + 1 + self.rng.below(self.agents / 2);
                format!("{first}..{}", end.min(self.agents))
            };
            let (from, to) = (side(), side());
            let loss = self.of(&["", ", loss = 0.8", ", loss = 0.3"]);
            self.at(ms, format!("cut = {{ from = \"{from}\", to = \"{to}\"{loss} }}"));
            let healed = ms + 500 + self.up_to(15_000);
            self.at(healed, "heal = true".into());
        }
    }

    fn weather(&mut self) {
        for _ in 0..self.up_to(3) {
            let (ms, what) = (self.moment(), self.of(&["loss", "duplicate", "reorder"]));
            let share = f64::from(self.up_to(400)) / 1_000.0;
            self.at(ms, format!("{what} = {share}"));
            let over = ms + 500 + self.up_to(10_000);
            self.at(over, format!("{what} = 0.0"));
        }
    }

    fn restarts(&mut self) {
        for _ in 0..1 + self.up_to(5) {
            let (ms, count) = (self.moment(), 1 + self.up_to(self.agents / 8));
            self.at(ms, format!("kill = \"{count} any\""));
            let (disk, moved) = (self.of(&[true, true, false]), self.of(&[true, false, false]));
            let back = ms + self.up_to(8_000);
            let how = format!("disk = {disk}, moved = {moved}");
            self.at(back, format!("restart = {{ who = \"down\", {how} }}"));
        }
        self.at(self.end, "restart = { who = \"down\" }".into());
    }

    fn slow_and_astray(&mut self) {
        for _ in 0..self.up_to(2) {
            let (ms, by) = (self.moment(), 20 + self.up_to(1_000));
            self.at(ms, format!("slow = {{ who = \"10%\", by_ms = {by} }}"));
        }
        for _ in 0..self.up_to(2) {
            let ms = self.moment();
            let ahead = i64::from(self.up_to(2 * CLOCK_MS)) - i64::from(CLOCK_MS);
            self.at(ms, format!("clock = {{ who = \"10%\", ahead_ms = {ahead} }}"));
        }
    }

    fn comings_and_goings(&mut self) {
        for _ in 0..self.up_to(2) {
            let (ms, count) = (self.moment(), 1 + self.up_to(self.agents / 20));
            self.at(ms, format!("join = {count}"));
        }
        for _ in 0..self.up_to(2) {
            let (ms, count) = (self.moment(), 1 + self.up_to(self.agents / 20));
            let notice = self.of(&[true, false]);
            self.at(ms, format!("leave = {{ who = \"{count} any\", notice = {notice} }}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_makes_a_scenario() {
        for seed in 0..300 {
            let name = crate::scenario::name(&scenario(seed, 100, 60));
            assert!(name.is_ok(), "seed {seed}: {name:?}");
        }
    }

    /// Here, unlike in the tests of the public interface, each slot runs on threads of its own.
    #[test]
    fn threads_in_every_slot_do_not_matter() {
        for seed in [103, 104] {
            let traces = [1, 2, 5].map(|threads| {
                let drive = Drive { threads, ..Drive::default() };
                run(seed, 12, 6, drive).unwrap().trace_hash
            });
            assert!(traces.iter().all(|trace| *trace == traces[0]), "{seed}: {traces:?}");
        }
    }
}
