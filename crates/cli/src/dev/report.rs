//! What `dev` prints.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use knhk_mesh::Status;
use serde::Serialize;

/// Nodes that fit into a table.
const TABLE: usize = 20;

/// The result of a run with `--updates`; the field names are part of the command's interface.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) agents: usize,
    pub(crate) transport: &'static str,
    pub(crate) interval_ms: u64,
    pub(crate) fanout: usize,
    /// From the start of the first node until all had joined.
    pub(crate) setup_ms: u64,
    /// Updates that were made.
    pub(crate) updates: u32,
    /// Of those, how many did not arrive everywhere.
    pub(crate) lost: u32,
    /// All arrived and all nodes hold the same records.
    pub(crate) converged: bool,
    pub(crate) convergence_ms: Times,
    pub(crate) rounds: Rounds,
    /// Records received per node and update, duplicates included.
    pub(crate) copies_per_agent: Option<f64>,
    /// Received batches, without the overhead of QUIC and UDP.
    pub(crate) bytes_per_agent_per_s: Option<f64>,
    pub(crate) cpu_ms_per_update: Option<f64>,
    pub(crate) rss_bytes: Option<u64>,
    /// With `--idle` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idle: Option<Idle>,
}

/// What a swarm costs that has nothing to do.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(crate) struct Idle {
    pub(crate) seconds: f64,
    /// Links that a node has, on average.
    pub(crate) links_per_agent: f64,
    /// Datagrams sent, acknowledgements included; absent over other transports.
    pub(crate) datagrams_per_agent_per_s: Option<f64>,
    /// Bytes in them, without the headers of UDP and IP.
    pub(crate) bytes_per_agent_per_s: Option<f64>,
    pub(crate) cpu_ms_per_agent_per_s: Option<f64>,
}

/// From the call of `set` to the watcher of the last node; absent if no update converged.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub(crate) struct Times {
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) max: Option<f64>,
}

/// Whole gossip intervals of those times, rounded up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub(crate) struct Rounds {
    pub(crate) p50: Option<u64>,
    pub(crate) max: Option<u64>,
}

/// Sorts `times` and takes the percentiles (nearest rank).
pub(crate) fn summarise(times: &mut [Duration], interval: Duration) -> (Times, Rounds) {
    times.sort_unstable();
    let rank = |share: f64| {
        let at = (share * times.len() as f64).ceil() as usize;
        times.get(at.max(1) - 1).copied()
    };
    let ms = |time: Option<Duration>| time.map(|t| round(t.as_secs_f64() * 1_000.0));
    let rounds =
        |time: Option<Duration>| time.map(|t| t.as_nanos().div_ceil(interval.as_nanos()) as u64);
    let (p50, p99, max) = (rank(0.5), rank(0.99), times.last().copied());
    (
        Times { p50: ms(p50), p99: ms(p99), max: ms(max) },
        Rounds { p50: rounds(p50), max: rounds(max) },
    )
}

/// Three decimals are all that a measurement carries.
pub(crate) fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

impl Report {
    /// Why it did not converge, the worst first.
    pub(crate) fn missing(&self, wanted: u32) -> String {
        if self.lost > 0 {
            format!("{} of {} updates did not arrive everywhere", self.lost, self.updates)
        } else if self.updates < wanted {
            format!("time is over: {} of {wanted} updates were made", self.updates)
        } else {
            "time is over: the nodes do not hold the same records yet".into()
        }
    }

    pub(crate) fn json(&self) -> String {
        // A struct of numbers and names always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        let show = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.2}"));
        let mut out = String::new();
        let verdict = if self.converged { "converged" } else { "NOT converged" };
        let _ = writeln!(out, "{verdict}: {} updates, {} lost", self.updates, self.lost);
        let times = &self.convergence_ms;
        let _ = writeln!(
            out,
            "  set to last watcher   p50 {} ms, p99 {} ms, max {} ms",
            show(times.p50),
            show(times.p99),
            show(times.max)
        );
        let rounds = self.rounds.max.map_or("-".into(), |r| r.to_string());
        let _ = writeln!(out, "  gossip rounds, max    {rounds} of {} ms", self.interval_ms);
        let _ = writeln!(out, "  copies per node       {}", show(self.copies_per_agent));
        let _ = writeln!(out, "  bytes per node and s  {}", show(self.bytes_per_agent_per_s));
        let _ = writeln!(out, "  CPU per update        {} ms", show(self.cpu_ms_per_update));
        let memory = self.rss_bytes.map(|bytes| bytes as f64 / 1_048_576.0);
        let _ = write!(out, "  memory                {} MiB", show(memory));
        if let Some(idle) = &self.idle {
            let _ = write!(
                out,
                "\n  idle, a node and s    {} datagrams, {} bytes sent, {} ms CPU, {:.1} links",
                show(idle.datagrams_per_agent_per_s),
                show(idle.bytes_per_agent_per_s),
                show(idle.cpu_ms_per_agent_per_s),
                idle.links_per_agent,
            );
        }
        out
    }
}

