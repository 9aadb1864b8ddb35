use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::rng::Rng;

const SETTINGS: Settings =
    Settings { max_peers: 40, byzantine_threshold: 0.5, expected_members: 0 };

fn id(n: u8) -> NodeId {
    NodeId([n; 32])
}

fn peer(n: u8) -> PeerInfo {
    PeerInfo {
        id: id(n),
        addresses: vec![SocketAddr::from(([10, 0, 0, n], 9_000))],
        region: format!("region-{}", n % 3),
        zone: format!("zone-{}", n % 2),
        incarnation: Incarnation(1),
    }
}

fn with_peers(count: u8) -> PeerRegistry {
    let mut registry = PeerRegistry::new(id(255), SETTINGS);
    (0..count).for_each(|n| {
        registry.register(peer(n), Time::ZERO).unwrap();
    });
    registry
}

fn ix(registry: &PeerRegistry, n: u8) -> PeerIx {
    registry.by_id(&id(n)).unwrap()
}

fn chosen(choose: impl FnOnce(&mut Vec<PeerIx>)) -> Vec<PeerIx> {
    let mut into = Vec::new();
    choose(&mut into);
    into
}

fn set(peers: &[PeerIx]) -> BTreeSet<PeerIx> {
    let set: BTreeSet<_> = peers.iter().copied().collect();
    assert_eq!(set.len(), peers.len(), "no peer twice: {peers:?}");
    set
}

// --- every operation against a naive model ---

#[derive(Clone, Debug)]
enum Step {
    Register(u8, u8, u64),
    Deregister(u8),
    Forget(u8),
    Reputation(u8, f32),
    Touch(u8, u64),
    Rtt(u8, u32),
    Prune(u64),
    RebuildNear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let n = 0u8..12;
    let step = prop_oneof![
        6 => (n.clone(), 0u8..3, 1u64..4).prop_map(|(n, r, inc)| Step::Register(n, r, inc)),
        2 => n.clone().prop_map(Step::Deregister),
        1 => n.clone().prop_map(Step::Forget),
        5 => (n.clone(), prop::sample::select(vec![-0.6f32, -0.2, 0.1, 0.6, 5.0, f32::NAN]))
            .prop_map(|(n, delta)| Step::Reputation(n, delta)),
        2 => (n.clone(), 0u64..200).prop_map(|(n, t)| Step::Touch(n, t)),
        3 => (n, 1u32..5_000).prop_map(|(n, us)| Step::Rtt(n, us)),
        1 => (0u64..100).prop_map(Step::Prune),
        2 => Just(Step::RebuildNear),
    ];
    prop::collection::vec(step, 0..120)
}

#[derive(Clone, Debug)]
struct Known {
    ix: PeerIx,
    region: u8,
    incarnation: u64,
    reputation: f32,
    last_seen: u64,
    rtt_us: Option<u32>,
}

struct Model {
    own: u8,
    peers: BTreeMap<u8, Known>,
    absent: BTreeSet<u8>,
    near: Vec<u8>,
    departed: Vec<PeerIx>,
}

impl Model {
    fn depart(&mut self, n: u8) {
        if let Some(known) = self.peers.remove(&n) {
            self.departed.push(known.ix);
        }
        self.near.retain(|near| *near != n);
    }

    fn eligible(&self) -> BTreeSet<PeerIx> {
        self.peers.values().filter(|p| p.reputation >= 0.5).map(|p| p.ix).collect()
    }

