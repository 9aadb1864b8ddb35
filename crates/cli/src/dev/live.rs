//! A swarm that stays up: carries out the faults that are ordered and shows what they do. Each
//! change is a line with its time since the first look; the last line on a terminal says how the
//! swarm is now.
//!
//! ```text
//!   orders ─> Chaos ─┐
//!   every 0.25-1 s ──┴─> how each node is ─> lines of what changed, one line of what is
//! ```

use std::fmt::Write as _;
use std::time::Duration;

use knhk_mesh::Status;
use knhk_mesh::node::Phase;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::chaos::Chaos;
use super::report::{progress, progress_done};
use super::swarm::{self, Swarm};
use crate::args::Output;
use crate::control::chaos::{Asked, InForce, Order};
use crate::failure::Failure;
use crate::stdout;

/// Between two looks at a swarm in peace.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// While there are faults, and until the last node is healthy again.
const LOOK_EVERY_IN_FAULTS: Duration = Duration::from_millis(250);
/// Larger swarms are not asked more often than in peace.
const SMALL: usize = 64;

/// How nodes are, in the words of `status`, and of those that do not run.
const KILLED: &str = "killed";
/// Of those that still take back what they wrote before.
const STARTING: &str = "starting";
const HEALTHY: &str = "healthy";

/// Stays up until `deadline`.
pub(super) async fn show(
    swarm: &Swarm,
    mut chaos: Chaos,
    mut orders: mpsc::Receiver<Asked>,
    output: Output,
    deadline: Instant,
) -> Result<(), Failure> {
    let mut view = View::new(swarm.nodes.len(), output);
    let mut received = None;
    loop {
        let troubled = chaos.in_force().any() || view.states.iter().any(|state| *state != HEALTHY);
        let often = troubled && swarm.nodes.len() <= SMALL;
        let pause = if often { LOOK_EVERY_IN_FAULTS } else { LOOK_EVERY };
        let next = deadline.min(Instant::now() + pause);
        let order = tokio::select! {
            () = tokio::time::sleep_until(next) => None,
            asked = orders.recv() => asked,
        };
        if let Some(Asked { order, reply }) = order {
            let done = chaos.obey(&order).await;
            if let (Ok(in_force), false) = (&done, order == Order::Show) {
                view.event(&in_force.text())?;
            }
            // A client that went away is nobody's loss.
            let _ = reply.send(done);
        } else if Instant::now() >= deadline {
            return Ok(());
        }
        let first = look(swarm, &mut view, troubled || chaos.in_force().any()).await?;
        let Some((i, first)) = first else { continue };
        let bytes = first.traffic.bytes_in;
        let before = received.replace((Instant::now(), i, bytes));
        let rate = before.filter(|(_, node, bytes)| *node == i && *bytes <= first.traffic.bytes_in);
        let rate = rate.map_or(0.0, |(then, _, before)| {
            (bytes - before) as f64 / then.elapsed().as_secs_f64().max(0.001)
        });
        view.now(chaos.in_force(), i, &first, rate);
    }
}

/// Asks the first node that runs, and all others where `all` says so; its number and status.
async fn look(
    swarm: &Swarm,
    view: &mut View,
    all: bool,
) -> Result<Option<(usize, Status)>, Failure> {
    let mut first = None;
    let mut states = vec![if all { KILLED } else { HEALTHY }; swarm.nodes.len()];
    for (i, node) in swarm.nodes.running() {
        let status = swarm::status(&node).await?;
        states[i] = match status.node.phase {
            Phase::Recovering | Phase::Starting => STARTING,
            _ => status.node.partition.name(),
        };
        first.get_or_insert((i, status));
        if !all {
            break;
        }
    }
    view.changed(states)?;
    Ok(first)
}

/// What was told so far.
struct View {
    output: Output,
    start: Instant,
    states: Vec<&'static str>,
}

impl View {
    fn new(nodes: usize, output: Output) -> Self {
        View { output, start: Instant::now(), states: vec![HEALTHY; nodes] }
    }

    fn event(&self, what: &str) -> Result<(), Failure> {
        if self.output == Output::Json {
            return Ok(());
        }
        progress_done();
        stdout::print_line(&format!("{:7.2} s  {what}", self.start.elapsed().as_secs_f64()))
    }

    /// Takes over how the nodes are now and tells who is otherwise than before.
    fn changed(&mut self, states: Vec<&'static str>) -> Result<(), Failure> {
        for state in [STARTING, "partitioned", "recovering", HEALTHY] {
            let differs = |i: &usize| states[*i] == state && self.states[*i] != state;
            let who: Vec<usize> = (0..states.len()).filter(differs).collect();
            if !who.is_empty() {
                self.event(&format!("{state}: {}", nodes(&who)))?;
            }
        }
        self.states = states;
        Ok(())
    }

