//! Whom a node knows, and how each stands with it: the JSON of `peers` and `peers --explain`.

use std::time::Duration;

use knhk_mesh::core::error::Refused;
use knhk_mesh::core::membership::Accusation;
use knhk_mesh::node::Standing;
use knhk_mesh::{LinkInfo, Mesh, PeerInfo};
use serde::Serialize;

use super::answers::node_stopped;
use super::protocol::Fault;

/// A peer counts as alive if it is linked or was heard within this time.
const ALIVE: Duration = Duration::from_secs(30);

#[derive(Debug, Serialize)]
pub(super) struct Peer {
    node: String,
    address: Option<String>,
    region: String,
    state: &'static str,
    rtt_ms: Option<f64>,
    reputation: f64,
    link: Option<&'static str>,
}

/// A peer, and every part of how it stands.
#[derive(Debug, Serialize)]
pub(super) struct Explained {
    #[serde(flatten)]
    peer: Peer,
    threshold: f64,
    /// At or above the threshold: it is chosen for rounds.
    trusted: bool,
    taken: Vec<Part>,
    given_back: f64,
    trusted_in_s: u64,
    whole_in_s: u64,
    strikes: u8,
    strikes_limit: u8,
    barred_s: Option<u64>,
    accused: Option<Accused>,
    convicted: usize,
    key_convicted: bool,
    /// As in `denied`.
    denied: bool,
    void_up_to: Option<u64>,
}

/// What one reason took.
#[derive(Debug, Serialize)]
struct Part {
    reason: &'static str,
    means: String,
    times: u32,
    amount: f64,
    last_s: u64,
}

#[derive(Debug, Serialize)]
struct Accused {
    observers: usize,
    quorum: usize,
    certified: bool,
    own_search: bool,
}

impl From<Accusation> for Accused {
    fn from(said: Accusation) -> Self {
        let Accusation { observers, quorum, certified, own_search } = said;
        Accused { observers, quorum, certified, own_search }
    }
}

/// The peers of the directory.
pub(super) async fn listed(node: &Mesh) -> Result<Vec<Peer>, Fault> {
    let links = node.links().await.map_err(|_| node_stopped())?;
    let peers = node.peers().await.map_err(|_| node_stopped())?;
    Ok(peers.iter().map(|peer| described(peer, &links)).collect())
}

fn described(peer: &PeerInfo, links: &[LinkInfo]) -> Peer {
    let link = links.iter().find(|link| link.node == peer.id);
    let address = link.map(|link| link.address).or_else(|| peer.addresses.first().copied());
    let alive = link.is_some() || peer.last_seen.elapsed() <= ALIVE;
    let rtt = link.and_then(|link| link.rtt).or(peer.latency);
    Peer {
        node: peer.id.to_string(),
        address: address.map(|address| address.to_string()),
        region: peer.region.clone(),
        state: if alive { "alive" } else { "silent" },
        rtt_ms: rtt.map(ms),
        reputation: thousandths(peer.reputation),
        link: link.map(direction),
    }
}

/// Everybody of whom there is something to say, the peers of the directory among them.
pub(super) async fn explained(node: &Mesh) -> Result<Vec<Explained>, Fault> {
    let links = node.links().await.map_err(|_| node_stopped())?;
    let peers = node.peers().await.map_err(|_| node_stopped())?;
    let standings = node.standings().await.map_err(|_| node_stopped())?;
    let one = |standing: &Standing| {
        let at = peers.binary_search_by_key(&standing.node, |peer| peer.id).ok();
        explain(standing, at.map(|at| described(&peers[at], &links)))
    };
    Ok(standings.iter().map(one).collect())
}

fn explain(standing: &Standing, peer: Option<Peer>) -> Explained {
    let denied = standing.void_up_to.is_some_and(|up_to| up_to.0 == u64::MAX);
    let certified = standing.accusation.is_some_and(|said| said.certified);
    let unlisted = || match () {
        () if denied => "denied",
        () if standing.key_convicted => "convicted",
        () if certified || standing.absent => "dead",
        () => "unlisted",
    };
    let mut peer = peer.unwrap_or_else(|| Peer {
        node: standing.node.to_string(),
        address: None,
        region: String::new(),
        state: unlisted(),
        rtt_ms: None,
        reputation: 0.0,
        link: None,
    });
    // As old as the rest of the explanation, not as the copy of the directory.
    peer.reputation = thousandths(standing.reputation);
    let part = |(taken, ago): &(_, Duration)| {
        let taken: &knhk_mesh::core::security::ledger::Taken = taken;
        Part {
            reason: taken.why.name(),
            means: means(taken.why),
            times: taken.times,
            amount: thousandths(taken.amount),
            last_s: ago.as_secs(),
        }
    };
    Explained {
        threshold: thousandths(standing.threshold),
        trusted: standing.reputation >= standing.threshold,
        taken: standing.taken.iter().map(part).collect(),
        given_back: thousandths(standing.given_back()),
        trusted_in_s: whole_seconds(standing.trusted_in),
        whole_in_s: whole_seconds(standing.whole_in),
        strikes: standing.strikes.0,
        strikes_limit: standing.strikes.1,
        barred_s: standing.barred.map(whole_seconds),
        accused: standing.accusation.map(Accused::from),
        convicted: standing.convicted,
        key_convicted: standing.key_convicted,
        denied,
        void_up_to: standing.void_up_to.filter(|_| !denied).map(|up_to| up_to.0),
        peer,
    }
}

fn means(why: Refused) -> String {
    match why {
        Refused::Rate => "seconds far beyond its budgets".into(),
        other => other.to_string(),
    }
}

fn thousandths(value: f32) -> f64 {
    // No negative zero.
    (f64::from(value) * 1_000.0).round() / 1_000.0 + 0.0
}

/// Rounded up: what is announced has happened by then.
fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

pub(super) fn direction(link: &LinkInfo) -> &'static str {
    if link.dialled { "dialled" } else { "accepted" }
}

pub(super) fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}
