//! One member that floods a node, against the same mesh without it: virtual time shows what the
//! protocol lets through, the example `attacker` what it costs a processor.

use std::time::Duration;

use knhk_mesh::config::Lanes;
use knhk_mesh::core::error::Refused;
use knhk_mesh::core::frame::{Chain, Class, Kind, RecordHead, Slot, seal};
use knhk_mesh::core::identity::Signer;
use knhk_mesh::identity::{Incarnation, Keypair};
use knhk_mesh::messages::Lane;
use knhk_mesh::time::Hlc;
use knhk_mesh::transport::{EVENT_CAPACITY, Event, Target, Transport};
use knhk_mesh::{Identity, Mesh};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep};

use crate::seed;
use crate::swarm::{Swarm, tell};

const NODES: usize = 10;
/// Frames of one record, each on a stream of its own, every millisecond.
const EACH_MS: u64 = 5;
/// A second beyond the limits is a strike, and ten are the end.
const LENGTH: Duration = Duration::from_secs(14);

/// Dials `victim` and floods it until the time is over; how many frames its outbox took.
async fn flood(transport: Transport, mut events: mpsc::Receiver<Event>, swarm: Flood) -> u64 {
    let Flood { victim, mesh, clock, key } = swarm;
    let target = Target { node: Some(victim.node_id()), addr: victim.local_addr() };
    transport.dial(target);
    let incarnation = Incarnation((clock().0 / 1_000) << 24);
    let mut chain = Chain::start(Class::Cell, incarnation, Default::default());
    let (mut link, mut sent) = (None, 0u64);
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
            let slot = Slot(16 + (sent % 900) as u16);
            let head = RecordHead::new(slot, Kind::LWW, Hlc::at(clock()));
            let record = head.encode(&[1, b'f', b'0' + (sent % 10) as u8]);
            let frame = seal(&mut chain, &[record], &[], &mesh, &key).bytes().clone();
            if let Some(link) = &link {
                sent += u64::from(link.send(Lane::Delta, frame).is_ok());
            }
        }
    }
    sent
}

struct Flood {
    victim: Mesh,
    mesh: knhk_mesh::identity::MeshId,
    clock: Box<dyn Fn() -> knhk_mesh::time::WallMs + Send>,
    key: Keypair,
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
        let liar = || Keypair::from_secret(&[0xbd; 32]);
        let id = liar().node_id();
        // A member as any other at first.
        let member = swarm.start(Identity::New(liar()), 99).await;
        sleep(Duration::from_secs(2)).await;
        member.close().await;
        let calm = times(&mut swarm, LENGTH).await;
        let before = swarm.nodes[0].status().await.unwrap().node.counters;

        let (sender, events) = mpsc::channel(EVENT_CAPACITY);
        let transport = Transport::quic(swarm.settings(liar()), sender).unwrap();
        let (victim, clock) = (swarm.nodes[0].clone(), swarm.clock());
        let mesh = victim.mesh_id();
        let attack = Flood { victim, mesh, clock: Box::new(move || clock.now()), key: liar() };
        let attack = tokio::spawn(flood(transport, events, attack));
        let hot = times(&mut swarm, LENGTH).await;
        let sent = attack.await.unwrap();

        let after = swarm.nodes[0].status().await.unwrap().node.counters;
        let peers = swarm.nodes[0].peers().await.unwrap();
        let reputation = peers.iter().find(|peer| peer.id == id).map(|peer| peer.reputation);
        let taken = after.merged - before.merged;
        let refused = after.refused_for(Refused::Rate);
        let [calm, hot] = [calm, hot].map(|times| times[times.len() / 2]);
        println!(
            "flood: {sent} sent, {taken} merged, {refused} refused, reputation {reputation:?}, \
             p50 {calm:?} before and {hot:?} with it"
        );
        assert!(sent > 30_000, "{sent}: that is no flood");
        assert!(u64::from(refused) > sent / 2, "{refused} of {sent}");
        // A thousand a second, two seconds' worth, and what the honest ones wrote.
        assert!(taken < 14_000, "{taken}");
        assert!(reputation.is_some_and(|reputation| reputation < 0.5), "{reputation:?}");
        assert!(2 * hot <= 3 * calm, "{calm:?}, {hot:?}");
        swarm.agreed().await;
    });
}