    /// The line that the next one overwrites.
    fn now(&self, in_force: &InForce, i: usize, first: &Status, rate: f64) {
        let mut line = String::new();
        if in_force.any() || self.states.iter().any(|state| *state != HEALTHY) {
            for state in [HEALTHY, "partitioned", "recovering", STARTING, KILLED] {
                let count = self.states.iter().filter(|other| **other == state).count();
                if count > 0 {
                    let _ = write!(line, "{count} {state}, ");
                }
            }
            line.truncate(line.len() - 2);
            let _ = write!(line, " [{}] ", in_force.short());
        }
        let node = &first.node;
        let converged = if node.converged { "converged" } else { "converging" };
        let (members, links, records) = (node.members, node.links, node.records);
        progress(&format!(
            "{line}node {i}: {members} members, {links} links, {records} records, {rate:.0} B/s \
             received, {converged}"
        ));
    }
}

impl InForce {
    /// Whether there are any faults.
    pub(crate) fn any(&self) -> bool {
        !self.killed.is_empty() || self.partition.is_some() || self.delay.is_some()
    }

    /// The kinds of faults.
    fn short(&self) -> String {
        let kinds = [
            (!self.killed.is_empty()).then_some("kill"),
            self.partition.as_ref().map(|_| "partition"),
            self.delay.as_ref().map(|_| "delay"),
        ];
        let kinds: Vec<&str> = kinds.into_iter().flatten().collect();
        if kinds.is_empty() { "no faults".into() } else { kinds.join(", ") }
    }

    /// What is in force, in words.
    pub(crate) fn text(&self) -> String {
        let mut all = Vec::new();
        if !self.killed.is_empty() {
            let (killed, running) = (nodes(&self.killed), self.running);
            all.push(format!("killed: {killed}; {running} of {} run", self.agents));
        }
        if let Some(cut) = &self.partition {
            let side = nodes(&cut.nodes);
            all.push(if cut.one_way {
                format!("partition: nothing of {side} gets out")
            } else {
                format!("partition: {side} cut off from the others")
            });
        }
        if let Some(delay) = &self.delay {
            let whose = delay.nodes.as_deref().map_or("all nodes".into(), nodes);
            let mut text = format!("delay: {} ms", delay.ms);
            if delay.jitter_ms > 0 {
                let _ = write!(text, " and up to {} ms more", delay.jitter_ms);
            }
            if delay.loss > 0.0 {
                let _ = write!(text, ", {:.1} % lost", 100.0 * delay.loss);
            }
            all.push(format!("{text}, {whose}"));
        }
        if all.is_empty() {
            format!("no faults, {} nodes run", self.running)
        } else {
            all.join("; ")
        }
    }
}

/// Numbers in words; neighbours are drawn together.
fn nodes(numbers: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for i in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *i => *last = *i,
            _ => runs.push((*i, *i)),
        }
    }
    let show = |(first, last): &(usize, usize)| match last - first {
        0 => first.to_string(),
        1 => format!("{first} {last}"),
        _ => format!("{first}-{last}"),
    };
    let shown: Vec<String> = runs.iter().take(MOST_RUNS).map(show).collect();
    let more =
        if runs.len() > MOST_RUNS { format!(" ... ({})", numbers.len()) } else { String::new() };
    format!("node{} {}{more}", if numbers.len() == 1 { "" } else { "s" }, shown.join(" "))
}

/// Runs of numbers that fit a line.
const MOST_RUNS: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::chaos::{Cut, Delay};

    #[test]
    fn numbers_are_short_to_read() {
        assert_eq!(nodes(&[3]), "node 3");
        assert_eq!(nodes(&[0, 1, 3, 4, 5, 9]), "nodes 0 1 3-5 9");
        let odd: Vec<usize> = (0..40).map(|i| 2 * i).collect();
        assert_eq!(nodes(&odd), "nodes 0 2 4 6 8 10 12 14 16 18 20 22 ... (40)");
    }

    #[test]
    fn what_is_in_force_is_said_in_words() {
        let peace = InForce { agents: 10, running: 10, ..InForce::default() };
        assert_eq!(peace.text(), "no faults, 10 nodes run");
        assert!(!peace.any());
        let cut = Some(Cut { nodes: vec![3, 8, 9], one_way: false });
        let nodes = None;
        let delay = Some(Delay { ms: 50, jitter_ms: 20, loss: 0.125, nodes });
        let all = InForce { killed: vec![1], running: 9, partition: cut, delay, ..peace };
        assert_eq!(
            all.text(),
            "killed: node 1; 9 of 10 run; partition: nodes 3 8 9 cut off from the others; \
             delay: 50 ms and up to 20 ms more, 12.5 % lost, all nodes"
        );
    }
}
