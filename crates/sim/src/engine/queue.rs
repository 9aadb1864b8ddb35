//! The queue of one shard: events by slot, and inside a slot in the order in which they were
//! pushed. Two implementations with one behaviour: the wheel that runs use, and the plain heap that
//! shows that the wheel is right.
//!
//! ```text
//!   push(slot) --within 1,024 slots--> ring of chunk lists  --take(slot)--> events in order
//!        `------ later -----> overflow by slot --advance--^
//! ```

use core::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::event::{Event, Slot};

/// Slots of the ring.
const SPAN: u64 = 1_024;
/// Events of a chunk: 4 KiB.
const CHUNK: usize = 256;
/// Chunks kept for the next use.
const SPARE: usize = 4_096;

/// Which queue drives a run. Both give the same trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum QueueKind {
    /// A timing wheel with an overflow level.
    #[default]
    Wheel,
    /// A binary heap.
    Heap,
}

#[derive(Debug)]
pub(crate) enum Queue {
    Wheel(Box<Wheel>),
    Heap(Heap),
}

impl Queue {
    pub(crate) fn new(kind: QueueKind) -> Self {
        match kind {
            QueueKind::Wheel => Queue::Wheel(Box::default()),
            QueueKind::Heap => Queue::Heap(Heap::default()),
        }
    }

    /// Adds an event at `slot`, which has not passed.
    pub(crate) fn push(&mut self, slot: Slot, event: Event) {
        match self {
            Queue::Wheel(wheel) => wheel.push(slot, event),
            Queue::Heap(heap) => heap.push(slot, event),
        }
    }

    /// The first slot with an event.
    pub(crate) fn next(&self) -> Option<Slot> {
        match self {
            Queue::Wheel(wheel) => wheel.next(),
            Queue::Heap(heap) => heap.queue.peek().map(|Reverse(due)| due.slot),
        }
    }

    /// Takes events of `slot`, in order; empty when there are no more. Earlier slots are over.
    pub(crate) fn take(&mut self, slot: Slot) -> Vec<Event> {
        match self {
            Queue::Wheel(wheel) => wheel.take(slot),
            Queue::Heap(heap) => heap.take(slot),
        }
    }

    /// Gives an emptied chunk back.
    pub(crate) fn recycle(&mut self, chunk: Vec<Event>) {
        if let Queue::Wheel(wheel) = self {
            wheel.recycle(chunk);
        }
    }

    /// Events that wait in `slot`, which is the next one with any or later.
    pub(crate) fn due(&self, slot: Slot) -> usize {
        match self {
            Queue::Wheel(wheel) => wheel.due(slot),
            Queue::Heap(heap) => heap.due.get(&slot).copied().unwrap_or(0),
        }
    }

    /// Events that wait.
    pub(crate) fn len(&self) -> usize {
        match self {
            Queue::Wheel(wheel) => wheel.len,
            Queue::Heap(heap) => heap.queue.len(),
        }
    }
}

/// A hierarchical wheel of two levels (Varghese and Lauck, SOSP 1987).
#[derive(Debug)]
pub(crate) struct Wheel {
    /// Slots before this one are over.
    now: Slot,
    ring: Vec<SlotList>,
    /// One bit a place of the ring: it holds something.
    occupied: [u64; SPAN as usize / 64],
    overflow: BTreeMap<Slot, Vec<Event>>,
    spare: Vec<Vec<Event>>,
    len: usize,
}

/// The chunks of one slot; those in front of `taken` are gone.
#[derive(Debug, Default)]
struct SlotList {
    chunks: std::collections::VecDeque<Vec<Event>>,
}

impl Default for Wheel {
    fn default() -> Self {
        let ring = (0..SPAN).map(|_| SlotList::default()).collect();
        let (occupied, overflow) = ([0; SPAN as usize / 64], BTreeMap::new());
        Wheel { now: 0, ring, occupied, overflow, spare: Vec::new(), len: 0 }
    }
}

impl Wheel {
    fn push(&mut self, slot: Slot, event: Event) {
        assert!(slot >= self.now, "an event of the past");
        self.len += 1;
        if slot - self.now < SPAN {
            self.place(slot, event);
        } else {
            self.overflow.entry(slot).or_default().push(event);
        }
    }

