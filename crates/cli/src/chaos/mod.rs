//! `knhk-mesh chaos`: orders faults of a `knhk-mesh dev` that runs beside it. With one swarm
//! running it needs no flag; with several it lists them.
//!
//! ```text
//!   words ─> Order ─> the swarm's control socket ─> what is in force ─> two lines, or JSON
//! ```

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::args::duration;
use crate::control::chaos::{InForce, MAX_DELAY_MS, Order, Whom};
use crate::control::client::{Client, Said};
use crate::control::place::{self, Place};
use crate::control::protocol::Request;
use crate::exit;
use crate::failure::Failure;
use crate::stdout;

/// The arguments of `chaos`.
#[derive(Debug, Args)]
pub(crate) struct Chaos {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// End nodes without a word, as kill -9 would
    Kill(Kill),
    /// Cut nodes off from all others: what one side sends vanishes before the other
    ///
    /// A new partition takes the place of the last one.
    Partition(Partition),
    /// Delay or lose what nodes send and get; all nodes if none is named
    ///
    /// A new delay takes the place of the last one; 0 ends it.
    Delay(Delay),
    /// End all faults, and start the killed nodes again, each with its own key
    ///
    /// A node without --data-dir takes its records back from the others.
    Heal(Plain),
    /// Say which faults are in force
    Show(Plain),
}

/// Which swarm, and how long to wait for it.
#[derive(Clone, Debug, Args)]
struct At {
    /// Process of the swarm, where several run
    #[arg(long, conflicts_with_all = ["control_socket", "data_dir"])]
    pid: Option<u32>,
    /// Socket of the swarm [default: found by itself]
    #[arg(long, value_name = "PATH")]
    control_socket: Option<PathBuf>,
    /// Data folder of the swarm, which holds its socket
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Give up after this time, such as 500ms or 2m
    #[arg(long, value_name = "D", value_parser = duration, default_value = "30s")]
    timeout: Duration,
}

#[derive(Debug, Args)]
struct Plain {
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Args)]
#[group(id = "whom", required = true, multiple = false, args = ["nodes", "count", "share"])]
struct Kill {
    /// Numbers of nodes in dev's table, or beginnings of their ids
    #[arg(value_name = "NODE")]
    nodes: Vec<String>,
    /// So many, drawn at random
    #[arg(long, value_name = "K")]
    count: Option<usize>,
    /// A share of those that run, such as 0.3, drawn at random
    #[arg(long, value_name = "P", value_parser = share)]
    share: Option<f64>,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Args)]
#[group(id = "side", required = true, multiple = false, args = ["nodes", "minority"])]
struct Partition {
    /// Numbers of nodes in dev's table, or beginnings of their ids: one side
    #[arg(value_name = "NODE")]
    nodes: Vec<String>,
    /// One side is so many nodes, drawn at random
    #[arg(long, value_name = "K")]
    minority: Option<usize>,
    /// Nothing of these nodes gets out, but they still hear the others
    #[arg(long)]
    one_way: bool,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Args)]
struct Delay {
    /// Milliseconds
    #[arg(value_name = "MS", value_parser = millis)]
    ms: u64,
    /// Numbers of nodes in dev's table, or beginnings of their ids
    #[arg(value_name = "NODE")]
    nodes: Vec<String>,
    /// Up to so many milliseconds more, for each datagram on its own
    #[arg(long, value_name = "MS", value_parser = millis, default_value_t = 0)]
    jitter: u64,
    /// Share of the datagrams that is lost, such as 0.05
    #[arg(long, value_name = "P", value_parser = share, default_value_t = 0.0)]
    loss: f64,
    #[command(flatten)]
    at: At,
}

fn millis(text: &str) -> Result<u64, String> {
    let ms = text.parse().ok().filter(|ms| *ms <= MAX_DELAY_MS);
    ms.ok_or_else(|| format!("whole milliseconds up to {MAX_DELAY_MS}, such as 200"))
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a share is from 0 to 1, such as 0.3".into())
}

impl What {
    fn at(&self) -> &At {
        match self {
            What::Kill(kill) => &kill.at,
            What::Partition(partition) => &partition.at,
            What::Delay(delay) => &delay.at,
            What::Heal(plain) | What::Show(plain) => &plain.at,
        }
    }

