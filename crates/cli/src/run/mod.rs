//! `knhk-mesh run`: one node as a service, from its configuration to its good-bye.
//!
//! ```text
//!   load ─> check ─> control socket ─> join ─> ready ─┬─ SIGHUP: load, compare, apply
//!                                                     ├─ seeds, members: log
//!                                                     └─ SIGTERM, SIGINT: leave (5 s), again: end
//! ```

mod changes;
mod log;
mod notify;
pub(crate) mod start;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use knhk_mesh::config_file::{Effective, FlagValue};
use knhk_mesh::node::Phase;
use knhk_mesh::partition::PartitionStatus;
use knhk_mesh::storage::Health;
use knhk_mesh::transport::DialError;
use knhk_mesh::{Mesh, SeedNews, Seeds};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::config::{self, NodeFlags};
use crate::control::nodes::Nodes;
use crate::control::place;
use crate::control::server::{Served, Serving};
use crate::exit;
use crate::failure::Failure;
use log::{Form, Log, text};

/// How long the good-bye may take.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);
/// How often the node is looked at, to tell what changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Options of `run`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Run {
    /// The configuration [default: $KNHK_MESH_CONFIG, else defaults]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// First contacts, separated by commas
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) seeds: Option<String>,
    /// Socket for commands [default: $KNHK_MESH_CONTROL_SOCKET, else in the data folder]
    #[arg(long, value_name = "PATH")]
    pub(crate) control_socket: Option<PathBuf>,
    /// How events are printed on standard error [default: json with -o json, else $KNHK_MESH_LOG,
    /// else text]
    #[arg(long, value_enum, value_name = "FORM")]
    pub(crate) log: Option<Form>,
    #[command(flatten)]
    pub(crate) node: NodeFlags,
}

/// Runs a node until a signal ends it.
pub(crate) fn run(run: &Run, json: bool) -> ExitCode {
    let form = run.log.or(json.then_some(Form::Json));
    let json = form == Some(Form::Json);
    let result = Log::new(form).and_then(|log| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime =
            runtime.map_err(|e| Failure::new("runtime", &e, "check the limits of threads"))?;
        let result = runtime.block_on(serve(run, log));
        runtime.shutdown_background();
        result.map_err(|failure| (failure, json || log.is_json())).or_else(|(failure, json)| {
            failure.print(json);
            Ok(ExitCode::from(failure.exit_code))
        })
    });
    result.unwrap_or_else(|failure: Failure| {
        failure.print(json);
        ExitCode::from(failure.exit_code)
    })
}

async fn serve(run: &Run, log: Log) -> Result<ExitCode, Failure> {
    let effective = load(run)?;
    effective.check_runnable().map_err(|why| start::not_runnable(&why))?;
    let mut signals = Signals::new()?;
    let place = place::locate(run.control_socket.as_deref(), effective.node.data_dir.as_deref());
    let socket = place::Socket::open(&place)?;
    let mesh = tokio::select! {
        mesh = start::join(&effective) => mesh?,
        ending = signals.ending() => return Ok(ending.exit_code()),
    };
    let served = Served { nodes: Nodes::new(vec![mesh.clone()]), chaos: None };
    let serving = Serving::start(socket, served)
        .map_err(|e| Failure::new("control_socket", &e, "check the limits of descriptors"))?;
    log.info(
        "ready",
        &[
            ("node", text(&mesh.node_id())),
            ("address", text(&mesh.local_addr())),
            ("mesh", text(&effective.mesh.name)),
            ("mesh_id", text(&mesh.mesh_id())),
            ("control_socket", text(&serving.path().display())),
        ],
    );
    notify::tell("READY=1");
    let mut service = Service::new(run, log, mesh, effective);
    let ending = service.until_ending(&mut signals).await;
    notify::tell("STOPPING=1");
    log.info("leaving", &[("signal", text(&ending.name()))]);
    drop(serving);
    let left = tokio::select! {
        () = service.leave() => true,
        () = tokio::time::sleep(LEAVE_WITHIN) => false,
        _ = signals.ending() => return Ok(ExitCode::from(exit::INTERRUPTED)),
    };
    if left {
        log.info("left", &[]);
    } else {
        log.warn("left without the last words", &[("waited_s", LEAVE_WITHIN.as_secs().into())]);
    }
    Ok(ending.exit_code())
}

fn load(run: &Run) -> Result<Effective, Failure> {
    let seeds = run.seeds.as_ref().map(|text| FlagValue::new("bootstrap.seeds", "--seeds", text));
    config::load_with(run.config.as_deref(), &run.node, seeds)
}

/// Why a node ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    Terminated,
    Interrupted,
    /// It stopped by itself.
    Stopped,
    /// Another process uses its key.
    KeyInUse,
}