    fn place(&mut self, slot: Slot, event: Event) {
        let at = (slot % SPAN) as usize;
        self.occupied[at / 64] |= 1 << (at % 64);
        let chunks = &mut self.ring[at].chunks;
        match chunks.back_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(event),
            _ => {
                // Most slots hold little: a chunk grows until it is full.
                let mut chunk = self.spare.pop().unwrap_or_default();
                chunk.push(event);
                chunks.push_back(chunk);
            }
        }
    }

    fn next(&self) -> Option<Slot> {
        let start = (self.now % SPAN) as usize;
        let words = self.occupied.len();
        for step in 0..=words {
            let word = (start / 64 + step) % words;
            let mut bits = self.occupied[word];
            if step == 0 {
                bits &= !0 << (start % 64);
            } else if step == words {
                bits &= !(!0 << (start % 64));
            }
            if bits != 0 {
                let at = (word * 64) as u64 + u64::from(bits.trailing_zeros());
                let ahead = (at + SPAN - start as u64) % SPAN;
                return Some(self.now + ahead);
            }
        }
        self.overflow.keys().next().copied()
    }

    fn due(&self, slot: Slot) -> usize {
        if slot - self.now >= SPAN {
            return self.overflow.get(&slot).map_or(0, Vec::len);
        }
        // All chunks but the last are full.
        let chunks = &self.ring[(slot % SPAN) as usize].chunks;
        chunks.back().map_or(0, |last| (chunks.len() - 1) * CHUNK + last.len())
    }

    /// Time has come to `slot`: what lies within the ring's reach now moves into it, before
    /// anything is pushed there directly.
    fn advance(&mut self, slot: Slot) {
        self.now = slot;
        while let Some(entry) = self.overflow.first_entry()
            && *entry.key() - slot < SPAN
        {
            let (slot, events) = entry.remove_entry();
            events.into_iter().for_each(|event| self.place(slot, event));
        }
    }

    fn take(&mut self, slot: Slot) -> Vec<Event> {
        if slot > self.now {
            self.advance(slot);
        }
        let at = (slot % SPAN) as usize;
        let Some(chunk) = self.ring[at].chunks.pop_front() else {
            self.occupied[at / 64] &= !(1 << (at % 64));
            return Vec::new();
        };
        self.len -= chunk.len();
        chunk
    }

    fn recycle(&mut self, chunk: Vec<Event>) {
        if chunk.capacity() > 0 && self.spare.len() < SPARE {
            self.spare.push(chunk);
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Heap {
    queue: BinaryHeap<Reverse<Due>>,
    /// How many of them are of each slot.
    due: HashMap<Slot, usize, FixedState>,
    pushed: u64,
}

#[derive(Debug)]
struct Due {
    slot: Slot,
    order: u64,
    event: Event,
}

impl Heap {
    fn push(&mut self, slot: Slot, event: Event) {
        self.pushed += 1;
        *self.due.entry(slot).or_default() += 1;
        self.queue.push(Reverse(Due { slot, order: self.pushed, event }));
    }

    fn take(&mut self, slot: Slot) -> Vec<Event> {
        let mut events = Vec::new();
        while self.queue.peek().is_some_and(|Reverse(due)| due.slot == slot) {
            events.extend(self.queue.pop().map(|Reverse(due)| due.event));
        }
        self.due.remove(&slot);
        events
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.slot, self.order).cmp(&(other.slot, other.order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Pushes while taking, near and far: both queues give the same events in the same order.
        #[test]
        fn wheel_and_heap_agree(
            pushes in proptest::collection::vec((0u64..5_000, 0u64..700, 0usize..3), 1..300),
        ) {
            let run = |kind| {
                let (mut queue, mut seen) = (Queue::new(kind), Vec::new());
                for (id, (slot, ..)) in pushes.iter().enumerate() {
                    queue.push(*slot, Event::timer(id, 0));
                }
                while let Some(slot) = queue.next() {
                    let of_slot = |queue: &Queue| queue.due(slot);
                    let (mut taken, mut due) = (0, of_slot(&queue));
                    loop {
                        let chunk = queue.take(slot);
                        if chunk.is_empty() {
                            break;
                        }
                        taken += chunk.len();
                        for event in &chunk {
                            seen.push((slot, event.to(), event.boots()));
                            let (_, later, again) = pushes[event.to()];
                            if usize::from(event.boots()) < again {
                                let next = Event::timer(event.to(), event.boots() + 1);
                                queue.push(slot + later, next);
                                due += usize::from(later == 0);
                            }
                        }
                        queue.recycle(chunk.into_iter().take(0).collect());
                    }
                    assert_eq!((taken, of_slot(&queue)), (due, 0), "what was due was taken");
                }
                assert_eq!(queue.len(), 0);
                seen
            };
            prop_assert_eq!(run(QueueKind::Wheel), run(QueueKind::Heap));
        }
    }
}