    fn order(&self) -> Order {
        match self {
            What::Kill(kill) => Order::Kill {
                whom: match (kill.count, kill.share) {
                    (Some(count), _) => Whom::Count(count),
                    (_, Some(share)) => Whom::Share(share),
                    _ => Whom::Nodes(kill.nodes.clone()),
                },
            },
            What::Partition(partition) => Order::Partition {
                whom: match partition.minority {
                    Some(count) => Whom::Count(count),
                    None => Whom::Nodes(partition.nodes.clone()),
                },
                one_way: partition.one_way,
            },
            What::Delay(delay) => Order::Delay {
                ms: delay.ms,
                jitter_ms: delay.jitter,
                loss: delay.loss,
                nodes: delay.nodes.clone(),
            },
            What::Heal(_) => Order::Heal,
            What::Show(_) => Order::Show,
        }
    }
}

/// Runs the command.
pub(crate) async fn run(chaos: Chaos, json: bool) -> Result<(), Failure> {
    let (at, order) = (chaos.what.at().clone(), chaos.what.order());
    let limit = at.timeout;
    let said = tokio::select! {
        said = tokio::time::timeout(limit, async {
            let place = find(&at).await?;
            ask(&place, &order, limit).await
        }) => said,
        _ = tokio::signal::ctrl_c() => return Err(Failure::interrupted()),
    };
    let in_force = said.unwrap_or_else(|_| {
        let message = format!("no answer within {} ms", limit.as_millis());
        let help = "`knhk-mesh chaos show` says what is in force; --timeout gives it longer";
        Err(Failure::new("timeout", &message, help).ending_with(exit::TIMEOUT))
    })?;
    if json {
        // A struct of numbers and names always serialises.
        return stdout::print_line(&serde_json::to_string(&in_force).unwrap_or_default());
    }
    stdout::print_line(&in_force.text())?;
    if in_force.partition.is_some() && !in_force.detects {
        stdout::print_line(&"nodes do not notice it: start dev with --detect fast")?;
    }
    if in_force.any() { stdout::print_line(&"undo: knhk-mesh chaos heal") } else { Ok(()) }
}

async fn ask(place: &Place, order: &Order, limit: Duration) -> Result<InForce, Failure> {
    let timeout_ms = u64::try_from(limit.as_millis()).ok();
    let request = Request { chaos: Some(order.clone()), timeout_ms, ..Request::new("chaos") };
    let Said::Ok(said) = Client::connect(place).await?.ask(&request).await? else {
        return Err(Failure::new("protocol", &"an event without a watch", ""));
    };
    serde_json::from_str(said.get()).map_err(|error| {
        Failure::new("protocol", &error, "use a command of the swarm's version")
            .ending_with(exit::UNREACHABLE)
    })
}

/// The swarm that is meant: the named one, else the only one.
async fn find(at: &At) -> Result<Place, Failure> {
    if let Some(pid) = at.pid {
        return Ok(place::of_swarm(pid));
    }
    let named = place::locate(at.control_socket.as_deref(), at.data_dir.as_deref());
    if named.named {
        return Ok(named);
    }
    match place::swarms()?[..] {
        [pid] => Ok(place::of_swarm(pid)),
        [] => {
            let help = "start one in another terminal: `knhk-mesh dev`";
            Err(Failure::new("unreachable", &"no `knhk-mesh dev` of this user stays up", help)
                .ending_with(exit::UNREACHABLE))
        }
        ref several => Err(ambiguous(several).await),
    }
}

async fn ambiguous(several: &[u32]) -> Failure {
    let mut found = Vec::new();
    for pid in several {
        // One that ends just now is none of the choice.
        let patience = Duration::from_secs(1);
        if let Ok(swarm) = ask(&place::of_swarm(*pid), &Order::Show, patience).await {
            found.push(swarm);
        }
    }
    let line = |swarm: &InForce| {
        format!("--pid {} ({} nodes over {})", swarm.pid, swarm.agents, swarm.transport)
    };
    let lines: Vec<String> = found.iter().map(line).collect();
    let message = format!("{} swarms stay up, and one has to be meant", several.len());
    let swarms = found.iter().map(|swarm| {
        serde_json::json!({
            "pid": swarm.pid, "agents": swarm.agents, "transport": swarm.transport,
        })
    });
    let details = [("swarms".to_owned(), swarms.collect::<serde_json::Value>())];
    Failure::new("ambiguous", &message, &format!("say which: {}", lines.join(", ")))
        .ending_with(exit::WRONG_USAGE)
        .with_details(details.into_iter().collect())
}