/// The nodes, one a line; a summary if there are many.
pub(crate) fn table(nodes: &[Status]) -> String {
    let mut out = String::new();
    if nodes.len() > TABLE {
        let range = |value: fn(&Status) -> usize| {
            let values = || nodes.iter().map(value);
            format!("{}-{}", values().min().unwrap_or(0), values().max().unwrap_or(0))
        };
        let links = range(|s| s.node.links);
        let members = range(|s| s.node.members);
        let _ = write!(out, "{} nodes, links {links}, members {members}", nodes.len());
        return out;
    }
    let _ =
        write!(out, "{:<5} {:<9} {:<21} {:>5} {:>7}", "node", "id", "address", "links", "members");
    for (i, status) in nodes.iter().enumerate() {
        let (id, addr) = (status.node.node.short(), status.local_addr.to_string());
        let (links, members) = (status.node.links, status.node.members);
        let _ = write!(out, "\n{i:<5} {id:<9} {addr:<21} {links:>5} {members:>7}");
    }
    out
}

/// A line that the next one overwrites, on a terminal only.
pub(crate) fn progress(line: &str) {
    let mut out = io::stderr().lock();
    if out.is_terminal() {
        let _ = write!(out, "\r\x1b[2K{line}");
        let _ = out.flush();
    }
}

/// Ends the line of [`progress`].
pub(crate) fn progress_done() {
    progress("");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks_and_rounds_are_rounded_up() {
        let mut times: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        let (ms, rounds) = summarise(&mut times, Duration::from_millis(10));
        assert_eq!(ms, Times { p50: Some(50.0), p99: Some(99.0), max: Some(100.0) });
        assert_eq!(rounds, Rounds { p50: Some(5), max: Some(10) });
        let (_, rounds) =
            summarise(&mut [Duration::from_nanos(10_000_001)], Duration::from_millis(10));
        assert_eq!(rounds, Rounds { p50: Some(2), max: Some(2) });
        assert_eq!(summarise(&mut [], Duration::from_millis(10)), Default::default());
    }

    fn report() -> Report {
        Report {
            agents: 10,
            transport: "quic",
            interval_ms: 100,
            fanout: 3,
            setup_ms: 420,
            updates: 50,
            lost: 0,
            converged: true,
            convergence_ms: Times { p50: Some(1.25), p99: Some(2.5), max: Some(3.0) },
            rounds: Rounds { p50: Some(1), max: Some(1) },
            copies_per_agent: Some(1.1),
            bytes_per_agent_per_s: Some(900.0),
            cpu_ms_per_update: None,
            rss_bytes: Some(50_000_000),
            idle: None,
        }
    }

    #[test]
    fn the_json_is_one_line_with_the_promised_names() {
        let expected = concat!(
            r#"{"agents":10,"transport":"quic","interval_ms":100,"fanout":3,"setup_ms":420,"#,
            r#""updates":50,"lost":0,"converged":true,"#,
            r#""convergence_ms":{"p50":1.25,"p99":2.5,"max":3.0},"rounds":{"p50":1,"max":1},"#,
            r#""copies_per_agent":1.1,"bytes_per_agent_per_s":900.0,"cpu_ms_per_update":null,"#,
            r#""rss_bytes":50000000}"#
        );
        assert_eq!(report().json(), expected);
    }

    #[test]
    fn updates_that_time_did_not_allow_are_not_called_lost() {
        let late = Report { converged: false, ..report() };
        assert_eq!(late.missing(60), "time is over: 50 of 60 updates were made");
        assert!(late.missing(50).contains("the same records"));
        let lost = Report { lost: 2, ..late };
        assert_eq!(lost.missing(60), "2 of 50 updates did not arrive everywhere");
    }

    #[test]
    fn the_text_says_first_whether_it_converged() {
        assert!(report().text().starts_with("converged: 50 updates, 0 lost\n"));
        let failed = Report { converged: false, lost: 2, ..report() };
        assert!(failed.text().starts_with("NOT converged: 50 updates, 2 lost\n"));
    }
}