    fn step(&mut self, registry: &mut PeerRegistry, step: &Step, now: u64) {
        let ix_of = |n: &u8| self.peers.get(n).map(|known| known.ix);
        match step {
            Step::Register(n, region, incarnation) => {
                self.register(registry, *n, *region, *incarnation, now);
            }
            Step::Deregister(n) => {
                if let Some(ix) = ix_of(n) {
                    assert!(registry.deregister(ix));
                    self.depart(*n);
                }
            }
            Step::Forget(n) => {
                let was = ix_of(n).is_some() || self.absent.remove(n);
                assert_eq!(registry.forget(&id(*n)), was);
                self.depart(*n);
            }
            Step::Reputation(n, delta) => self.reputation(registry, *n, *delta),
            Step::Touch(n, at) => {
                if let Some(known) = self.peers.get_mut(n) {
                    assert!(registry.touch(known.ix, Time(*at)));
                    known.last_seen = known.last_seen.max(*at);
                }
            }
            Step::Rtt(n, us) => {
                if let Some(known) = self.peers.get_mut(n) {
                    assert!(registry.observe_rtt(known.ix, Duration::from_micros((*us).into())));
                    let before = known.rtt_us.unwrap_or(*us);
                    known.rtt_us = registry.get(known.ix).unwrap().latency.map(as_us);
                    let after = known.rtt_us.unwrap();
                    assert!((before.min(*us)..=before.max(*us)).contains(&after));
                }
            }
            Step::Prune(older_than) => {
                let stale = |known: &Known| known.last_seen < *older_than;
                let gone: Vec<u8> =
                    self.peers.iter().filter(|(_, p)| stale(p)).map(|(n, _)| *n).collect();
                assert_eq!(registry.prune(Time(*older_than)), gone.len());
                gone.iter().for_each(|n| self.depart(*n));
                self.absent.extend(gone);
            }
            Step::RebuildNear => {
                registry.rebuild_near();
                let trusted = self.peers.iter().filter(|(_, p)| p.reputation >= 0.5);
                let mut near: Vec<_> =
                    trusted.filter_map(|(n, p)| Some((p.rtt_us?, p.ix.index(), *n))).collect();
                near.sort_unstable();
                self.near = near.into_iter().map(|(.., n)| n).collect();
            }
        }
    }

    fn register(&mut self, registry: &mut PeerRegistry, n: u8, region: u8, inc: u64, now: u64) {
        let incarnation = Incarnation(inc);
        let info = PeerInfo { region: format!("region-{region}"), incarnation, ..peer(n) };
        let result = registry.register(info, Time(now));
        if n == self.own {
            return assert_eq!(result, Err(RegisterError::Own));
        }
        let ix = result.unwrap();
        self.absent.remove(&n);
        let new =
            Known { ix, region, incarnation: inc, reputation: 1.0, last_seen: now, rtt_us: None };
        let known = self.peers.entry(n).or_insert(new);
        assert_eq!(known.ix, ix, "an index stays as long as its peer");
        if inc >= known.incarnation {
            (known.region, known.incarnation) = (region, inc);
        }
    }

    fn reputation(&mut self, registry: &mut PeerRegistry, n: u8, delta: f32) {
        let Some(known) = self.peers.get_mut(&n) else { return };
        if !delta.is_nan() {
            known.reputation = (known.reputation + delta).clamp(0.0, 1.0);
        }
        let reputation = known.reputation;
        assert_eq!(registry.update_reputation(known.ix, delta), Some(reputation));
        if reputation < 0.5 {
            self.near.retain(|near| *near != n);
        }
    }

    fn check(&self, registry: &mut PeerRegistry, rng: &mut Rng) {
        assert_eq!(registry.count(), self.peers.len());
        assert_eq!(registry.members(), 1 + self.peers.len() + self.absent.len());
        let everyone: BTreeSet<_> = self.peers.values().map(|p| p.ix).collect();
        assert_eq!(set(&registry.all().collect::<Vec<_>>()), everyone);
        for n in 0..12 {
            let known = self.peers.get(&n);
            assert_eq!(registry.by_id(&id(n)), known.map(|known| known.ix));
            let Some(known) = known else { continue };
            let view = registry.get(known.ix).unwrap();
            assert_eq!((view.id, view.region), (id(n), &*format!("region-{}", known.region)));
            assert_eq!(view.zone, format!("zone-{}", n % 2));
            assert_eq!(view.incarnation, Incarnation(known.incarnation));
            assert_eq!(view.reputation, known.reputation);
            assert_eq!(view.last_seen, Time(known.last_seen));
            assert_eq!(view.latency.map(as_us), known.rtt_us);
        }
        for gone in &self.departed {
            assert!(everyone.contains(gone) || registry.get(*gone).is_none());
        }
        for region in 0..3 {
            let of: BTreeSet<_> =
                self.peers.values().filter(|p| p.region == region).map(|p| p.ix).collect();
            let name = format!("region-{region}");
            assert_eq!(set(&chosen(|into| registry.by_region(&name, into))), of);
        }
        for since in [0, 50, 1_000] {
            let active = self.peers.values().filter(|p| p.last_seen >= since).count();
            assert_eq!(registry.active_count(Time(since)), active);
        }
        self.check_selection(registry, rng);
    }

