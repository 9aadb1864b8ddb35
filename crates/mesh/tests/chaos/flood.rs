//! One member that floods a node with each kind of message, against the same mesh without it:
//! virtual time shows what the protocol lets through, the example `attacker` what it costs a
//! processor.

use std::time::Duration;

use bytes::Bytes;
use knhk_mesh::config::Lanes;
use knhk_mesh::core::digest::Root;
use knhk_mesh::core::error::Refused;
use knhk_mesh::core::frame::{Chain, Class, Kind as RecordKind, RecordHead, Slot, seal};
use knhk_mesh::core::identity::Signer;
use knhk_mesh::identity::{Incarnation, Keypair};
use knhk_mesh::messages::{Digest, Lane, Message};
use knhk_mesh::time::Hlc;
use knhk_mesh::transport::{EVENT_CAPACITY, Event, Target, Transport};
use knhk_mesh::{Identity, Mesh};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep};

use crate::seed;
use crate::swarm::{Swarm, tell};

const NODES: usize = 10;
/// Messages every millisecond.
const EACH_MS: u64 = 5;
/// A second beyond the limits is a strike, and ten are the end.
const LENGTH: Duration = Duration::from_secs(14);

/// What the member sends too much of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// New frames of one record.
    Frames,
    /// The same with signatures that are not good.
    Forged,
    /// One frame again and again.
    Again,
    /// Digests of states that nobody has.
    Digests,
    /// "Send me my records."
    Recover,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Frames, Kind::Forged, Kind::Again, Kind::Digests, Kind::Recover];
}

struct Flood {
    kind: Kind,
    victim: Mesh,
    mesh: knhk_mesh::identity::MeshId,
    clock: Box<dyn Fn() -> knhk_mesh::time::WallMs + Send>,
    key: Keypair,
    chain: Chain,
    again: Option<Bytes>,
}

impl Flood {
    fn new(kind: Kind, swarm: &Swarm, key: Keypair) -> Self {
        let (victim, clock) = (swarm.nodes[0].clone(), swarm.clock());
        let mesh = victim.mesh_id();
        let incarnation = Incarnation((clock.now().0 / 1_000) << 24);
        let chain = Chain::start(Class::Cell, incarnation, Default::default());
        let clock = Box::new(move || clock.now());
        Flood { kind, victim, mesh, clock, key, chain, again: None }
    }

    fn frame(&mut self, number: u64) -> Bytes {
        let slot = Slot(16 + (number % 900) as u16);
        let head = RecordHead::new(slot, RecordKind::LWW, Hlc::at((self.clock)()));
        let record = head.encode(&[1, b'f', b'0' + (number % 10) as u8]);
        seal(&mut self.chain, &[record], &[], &self.mesh, &self.key).bytes().clone()
    }

    fn message(&mut self, number: u64) -> (Lane, Bytes) {
        match self.kind {
            Kind::Frames => (Lane::Delta, self.frame(number)),
            Kind::Forged => {
                let mut frame = self.frame(number).to_vec();
                frame[200] ^= 1;
                (Lane::Delta, frame.into())
            }
            Kind::Again => {
                let again = self.again.take().unwrap_or_else(|| self.frame(0));
                (Lane::Delta, self.again.insert(again).clone())
            }
            Kind::Digests => {
                let mut root = [0; 32];
                root[..8].copy_from_slice(&number.to_le_bytes());
                let (root, wall) = (Root(root), (self.clock)());
                let digest = Digest { class: Class::Cell, reply: false, root, count: 9, wall };
                // Not of the digest lane, whose queue keeps the newest only.
                (Lane::Control, Message::Digest(digest).encode())
            }
            Kind::Recover => (Lane::Control, Message::Recover.encode()),
        }
    }
}

