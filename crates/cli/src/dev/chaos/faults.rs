//! Which faults are in force, and what becomes of a datagram under them.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use knhk_mesh::rng::Rng;

/// What happens to a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// It goes on as ever.
    Passes,
    /// It goes on after this time.
    Late(Duration),
    /// It vanishes, and nobody is told.
    Vanishes,
}

/// Nodes that are cut off from all others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Cut {
    pub(super) side: BTreeSet<usize>,
    /// What the side sends vanishes; what is sent to it arrives.
    pub(super) one_way: bool,
}

/// Late and lost datagrams.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Delay {
    pub(super) by: Duration,
    /// Up to this much more, for each datagram on its own: they overtake each other.
    pub(super) jitter: Duration,
    /// Share that is lost, 0-1.
    pub(super) loss: f64,
    /// Between these nodes and everybody; `None` is all.
    pub(super) nodes: Option<BTreeSet<usize>>,
}

/// The faults of a swarm, whose nodes have numbers.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Who listens where. What goes elsewhere goes to nobody of the swarm.
    pub(super) places: HashMap<SocketAddr, usize>,
    pub(super) dead: BTreeSet<usize>,
    pub(super) cut: Option<Cut>,
    pub(super) delay: Option<Delay>,
}

impl Faults {
    /// Whether there are any.
    pub(super) fn any(&self) -> bool {
        !self.dead.is_empty() || self.cut.is_some() || self.delay.is_some()
    }

    /// Node `i` listens at `place` now, and nowhere else.
    pub(super) fn listens(&mut self, i: usize, place: SocketAddr) {
        self.places.retain(|_, other| *other != i);
        self.places.insert(place, i);
    }

    /// What becomes of whatever node `from` sends to `to`; no share of it is lost yet.
    pub(super) fn passes(&self, from: usize, to: SocketAddr) -> bool {
        let to = self.places.get(&to);
        let dead = |node: &usize| self.dead.contains(node);
        if dead(&from) || to.is_some_and(dead) {
            return false;
        }
        let Some(cut) = &self.cut else { return true };
        let inside = |node: &usize| cut.side.contains(node);
        match (inside(&from), to.is_some_and(inside)) {
            (true, false) => false,
            (false, true) => cut.one_way,
            _ => true,
        }
    }

    /// What becomes of one datagram that [`passes`](Self::passes).
    pub(super) fn weather(&self, from: usize, to: SocketAddr, rng: &mut Rng) -> Fate {
        let Some(delay) = self.delay.as_ref().filter(|delay| delay.concerns(from, self.at(to)))
        else {
            return Fate::Passes;
        };
        if rng.chance(delay.loss) {
            return Fate::Vanishes;
        }
        let late = delay.by + rng.part_of(delay.jitter);
        if late.is_zero() { Fate::Passes } else { Fate::Late(late) }
    }

    fn at(&self, place: SocketAddr) -> Option<usize> {
        self.places.get(&place).copied()
    }
}

impl Delay {
    fn concerns(&self, from: usize, to: Option<usize>) -> bool {
        let Some(nodes) = &self.nodes else { return true };
        nodes.contains(&from) || to.is_some_and(|to| nodes.contains(&to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(i: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 7_000 + i as u16))
    }

    fn swarm() -> Faults {
        let mut faults = Faults::default();
        (0..4).for_each(|i| faults.listens(i, place(i)));
        faults
    }

    #[test]
    fn a_cut_holds_both_ways_and_a_one_way_cut_lets_the_side_hear() {
        let side = BTreeSet::from([1, 2]);
        for one_way in [false, true] {
            let faults = Faults { cut: Some(Cut { side: side.clone(), one_way }), ..swarm() };
            assert!(!faults.passes(1, place(0)) && !faults.passes(2, place(3)));
            assert_eq!(faults.passes(0, place(1)), one_way);
            assert!(faults.passes(1, place(2)) && faults.passes(0, place(3)));
            assert!(!faults.passes(1, place(99)), "nobody of the swarm is on the other side");
            assert!(faults.passes(0, place(99)));
        }
    }

    #[test]
    fn nothing_leaves_or_reaches_the_dead_until_they_listen_elsewhere() {
        let mut faults = Faults { dead: BTreeSet::from([2]), ..swarm() };
        assert!(faults.any());
        assert!(!faults.passes(2, place(0)) && !faults.passes(0, place(2)));
        assert!(faults.passes(0, place(1)));
        faults.dead.clear();
        faults.listens(2, place(9));
        assert!(!faults.any() && faults.passes(0, place(9)));
        assert_eq!(faults.at(place(2)), None, "the old place is nobody's");
    }

    #[test]
    fn a_delay_concerns_its_nodes_in_both_directions() {
        let ms = Duration::from_millis;
        let delay = Delay { by: ms(50), jitter: ms(10), loss: 0.0, nodes: None };
        let mut rng = Rng::new(1);
        let all = Faults { delay: Some(delay.clone()), ..swarm() };
        let Fate::Late(late) = all.weather(0, place(3), &mut rng) else { panic!("on time") };
        assert!((ms(50)..ms(60)).contains(&late), "{late:?}");
        let some = Some(BTreeSet::from([1]));
        let faults = Faults { delay: Some(Delay { nodes: some, ..delay }), ..swarm() };
        assert_eq!(faults.weather(0, place(3), &mut rng), Fate::Passes);
        assert!(matches!(faults.weather(0, place(1), &mut rng), Fate::Late(_)));
        assert!(matches!(faults.weather(1, place(0), &mut rng), Fate::Late(_)));
        let lossy = Delay { by: ms(0), jitter: ms(0), loss: 0.5, nodes: None };
        let faults = Faults { delay: Some(lossy), ..swarm() };
        let lost = (0..1_000).filter(|_| faults.weather(0, place(1), &mut rng) == Fate::Vanishes);
        assert!((400..600).contains(&lost.count()));
    }
}
