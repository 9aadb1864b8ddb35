//! The detector against lossy, lying and stopping peers.

use super::*;
use crate::config::{Config, Detect};
use crate::rng::Rng;

const STEP: Duration = Duration::from_millis(10);

/// A detector and what happens around it.
struct Bench {
    detector: Detector,
    now: Time,
    census: Census,
    peers: Vec<PeerIx>,
    changes: Vec<(u128, Change)>,
    rng: Rng,
}

impl Bench {
    fn new(members: usize) -> Self {
        let config = Config { detect: Detect::Fast, ..Config::default() };
        let settings = Settings::new(config).unwrap();
        let mut detector = Detector::new(&settings, Time::ZERO, Duration::ZERO);
        detector.set_members(&settings, members, Time::ZERO);
        let peers: Vec<_> = (0..detector.wanted()).map(|i| PeerIx::new(i, 0)).collect();
        for &peer in &peers {
            assert!(detector.add_witness(peer, Time::ZERO));
            detector.link_up(peer, Time::ZERO);
        }
        let census = Census { members, listed: members, quorum: members - (members - 1) / 3 };
        let (changes, rng) = (Vec::new(), Rng::new(7));
        Bench { detector, now: Time::ZERO, census, peers, changes, rng }
    }

    /// Runs for `ms`; `heard` says whether a heartbeat of this peer arrives.
    fn run(&mut self, ms: u64, mut heard: impl FnMut(usize, &mut Rng) -> bool) {
        let end = self.now + Duration::from_millis(ms);
        while self.now < end {
            self.now = self.now + STEP;
            if self.detector.beat(self.now, Duration::ZERO).is_some() {
                for (i, &peer) in self.peers.iter().enumerate() {
                    if heard(i, &mut self.rng) {
                        self.detector.heard(peer, self.now);
                    }
                }
            }
            if self.detector.is_due(self.now)
                && let Some(change) = self.detector.look(self.now, self.census, true)
            {
                self.changes.push((self.now.since(Time::ZERO).as_millis(), change));
            }
        }
    }

    fn is_partitioned(&self) -> bool {
        matches!(self.detector.status(), PartitionStatus::Partitioned { .. })
    }
}

#[test]
fn a_directory_that_arrives_is_no_cut() {
    let mut bench = Bench::new(3);
    bench.run(500, |_, _| true);
    // It knows thirteen more now, and has links with none of them.
    bench.census = Census { members: 16, listed: 16, quorum: 11 };
    bench.run(4_000, |_, _| true);
    assert!(!bench.is_partitioned(), "{:?}", bench.changes);
    bench.run(2_000, |_, _| true);
    assert!(bench.is_partitioned(), "they had their time");
    let mut bench = Bench::new(10);
    bench.run(500, |_, _| true);
    bench.census = Census { members: 11, listed: 11, quorum: 8 };
    bench.run(1_000, |i, _| i < 5);
    assert!(bench.is_partitioned(), "a cut beside a newcomer is a cut");
}

#[test]
fn a_process_that_stops_for_two_seconds_at_a_time_keeps_its_links() {
    let mut bench = Bench::new(10);
    bench.run(500, |_, _| true);
    bench.run(4_500, |_, _| false);
    assert!(bench.detector.dead_links(bench.now).is_empty());
    bench.run(500, |_, _| false);
    assert_eq!(bench.detector.dead_links(bench.now).len(), 9);
}

#[test]
fn exactly_n_less_f_are_enough_in_a_small_mesh() {
    for (members, quorum) in [(2, 2), (3, 3), (4, 3), (10, 7), (64, 43)] {
        let mut enough = Bench::new(members);
        assert_eq!(enough.census.quorum, quorum);
        enough.run(5_000, |i, _| i + 1 < quorum);
        assert_eq!(enough.changes, [], "{members}");
        let mut too_few = Bench::new(members);
        too_few.run(1_000, |i, _| i + 2 < quorum);
        let (reachable, required) = (quorum as u32 - 1, quorum as u32);
        assert_eq!(
            too_few.detector.status(),
            PartitionStatus::Partitioned { reachable, required },
            "{members}"
        );
    }
}

