//! The command line of knhk-mesh. Results go to standard output, everything else to standard error;
//! what fails says what it was and what helps, as JSON when the output is JSON.
//!
//! ```text
//!   usage ─> args ─┬─> dev ─┬─ swarm    starts and stops the nodes
//!                  │        ├─ measure  makes updates, watches them arrive
//!                  │        └─ report   prints
//!                  ├─> run              one node, served on a control socket
//!                  ├─> get, set ...     ask a running node over its control socket
//!                  ├─> chaos            faults in a swarm of dev, over its control socket
//!                  ├─> sim              simulates, compares, prints
//!                  ├─> config           checks, shows and describes configurations
//!                  ├─> keygen, genesis  the identities of nodes and meshes
//!                  ├─> cert, ticket     what admits nodes, made with the operator's key
//!                  ├─> fact             what a quorum certifies, with the keys of its members
//!                  ├─> restore          a node's store from a backup
//!                  ├─> doctor           finds what keeps a node from running
//!                  └─> shell_words      completions, manual pages
//! ```
#![forbid(unsafe_code)]

mod args;
mod cert;
mod chaos;
mod commands;
mod config;
mod control;
mod dev;
mod doctor;
mod exit;
mod fact;
mod failure;
mod genesis;
mod keygen;
mod operator_key;
mod process;
mod restore;
mod run;
mod shell_words;
mod sim;
mod stdout;
mod ticket;
mod usage;

use std::process::ExitCode;

use args::{Command, Output};
use failure::Failure;

#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    keep_quiet_about_damaged_files();
    let cli = match usage::parse(std::env::args_os().collect()) {
        Ok(cli) => cli,
        Err(ended) => return ended,
    };
    let json = cli.output == Output::Json;
    let result = match cli.command {
        Command::Dev(dev) => block_on(dev::run(dev, cli.output)),
        Command::Chaos(chaos) => block_on(chaos::run(chaos, json)),
        Command::Run(run) => return run::run(&run, json),
        Command::Ask(ask) => commands::run(&ask, json),
        Command::Sim(sim) => sim::run(&sim, cli.output),
        Command::Config(config) => config::run(&config, json),
        Command::Keygen(keygen) => keygen::run(&keygen, json),
        Command::Cert(cert) => cert::run(&cert, json),
        Command::Ticket(ticket) => ticket::run(&ticket, json),
        Command::Fact(fact) => fact::run(&fact, json),
        Command::Restore(restore) => restore::run(&restore, json),
        Command::Genesis(genesis) => genesis::run(&genesis, json),
        Command::Doctor(doctor) => block_on(doctor::run(doctor, json)),
        Command::Completions(completions) => shell_words::completions(&completions, json),
        Command::Man(man) => shell_words::man(&man, json),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print(json);
            ExitCode::from(failure.exit_code)
        }
    }
}

/// What the check of a damaged file trips over is told as an error; its panic would say it again,
/// and worse.
fn keep_quiet_about_damaged_files() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some(knhk_mesh::storage::CHECK_THREAD) {
            tell(panic);
        }
    }));
}

fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime =
        runtime.map_err(|e| Failure::new("runtime", &e, "check the limits of threads"))?;
    let result = runtime.block_on(command);
    runtime.shutdown_background();
    result
}
