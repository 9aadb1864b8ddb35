//! `knhk-mesh dev`: a swarm of real nodes in one process, and what it measures.

mod chaos;
mod idle;
mod live;
mod measure;
mod plan;
mod report;
mod swarm;

use std::sync::Arc;
use std::time::Duration;

use knhk_mesh::rng::Rng;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::args::{Dev, Output};
use crate::control::place::{self, NoSocket, Socket};
use crate::control::server::{Served, Serving};
use crate::failure::Failure;
use crate::{process, stdout};
use chaos::Chaos;
use measure::Meter;
use plan::Plan;
use report::{Report, progress, progress_done, round, summarise};
use swarm::Swarm;

/// How long a run with `--updates` may take when nothing is said.
const DEFAULT_TIME: Duration = Duration::from_secs(60);
/// An update that is not everywhere by then counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(20);
/// Orders to make faults that wait; more senders wait, too.
const ORDERS: usize = 16;
/// Left of the time for the last words.
const RESERVE: Duration = Duration::from_millis(300);

pub(crate) async fn run(args: Dev, output: Output) -> Result<(), Failure> {
    let started = Instant::now();
    let seed = args.seed.unwrap_or_else(clock_seed);
    let plan = Arc::new(Plan::new(&args, seed)?);
    header(output, &plan, seed)?;
    let needed = plan.agents as u64 * if args.data_dir.is_some() { 4 } else { 2 } + 64;
    process::allow_open_files(needed).map_err(|limit| {
        let message = format!("{needed} open files are needed, {limit} are allowed");
        Failure::new("open_files", &message, &format!("run `ulimit -n {needed}` first"))
    })?;
    let time = args.time.or_else(|| args.measured_updates().map(|_| DEFAULT_TIME));
    let deadline = time.map_or_else(far_away, |time| started + time);
    let session = Session { args: &args, output, plan: &plan, seed, started, deadline };
    let mut stop = None;
    let result = tokio::select! {
        result = session.run(&mut stop) => result,
        _ = tokio::signal::ctrl_c() => Err(Failure::interrupted()),
        () = stdout::reader_gone() => Ok(()),
    };
    progress_done();
    if let Some(swarm) = stop {
        // Neither a second Ctrl-C nor the end of the time waits for the good-byes.
        let end = deadline.max(Instant::now() + RESERVE / 2);
        tokio::select! {
            () = swarm.stop() => {}
            () = tokio::time::sleep_until(end) => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }
    result
}

/// One run.
struct Session<'a> {
    args: &'a Dev,
    output: Output,
    plan: &'a Arc<Plan>,
    seed: u64,
    started: Instant,
    deadline: Instant,
}

impl Session<'_> {
    /// A run up to its result. The swarm is left in `kept`, so that it is stopped whatever
    /// happened.
    async fn run(&self, kept: &mut Option<Swarm>) -> Result<(), Failure> {
        let Session { args, output, plan, deadline, .. } = self;
        let mut rng = Rng::new(self.seed);
        let too_late = |what: &str| {
            Failure::new("time", &format!("time is over: {what}"), "give it more with --for")
        };
        let end = *deadline - RESERVE;
        let swarm = tokio::time::timeout_at(end, Swarm::start(plan, &mut rng, progress)).await;
        let swarm: &mut Swarm =
            kept.insert(swarm.map_err(|_| too_late("not all nodes have started and met"))??);
        match tokio::time::timeout_at(end, swarm.joined(progress)).await {
            Ok(result) => result?,
            Err(_) => return Err(too_late(&how_far(swarm).await)),
        }
        let setup = self.started.elapsed();
        progress_done();
        let (door, orders) = mpsc::channel(ORDERS);
        let stays = args.measured_updates().is_none();
        let served = Served { nodes: swarm.nodes.clone(), chaos: stays.then_some(door) };
        let control = serve(args, swarm, &served)?;
        let idle = match args.idle {
            Some(rest) => Some(idle::measured(swarm, rest, end).await?),
            None => None,
        };
        let updates = args.measured_updates().unwrap_or(1);
        if args.measured_updates().is_none() && *output == Output::Text {
            table(swarm, setup).await?;
        }
        let report = measured(plan, swarm, &mut rng, setup, updates, end).await?;
        let report = Report { idle, ..report };
        match output {
            Output::Json => stdout::print_line(&report.json())?,
            Output::Text if args.measured_updates().is_some() => {
                stdout::print_line(&report.text())?;
            }
            Output::Text => first_update(&report, &control, plan)?,
        }
        if !report.converged {
            let message = report.missing(updates);
            return Err(Failure::new("not_converged", &message, "give it more time with --for"));
        }
        if args.measured_updates().is_some() {
            return Ok(());
        }
        let chaos = Chaos::new(Arc::clone(plan), swarm.nodes.clone(), rng);
        live::show(swarm, chaos, orders, *output, *deadline).await
    }
}

