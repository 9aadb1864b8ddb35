//! Two reports side by side: what was run differently, and what came out differently.

use core::fmt::Write as _;

use serde::Serialize;

use super::figures::{number, with_unit};
use super::{Report, Verdict, facts};

/// What two runs have in common and where they differ.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Comparison {
    /// Whether the trace hashes agree: then everything that happened was the same.
    pub same_trace: bool,
    /// Verdicts of the first and of the second.
    pub verdicts: [Verdict; 2],
    /// Settings that differ; empty if both ran the same.
    pub setup: Vec<SetupDifference>,
    /// Every figure that both have.
    pub figures: Vec<Figure>,
}

/// A setting that is not the same in both.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SetupDifference {
    /// Its name.
    pub name: String,
    /// In the first.
    pub a: String,
    /// In the second.
    pub b: String,
}

/// One figure of both runs.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Figure {
    /// Its name.
    pub name: String,
    /// Unit of `a`, `b` and `difference`, as in [`super::Target`].
    pub unit: String,
    /// In the first.
    pub a: f64,
    /// In the second.
    pub b: f64,
    /// `b - a`.
    pub difference: f64,
    /// `b / a`; none where `a` is 0.
    pub ratio: Option<f64>,
}

/// Settings that never change what happens in the simulated world.
const WITHOUT_EFFECT: [&str; 3] = ["threads", "version", "messages encoded"];

/// Compares `a`, the earlier or expected run, with `b`.
#[must_use]
pub fn compare(a: &Report, b: &Report) -> Comparison {
    let pairs = facts::setup(a).into_iter().zip(facts::setup(b));
    let differing = pairs.filter(|((_, a), (_, b))| a != b);
    let setup =
        differing.map(|((name, a), (_, b))| SetupDifference { name: name.into(), a, b }).collect();
    let mut figures: Vec<Figure> = measured(a)
        .into_iter()
        .zip(measured(b))
        .map(|((name, unit, a), (_, _, b))| figure(name, unit, a, b))
        .collect();
    for region in &a.regions {
        let Some(other) = b.regions.iter().find(|other| other.name == region.name) else {
            continue;
        };
        let last = |curve: &[super::Point]| facts::time_of(curve, 1.0);
        if let (Some(a), Some(b)) = (last(&region.curve), last(&other.curve)) {
            figures.push(figure(&format!("all of {}", region.name), "ms", a, b));
        }
    }
    figures.retain(|figure| figure.a.is_finite() && figure.b.is_finite());
    let same_trace = a.trace_hash == b.trace_hash;
    Comparison { same_trace, verdicts: [a.verdict, b.verdict], setup, figures }
}

fn measured(report: &Report) -> [(&'static str, &'static str, f64); 14] {
    let at = |share| facts::time_of(&report.curve, share).unwrap_or(f64::NAN);
    let sum = |of: fn(&super::RoundRow) -> u64| report.per_round.iter().map(of).sum::<u64>() as f64;
    [
        ("rounds", "rounds", report.rounds.into()),
        ("simulated time", "ms", report.sim_ms as f64),
        ("informed", "share", report.informed),
        ("half informed", "ms", at(0.5)),
        ("99 % informed", "ms", at(0.99)),
        ("copies a node", "copies", report.copies_per_agent),
        ("bytes a node", "bytes", report.bytes_per_agent),
        ("messages", "", sum(|row| row.messages)),
        ("bytes", "bytes", sum(|row| row.bytes)),
        ("events", "", report.events as f64),
        ("events a CPU second", "", report.events_per_cpu_s),
        ("CPU", "ms", report.cpu_s * 1_000.0),
        ("memory", "bytes", report.rss_bytes as f64),
        ("broken invariants", "", report.broken.len() as f64),
    ]
}

fn figure(name: &str, unit: &str, a: f64, b: f64) -> Figure {
    let ratio = Some(b / a).filter(|ratio| ratio.is_finite());
    Figure { name: name.into(), unit: unit.into(), a, b, difference: b - a, ratio }
}

impl Comparison {
    /// The setups and the traces, in a sentence that says what follows.
    #[must_use]
    pub fn conclusion(&self) -> &'static str {
        let same_world =
            self.setup.iter().all(|change| WITHOUT_EFFECT.contains(&change.name.as_str()));
        match (same_world, self.same_trace) {
            (true, true) => "The same run: setups and traces agree.",
            (true, false) => "Equal setups and inputs, different traces: the code differs.",
            (false, true) => "Different setups, one trace: what differs had no effect.",
            (false, false) => "Different setups, different runs.",
        }
    }

    /// For a terminal of 80 columns; `names` are those of the two runs.
    #[must_use]
    pub fn table(&self, names: [&str; 2]) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "{}\n", self.conclusion());
        for ((label, name), verdict) in ["A", "B"].iter().zip(names).zip(self.verdicts) {
            let _ = writeln!(out, "{label}  {:<6}  {}", facts::verdict(verdict), one_line(name));
        }
        let traces = if self.same_trace { "the same in both" } else { "different" };
        let _ = writeln!(out, "\nTrace   {traces}");
        for (i, change) in self.setup.iter().enumerate() {
            let title = if i == 0 { "Setup" } else { "" };
            let (a, b) = (one_line(&change.a), one_line(&change.b));
            let _ = writeln!(out, "{title:<7} {} {a} in A, {b} in B", change.name);
        }
        if self.setup.is_empty() {
            out.push_str("Setup   the same in both\n");
        }
        let _ = writeln!(out, "\n{:<24}{:>14}{:>14}{:>16}{:>10}", "", "A", "B", "B − A", "B / A");
        for figure in &self.figures {
            let show = |value| with_unit(value, &figure.unit);
            let sign = if figure.difference > 0.0 { "+" } else { "" };
            let difference = if figure.difference == 0.0 {
                "=".into()
            } else {
                format!("{sign}{}", show(figure.difference).replacen('-', "−", 1))
            };
            let ratio = figure.ratio.map_or("–".into(), |ratio| format!("×{}", number(ratio)));
            let _ = writeln!(
                out,
                "{:<24}{:>14}{:>14}{difference:>16}{ratio:>10}",
                one_line(&figure.name),
                show(figure.a),
                show(figure.b)
            );
        }
        out
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
