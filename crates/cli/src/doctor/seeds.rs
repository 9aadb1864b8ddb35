//! Whether the seeds answer: each is resolved, dialled and shaken hands with as a node would, and
//! asked for the time. Nothing is written to the mesh, and the links end at once.
//!
//! ```text
//!   host:port ─ resolve ─> addresses ─ dial ─┬─> link ── digest ──> seed
//!                                            │        <── digest with its clock ──> Reading
//!                                            └─> why not ──> Check
//! ```
//!
//! Whoever holds the own address is asked for the time as well: it may be the node itself, running.
//! In an open mesh a key of the moment is used, so that a node that runs with the own key keeps its
//! links: a second node with the same key would take them over.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use knhk_mesh::config::Admission;
use knhk_mesh::config_file::Effective;
use knhk_mesh::digest::Root;
use knhk_mesh::frame::Class;
use knhk_mesh::identity::Keypair;
use knhk_mesh::key_file;
use knhk_mesh::messages::{Digest, Lane, Message};
use knhk_mesh::time::WallMs;
use knhk_mesh::transport::{
    DialError, EVENT_CAPACITY, Event, Link, LinkId, Profile, Settings, Target, Transport,
};
use tokio::net::lookup_host;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::Check;
use super::clock::Reading;
use super::port::Port;

const SEED: &str = "seed";
/// For the name, and again for the handshake.
const PATIENCE: Duration = Duration::from_secs(3);
/// For the answer with the clock, after the slowest handshake.
const CLOCK_PATIENCE: Duration = Duration::from_secs(2);
/// An answer that was lost is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 4;
/// For the farewells.
const GRACE: Duration = Duration::from_millis(100);

/// What became of the seeds.
#[derive(Default)]
pub(super) struct Seeds {
    pub(super) checks: Vec<Check>,
    pub(super) readings: Vec<Reading>,
}

/// Tries every seed of the own scope. `running`: a node runs with the own key.
pub(super) async fn check(
    effective: &Effective,
    keypair: Option<Keypair>,
    running: bool,
    port: &Port,
) -> Seeds {
    let names = &effective.bootstrap.seeds;
    let only = |check| Seeds { checks: vec![check], readings: Vec::new() };
    let open = effective.core_config().admission == Admission::Open;
    let holder = port.taken.filter(|_| open);
    if names.is_empty() && holder.is_none() {
        return only(none_named());
    }
    let key = match keypair {
        _ if open => key_file::fresh().ok(),
        Some(_) if running => {
            let detail = "not tried: the node with this key runs, and would lose its links";
            return only(Check::warn(SEED, detail, "ask that node, or stop it first"));
        }
        own => own,
    };
    let Some(key) = key else {
        let help = "repair the key first: seeds of this mesh admit listed keys only";
        return only(Check::warn(SEED, "not tried: there is no usable key", help));
    };
    let resolved = resolve(names).await;
    let (event, events) = mpsc::channel(EVENT_CAPACITY);
    match bind(effective, key, event) {
        Ok(transport) => {
            let tried = resolved.iter().filter_map(|(_, found)| found.as_ref().ok()).flatten();
            let tried = tried.filter(|addr| !port.ours.contains(addr)).copied().chain(holder);
            let heard = Round::start(&transport, tried).listen(events).await;
            transport.shutdown(GRACE).await;
            report(&resolved, &port.ours, &heard)
        }
        Err(why) => only(Check::warn(SEED, format!("not tried: {why}"), "repair the port first")),
    }
}

/// A seed's name, and its addresses or why there are none.
type Resolved = (String, Result<Vec<SocketAddr>, String>);