    fn check_selection(&self, registry: &PeerRegistry, rng: &mut Rng) {
        let eligible = self.eligible();
        assert_eq!(registry.eligible_count(), eligible.len());
        assert_eq!(registry.byzantine_count(), self.peers.len() - eligible.len());
        let near: Vec<PeerIx> = self.near.iter().map(|n| self.peers[n].ix).collect();
        assert_eq!(chosen(|into| registry.nearest(usize::MAX, into)), near);
        for k in [0, 1, 2, 5, 11, usize::MAX] {
            let some = set(&chosen(|into| registry.random(k, rng, into)));
            assert!(some.is_subset(&eligible) && some.len() == k.min(eligible.len()));
            let hybrid = chosen(|into| registry.hybrid(k, rng, into));
            let k = k.min(eligible.len());
            assert!(set(&hybrid).is_subset(&eligible) && hybrid.len() == k);
            let near_part = near.len().min((k as f64 * 0.8).round() as usize);
            assert_eq!(hybrid[..near_part], near[..near_part]);
        }
    }
}

fn as_us(latency: Duration) -> u32 {
    latency.as_micros() as u32
}

proptest! {
    #[test]
    fn every_operation_does_what_a_naive_registry_does(
        steps in steps(),
        listed in 0u8..6,
        seed: u64,
    ) {
        // The first `listed` peers come from a shared directory; number 0 is the own node.
        let shared = with_peers(listed).snapshot();
        let mut registry = PeerRegistry::from_snapshot(Arc::clone(&shared), id(0));
        let known = |n: u8| {
            let ix = shared.find(&id(n)).unwrap();
            let region = n % 3;
            Known { ix, region, incarnation: 1, reputation: 1.0, last_seen: 0, rtt_us: None }
        };
        let mut model = Model {
            own: 0,
            peers: (1..listed.max(1)).map(|n| (n, known(n))).collect(),
            absent: BTreeSet::new(),
            near: Vec::new(),
            departed: Vec::new(),
        };
        let mut rng = Rng::new(seed);
        for (now, step) in (0..).zip(&steps) {
            model.step(&mut registry, step, now);
            model.check(&mut registry, &mut rng);
        }
        prop_assert_eq!(shared.len(), usize::from(listed));
    }

    #[test]
    fn hybrid_is_80_percent_near_and_never_repeats(
        count in 0u8..40, measured in 0u8..40, k in 0usize..50, seed: u64,
    ) {
        let mut registry = with_peers(count);
        for n in 0..measured.min(count) {
            let at = ix(&registry, n);
            registry.observe_rtt(at, Duration::from_micros(1 + u64::from(n) * 10));
        }
        registry.rebuild_near();
        let mut rng = Rng::new(seed);
        let hybrid = chosen(|into| registry.hybrid(k, &mut rng, into));
        let expected = k.min(count.into());
        prop_assert_eq!(set(&hybrid).len(), expected);
        let near = ((expected as f64 * 0.8).round() as usize).min(measured.min(count).into());
        for (n, picked) in (0..).zip(&hybrid[..near]) {
            prop_assert_eq!(*picked, ix(&registry, n));
        }
    }
}

// --- sharing ---

#[test]
fn a_registry_over_a_shared_directory_is_small_and_observing_does_not_copy_it() {
    assert!(size_of::<PeerRegistry>() <= 100);
    let shared = with_peers(20).snapshot();
    let mut registry = PeerRegistry::from_snapshot(Arc::clone(&shared), id(3));
    assert!(registry.observed.is_none());
    let mut rng = Rng::new(1);
    assert_eq!(chosen(|into| registry.random(50, &mut rng, into)).len(), 19);
    assert_eq!(registry.register(peer(4), Time(9)), Ok(shared.find(&id(4)).unwrap()));
    assert!(registry.observed.is_none(), "reading and repetition cost nothing");
    let at = ix(&registry, 5);
    registry.touch(at, Time(7));
    registry.observe_rtt(at, Duration::from_millis(1));
    registry.update_reputation(at, -0.9);
    registry.rebuild_near();
    assert!(Arc::ptr_eq(&shared, &registry.snapshot()));
    registry.register(peer(30), Time(9)).unwrap();
    assert!(!Arc::ptr_eq(&shared, &registry.snapshot()));
    assert_eq!((shared.len(), registry.count()), (20, 20));
}

