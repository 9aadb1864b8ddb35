//! Three replicas write, exchange single records in any order, lose clocks and restart. After each
//! step every replica must show exactly what a model shows that remembers whole causal pasts.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// One write as the model remembers it.
struct Event {
    item: usize,
    puts: bool,
    /// Every event of the same item that its writer knew of.
    past: BTreeSet<usize>,
}

/// Per replica and item all events known: those held once and their pasts.
struct Model {
    events: Vec<Event>,
    known: Vec<[BTreeSet<usize>; ITEMS]>,
}

const REPLICAS: usize = 3;
const ITEMS: usize = 2;

impl Model {
    fn new() -> Self {
        Model { events: Vec::new(), known: vec![Default::default(); REPLICAS] }
    }

    fn write(&mut self, replica: usize, item: usize, puts: bool) {
        let past = self.known[replica][item].clone();
        self.known[replica][item].insert(self.events.len());
        self.events.push(Event { item, puts, past });
    }

    fn learn(&mut self, replica: usize, event: usize) {
        let Event { item, past, .. } = &self.events[event];
        self.known[replica][*item].extend(past.iter().copied().chain([event]));
    }

    /// Multi-value register: what no other known event had in its past, deletes left out.
    fn siblings(&self, replica: usize, item: usize) -> BTreeSet<usize> {
        let known = &self.known[replica][item];
        let newest = |e: &usize| !known.iter().any(|other| self.events[*other].past.contains(e));
        known.iter().copied().filter(newest).filter(|e| self.events[*e].puts).collect()
    }

    /// Observed-remove set: an add that no known remove had in its past.
    fn present(&self, replica: usize, item: usize) -> bool {
        let known = &self.known[replica][item];
        let removed = |e: &usize| {
            known.iter().map(|r| &self.events[*r]).any(|r| !r.puts && r.past.contains(e))
        };
        known.iter().any(|e| self.events[*e].puts && !removed(e))
    }
}

/// What happens in one step, and to whom.
#[derive(Clone, Copy, Debug)]
struct Step {
    action: u8,
    replica: usize,
    from: usize,
    pick: usize,
    item: usize,
    wall: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0u8..12, 0..REPLICAS, 0..REPLICAS, 0usize..16, 0..ITEMS, 1_000_000u64..1_001_500);
    let step = step.prop_map(|(action, replica, from, pick, item, wall)| Step {
        action,
        replica,
        from,
        pick,
        item,
        wall,
    });
    proptest::collection::vec(step, 1..60)
}

fn event_id(event: usize) -> Hash {
    let mut id = NO_ID;
    id[..8].copy_from_slice(&(event as u64).to_le_bytes());
    id
}

fn event_of(id: &Hash) -> usize {
    u64::from_le_bytes(*id.first_chunk().unwrap()) as usize
}

/// Runs `steps`; `op` makes the write of an item, `agrees` compares a replica with the model.
fn run(
    steps: &[Step],
    op: impl Fn(usize, bool, usize) -> Op,
    shown: impl Fn(&Model, usize, usize) -> bool,
    agrees: impl Fn(&Model, &[Replica]) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let mut replicas: Vec<_> = (0..REPLICAS).map(|n| Replica::new(n as u8 + 1)).collect();
    let mut model = Model::new();
    for &Step { action, replica, from, pick, item, wall } in steps {
        match action {
            0..=4 => {
                let (puts, event) = (action < 3, model.events.len());
                let expected = puts || shown(&model, replica, item);
                let written =
                    replicas[replica].write(&op(item, puts, event), wall, event_id(event));
                prop_assert_eq!(written, Ok(expected));
                if expected {
                    model.write(replica, item, puts);
                }
            }
            5 => replicas[replica].restart(),
            _ => {
                let held: Vec<_> = replicas[from].slots.values().cloned().collect();
                if let Some(stored) = held.get(pick % held.len().max(1)) {
                    replicas[replica].merge(stored);
                    model.learn(replica, event_of(&stored.id));
                }
            }
        }
        agrees(&model, &replicas)?;
    }
    for (to, from) in (0..REPLICAS).flat_map(|to| (0..REPLICAS).map(move |from| (to, from))) {
        let all = replicas[from].clone();
        all.slots.values().for_each(|stored| model.learn(to, event_of(&stored.id)));
        replicas[to].merge_all(&all);
    }
    agrees(&model, &replicas)
}