/// Makes the updates and puts together what they took.
async fn measured(
    plan: &Plan,
    swarm: &Swarm,
    rng: &mut Rng,
    setup: Duration,
    updates: u32,
    deadline: Instant,
) -> Result<Report, Failure> {
    let mut meter = Meter::attach(swarm).await?;
    let (copies_before, bytes_before) = swarm.received().await?;
    let (cpu_before, begin) = (process::cpu_time(), Instant::now());
    let mut times = Vec::with_capacity(updates as usize);
    let mut made = 0;
    while made < updates && Instant::now() < deadline {
        made += 1;
        let give_up = deadline.min(Instant::now() + LOST_AFTER);
        progress(&format!("update {made} of {updates}"));
        times.extend(meter.update(swarm, rng, give_up).await?);
    }
    let (cpu_after, took) = (process::cpu_time(), begin.elapsed());
    progress_done();
    let (copies, bytes) = swarm.received().await?;
    let lost = made - times.len() as u32;
    let mut agree = swarm.agree().await?;
    while lost == 0 && !agree && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
        agree = swarm.agree().await?;
    }
    let (convergence_ms, rounds) = summarise(&mut times, plan.interval);
    let agents = swarm.nodes.len() as f64;
    // Without updates nothing was measured, only the moment between two looks.
    let seconds = if made == 0 { 0.0 } else { took.as_secs_f64() };
    let per = |amount: f64, of: f64| (of > 0.0).then(|| round(amount / of));
    let cpu = cpu_before.zip(cpu_after).map(|(before, after)| after.saturating_sub(before));
    Ok(Report {
        agents: swarm.nodes.len(),
        transport: plan.wire.name(),
        interval_ms: plan.interval.as_millis() as u64,
        fanout: plan.fanout,
        setup_ms: setup.as_millis() as u64,
        updates: made,
        lost,
        converged: lost == 0 && agree && made == updates,
        convergence_ms,
        rounds,
        copies_per_agent: per((copies - copies_before) as f64, agents * f64::from(made)),
        bytes_per_agent_per_s: per((bytes - bytes_before) as f64, agents * seconds),
        cpu_ms_per_update: cpu.and_then(|cpu| per(cpu.as_secs_f64() * 1_000.0, made.into())),
        rss_bytes: process::resident_bytes(),
        idle: None,
    })
}

fn header(output: Output, plan: &Plan, seed: u64) -> Result<(), Failure> {
    if output == Output::Json {
        return Ok(());
    }
    let (agents, transport) = (plan.agents, plan.wire.name());
    let (fanout, interval) = (plan.fanout, plan.interval.as_millis());
    stdout::print_line(&format!(
        "knhk-mesh {}: starting {agents} node{} over {transport}, fanout {fanout}, rounds of \
         {interval} ms, seed {seed}",
        env!("CARGO_PKG_VERSION"),
        if agents == 1 { "" } else { "s" },
    ))
}

async fn table(swarm: &Swarm, setup: Duration) -> Result<(), Failure> {
    let mut rows = Vec::with_capacity(swarm.nodes.len());
    for (_, node) in swarm.nodes.running() {
        rows.push(swarm::status(&node).await?);
    }
    stdout::print_line(&report::table(&rows))?;
    stdout::print_line(&format!("all joined after {:.2} s", setup.as_secs_f64()))
}