async fn resolve(names: &[String]) -> Vec<Resolved> {
    let mut asking = JoinSet::new();
    for (i, name) in names.iter().cloned().enumerate() {
        asking.spawn(async move {
            let found = match timeout(PATIENCE, lookup_host(&name)).await {
                Ok(Ok(found)) => Ok(found.take(MOST_ADDRESSES).collect()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("the name server does not answer".into()),
            };
            (i, (name, found))
        });
    }
    let mut resolved = asking.join_all().await;
    resolved.sort_unstable_by_key(|(i, _)| *i);
    resolved.into_iter().map(|(_, one)| one).collect()
}

fn bind(
    effective: &Effective,
    key: Keypair,
    event: mpsc::Sender<Event>,
) -> Result<Transport, knhk_mesh::transport::BindError> {
    let config = effective.core_config();
    let own = effective.bind_candidates().next().map(|addr| addr.ip());
    let settings = Settings {
        admission: config.admission.clone(),
        bind: SocketAddr::new(own.unwrap_or(Ipv4Addr::LOCALHOST.into()), 0),
        insecure: effective.network.insecure,
        aes_256_only: effective.security.aes_256_only,
        max_links: config.most_links(),
        handshake_timeout: PATIENCE,
        ..Settings::new(Arc::new(key), config.genesis.mesh_id(), Profile::Normal)
    };
    if effective.network.quic {
        Transport::quic(settings, event)
    } else {
        Transport::tcp(settings, event)
    }
}

/// What one address did.
enum Heard {
    /// Nothing yet.
    Nothing,
    /// It shook hands; its clock has not been heard.
    Linked(Link),
    /// It shook hands and said how late it is.
    Clock(Reading),
    /// It shook hands, and the link ended before it said how late it is.
    Ended,
    /// It did not shake hands.
    Failed(DialError),
}

/// All addresses side by side.
struct Round(BTreeMap<SocketAddr, Heard>);

impl Round {
    fn start(transport: &Transport, addresses: impl Iterator<Item = SocketAddr>) -> Self {
        let mut round = BTreeMap::new();
        for addr in addresses {
            if round.insert(addr, Heard::Nothing).is_none() {
                transport.dial(Target { node: None, addr });
            }
        }
        Round(round)
    }

    async fn listen(mut self, mut events: mpsc::Receiver<Event>) -> BTreeMap<SocketAddr, Heard> {
        let end = Instant::now() + PATIENCE + CLOCK_PATIENCE;
        while self.waits() && Instant::now() < end {
            match timeout_at(end.min(Instant::now() + ASK_AGAIN), events.recv()).await {
                Ok(Some(event)) => self.take(event),
                Ok(None) => break,
                Err(_) => self.ask_again(),
            }
        }
        self.0
    }

    fn waits(&self) -> bool {
        self.0.values().any(|heard| matches!(heard, Heard::Nothing | Heard::Linked(_)))
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Up(link) => {
                ask(&link);
                if let Some(heard) = self.0.get_mut(&link.addr()) {
                    *heard = Heard::Linked(link);
                }
            }
            Event::Batch { link, messages, .. } => {
                let clock = messages.iter().find_map(|bytes| match Message::decode(bytes) {
                    Ok(Message::Digest(digest)) => Some(digest.wall),
                    _ => None,
                });
                if let (Some(WallMs(wall)), Some((addr, heard))) = (clock, self.by_link(link)) {
                    *heard = Heard::Clock(Reading::now(format!("the node at {addr}"), wall));
                }
            }
            Event::Down { link, .. } => {
                if let Some((_, heard)) = self.by_link(link) {
                    *heard = Heard::Ended;
                }
            }
            Event::DialFailed { target, why } => {
                if let Some(heard) = self.0.get_mut(&target.addr) {
                    *heard = Heard::Failed(why);
                }
            }
        }
    }

    fn by_link(&mut self, id: LinkId) -> Option<(SocketAddr, &mut Heard)> {
        let mut all = self.0.iter_mut().map(|(addr, heard)| (*addr, heard));
        all.find(|(_, heard)| matches!(heard, Heard::Linked(link) if link.id() == id))
    }

    fn ask_again(&self) {
        for heard in self.0.values() {
            if let Heard::Linked(link) = heard {
                ask(link);
            }
        }
    }
}

/// Claims to have something else than the peer, who then says what it has, and how late it is.
fn ask(link: &Link) {
    let root = Root([0x5a; 32]);
    let digest = Digest { class: Class::Cell, reply: false, root, count: 1, wall: WallMs(0) };
    // A link that takes nothing is about to end, and that is told.
    let _ = link.send(Lane::Digest, Message::Digest(digest).encode());
}

fn report(
    resolved: &[Resolved],
    ours: &[SocketAddr],
    heard: &BTreeMap<SocketAddr, Heard>,
) -> Seeds {
    let mut seeds = Seeds::default();
    for (name, found) in resolved {
        seeds.checks.push(match found {
            Err(why) => {
                let help = "check the name in bootstrap.seeds, and this host's name server";
                Check::fail(SEED, format!("{name} has no address: {why}"), help)
            }
            Ok(addresses) if addresses.iter().any(|addr| ours.contains(addr)) => {
                Check::ok(SEED, format!("{name} is this node itself"))
            }
            Ok(addresses) => {
                let answers = addresses.iter().filter_map(|addr| Some((*addr, heard.get(addr)?)));
                answered(name, answers)
            }
        });
    }
    if resolved.is_empty() {
        seeds.checks.push(none_named());
    }
    let readings = heard.values().filter_map(|heard| match heard {
        Heard::Clock(reading) => Some(reading.clone()),
        _ => None,
    });
    seeds.readings.extend(readings);
    seeds
}

fn none_named() -> Check {
    Check::ok(SEED, "none are named: others have to name this node")
}

/// One address that answers is enough.
fn answered<'a>(name: &str, answers: impl Iterator<Item = (SocketAddr, &'a Heard)>) -> Check {
    let mut refused = None;
    for (addr, heard) in answers {
        let at = if addr.to_string() == name { String::new() } else { format!(" at {addr}") };
        let why = match heard {
            Heard::Linked(_) | Heard::Clock(_) | Heard::Ended => {
                return Check::ok(SEED, format!("{name} answers{at}"));
            }
            // Another address of a seed that answered.
            Heard::Failed(DialError::AlreadyLinked | DialError::Myself) => {
                return Check::ok(SEED, format!("{name} answers{at}"));
            }
            Heard::Failed(why) => why.clone(),
            Heard::Nothing => DialError::TimedOut,
        };
        refused.get_or_insert((at, why));
    }
    let Some((at, why)) = refused else {
        return Check::fail(SEED, format!("{name} has no address"), "check bootstrap.seeds");
    };
    let detail = format!("{name}{at}: {why}");
    match &why {
        DialError::Full | DialError::Busy | DialError::Leaving | DialError::NoRoom => {
            Check::warn(SEED, detail, "it is there; a node tries again by itself")
        }
        _ => Check::fail(SEED, detail, seed_help(&why)),
    }
}

fn seed_help(why: &DialError) -> &'static str {
    match why {
        DialError::NotAdmitted => "the allowlists differ: each needs the other's node id",
        DialError::OtherMesh => {
            "compare `knhk-mesh genesis` here and there; ids and versions differ"
        }
        DialError::TimedOut | DialError::Unreachable(_) => {
            "start it, or check address, port and transport; firewalls have to pass UDP for QUIC"
        }
        _ => "compare clocks, versions and `knhk-mesh genesis` here and there",
    }
}