proptest! {
    #[test]
    fn siblings_are_exactly_the_writes_that_nobody_overwrote(steps in steps()) {
        let keys = [key("a"), key("b")];
        let op = |item: usize, puts, event: usize| {
            let key: &Key = &keys[item];
            if puts { put(key, &event.to_le_bytes()) } else { Op::Delete { key: key.clone() } }
        };
        let shown = |model: &Model, replica, item| !model.siblings(replica, item).is_empty();
        run(&steps, op, shown, |model, replicas| {
            for (n, replica) in replicas.iter().enumerate() {
                for (item, key) in keys.iter().enumerate() {
                    let got: BTreeSet<_> = replica.multi(key).into_iter().collect();
                    let want = model.siblings(n, item);
                    let want: BTreeSet<_> =
                        want.iter().map(|event| event.to_le_bytes().to_vec()).collect();
                    prop_assert_eq!(got, want);
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_member_is_there_exactly_while_an_add_is_unobserved(steps in steps()) {
        let members = [&b"m"[..], b"n"];
        let tags = key("tags");
        let op = |item: usize, puts, _| {
            if puts { add(&tags, members[item]) } else { remove(&tags, members[item]) }
        };
        let shown = |model: &Model, replica, item| model.present(replica, item);
        run(&steps, op, shown, |model, replicas| {
            for (n, replica) in replicas.iter().enumerate() {
                let want: Vec<_> =
                    (0..ITEMS).filter(|item| model.present(n, *item)).map(|i| members[i]).collect();
                prop_assert_eq!(replica.set(&tags), want);
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_counter_is_the_sum_of_all_acknowledged_increments(
        increments in proptest::collection::vec(
            (0..REPLICAS, any::<i64>(), any::<bool>(), any::<bool>()), 1..40),
    ) {
        let hits = key("hits");
        let mut replicas: Vec<_> = (0..REPLICAS).map(|n| Replica::new(n as u8 + 1)).collect();
        let mut sum = 0i128;
        for (n, by, restart, exchange) in increments {
            if restart {
                replicas[n].restart();
            }
            let op = Op::Incr { key: hits.clone(), by };
            match replicas[n].write(&op, 1_000, NO_ID) {
                Ok(_) => sum += i128::from(by),
                Err(why) => prop_assert_eq!(why, WriteError::Overflow),
            }
            if exchange {
                let other = replicas[(n + 1) % REPLICAS].clone();
                replicas[n].merge_all(&other);
            }
        }
        let mut all = Replica::new(9);
        replicas.iter().for_each(|replica| all.merge_all(replica));
        prop_assert_eq!(view::counter(all.of(&hits), NOW), sum);
    }

    #[test]
    fn the_last_writer_wins_everywhere_and_reads_its_own_write(steps in steps()) {
        let name = key("name");
        let mut replicas: Vec<_> = (0..REPLICAS).map(|n| Replica::new(n as u8 + 1)).collect();
        for (n, step) in steps.iter().enumerate() {
            let writer = &mut replicas[step.replica];
            match step.action {
                0..=2 => {
                    let value = [n as u8];
                    writer.write(&set(&name, &value, None), step.wall, NO_ID).unwrap();
                    prop_assert_eq!(writer.lww(&name, 0).map(|v| v.value), Some(&value[..]));
                }
                3 => {
                    let held = writer.lww(&name, 0).is_some();
                    let op = Op::Delete { key: name.clone() };
                    prop_assert_eq!(writer.write(&op, step.wall, NO_ID), Ok(held));
                    prop_assert_eq!(writer.lww(&name, 0), None);
                }
                4 => writer.restart(),
                _ => {
                    let other = replicas[step.from].clone();
                    replicas[step.replica].merge_all(&other);
                }
            }
        }
        let mut all = replicas.clone();
        for (n, replica) in all.iter_mut().enumerate() {
            (0..REPLICAS).for_each(|m| replica.merge_all(&replicas[(n + m) % REPLICAS]));
        }
        let views: Vec<_> = all.iter().map(|replica| replica.lww(&name, 0)).collect();
        prop_assert!(views.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn extremes_are_those_of_all_candidates(
        candidates in proptest::collection::vec((0..REPLICAS, any::<i64>()), 1..20),
    ) {
        let (high, low) = (key("high"), key("low"));
        let mut replicas: Vec<_> = (0..REPLICAS).map(|n| Replica::new(n as u8 + 1)).collect();
        for &(n, value) in &candidates {
            replicas[n].write(&Op::Max { key: high.clone(), value }, 1_000, NO_ID).unwrap();
            replicas[n].write(&Op::Min { key: low.clone(), value }, 1_000, NO_ID).unwrap();
        }
        let mut all = Replica::new(9);
        replicas.iter().for_each(|replica| all.merge_all(replica));
        let values = candidates.iter().map(|&(_, value)| value);
        prop_assert_eq!(view::max(all.of(&high), NOW), values.clone().max());
        prop_assert_eq!(view::min(all.of(&low), NOW), values.min());
    }
}
