//! The command line of knhk-mesh. Results go to standard output, everything else to standard error;
//! what fails says what it was and what helps, as JSON when the output is JSON.
//!
//! ```text
//!   args ─┬─> dev ─┬─ swarm    starts and stops the nodes
//!         │        ├─ measure  makes updates, watches them arrive
//!         │        └─ report   prints
//!         ├─> run              one node, served on a control socket
//!         ├─> get, set ...     ask a running node over its control socket
//!         └─> config           checks, shows and describes configurations
//! ```
#![forbid(unsafe_code)]

mod args;
mod commands;
mod config;
mod control;
mod dev;
mod failure;
mod process;
mod run;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command, Output};
use failure::Failure;

#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let (output, result) = match cli.command {
        Command::Dev(dev) => (dev.output, run_dev(dev)),
        Command::Run(run) => return run::run(&run),
        Command::Ask(ask) => (ask.reach().output, commands::run(&ask)),
        Command::Config(config) => (config.output, config::run(&config)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print(output == Output::Json);
            ExitCode::from(failure.exit_code)
        }
    }
}

fn run_dev(dev: args::Dev) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime =
        runtime.map_err(|e| Failure::new("runtime", &e, "check the limits of threads"))?;
    let result = runtime.block_on(dev::run(dev));
    runtime.shutdown_background();
    result
}
