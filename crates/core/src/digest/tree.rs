//! Finds where two sets differ: a radix-16 tree over [`Position`], in which each subtree knows the
//! sum of its tags and the number of its items. Two nodes compare the 16 children of a prefix, go
//! down where they differ, and list the items at the end.
//!
//! A set of up to 32 items is one sorted list and nothing else; a list that outgrows 32 becomes a
//! node with 16 children, a subtree that shrinks to 16 becomes a list again. The answers do not
//! depend on the shape. A list holds a full page of sixteen slots and as many strangers, so nobody
//! makes the tree deep with a record or two aimed at a page.
//!
//! ```text
//!   up to 32 items:  [e e e]              above:  node { sum, count, link } x 16
//!                                                   |         |
//!                                                 [e e]     node { .. } x 16   depth 0..=15
//! ```
//!
//! A change costs one walk down (about log16 of a sixteenth of the items) and one addition on each
//! node passed. Positions that share long prefixes, or are equal, cannot make it deeper than 16
//! nodes: the lists at the bottom just grow.

use super::nodes::Nodes;
use super::{Id, Position, Prefix, Summary, tag};

/// Most items of a list above the deepest level.
pub(super) const SPLIT_ABOVE: usize = 32;
/// A subtree of so few items becomes a list.
pub(super) const MERGE_AT: u32 = 16;

/// One item: 32 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) tag: u128,
    pub(super) at: Position,
    pub(super) item: u32,
}

/// A set of items, each with a position, an id and a handle of the owner's choice.
#[derive(Clone, Debug)]
pub struct Tree(Shape);

#[derive(Clone, Debug)]
enum Shape {
    Flat(Bucket),
    Deep(Box<Nodes>),
}

impl Default for Tree {
    fn default() -> Self {
        Tree(Shape::Flat(Bucket::default()))
    }
}

impl Tree {
    /// Adds an item: `id` at `at`, known to the owner as `item`.
    pub fn insert(&mut self, at: Position, id: &Id, item: u32) {
        let entry = Entry { tag: tag(id), at, item };
        match &mut self.0 {
            Shape::Flat(bucket) if bucket.len() < SPLIT_ABOVE => bucket.insert(entry),
            Shape::Flat(bucket) => {
                bucket.insert(entry);
                self.0 = Shape::Deep(Box::new(Nodes::of(bucket)));
            }
            Shape::Deep(nodes) => nodes.insert(entry),
        }
    }

    /// Takes the item of `id` at `at` out and gives its handle back; `None` if there is none.
    pub fn remove(&mut self, at: Position, id: &Id) -> Option<u32> {
        let nodes = match &mut self.0 {
            Shape::Flat(bucket) => return bucket.remove(at, tag(id)).map(|entry| entry.item),
            Shape::Deep(nodes) => nodes,
        };
        let item = nodes.remove(at, tag(id))?;
        if nodes.total().count <= MERGE_AT {
            self.0 = Shape::Flat(nodes.flatten());
        }
        Some(item)
    }

    /// Puts the id `new` in the place of `old`, with the same position and handle. False, and
    /// nothing changed, if `old` is not there.
    pub fn replace(&mut self, at: Position, old: &Id, new: &Id) -> bool {
        match &mut self.0 {
            Shape::Flat(bucket) => bucket.replace(at, tag(old), tag(new)),
            Shape::Deep(nodes) => nodes.replace(at, tag(old), tag(new)),
        }
    }

    /// What the subtree of `prefix` holds.
    #[must_use]
    pub fn summary(&self, prefix: Prefix) -> Summary {
        match &self.0 {
            Shape::Flat(bucket) => bucket.summary(prefix),
            Shape::Deep(nodes) => nodes.summary(prefix),
        }
    }

    /// What each child of `prefix` holds, in order. A prefix of 16 nibbles has no children: sixteen
    /// empty summaries.
    #[must_use]
    pub fn children(&self, prefix: Prefix) -> [Summary; 16] {
        match &self.0 {
            Shape::Flat(bucket) => bucket.children(prefix),
            Shape::Deep(nodes) => nodes.children(prefix),
        }
    }