/// Dials the victim and floods it until the time is over; how many messages its outbox took.
async fn flood(transport: Transport, mut events: mpsc::Receiver<Event>, mut flood: Flood) -> u64 {
    let target = Target { node: Some(flood.victim.node_id()), addr: flood.victim.local_addr() };
    transport.dial(target);
    let (mut link, mut sent, mut number) = (None, 0u64, 0);
    let (mut ticks, start) = (interval(Duration::from_millis(1)), Instant::now());
    while start.elapsed() < LENGTH {
        ticks.tick().await;
        while let Ok(event) = events.try_recv() {
            match event {
                Event::Up(up) => link = Some(up),
                // Thrown out: it is back at once.
                Event::Down { .. } | Event::DialFailed { .. } => {
                    link = None;
                    transport.dial(target);
                }
                Event::Batch { .. } => {}
            }
        }
        for _ in 0..EACH_MS {
            let (lane, message) = flood.message(number);
            number += 1;
            if let Some(link) = &link {
                sent += u64::from(link.send(lane, message).is_ok());
            }
        }
    }
    sent
}

/// Times of writes that spread, sorted.
async fn times(swarm: &mut Swarm, length: Duration) -> Vec<Duration> {
    let (all, start) = ((0..NODES).collect::<Vec<_>>(), Instant::now());
    let mut times = Vec::new();
    while start.elapsed() < length {
        times.push(swarm.spread_time(1 + times.len() % (NODES - 1), &all).await);
        sleep(Duration::from_millis(200)).await;
    }
    times.sort_unstable();
    times
}

#[test]
fn a_member_that_floods_is_held_to_its_budget_and_thrown_out_and_others_hardly_notice() {
    tell(async {
        let mut swarm = Swarm::gather(NODES, seed(), Lanes::All).await;
        let liar = |kind: Kind| Keypair::from_secret(&[0xb0 + kind as u8; 32]);
        for kind in Kind::ALL {
            // A member as any other at first.
            let member = swarm.start(Identity::New(liar(kind)), 90 + kind as u64).await;
            sleep(Duration::from_secs(2)).await;
            member.close().await;
        }
        // Their goodbyes are everywhere.
        sleep(Duration::from_secs(30)).await;
        let calm = times(&mut swarm, LENGTH).await;
        let calm = calm[calm.len() / 2];
        for kind in Kind::ALL {
            let before = swarm.nodes[0].status().await.unwrap().node.counters;
            let (sender, events) = mpsc::channel(EVENT_CAPACITY);
            let transport = Transport::quic(swarm.settings(liar(kind)), sender).unwrap();
            let attack = Flood::new(kind, &swarm, liar(kind));
            let attack = tokio::spawn(flood(transport, events, attack));
            let hot = times(&mut swarm, LENGTH).await;
            let (hot, sent) = (hot[hot.len() / 2], attack.await.unwrap());

            let after = swarm.nodes[0].status().await.unwrap().node.counters;
            let peers = swarm.nodes[0].peers().await.unwrap();
            let liar = peers.iter().find(|peer| peer.id == liar(kind).node_id());
            let reputation = liar.map(|peer| peer.reputation);
            let taken = after.merged - before.merged;
            let refused = [Refused::Rate, Refused::Signature]
                .map(|why| after.refused_for(why) - before.refused_for(why));
            println!(
                "flood of {kind:?}: {sent} sent, {taken} merged, {refused:?} beyond the rate and \
                 forged, reputation {reputation:?}, p50 {calm:?} before and {hot:?} with it: {:.2}",
                hot.as_secs_f64() / calm.as_secs_f64()
            );
            // A thousand a second, two seconds' worth, and what the honest ones wrote.
            assert!(taken < 14_000, "{kind:?}: {taken}");
            assert!(refused[1] < 14_000, "{kind:?}: {refused:?}");
            assert!(reputation.is_some_and(|it| it < 0.5), "{kind:?}: {reputation:?}");
            assert!(2 * hot <= 3 * calm, "{kind:?}: {calm:?}, {hot:?}");
            if kind == Kind::Forged {
                // Out long before it is too much.
                assert!(refused[1] > 0, "{refused:?}");
            } else {
                assert!(sent > 20_000, "{kind:?}: {sent} is no flood");
                assert!(u64::from(refused[0]) > sent / 2, "{kind:?}: {refused:?} of {sent}");
            }
        }
        swarm.agreed().await;
    });
}