#[test]
fn half_of_the_witnesses_are_enough_in_a_large_mesh() {
    let mut bench = Bench::new(2_000);
    assert_eq!(bench.peers.len(), 128);
    bench.run(5_000, |i, _| i < 64);
    assert_eq!(bench.changes, []);
    bench.run(1_000, |i, _| i < 63);
    assert!(bench.is_partitioned());
    // Coming back takes six in ten: the edge is no place to flicker.
    bench.run(5_000, |i, _| i < 70);
    assert!(bench.is_partitioned());
    bench.run(5_000, |i, _| i < 78);
    assert_eq!(bench.detector.status(), PartitionStatus::Healthy);
}

#[test]
fn members_that_died_do_not_lower_the_bar() {
    let mut bench = Bench::new(2_000);
    bench.run(1_000, |_, _| true);
    assert_eq!(bench.changes, []);
    bench.census.listed = 900;
    bench.run(1_000, |_, _| true);
    assert!(bench.is_partitioned(), "all of a sample of less than half are less than half");
}

#[test]
fn a_cut_is_noticed_and_healed_with_hysteresis() {
    let mut bench = Bench::new(10);
    bench.run(2_000, |_, _| true);
    bench.run(1_000, |_, _| false);
    let (at, change) = bench.changes[0];
    assert_eq!(change, Change::Partitioned { reachable: 1, required: 7 });
    assert!((2_600..2_800).contains(&at), "{at}");
    bench.run(3_000, |_, _| true);
    let Change::Healed(after) = bench.changes[2].1 else { panic!("{:?}", bench.changes) };
    assert_eq!((bench.changes[1].1, bench.changes.len()), (Change::Recovering, 3));
    assert!(after >= STEADY && after < STEADY + Duration::from_millis(200), "{after:?}");
    assert_eq!(bench.detector.last_recovery(), Some(after));
}

#[test]
fn one_beat_is_no_recovery() {
    let mut bench = Bench::new(10);
    bench.run(2_000, |_, _| false);
    let mut beats = 0;
    bench.run(300, |i, _| {
        beats += usize::from(i == 0);
        beats == 1
    });
    bench.run(2_000, |_, _| false);
    assert!(bench.is_partitioned());
    let healed = bench.changes.iter().any(|(_, change)| matches!(change, Change::Healed(_)));
    assert!(!healed, "{:?}", bench.changes);
}

#[test]
fn a_tenth_of_the_heartbeats_lost_is_no_partition() {
    for members in [2, 4, 10, 64, 100, 2_000] {
        let mut bench = Bench::new(members);
        bench.run(60_000, |_, rng| !rng.chance(0.1));
        assert_eq!(bench.changes, [], "{members}");
    }
}

#[test]
fn who_hears_but_is_not_heard_is_cut_off() {
    let mut bench = Bench::new(10);
    bench.run(1_000, |_, _| true);
    for peer in bench.peers.clone() {
        bench.detector.told(peer, false);
    }
    bench.run(200, |_, _| true);
    assert!(bench.is_partitioned(), "a one-way link is none");
}

#[test]
fn a_process_that_stood_still_accuses_nobody() {
    let mut bench = Bench::new(10);
    bench.run(1_000, |_, _| true);
    for _ in 0..20 {
        bench.now = bench.now + Duration::from_secs(3);
        bench.run(100, |_, _| true);
    }
    assert_eq!(bench.changes, []);
}

#[test]
fn a_new_mesh_has_time_to_form_but_not_for_ever() {
    let mut bench = Bench::new(10);
    bench.detector.retain_witnesses(|_| false);
    for peer in core::mem::take(&mut bench.peers) {
        bench.detector.link_down(peer);
    }
    bench.run(4_900, |_, _| true);
    assert_eq!(bench.changes, [], "nobody is listed yet");
    bench.run(500, |_, _| true);
    assert!(bench.is_partitioned());
}

#[test]
fn silent_links_are_given_up_and_lost_witnesses_stay() {
    let mut bench = Bench::new(10);
    bench.run(5_000, |i, _| i > 0);
    assert_eq!(bench.detector.dead_links(bench.now), [bench.peers[0]]);
    bench.detector.link_down(bench.peers[0]);
    assert_eq!(bench.detector.unlinked().collect::<Vec<_>>(), [bench.peers[0]]);
    assert!(bench.detector.dead_links(bench.now).is_empty());
    assert!(bench.detector.is_witness(bench.peers[0]), "silence does not change the sample");
}
