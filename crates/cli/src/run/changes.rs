//! What a node that runs tells of itself: each change once, when it is seen.

use std::time::{Duration, Instant};

use knhk_mesh::SeedStatus;
use knhk_mesh::core::certified::Conflict;
use knhk_mesh::node::{Phase, Status as NodeStatus};
use knhk_mesh::partition::PartitionStatus;
use knhk_mesh::storage::Health;
use knhk_mesh::transport::DialError;

use super::Service;
use super::log::text;

/// What becomes of one seed is told at most so often, whatever it does.
const SAME_SEED_EVERY: Duration = Duration::from_secs(10);

impl Service<'_> {
    /// Tells what changed; `false` if the node stopped.
    pub(super) async fn look(&mut self) -> bool {
        let Ok(status) = self.mesh.status().await else { return false };
        let seen = (status.node.members, status.node.links);
        if seen != self.seen {
            self.seen = seen;
            self.log.info("peers", &[("members", seen.0.into()), ("links", seen.1.into())]);
        }
        if status.node.phase != Phase::Denied {
            self.tell_seeds(&status.seeds);
        }
        self.tell_partition(&status.node);
        self.tell_phase(status.node.phase);
        self.tell_storage(status.storage);
        self.tell_conflicts();
        true
    }

    fn tell_seeds(&mut self, now: &[SeedStatus]) {
        self.seeds_told.retain(|addr, _| now.iter().any(|seed| seed.addr == *addr));
        for SeedStatus { addr, failure } in now {
            let told = self.seeds_told.get(addr);
            if told.map_or(failure.is_none(), |(before, _)| before == failure)
                || told.is_some_and(|(_, at)| at.elapsed() < SAME_SEED_EVERY)
            {
                continue;
            }
            let mut fields = vec![("seed", text(addr))];
            match failure {
                None => self.log.info("seed reached", &fields),
                Some(why) => {
                    fields.push(("why", text(why)));
                    fields.extend(help(why).map(|help| ("help", help.into())));
                    self.log.warn("seed not reached, trying on", &fields);
                }
            }
            self.seeds_told.insert(*addr, (failure.clone(), Instant::now()));
        }
    }

    fn tell_partition(&mut self, now: &NodeStatus) {
        let before = std::mem::replace(&mut self.partition, now.partition);
        if before.name() == self.partition.name() {
            return;
        }
        let event = self.partition.name();
        match self.partition {
            PartitionStatus::Partitioned { reachable, required } => {
                let fields = [
                    ("reachable", reachable.into()),
                    ("required", required.into()),
                    ("mode", now.mode.name().into()),
                ];
                self.log.warn(event, &fields);
            }
            PartitionStatus::Recovering => self.log.info(event, &[]),
            PartitionStatus::Healthy => {
                let took = now.recovery.map(|took| took.as_millis() as u64);
                self.log.info(event, &[("recovery_ms", took.into())]);
            }
        }
    }

    fn tell_phase(&mut self, now: Phase) {
        let before = std::mem::replace(&mut self.phase, now);
        if before == now {
            return;
        }
        match now {
            Phase::Recovering => {
                let why = "its own records may be older than what they hold: they are asked first";
                self.log.warn("writes wait for peers", &[("why", why.into())]);
            }
            Phase::Convicted => {
                let help = "start it with a new key";
                self.log.warn("the key signed forks, nobody takes it", &[("help", help.into())]);
            }
            Phase::Denied => {
                let help = "it needs a new key and to be admitted again";
                self.log.warn("the operator denied this node", &[("help", help.into())]);
            }
            Phase::KeyInUse => {
                let help = "run one process with it, or give this one a new key: keygen";
                let why = "another process uses the key of this node and started later";
                let fields = [("why", why.into()), ("help", help.into())];
                self.log.warn("this one stops", &fields);
            }
            Phase::Ready if before == Phase::Recovering => {
                self.log.info("own records are back", &[]);
            }
            Phase::Ready | Phase::Starting | Phase::Left => {}
        }
    }

    fn tell_storage(&mut self, now: Health) {
        let before = std::mem::replace(&mut self.storage, now);
        match (&before, &self.storage) {
            (Health::Failed(_), Health::Good) => self.log.info("the disk is back", &[]),
            (Health::Good, Health::Failed(why)) => {
                let why = text(&why.0);
                self.log.warn("the disk failed, writes are refused", &[("why", why)]);
            }
            _ => {}
        }
    }

    /// More than f signers lied: somebody has to look at that.
    fn tell_conflicts(&mut self) {
        let found = self.mesh.fact_conflicts();
        let place = |conflict: &Conflict| {
            let fact = conflict.sides()[0].fact();
            (fact.key().to_owned(), fact.version())
        };
        let now = found.iter().map(place).collect();
        let before = std::mem::replace(&mut self.conflicts, now);
        for conflict in found.iter().filter(|conflict| !before.contains(&place(conflict))) {
            let (key, version) = place(conflict);
            let liars = self.mesh.committee().map(|all| conflict.signers_of_both(all));
            let liars: Vec<_> = liars.iter().flatten().map(text).collect();
            let fields =
                [("key", text(&key)), ("version", version.into()), ("signed_both", liars.into())];
            self.log.warn("two values of one version are certified", &fields);
        }
    }
}

/// What to look at when a seed is not reached.
fn help(why: &DialError) -> Option<&'static str> {
    Some(match why {
        DialError::NotAdmitted => {
            "one of the two does not admit the other: look at its allowlist or certificate, or at \
             the token, which works once and in time"
        }
        DialError::OtherMesh => "compare what `knhk-mesh genesis` prints on both machines",
        DialError::TimedOut => "see that a node runs there and that UDP passes; `knhk-mesh doctor`",
        _ => return None,
    })
}
