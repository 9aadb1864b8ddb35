//! What can be said on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use knhk_mesh::config::Detect;

/// A peer-to-peer mesh for swarms of agents.
#[derive(Debug, Parser)]
#[command(name = "knhk-mesh", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// How to print results and errors
    #[arg(short, long, value_enum, default_value_t = Output::Text, global = true)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a swarm on this machine and measure it
    ///
    /// Each node has its own identity, socket, task and store; they share code and runtime only.
    ///
    /// Without --updates the swarm stays up until Ctrl-C or the end of --for, and commands such as
    /// `set`, `get` and `status` reach its nodes; --agent picks one.
    Dev(Dev),
    /// Make faults in a swarm of `knhk-mesh dev` and watch it get over them
    ///
    /// The swarm is found by itself if only one stays up. The faults lie below QUIC: nodes are not
    /// told of them. `heal` undoes everything.
    Chaos(crate::chaos::Chaos),
    /// Run one node until a signal ends it
    ///
    /// Flags go before KNHK_MESH_* variables, those before the file, the file before defaults.
    /// SIGTERM and Ctrl-C leave the mesh, SIGHUP reads the configuration again.
    Run(Box<crate::run::Run>),
    #[command(flatten)]
    Ask(crate::commands::Ask),
    /// Simulate a mesh of up to a million nodes, deterministically
    ///
    /// Runs the protocol code of production in virtual time: one update, or a scenario.
    /// Exit code 0 if every required target and invariant held, 1 if not, 2 if nothing was run.
    #[command(verbatim_doc_comment)]
    Sim(crate::sim::Sim),
    /// Check a configuration, show where its values come from, print its schema
    Config(crate::config::Config),
    /// Make the key of a node and print its node id, which others need to admit it
    ///
    /// The file is for its owner only (mode 0600) and never overwritten: exit code 6 means that it
    /// was there. The secret goes nowhere else. Whoever reads the file is the node.
    Keygen(crate::keygen::Keygen),
    /// Be the authority of a mesh: make its root, issue and renew the certificates of nodes
    ///
    /// For meshes with `admission: ca`. The root's key is a key file like a node's and stays with
    /// the operator; nodes get the root's certificate and one of their own.
    Cert(crate::cert::Cert),
    /// Make a token, with which a node comes into a mesh with `admission: token`
    ///
    /// The token of a node that exists (--node) lets that node admit others; a mesh needs one such
    /// node at least. Any other token is for whoever brings it first: hand it over like a password.
    Ticket(crate::ticket::Ticket),
    /// Certify what needs agreement: sign as a member, join votes, publish and read
    ///
    /// In a mesh whose genesis appoints a committee (mesh.committee), what 2f + 1 of its 3f + 1
    /// members signed is a fact everywhere, and only they deny and forget nodes.
    Fact(crate::fact::Fact),
    /// Make the records of a node anew from a backup that `knhk-mesh backup` wrote
    ///
    /// The node must not run, its key must be back already, and records that are there are not
    /// overwritten. A backup may be older than what peers hold: the node takes its records back
    /// from peers before it writes.
    Restore(crate::restore::Restore),
    /// Print what the members of a mesh agreed on, and the mesh id that follows from it
    ///
    /// Nodes meet only if their mesh ids are equal.
    Genesis(crate::genesis::Genesis),
    /// Find out what would keep a node from running here
    ///
    /// Tries what a node with the same options would need, without joining or changing anything:
    /// configuration, key, data folder, port, limits, clock and seeds.
    ///
    /// Prints one line a check: ok, warn or FAIL. Exit code 0: nothing fails, 1: something does,
    /// 78: the configuration is wrong. With -o json: [{check,state,detail,help}], where state is
    /// ok, warn or fail.
    Doctor(crate::doctor::Doctor),
    /// Print a script that completes commands and options in a shell
    ///
    /// For bash, put it into ~/.local/share/bash-completion/completions/knhk-mesh
    Completions(crate::shell_words::Completions),
    /// Print or write the manual pages
    Man(crate::shell_words::ManualPages),
}

/// What carries the links.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Wire {
    /// UDP with TLS 1.3
    Quic,
    /// In clear, loopback only
    Tcp,
    /// Channels inside the process
    Memory,
}

impl Wire {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Wire::Quic => "quic",
            Wire::Tcp => "tcp",
            Wire::Memory => "memory",
        }
    }
}

/// What noticing partitions may cost: docs/PARTITIONS.md.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Detection {
    /// Less than a second
    Fast,
    /// Five heartbeats a second
    Thrifty,
}

impl Detection {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Detection::Fast => "fast",
            Detection::Thrifty => "thrifty",
        }
    }

    pub(crate) fn of_core(self) -> Detect {
        match self {
            Detection::Fast => Detect::Fast,
            Detection::Thrifty => Detect::Thrifty,
        }
    }
}

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// Options of `dev`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Dev {
    /// Start the mesh that this file describes; flags go before it
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How many nodes [default: the least of the file's agent_count, else 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) agents: Option<u16>,
    /// What carries the links [default: quic]
    #[arg(long, value_enum)]
    pub(crate) transport: Option<Wire>,
    /// Peers per gossip round, 1 to 100 [default: 3]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) fanout: Option<u8>,
    /// Length of a gossip round in milliseconds, 10 to 60000 [default: 100]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub(crate) interval_ms: Option<u64>,
    /// Make this many updates one after the other, print what they took, and end
    #[arg(long, value_name = "U")]
    pub(crate) updates: Option<u32>,
    /// What noticing partitions may cost [default: fast if at most 64
    /// nodes stay up, else nothing; with a file, what it says]
    #[arg(long, value_enum)]
    pub(crate) detect: Option<Detection>,
    /// Before the updates, let the swarm rest for so long and print what that costs
    #[arg(long, value_name = "D", value_parser = duration)]
    pub(crate) idle: Option<Duration>,
    /// End after this time at the latest, such as 90s or 2m [default with --updates: 60s]
    #[arg(long = "for", value_name = "D", value_parser = duration)]
    pub(crate) time: Option<Duration>,
    /// Keep keys and records in DIR/node-000 and so on
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Socket for commands [default: in the data folder, else $XDG_RUNTIME_DIR/knhk-mesh]
    #[arg(long, value_name = "PATH")]
    pub(crate) control_socket: Option<PathBuf>,
    /// Repeat the random choices of an earlier run
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
}

impl Dev {
    /// How many updates a run makes that ends with figures; `None` if it stays up instead.
    pub(crate) fn measured_updates(&self) -> Option<u32> {
        self.updates.or(self.idle.map(|_| 0))
    }
}

/// `500ms`, `90s`, `2m`, `1h`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let ms_per_unit = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("write a number and ms, s, m or h, such as 90s".into()),
    };
    let number: u64 = number.parse().map_err(|_| "write a number and a unit, such as 90s")?;
    let ms = number.checked_mul(ms_per_unit).filter(|&ms| ms > 0 && ms <= 30 * 86_400_000);
    ms.map(Duration::from_millis).ok_or_else(|| "from 1ms to 30 days".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn durations_need_a_number_and_a_known_unit() {
        let ms = |text| duration(text).map(|d| d.as_millis());
        assert_eq!(ms("60s"), Ok(60_000));
        assert_eq!(ms("5"), Ok(5_000));
        assert_eq!(ms("250ms"), Ok(250));
        assert_eq!(ms("2m"), Ok(120_000));
        for bad in ["", "s", "1d", "-1s", "1.5s", "0s", "99999999999999999999s", "999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