/// How commands reach the nodes of this run.
enum Control {
    /// It measures and ends: nobody asked for a socket.
    None,
    /// What a command has to add, if anything.
    Open(String),
    /// Another node has the usual place; the text says so.
    Unavailable(String),
}

/// Opens the control socket: always where one is named, else if the swarm stays up. One that stays
/// up is found by the number of its process as well.
fn serve(args: &Dev, swarm: &mut Swarm, served: &Served) -> Result<Control, Failure> {
    let place = place::locate(args.control_socket.as_deref(), args.data_dir.as_deref());
    let stays = args.measured_updates().is_none();
    if !stays && args.control_socket.is_none() {
        return Ok(Control::None);
    }
    let mut open = |socket: Socket| -> Result<String, Failure> {
        let flag = format!(" --control-socket {}", socket.path().display());
        let serving = Serving::start(socket, served.clone())
            .map_err(|e| Failure::new("control_socket", &e, "check the limits of descriptors"))?;
        swarm.control.push(serving);
        Ok(flag)
    };
    let usual = match Socket::open(&place) {
        Ok(socket) => Ok(open(socket)?),
        Err(why) if place.named => return Err(why.into()),
        Err(why) => Err(why),
    };
    // What swarms left behind that were killed is taken away on the occasion.
    drop(place::swarms());
    let numbered = stays.then(|| Socket::open(&place::of_swarm(std::process::id())));
    let numbered = numbered.and_then(Result::ok).map(open).transpose()?;
    Ok(match (usual, numbered) {
        (Ok(flag), _) => Control::Open(if place.named { flag } else { String::new() }),
        (Err(_), Some(flag)) => Control::Open(flag),
        (Err(NoSocket::InUse(path)), None) => {
            Control::Unavailable(format!("{} is in use by another node", path.display()))
        }
        (Err(NoSocket::Unusable(message, _)), None) => Control::Unavailable(message),
    })
}

const TRY_NEXT: &str = "  knhk-mesh dev --agents 100 --updates 50 --for 60s
  knhk-mesh dev --agents 10 --data-dir ./swarm     (keys and records survive a restart)
  cargo run -p knhk-mesh --example hello           (the library)

Ctrl-C ends it.";

fn first_update(report: &Report, control: &Control, plan: &Plan) -> Result<(), Failure> {
    let took = report.convergence_ms.max.map_or("-".into(), |ms| format!("{ms:.2} ms"));
    let mut out = format!("a first update was at every node after {took}\n");
    if let Control::Unavailable(why) = control {
        out.push_str(&format!("no commands: {why}; --control-socket PATH opens another\n"));
    }
    out.push_str("\nTry next:\n");
    if let Control::Open(flag) = control {
        let last = plan.agents.min(4) - 1;
        out.push_str(&format!("  knhk-mesh set greeting hello{flag}\n"));
        out.push_str(&format!("  knhk-mesh get greeting --agent {last}{flag}\n"));
        out.push_str(&format!("  knhk-mesh status{flag}\n"));
        if plan.network.is_some() && plan.agents >= 4 {
            // It finds a swarm by itself, unless there are several.
            let third = plan.agents / 3;
            out.push_str(&format!("  knhk-mesh chaos partition --minority {third}{flag}\n"));
        }
    }
    stdout::print_line(&format!("{out}{TRY_NEXT}"))
}

/// Asks as many nodes as the last moments allow.
async fn how_far(swarm: &Swarm) -> String {
    let (wanted, end) = (swarm.nodes.len(), Instant::now() + RESERVE / 2);
    let (mut joined, mut asked) = (0, 0);
    for (_, node) in swarm.nodes.running() {
        let Ok(status) = tokio::time::timeout_at(end, swarm::status(&node)).await else { break };
        asked += 1;
        joined += usize::from(status.is_ok_and(|status| status.node.members >= wanted));
    }
    if asked == 0 {
        return format!("the {wanted} nodes are too busy to say how far they are");
    }
    format!("{joined} of the {asked} nodes that were asked know all {wanted} members")
}

fn far_away() -> Instant {
    Instant::now() + Duration::from_secs(30 * 365 * 86_400)
}

/// Only decides who writes and who is whose seed; any value will do.
fn clock_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}
