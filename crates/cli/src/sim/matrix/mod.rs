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
/// Milliseconds of an interval, at every size.
const INTERVAL_MS: u64 = 100;
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
    /// Rounds until the last honest node knew: whole intervals, or whole exchanges where those take
    /// longer.
    rounds: u32,
    /// Milliseconds of such a round.
    round_ms: u64,
    /// The fewest rounds of push-pull in lock-step.
    rounds_least: u32,
    sim_ms: u64,
    /// Of all nodes together, while the update spread; in millions a second.
    megabytes_per_s: f64,
    copies_per_agent: f64,
    /// Updates of all seeds, each written when the one before was everywhere.
    updates: u32,
    /// Updates from which on their share can be held against the SLA.
    updates_needed: u32,
    /// Those that were everywhere within the loosest time, in per cent.
    in_time_percent: f64,
    /// Whether that is the SLA's share; none if there is no SLA, or too few updates to say.
    sla_held: Option<bool>,
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
    let round_ms = lines.iter().map(|line| line.round_ms).max().unwrap_or(0);
    let notes = notes(args, round_ms);
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

fn notes(args: &Matrix, round_ms: u64) -> Vec<String> {
    let mut notes = vec![format!(
        "Lanes {}, latency {}, rounds of 100 ms, seeds from {}; each line is \
         the worst of its seeds.",
        lanes(args),
        args.latency,
        args.seed
    )];
    notes.push(
        "% in time: of n updates, each written when the one before was everywhere, those that were \
         everywhere within the loosest time. ?: n is too small to hold it against the SLA, which \
         takes 1,000 updates for 99.9 %, 200 for 99.5 %, 100 for 99 % (--updates)."
            .into(),
    );
    notes.push(
        "storm: 33 % of the nodes silent and 10 % of the messages lost. least: ceil(log_(2k+1) n), \
         the best of push-pull in lock-step; nodes that pass on within a round undercut it."
            .into(),
    );
    if round_ms > INTERVAL_MS {
        notes.push(format!(
            "An exchange (digest, request, records) takes {round_ms} ms in the mean, longer than \
             an interval: rounds are counted in exchanges."
        ));
    }
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
    let updates = args.updates.unwrap_or(size.updates()).div_ceil(seeds);
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
            updates,
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
    let (mut rounds, mut round_ms, mut sim_ms) = (0, 0, 0);
    let (mut updates, mut in_time) = (0u32, 0u32);
    let mut failed = None;
    for report in reports {
        let took = report.sim_ms.div_ceil(report.round_ms) as u32;
        (rounds, sim_ms) = (rounds.max(took), sim_ms.max(report.sim_ms));
        round_ms = report.round_ms;
        let everywhere = report.informed >= 1.0;
        let first = everywhere.then_some(report.sim_ms);
        for took in core::iter::once(first).chain(report.further_ms.iter().copied()) {
            updates += 1;
            in_time += u32::from(took.is_some_and(|ms| ms <= size.ms_loose));
        }
        let passed = report.verdict == Verdict::Pass && took <= size.rounds_loose;
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
        round_ms,
        rounds_least: least_rounds(size.agents, fanout),
        sim_ms,
        megabytes_per_s: most(megabytes_per_s),
        copies_per_agent: most(|report| report.copies_per_agent),
        updates,
        updates_needed: size.updates_needed(),
        in_time_percent: percent(in_time, updates),
        sla_held: size.sla_percent.and_then(|sla| {
            let needed = size.updates_needed();
            // So many misses are too many whatever the updates that were not run would do.
            let hopeless = percent(needed.saturating_sub(updates - in_time), needed) < sla;
            let said = updates >= needed || hopeless;
            said.then(|| percent(in_time, updates) >= sla)
        }),
        held: failed.is_none(),
        failed,
    }
}

fn percent(part: u32, of: u32) -> f64 {
    100.0 * f64::from(part) / f64::from(of.max(1))
}

/// Millions of bytes a second that all nodes sent together, over the whole intervals in which the
/// update spread: what came after them would only dilute it.
fn megabytes_per_s(report: &Report) -> f64 {
    let rows = &report.per_round[..report.per_round.len().min(report.rounds as usize)];
    let bytes: u64 = rows.iter().map(|row| row.bytes).sum();
    let ms = rows.len() as u64 * report.setup.interval_ms;
    bytes as f64 / 1_000.0 / ms.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One report of a run of 20 nodes whose further updates took so long.
    fn with(further: Vec<Option<u64>>) -> Report {
        let small = Spread { agents: 20, ..Spread::default() };
        let mut report = spread::run(&small, &mut |_| ()).unwrap();
        report.further_ms = further;
        report
    }

    #[test]
    fn a_share_is_held_against_the_sla_when_there_are_updates_enough() {
        let size = &SIZES[2];
        let line = |further| worst(&[with(further)], size, 3, false);
        let share = |line: &Line| (line.updates, line.in_time_percent, line.sla_held);
        assert_eq!(share(&line(Vec::new())), (1, 100.0, None), "one in time says nothing");
        assert_eq!(share(&line(vec![Some(1_000); 999])), (1_000, 100.0, Some(true)));
        let mut late = vec![Some(5); 999];
        late[7] = Some(1_001);
        assert_eq!(share(&line(late.clone())), (1_000, 99.9, Some(true)));
        late[8] = None;
        assert_eq!(share(&line(late)), (1_000, 99.8, Some(false)));
        // Two misses of a thousand are too many, and the rest need not be run to know it.
        let few = line(vec![Some(1_001), None, Some(3)]);
        assert_eq!(share(&few), (4, 50.0, Some(false)));
        assert_eq!(line(vec![None; 9]).sla_held, Some(false));
        assert_eq!(worst(&[with(Vec::new())], &SIZES[0], 3, false).sla_held, None, "no SLA");
    }
}
