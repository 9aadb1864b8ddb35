//! `sim drill`: one fault, many times; JSON with the figures, or the same as text.

use std::fmt::Write as _;
use std::time::Duration;

use knhk_mesh::config::Mode;
use knhk_mesh_sim::drill::{Byzantine, Figures, Measure, Partition, byzantine};

use super::args::{ByzantineDrill, Drill, ModeArg, PartitionDrill};
use super::progress::Count;
use super::{cannot, json, plan};
use crate::args::Output;
use crate::failure::Failure;
use crate::stdout::print_line;

pub(super) fn run(drill: &Drill, output: Output) -> Result<(), Failure> {
    match drill {
        Drill::Partition(args) => play_partition(args, output),
        Drill::Byzantine(args) => play_byzantine(args, output),
    }
}

fn play_partition(args: &PartitionDrill, output: Output) -> Result<(), Failure> {
    let figures = partition(args)?
        .run(&|_| ())
        .map_err(|e| cannot("drill", &e, "see `knhk-mesh sim drill partition --help`"))?;
    match output {
        Output::Json => print_line(&json(&figures)?),
        Output::Text => print_line(&text(&figures).trim_end()),
    }
}

fn play_byzantine(args: &ByzantineDrill, output: Output) -> Result<(), Failure> {
    let bar = Count::new();
    let figures = byzantine(args)?
        .run(&|over, all| bar.show(over, all))
        .map_err(|e| cannot("drill", &e, "see `knhk-mesh sim drill byzantine --help`"))?;
    bar.done();
    match output {
        Output::Json => print_line(&json(&figures)?)?,
        Output::Text => print_line(&table(&figures).trim_end())?,
    }
    let help = "the same seed shows it again; --kind NAME plays one kind alone";
    figures.broken().map_or(Ok(()), |why| Err(Failure::new("verdict", &why, help)))
}

fn byzantine(args: &ByzantineDrill) -> Result<Byzantine, Failure> {
    let usual = Byzantine::default();
    let mut kinds = args.kind.clone();
    kinds.sort_unstable();
    kinds.dedup();
    Ok(Byzantine {
        agents: args.agents,
        share: args.share,
        kinds: if kinds.is_empty() { usual.kinds.clone() } else { kinds },
        runs: args.runs,
        seed: args.seed,
        loss: args.loss,
        latency: plan::latency(&args.latency)?,
        threads: args.threads.into(),
        ..usual
    })
}

/// A line a kind.
fn table(figures: &byzantine::Figures) -> String {
    let heads = [
        "liars",
        "rounds",
        "bound",
        "convicted",
        "evicted",
        "unconvicted",
        "forged",
        "lost",
        "proof",
    ];
    let mut out = format!("{:<12}", "kind");
    out.extend(heads.map(|head| format!(" {head:>11}")));
    for of in &figures.kinds {
        let _ = write!(out, "\n{:<12}", of.kind);
        let cells = [
            of.liars.into(),
            of.rounds,
            of.bound,
            of.honest_convicted,
            of.honest_evicted,
            of.equivocators_unconvicted,
            of.forged_accepted,
            of.lost_writes,
        ];
        out.extend(cells.map(|cell: u64| format!(" {cell:>11}")));
        let proof = of.conviction_rounds.map_or("-".into(), |rounds| rounds.to_string());
        let _ = write!(out, " {proof:>11}");
        out.push_str(if of.converged { "" } else { "  NOT CONVERGED" });
    }
    let verdict = if figures.broken().is_none() { "every promise held" } else { "BROKEN" };
    let (agents, runs) = figures.kinds.first().map_or((0, 0), |of| (of.agents, of.runs));
    let _ = write!(out, "\n{agents} agents, {runs} runs of each, seen from the honest: {verdict}");
    out
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
