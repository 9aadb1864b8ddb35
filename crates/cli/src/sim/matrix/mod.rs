//! `sim matrix`: every size of the specification, at its fanout and at 3, calm and in a storm,
//! beside the bounds that the specification gives.
//!
//! ```text
//!   bounds (per size) ─> runs, one a seed ─> Line (the worst of them) ─> table or JSON
//! ```

mod bounds;
mod table;

use std::time::Duration;

use knhk_mesh_sim::adversary::Kind;
use knhk_mesh_sim::latency::Latency;
use knhk_mesh_sim::report::{Report, Verdict};
use knhk_mesh_sim::spread::{self, Spread};
use serde::Serialize;

use super::args::Matrix;
use super::progress::Bar;
use super::{cannot, json, plan};
use crate::args::Output;
use crate::failure::Failure;
use crate::stdout::print_line;
use bounds::{SIZES, Size, least_rounds};

/// The fanout that every size is also run with.
const COMMON_FANOUT: usize = 3;
/// The storm: this share of the nodes is silent, and this share of the messages lost.
const SILENT: f64 = 0.33;
const LOSS: f64 = 0.1;
/// Sizes from here on spread over a flat overlay, because there is no hierarchy yet.
const FLAT_FROM: u32 = 100_000;

/// The worst of the runs of one size, fanout and weather.
#[derive(Clone, PartialEq, Debug, Serialize)]
struct Line {
    #[serde(flatten)]
    size: Size,
    fanout: usize,
    interval_ms: u64,
    /// A third silent and a tenth lost.
    storm: bool,
    seeds: u32,
    /// Whole intervals until the last honest node knew.
    rounds: u32,
    /// The fewest rounds of push-pull in lock-step.
    rounds_least: u32,
    sim_ms: u64,
    /// Of all nodes together, while the update spread; in millions a second.
    megabytes_per_s: f64,
    copies_per_agent: f64,
    /// Updates that were everywhere within the loosest time, in per cent.
    in_time_percent: f64,
    /// Every run passed, within the loosest number of rounds.
    held: bool,
    /// What went wrong first.
    failed: Option<String>,
}

/// What `-o json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    lanes: &'a str,
    latency: &'a str,
    first_seed: u64,
    notes: Vec<String>,
    lines: &'a [Line],
    verdict: Verdict,
}

pub(super) fn run(args: &Matrix, output: Output) -> Result<(), Failure> {
    let latency = plan::latency(&args.latency)?;
    let people = output == Output::Text;
    if people {
        print_line(&table::head())?;
    }
    let mut lines: Vec<Line> = Vec::new();
    for size in SIZES.iter().filter(|size| size.agents <= args.max) {
        for fanout in fanouts(size) {
            for storm in [false, true] {
                let line = line(args, &latency, size, fanout, storm)?;
                if people {
                    print_line(&table::row(&line))?;
                }
                lines.push(line);
            }
        }
    }
    let failed = lines.iter().filter(|line| !line.held).count();
    let verdict = if failed == 0 { Verdict::Pass } else { Verdict::Fail };
    let notes = notes(args);
    if people {
        print_line(&table::foot(&notes, &lines))?;
    } else {
        let (lanes, first_seed) = (lanes(args), args.seed);
        let latency = latency.name();
        let all = Printed { lanes, latency, first_seed, notes, lines: &lines, verdict };
        print_line(&json(&all)?)?;
    }
    if failed == 0 {
        return Ok(());
    }
    let message = format!("{failed} of {} lines failed", lines.len());
    let first = lines.iter().find_map(|line| line.failed.clone());
    Err(Failure::new("verdict", &message, &first.unwrap_or_default()))
}

/// The fanout of the specification and the common one.
fn fanouts(size: &Size) -> impl Iterator<Item = usize> {
    let own = size.fanout;
    [own, COMMON_FANOUT]
        .into_iter()
        .enumerate()
        .filter(move |(i, k)| *i == 0 || *k != own)
        .map(|(_, k)| k)
}