#[test]
fn the_own_node_is_nobodys_peer() {
    let shared = with_peers(5).snapshot();
    let own = shared.find(&id(3)).unwrap();
    let mut registry = PeerRegistry::from_snapshot(shared, id(3));
    assert_eq!(registry.by_id(&id(3)), None);
    assert!(registry.get(own).is_none());
    assert!(!registry.deregister(own) && !registry.forget(&id(3)));
    assert!(!registry.touch(own, Time(1)));
    assert_eq!(registry.update_reputation(own, -1.0), None);
    assert_eq!(registry.prune(Time(1)), 4);
    assert_eq!((registry.count(), registry.members()), (0, 5));
}

// --- identity of indexes ---

#[test]
fn an_index_used_again_does_not_answer_for_its_former_peer_and_is_retired_after_256() {
    let mut registry = with_peers(0);
    let mut former = Vec::new();
    for round in 0..=255u8 {
        let at = registry.register(peer(round % 200), Time::ZERO).unwrap();
        assert_eq!((at.index(), at.generation()), (0, round));
        assert!(former.iter().all(|old| registry.get(*old).is_none()));
        assert!(former.iter().all(|old| !registry.touch(*old, Time(1))));
        assert!(registry.deregister(at) && !registry.deregister(at));
        former.push(at);
    }
    let at = registry.register(peer(1), Time::ZERO).unwrap();
    assert_eq!((at.index(), at.generation()), (1, 0));
}

#[test]
fn a_peer_that_comes_back_starts_anew() {
    let mut registry = with_peers(3);
    let old = ix(&registry, 1);
    registry.update_reputation(old, -1.0);
    registry.observe_rtt(old, Duration::from_micros(5));
    assert!(registry.deregister(old));
    assert_eq!(registry.byzantine_count(), 0);
    let new = registry.register(peer(1), Time(8)).unwrap();
    let view = registry.get(new).unwrap();
    assert_eq!((view.reputation, view.last_seen, view.latency), (1.0, Time(8), None));
}

// --- bounds ---

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let mut registry = with_peers(40);
    assert_eq!(registry.register(peer(40), Time::ZERO), Err(RegisterError::Full));
    assert!(registry.register(peer(39), Time::ZERO).is_ok(), "an update is no new peer");
    let at = ix(&registry, 0);
    assert!(registry.deregister(at));
    let before = registry.snapshot();
    let crowded = PeerInfo { addresses: peer(1).addresses.repeat(5), ..peer(40) };
    assert_eq!(registry.register(crowded, Time::ZERO), Err(RegisterError::TooManyAddresses));
    for text in [("r".repeat(65), String::new()), (String::new(), "z".repeat(65))] {
        let wordy = PeerInfo { region: text.0, zone: text.1, ..peer(40) };
        assert_eq!(registry.register(wordy, Time::ZERO), Err(RegisterError::NameTooLong));
    }
    assert_eq!(registry.register(peer(255), Time::ZERO), Err(RegisterError::Own));
    assert!(Arc::ptr_eq(&before, &registry.snapshot()));
    assert!(registry.register(peer(40), Time::ZERO).is_ok());
}

#[test]
fn absent_members_are_remembered_up_to_the_maximum_of_peers() {
    let mut registry = with_peers(0);
    for n in 0..100 {
        registry.register(peer(n), Time::ZERO).unwrap();
        assert_eq!(registry.prune(Time(1)), 1);
    }
    assert_eq!(registry.members(), 1 + 40);
}

// --- reputation and selection ---

