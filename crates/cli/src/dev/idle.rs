//! What a swarm costs that has nothing to do: what its links sent and what CPU they took.
//!
//! ```text
//!   all joined ── settle ──┬──── rest ────┬── figures
//!                          first look     second look, only at links that stood at the first
//! ```

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use knhk_mesh::Datagrams;
use tokio::time::Instant;

use super::report::{Idle, progress, round};
use super::swarm::{Swarm, stopped};
use crate::failure::Failure;
use crate::process;

/// Rounds back off and witnesses link before anything is measured.
const SETTLE: Duration = Duration::from_secs(10);

/// What each link has sent so far: (node, address of the peer) to datagrams.
type Sent = HashMap<(usize, SocketAddr), Option<Datagrams>>;

/// Lets the swarm rest and says what that took.
pub(super) async fn measured(swarm: &Swarm, rest: Duration, end: Instant) -> Result<Idle, Failure> {
    if Instant::now() + SETTLE + rest > end {
        let message = "time is over: no room for --idle after 10 s to settle";
        return Err(Failure::new("time", &message, "give it more with --for"));
    }
    progress("settling");
    tokio::time::sleep(SETTLE).await;
    let before = look(swarm).await?;
    let (cpu, start) = (process::cpu_time(), Instant::now());
    progress("resting");
    tokio::time::sleep(rest).await;
    let (took, cpu_after) = (start.elapsed().as_secs_f64(), process::cpu_time());
    let after = look(swarm).await?;

    let agents = swarm.nodes.len() as f64;
    let per = |amount: f64| round(amount / agents / took);
    let sent = spent(&before, &after);
    let cpu = cpu.zip(cpu_after).map(|(before, after)| after.saturating_sub(before));
    Ok(Idle {
        seconds: round(took),
        links_per_agent: round(after.len() as f64 / agents),
        datagrams_per_agent_per_s: sent.map(|sent| per(sent.count as f64)),
        bytes_per_agent_per_s: sent.map(|sent| per(sent.bytes as f64)),
        cpu_ms_per_agent_per_s: cpu.map(|cpu| per(cpu.as_secs_f64() * 1_000.0)),
    })
}

async fn look(swarm: &Swarm) -> Result<Sent, Failure> {
    let mut sent = HashMap::new();
    for (i, node) in swarm.nodes.running() {
        let links = node.links().await.map_err(|e| stopped(&e))?;
        sent.extend(links.into_iter().map(|link| ((i, link.address), link.datagrams)));
    }
    Ok(sent)
}

/// What was sent between two looks; what a link sent that ended in between is not known. `None` if
/// the transport does not count.
fn spent(before: &Sent, after: &Sent) -> Option<Datagrams> {
    let mut all = Datagrams::default();
    for (link, now) in after {
        let (now, then) = ((*now)?, before.get(link).copied().flatten().unwrap_or_default());
        // Fewer than before: another connection to the same address.
        let again = now.count < then.count;
        let then = if again { Datagrams::default() } else { then };
        all.count += now.count - then.count;
        all.bytes += now.bytes.saturating_sub(then.bytes);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_links_count_whole_and_old_ones_by_what_they_added() {
        let link = |i| (i, SocketAddr::from(([127, 0, 0, 1], 7_000)));
        let sent = |count| Some(Datagrams { count, bytes: 100 * count });
        let before = Sent::from([(link(0), sent(5)), (link(1), sent(9)), (link(2), sent(50))]);
        let after = Sent::from([(link(0), sent(8)), (link(2), sent(2)), (link(3), sent(1))]);
        assert_eq!(spent(&before, &after), sent(3 + 2 + 1));
        assert_eq!(spent(&before, &Sent::from([(link(0), None)])), None);
    }
}