fn lanes(args: &Matrix) -> &'static str {
    match args.lanes {
        super::args::LanesArg::All => "all",
        super::args::LanesArg::Repair => "repair",
    }
}

fn notes(args: &Matrix) -> Vec<String> {
    let mut notes = vec![format!(
        "Lanes {}, latency {}, rounds of 100 ms, seeds from {}; each line is \
         the worst of its seeds.",
        lanes(args),
        args.latency,
        args.seed
    )];
    notes.push(
        "storm: 33 % of the nodes silent and 10 % of the messages lost. least: ceil(log_(2k+1) n), \
         the best of push-pull in lock-step; nodes that pass on within a round undercut it."
            .into(),
    );
    if args.max >= FLAT_FROM {
        notes.push(
            "100,000 and 1,000,000 nodes: one global record over a flat overlay of sampled links, \
             because the hierarchy does not exist yet."
                .into(),
        );
    }
    notes
}

/// Runs every seed of one line.
fn line(
    args: &Matrix,
    latency: &Latency,
    size: &Size,
    fanout: usize,
    storm: bool,
) -> Result<Line, Failure> {
    let seeds = args.seeds.min(size.most_seeds);
    let mut reports = Vec::new();
    for i in 0..seeds {
        let spread = Spread {
            agents: size.agents,
            lanes: plan::lanes(args.lanes),
            fanout,
            interval: Duration::from_millis(size.interval_ms),
            seed: args.seed.wrapping_add(i.into()),
            threads: args.threads.into(),
            loss: if storm { LOSS } else { 0.0 },
            adversaries: if storm { vec![(Kind::Silent, SILENT)] } else { Vec::new() },
            latency: latency.clone(),
            ..Spread::default()
        };
        let storm = if storm { " storm" } else { "" };
        let label = format!("{} k {fanout}{storm}, seed {}  ", size.agents, spread.seed);
        let mut bar = Bar::labelled(label);
        let report = spread::run(&spread, &mut |at| bar.show(at));
        bar.done();
        reports.push(report.map_err(|e| cannot("simulation", &e, "see `sim matrix --help`"))?);
    }
    Ok(worst(&reports, size, fanout, storm))
}

fn worst(reports: &[Report], size: &Size, fanout: usize, storm: bool) -> Line {
    let most = |of: fn(&Report) -> f64| reports.iter().map(of).fold(0.0, f64::max);
    let (mut rounds, mut sim_ms, mut in_time) = (0, 0, 0u32);
    let mut failed = None;
    for report in reports {
        (rounds, sim_ms) = (rounds.max(report.rounds), sim_ms.max(report.sim_ms));
        let everywhere = report.informed >= 1.0;
        in_time += u32::from(everywhere && report.sim_ms <= size.ms_loose);
        let passed = report.verdict == Verdict::Pass && report.rounds <= size.rounds_loose;
        if !passed || !everywhere {
            failed.get_or_insert_with(|| report.reproduce.clone());
        }
    }
    Line {
        size: *size,
        fanout,
        interval_ms: size.interval_ms,
        storm,
        seeds: reports.len() as u32,
        rounds,
        rounds_least: least_rounds(size.agents, fanout),
        sim_ms,
        megabytes_per_s: most(megabytes_per_s),
        copies_per_agent: most(|report| report.copies_per_agent),
        in_time_percent: 100.0 * f64::from(in_time) / reports.len().max(1) as f64,
        held: failed.is_none(),
        failed,
    }
}

/// Millions of bytes a second that all nodes sent together, over whole rounds.
fn megabytes_per_s(report: &Report) -> f64 {
    let bytes: u64 = report.per_round.iter().map(|row| row.bytes).sum();
    let ms = report.per_round.len() as u64 * report.setup.interval_ms;
    bytes as f64 / 1_000.0 / ms.max(1) as f64
}
