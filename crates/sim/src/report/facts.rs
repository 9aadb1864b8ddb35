//! A report's setup and result as named facts in words, in one order: table, page and comparison
//! say the same.

use super::figures::{bytes, count, grouped, number, percent, short, time};
use super::{Point, Report, Target, Verdict};

/// What was run, a name and its value each.
pub(super) fn setup(report: &Report) -> Vec<(&'static str, String)> {
    let setup = &report.setup;
    let adversaries: Vec<String> = setup
        .adversaries
        .iter()
        .map(|(kind, share)| format!("{kind} {}", percent(*share)))
        .collect();
    let or_none = |text: String| if text.is_empty() { "none".into() } else { text };
    vec![
        ("scenario", setup.scenario.clone()),
        ("nodes", grouped(report.agents.into())),
        ("seed", setup.seed.to_string()),
        ("fanout", setup.fanout.to_string()),
        ("interval", format!("{} ms", grouped(setup.interval_ms.into()))),
        ("lanes", setup.lanes.clone()),
        ("latency", setup.latency.clone()),
        ("loss", percent(setup.loss)),
        ("adversaries", or_none(adversaries.join(", "))),
        ("warm-up", count(setup.warm_up.into(), "update")),
        ("inputs", setup.inputs.clone()),
        ("messages encoded", if setup.wire { "yes" } else { "no" }.into()),
        ("threads", setup.threads.to_string()),
        ("version", setup.version.clone()),
    ]
}

/// What came out, a name and its value each.
pub(super) fn result(report: &Report) -> Vec<(&'static str, String)> {
    vec![
        (
            if report.aftermath.is_some() { "agreeing" } else { "informed" },
            percent(report.informed),
        ),
        ("rounds", grouped(report.rounds.into())),
        ("simulated time", time(report.sim_ms as f64)),
        ("copies a node", number(report.copies_per_agent)),
        ("bytes a node", bytes(report.bytes_per_agent)),
        ("events", short(report.events as f64)),
        ("events a CPU second", short(report.events_per_cpu_s)),
        ("CPU", time(report.cpu_s * 1_000.0)),
        ("memory", bytes(report.rss_bytes as f64)),
    ]
}

/// The verdict in one word.
pub(super) const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "passed",
        Verdict::Fail => "FAILED",
    }
}

/// The run in one sentence without its full stop.
pub(super) fn summary(report: &Report) -> String {
    if let Some(aftermath) = &report.aftermath {
        return match aftermath.agreed_after_ms {
            Some(ms) => format!("one state {} after the faults", time(ms as f64)),
            None => format!(
                "no one state within {} of the faults: {} of the honest nodes agree",
                time(report.sim_ms as f64),
                percent(report.informed)
            ),
        };
    }
    let (rounds, took) = (count(report.rounds.into(), "round"), time(report.sim_ms as f64));
    if report.informed >= 1.0 {
        format!("every honest node had the update after {rounds}, {took}")
    } else {
        let share = percent(report.informed);
        format!("{share} of the honest nodes had the update after {rounds}, {took}")
    }
}

impl Report {
    /// What failed the run, the worst first; none if it passed.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let targets = self.targets.iter().filter(|target| target.required && !target.held);
        let missed: Vec<String> = targets
            .map(|target| {
                let measured = super::figures::with_unit(target.measured, &target.unit);
                format!("{} {measured}, {}", target.name, bound(target))
            })
            .collect();
        let broken = match self.broken.len() {
            0 => None,
            1 => Some("an invariant broke".to_owned()),
            n => Some(format!("{n} invariants broke")),
        };
        let missed = (!missed.is_empty()).then(|| format!("missed: {}", missed.join("; ")));
        let parts: Vec<String> = broken.into_iter().chain(missed).collect();
        (self.verdict == Verdict::Fail).then(|| parts.join("; "))
    }
}

/// `at most 13`, `at least 100 %`.
pub(super) fn bound(target: &Target) -> String {
    let least = if target.at_least { "at least" } else { "at most" };
    format!("{least} {}", super::figures::with_unit(target.bound, &target.unit))
}

/// `held`, `missed`; a goal says that it is one.
pub(super) const fn outcome(target: &Target) -> &'static str {
    match (target.held, target.required) {
        (true, true) => "held",
        (true, false) => "goal reached",
        (false, true) => "MISSED",
        (false, false) => "goal missed",
    }
}

/// When a curve first reached a share.
pub(super) fn time_of(curve: &[Point], share: f64) -> Option<f64> {
    curve.iter().find(|point| point.informed >= share).map(|point| point.ms)
}
