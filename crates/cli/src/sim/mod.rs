//! `knhk-mesh sim`: the protocol under a simulated network, and what it shows.
//!
//! ```text
//!   args ─> plan ─> simulator ─> report ─> table or JSON, page, CSV
//!                      └─> progress (a stdout's standard error only)
//!   matrix   many runs beside the specification      compare   two reports
//!   drill    one fault, many times
//! ```

mod args;
mod compare;
mod drill;
mod files;
mod matrix;
mod plan;
mod progress;
mod topology;

use std::time::Duration;

use knhk_mesh_sim::report::{self, Report, Target};
use knhk_mesh_sim::world::Drive;
use knhk_mesh_sim::{scenario, spread};

use crate::args::Output;
use crate::exit;
use crate::failure::Failure;
use crate::{process, stdout};
pub(crate) use args::Sim;
use args::{Command, Run};
use files::OutputFile;
use progress::Bar;

/// Nodes from which the process is all but the nodes' memory.
const MEMORY_COUNTS_FROM: u32 = 10_000;
/// Memory of a node, in bytes, that a million of them may take.
const MEMORY_GOAL: f64 = 4_096.0;

pub(crate) fn run(sim: &Sim, output: Output) -> Result<(), Failure> {
    match &sim.command {
        Some(Command::Compare(args)) => compare::run(args, output),
        Some(Command::Drill(args)) => drill::run(args, output),
        Some(Command::Matrix(args)) => matrix::run(args, output),
        None => one(&sim.run, output),
    }
}

/// One run, from the plan to its reports.
fn one(args: &Run, output: Output) -> Result<(), Failure> {
    if args.report.is_some() && args.report == args.csv {
        let message = "--report and --csv name one file";
        return Err(cannot("unwritable", &message, "name two"));
    }
    // A file that cannot be written is better known before a run of minutes than after it.
    let page = args.report.as_deref().map(OutputFile::open).transpose()?;
    let csv = args.csv.as_deref().map(OutputFile::open).transpose()?;
    let report = simulated(args)?;
    if let Some(file) = page {
        file.write(&report::page(&report))?;
    }
    if let Some(file) = csv {
        file.write(&report::csv(&report))?;
    }
    match output {
        Output::Json => stdout::print_line(&json(&report)?)?,
        Output::Text => stdout::print_line(&report::table(&report).trim_end())?,
    }
    report.failure().map_or(Ok(()), |why| {
        let help = format!("to see it again: {}", report.reproduce);
        Err(Failure::new("verdict", &why, &help))
    })
}

fn simulated(args: &Run) -> Result<Report, Failure> {
    let before = process::cpu_time();
    let mut bar = Bar::new();
    let mut report = if let Some(path) = &args.scenario {
        let text = files::read(path)?;
        let (threads, queue) = (args.threads.into(), args.queue.into());
        let drive = Drive { threads, queue, ..Drive::default() };
        let mut report = scenario::run_driven(&text, args.seed, drive, &mut |at| bar.show(at))
            .map_err(|e| cannot("scenario", &e, "docs/SIMULATION.md describes scenario files"))?;
        report.reproduce = scenario::reproduce(&path.to_string_lossy(), report.setup.seed);
        report
    } else {
        let spread = plan::spread(args)?;
        spread::run(&spread, &mut |at| bar.show(at))
            .map_err(|e| cannot("simulation", &e, "see `knhk-mesh sim --help`"))?
    };
    bar.done();
    cost(&mut report, before);
    Ok(report)
}

/// Adds what the simulator cannot know, because it reads no clock.
fn cost(report: &mut Report, before: Option<Duration>) {
    let now = process::cpu_time();
    let spent = now.zip(before).map(|(now, before)| now.saturating_sub(before));
    let memory = process::peak_resident_bytes();
    report.cost(spent.unwrap_or_default(), memory.unwrap_or(0));
    if let Some(bytes) = memory.filter(|_| report.agents >= MEMORY_COUNTS_FROM) {
        let measured = bytes as f64 / f64::from(report.agents);
        report.targets.push(Target {
            name: "memory a node".into(),
            unit: "bytes".into(),
            bound: MEMORY_GOAL,
            measured,
            at_least: false,
            // It depends on the machine, and a verdict must not.
            required: false,
            held: measured <= MEMORY_GOAL,
        });
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|e| Failure::new("json", &e, "this is a bug: report it"))
}

/// Nothing was run: as with wrong usage, the exit code is 2.
fn cannot(code: &'static str, message: &dyn std::fmt::Display, help: &str) -> Failure {
    Failure::new(code, message, help).ending_with(exit::WRONG_USAGE)
}
