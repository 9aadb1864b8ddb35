//! `sim drill`: one fault, many times; JSON with the figures, or the same as lines of text.

use std::fmt::Write as _;
use std::time::Duration;

use knhk_mesh::config::Mode;
use knhk_mesh_sim::drill::{Figures, Measure, Partition};

use super::args::{Drill, ModeArg, PartitionDrill};
use super::{cannot, json, plan};
use crate::args::Output;
use crate::failure::Failure;
use crate::stdout::print_line;

pub(super) fn run(Drill::Partition(args): &Drill, output: Output) -> Result<(), Failure> {
    let figures = partition(args)?
        .run(&|_| ())
        .map_err(|e| cannot("drill", &e, "see `knhk-mesh sim drill partition --help`"))?;
    match output {
        Output::Json => print_line(&json(&figures)?),
        Output::Text => print_line(&text(&figures).trim_end()),
    }
}

fn partition(args: &PartitionDrill) -> Result<Partition, Failure> {
    Ok(Partition {
        agents: args.agents,
        minority: args.minority,
        runs: args.runs,
        seed: args.seed,
        loss: args.loss,
        silent: args.silent,
        split: Duration::from_millis(args.split_ms),
        detect: args.detect.of_core(),
        mode: match args.mode {
            ModeArg::Available => Mode::Available,
            ModeArg::ReadOnly => Mode::ReadOnly,
            ModeArg::QuorumOnly => Mode::QuorumOnly,
        },
        latency: plan::latency(&args.latency)?,
        threads: args.threads.into(),
    })
}

fn text(figures: &Figures) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(out, "{name:<24} {value}");
    };
    let measure = |m: Measure| format!("p50 {:>6}   p99 {:>6}   max {:>6}", m.p50, m.p99, m.max);
    line("agents", figures.agents.to_string());
    line("minority", figures.minority.to_string());
    line("runs", figures.runs.to_string());
    line("detection_ms", measure(figures.detection_ms));
    line("agreement_ms", measure(figures.agreement_ms));
    line("recovery_ms", measure(figures.recovery_ms));
    line("false_alarms", figures.false_alarms.to_string());
    line("node_seconds", format!("{:.0}", figures.node_seconds));
    line("lost_writes", figures.lost_writes.to_string());
    line("acknowledged_writes", figures.acknowledged_writes.to_string());
    line("writes_not_refused", figures.writes_not_refused.to_string());
    line("majority_writes_refused", figures.majority_writes_refused.to_string());
    line("undetected", figures.undetected.to_string());
    line("unrecovered", figures.unrecovered.to_string());
    out
}