#[test]
fn below_the_threshold_a_peer_is_not_chosen_and_at_it_is_again() {
    let mut registry = with_peers(4);
    let mut rng = Rng::new(5);
    let at = ix(&registry, 2);
    registry.observe_rtt(at, Duration::from_micros(1));
    registry.rebuild_near();
    let mut everyone = |registry: &PeerRegistry| {
        (
            chosen(|into| registry.random(9, &mut rng, into)).contains(&at),
            chosen(|into| registry.nearest(9, into)).contains(&at),
        )
    };
    assert_eq!(registry.update_reputation(at, -0.5), Some(0.5));
    assert_eq!(everyone(&registry), (true, true), "at the threshold it is trusted");
    assert_eq!(registry.update_reputation(at, -0.25), Some(0.25));
    assert_eq!((everyone(&registry), registry.byzantine_count()), ((false, false), 1));
    assert_eq!(registry.update_reputation(at, -9.0), Some(0.0));
    assert_eq!(registry.update_reputation(at, 0.5), Some(0.5));
    assert_eq!((everyone(&registry), registry.byzantine_count()), ((true, false), 0));
    registry.rebuild_near();
    assert_eq!(everyone(&registry), (true, true));
    assert_eq!(registry.update_reputation(at, 9.0), Some(1.0));
}

#[test]
fn a_draw_is_uniform_over_the_eligible() {
    let shared = with_peers(14).snapshot();
    let mut registry = PeerRegistry::from_snapshot(shared, id(6));
    for n in [0, 9, 13] {
        let at = ix(&registry, n);
        registry.update_reputation(at, -1.0);
    }
    let near = ix(&registry, 1);
    registry.observe_rtt(near, Duration::from_micros(1));
    registry.rebuild_near();
    let mut rng = Rng::new(11);
    let (mut random, mut hybrid) = ([0u32; 14], [0u32; 14]);
    for _ in 0..10_000 {
        chosen(|into| registry.random(3, &mut rng, into))
            .iter()
            .for_each(|ix| random[ix.index()] += 1);
        chosen(|into| registry.hybrid(4, &mut rng, into))
            .iter()
            .for_each(|ix| hybrid[ix.index()] += 1);
    }
    for n in 0..14 {
        // 3 of 10 drawn, and 3 of 9 beside the near one; six standard deviations are below 290.
        let (of_random, of_hybrid) = match n {
            0 | 6 | 9 | 13 => (0..1, 0..1),
            1 => (2_710..3_290, 10_000..10_001),
            _ => (2_710..3_290, 3_043..3_623),
        };
        assert!(of_random.contains(&random[n]), "{n}: {random:?}");
        assert!(of_hybrid.contains(&hybrid[n]), "{n}: {hybrid:?}");
    }
}

#[test]
fn latency_falls_fast_and_rises_slowly() {
    let mut registry = with_peers(1);
    let at = ix(&registry, 0);
    let mut after = |us: u64| {
        registry.observe_rtt(at, Duration::from_micros(us));
        registry.get(at).and_then(|peer| peer.latency).map(as_us)
    };
    assert_eq!(after(1_000), Some(1_000));
    assert_eq!(after(9_000), Some(2_000));
    assert_eq!(after(1_000), Some(1_500));
    assert_eq!(after(0), Some(750), "at least a microsecond: zero is unknown");
    assert_eq!(after(u64::MAX), Some(750 + (u32::MAX - 750) / 8));
}

// --- quorum ---

#[test]
fn the_quorum_is_n_less_the_third_that_may_lie() {
    let expected = [1, 2, 3, 3, 4, 5, 5, 6, 7, 7, 8, 9, 9, 10, 11, 11, 12, 13, 13, 14].into_iter();
    for (n, quorum) in (1..=20).zip(expected) {
        let registry = with_peers(n - 1);
        assert_eq!((registry.members(), registry.quorum()), (n.into(), quorum), "{n}");
    }
}

#[test]
fn silence_does_not_lower_the_quorum_and_leaving_does() {
    let mut registry = with_peers(9);
    assert_eq!((registry.members(), registry.quorum()), (10, 7));
    assert_eq!(registry.prune(Time(1)), 9);
    assert_eq!((registry.count(), registry.quorum()), (0, 7));
    registry.register(peer(3), Time(2)).unwrap();
    assert_eq!((registry.count(), registry.members()), (1, 10), "one that returns counts once");
    let at = ix(&registry, 3);
    assert!(registry.deregister(at));
    assert!(registry.forget(&id(4)) && !registry.forget(&id(4)));
    assert_eq!((registry.members(), registry.quorum()), (8, 6));
    let settings = Settings { expected_members: 16, ..SETTINGS };
    assert_eq!(PeerRegistry::new(id(255), settings).quorum(), 11);
}