    /// Shows `visit` position and handle of every item under `prefix`, in the order of positions.
    /// How many that are is `summary(prefix).count`: ask before you visit.
    pub fn items(&self, prefix: Prefix, mut visit: impl FnMut(Position, u32)) {
        match &self.0 {
            Shape::Flat(bucket) => bucket.items(prefix, &mut visit),
            Shape::Deep(nodes) => nodes.items(prefix, &mut visit),
        }
    }

    /// Number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Shape::Flat(bucket) => bucket.len(),
            Shape::Deep(nodes) => nodes.total().count as usize,
        }
    }

    /// Whether there is no item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A list sorted by position, then tag. Allocates exactly what it holds until it has four items,
/// then doubles.
#[derive(Clone, Debug, Default)]
pub(super) struct Bucket(Vec<Entry>);

impl Bucket {
    /// `entries` are sorted already.
    pub(super) fn of_sorted(entries: &[Entry]) -> Self {
        Bucket(entries.to_vec())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Where `(at, tag)` is, or belongs.
    fn search(&self, at: Position, tag: u128) -> Result<usize, usize> {
        let i = self.0.partition_point(|e| (e.at, e.tag) < (at, tag));
        match self.0.get(i) {
            Some(e) if e.at == at && e.tag == tag => Ok(i),
            _ => Err(i),
        }
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        let (Ok(i) | Err(i)) = self.search(entry.at, entry.tag);
        if self.0.len() < 4 {
            self.0.reserve_exact(1);
        }
        self.0.insert(i, entry);
    }

    pub(super) fn remove(&mut self, at: Position, tag: u128) -> Option<Entry> {
        let i = self.search(at, tag).ok()?;
        let entry = self.0.remove(i);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Some(entry)
    }

    pub(super) fn replace(&mut self, at: Position, old: u128, new: u128) -> bool {
        let Ok(from) = self.search(at, old) else { return false };
        // Only entries of the same position can change places with it, and usually there are none.
        let (Ok(to) | Err(to)) = self.search(at, new);
        self.0[from].tag = new;
        if to > from + 1 {
            self.0[from..to].rotate_left(1);
        } else if to < from {
            self.0[to..=from].rotate_right(1);
        }
        true
    }

    fn within(&self, prefix: Prefix) -> &[Entry] {
        let start = self.0.partition_point(|e| e.at < prefix.first());
        let inside = &self.0[start..];
        &inside[..inside.partition_point(|e| prefix.contains(e.at))]
    }

    pub(super) fn summary(&self, prefix: Prefix) -> Summary {
        let mut all = Summary::default();
        self.within(prefix).iter().for_each(|e| all += Summary::one(e.tag));
        all
    }

    pub(super) fn children(&self, prefix: Prefix) -> [Summary; 16] {
        let mut children = [Summary::default(); 16];
        if prefix.depth() < Prefix::MAX_DEPTH {
            for e in self.within(prefix) {
                children[usize::from(e.at.nibble(prefix.depth()))] += Summary::one(e.tag);
            }
        }
        children
    }

    pub(super) fn items(&self, prefix: Prefix, visit: &mut impl FnMut(Position, u32)) {
        self.within(prefix).iter().for_each(|e| visit(e.at, e.item));
    }
}

#[cfg(test)]
impl Tree {
    /// Checks the shape: list lengths, node counts, and that nothing is leaked in the arena.
    fn check_shape(&self) {
        assert!(size_of::<Entry>() <= 32 && size_of::<Tree>() <= 32);
        match &self.0 {
            Shape::Flat(bucket) => assert!(bucket.len() <= SPLIT_ABOVE),
            Shape::Deep(nodes) => {
                assert!(nodes.total().count > MERGE_AT);
                nodes.check_shape();
            }
        }
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