impl Ending {
    fn name(self) -> &'static str {
        match self {
            Ending::Terminated => "SIGTERM",
            Ending::Interrupted => "SIGINT",
            Ending::Stopped | Ending::KeyInUse => "none",
        }
    }

    fn exit_code(self) -> ExitCode {
        match self {
            Ending::Terminated => ExitCode::SUCCESS,
            Ending::Interrupted => ExitCode::from(exit::INTERRUPTED),
            Ending::Stopped => ExitCode::FAILURE,
            Ending::KeyInUse => ExitCode::from(exit::KEY_IN_USE),
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let take = |kind| {
            signal(kind).map_err(|e| Failure::new("signals", &e, "this is a defect: report it"))
        };
        Ok(Signals {
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
            hang_up: take(SignalKind::hangup())?,
        })
    }

    async fn ending(&mut self) -> Ending {
        tokio::select! {
            _ = self.terminate.recv() => Ending::Terminated,
            _ = self.interrupt.recv() => Ending::Interrupted,
        }
    }
}

/// A node that runs, and what belongs to it.
struct Service<'a> {
    run: &'a Run,
    log: Log,
    mesh: Mesh,
    /// What the node was started with.
    started: Effective,
    /// What is in force: reloads change it.
    current: Effective,
    seeds: Option<Seeds>,
    news: mpsc::Receiver<SeedNews>,
    /// What was told of a seed, and when.
    seeds_told: HashMap<SocketAddr, (Option<DialError>, Instant)>,
    /// Members and links.
    seen: (usize, usize),
    phase: Phase,
    partition: PartitionStatus,
    storage: Health,
    /// Key and version of the conflicts that the node holds, told all of them.
    conflicts: BTreeSet<(String, u64)>,
}

impl<'a> Service<'a> {
    fn new(run: &'a Run, log: Log, mesh: Mesh, effective: Effective) -> Self {
        let (seeds, news) = Seeds::follow(&mesh, start::contacts(&effective));
        let (started, current) = (effective.clone(), effective);
        Service {
            run,
            log,
            mesh,
            started,
            current,
            seeds: Some(seeds),
            news,
            seeds_told: HashMap::new(),
            seen: (1, 0),
            phase: Phase::Ready,
            partition: PartitionStatus::Healthy,
            storage: Health::Good,
            conflicts: BTreeSet::new(),
        }
    }

    async fn until_ending(&mut self, signals: &mut Signals) -> Ending {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => return Ending::Terminated,
                _ = signals.interrupt.recv() => return Ending::Interrupted,
                _ = signals.hang_up.recv() => {
                    self.reload();
                    self.reload_certificates().await;
                }
                Some(news) = self.news.recv() => self.tell(&news),
                _ = look.tick() => {
                    if !self.look().await {
                        return Ending::Stopped;
                    }
                    if self.phase == Phase::KeyInUse {
                        return Ending::KeyInUse;
                    }
                }
            }
        }
    }

    fn tell(&self, news: &SeedNews) {
        match news {
            // An address stands for itself.
            SeedNews::Resolved { contact, .. }
                if contact.parse::<std::net::SocketAddr>().is_ok() => {}
            SeedNews::Resolved { contact, addresses } => {
                let addresses = addresses.iter().map(text).collect::<Vec<_>>().into();
                let fields = [("seed", text(contact)), ("addresses", addresses)];
                self.log.info("seed resolved", &fields);
            }
            SeedNews::Failed { contact, reason } => {
                let fields = [("seed", text(contact)), ("why", text(reason))];
                self.log.warn("seed not resolved, trying on", &fields);
            }
            _ => {}
        }
    }

    /// Reads the configuration again. One with errors changes nothing.
    fn reload(&mut self) {
        notify::tell_reloading();
        match load(self.run) {
            Err(refused) => {
                self.log.warn(
                    "reload refused, the old configuration stays",
                    &[("why", text(&refused))],
                );
            }
            Ok(new) => {
                let now = self.current.compare(&new).now;
                let restart = self.started.compare(&new).restart;
                if now.iter().any(|key| key == "bootstrap.seeds") {
                    let (seeds, news) = Seeds::follow(&self.mesh, start::contacts(&new));
                    (self.seeds, self.news) = (Some(seeds), news);
                }
                self.current = new;
                self.log.info(
                    "reloaded",
                    &[("applied", now.into()), ("needs_restart", restart.into())],
                );
            }
        }
        notify::tell("READY=1");
    }

    /// Files of certificates may have changed although their names did not.
    async fn reload_certificates(&self) {
        if let Ok(Err(refused)) = self.mesh.reload_certificates().await {
            self.log.warn(
                "certificates refused, the old ones stay",
                &[("why", refused.to_string().into())],
            );
        }
    }

    async fn leave(&mut self) {
        self.seeds = None;
        self.mesh.leave().await;
    }
}
