//! First contacts that are names. What a name means changes, so it is asked again and again while
//! the node runs; a name server that is away or a name that means nothing yet stops nothing.
//!
//! ```text
//!   "seed.example:9000" ─ lookup ─> addresses ─┬─ changed ─> Mesh::set_seeds ─> dialler
//!                           ^                  └─ pause: 30 s, after a failure 0.5 s .. 30 s
//!                           └──────────────────────────────'
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::Stopped;
use crate::mesh::Mesh;
use crate::node_task::MAX_SEEDS;
use crate::transport::DialError;

/// Pause after a lookup that went well.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// First pause after one that did not; doubled up to [`LOOK_AGAIN`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// A lookup that takes longer has failed.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
/// Addresses that one name may stand for.
const MAX_OF_ONE: usize = 8;
/// News that wait for a listener; more are dropped.
const NEWS: usize = 64;

impl Mesh {
    /// Replaces the seeds; at most 64 are taken. New ones are dialled at once and for ever, links
    /// that stand stay.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn set_seeds(&self, seeds: Vec<SocketAddr>) -> Result<(), Stopped> {
        self.ask(move |asked| {
            asked.effects.dialler.set_seeds(&seeds, tokio::time::Instant::now());
        })
        .await
    }
}

/// A seed as a node dials it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeedStatus {
    /// Where it is.
    pub addr: SocketAddr,
    /// Why the last dial led to no link; `None` once one did, and before the first has ended.
    pub failure: Option<DialError>,
}

/// What following the contacts found, for a log.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SeedNews {
    /// A contact stands for other addresses than before.
    Resolved {
        /// As it was given.
        contact: String,
        /// What it stands for now.
        addresses: Vec<SocketAddr>,
    },
    /// A contact could not be looked up; addresses found earlier stay in use. Told once for each
    /// row of failures.
    Failed {
        /// As it was given.
        contact: String,
        /// What the resolver said.
        reason: String,
    },
}

/// Keeps the seeds of a node what its contacts (`host:port`) mean now. It ends when dropped, or
/// with the node, which it keeps running.
#[derive(Debug)]
pub struct Seeds {
    task: JoinHandle<()>,
}

impl Seeds {
    /// Follows `contacts` for `mesh` from now on, and says on the channel what it finds. Must be
    /// called inside a tokio runtime.
    #[must_use]
    pub fn follow(mesh: &Mesh, contacts: Vec<String>) -> (Seeds, mpsc::Receiver<SeedNews>) {
        let (news, heard) = mpsc::channel(NEWS);
        let contacts = contacts.into_iter().map(Contact::new).collect();
        let task = tokio::spawn(follow(mesh.clone(), contacts, news));
        (Seeds { task }, heard)
    }
}

impl Drop for Seeds {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Contact {
    text: String,
    addresses: Vec<SocketAddr>,
    failures: u32,
}

impl Contact {
    fn new(text: String) -> Self {
        Contact { text, addresses: Vec::new(), failures: 0 }
    }

    /// Looks it up for a node that listens at `local`; what is worth telling.
    async fn look_up(&mut self, local: SocketAddr) -> Option<SeedNews> {
        let found = tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host(&self.text)).await;
        let contact = self.text.clone();
        let reason = match found {
            Ok(Ok(found)) => {
                // A socket of IPv4 reaches nothing else.
                let reached = |addr: &SocketAddr| addr.is_ipv4() || local.is_ipv6();
                let mut addresses: Vec<SocketAddr> = found.filter(reached).collect();
                addresses.sort_unstable();
                addresses.dedup();
                addresses.truncate(MAX_OF_ONE);
                if !addresses.is_empty() {
                    self.failures = 0;
                    let changed = self.addresses != addresses;
                    self.addresses.clone_from(&addresses);
                    return changed.then_some(SeedNews::Resolved { contact, addresses });
                }
                match local {
                    SocketAddr::V4(_) => {
                        "it has no IPv4 address, and this node has no other".into()
                    }
                    SocketAddr::V6(_) => "it has no address".into(),
                }
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", LOOKUP_TIMEOUT.as_secs()),
        };
        self.failures = self.failures.saturating_add(1);
        (self.failures == 1).then_some(SeedNews::Failed { contact, reason })
    }

    fn pause(&self) -> Duration {
        match self.failures {
            0 => LOOK_AGAIN,
            failures => FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(16)).min(LOOK_AGAIN),
        }
    }
}

async fn follow(mesh: Mesh, mut contacts: Vec<Contact>, news: mpsc::Sender<SeedNews>) {
    loop {
        for i in 0..contacts.len() {
            let Some(found) = contacts[i].look_up(mesh.local_addr()).await else { continue };
            if matches!(found, SeedNews::Resolved { .. }) {
                let all = contacts.iter().flat_map(|contact| &contact.addresses).copied();
                if mesh.set_seeds(all.take(MAX_SEEDS).collect()).await == Err(Stopped) {
                    return;
                }
            }
            // A listener that is slow or gone misses it.
            let _ = news.try_send(found);
        }
        let Some(pause) = contacts.iter().map(Contact::pause).min() else { return };
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    #[tokio::test]
    async fn a_name_is_looked_up_and_leads_to_a_link_and_a_wrong_one_is_told() {
        let ada = Mesh::join(Options::default()).await.unwrap();
        let bob = Mesh::join(Options::default()).await.unwrap();
        let good = format!("localhost:{}", ada.local_addr().port());
        let bad = "no-such-name.invalid:1".to_owned();
        let (seeds, mut heard) = Seeds::follow(&bob, vec![good.clone(), bad.clone()]);
        let mut told = Vec::new();
        for _ in 0..2 {
            told.push(heard.recv().await.unwrap());
        }
        assert!(told.iter().any(|news| matches!(news,
            SeedNews::Resolved { contact, addresses }
                if *contact == good && addresses.contains(&ada.local_addr()))));
        assert!(told.iter().any(|news| matches!(news,
            SeedNews::Failed { contact, .. } if *contact == bad)));
        while bob.links().await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let links = bob.links().await.unwrap();
        assert_eq!((links[0].node, links[0].dialled), (ada.node_id(), true));
        drop(seeds);
        ada.close().await;
        bob.close().await;
    }

    #[test]
    fn failures_make_the_pause_longer_up_to_the_regular_one() {
        let mut contact = Contact::new("a:1".into());
        assert_eq!(contact.pause(), LOOK_AGAIN);
        let mut pauses = (1..40).map(|failures| {
            contact.failures = failures;
            contact.pause()
        });
        assert_eq!(pauses.next(), Some(FIRST_PAUSE));
        assert_eq!(pauses.last(), Some(LOOK_AGAIN));
    }
}
