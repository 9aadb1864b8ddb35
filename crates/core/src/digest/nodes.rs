//! The tall form of a [`Tree`](super::Tree): nodes and lists in two arenas, linked by index, with
//! free lists. A node holds the summaries of its children, so that one look answers `children()`
//! and a change never touches a subtree beside its own.

use super::tree::{Bucket, Entry, MERGE_AT, SPLIT_ABOVE};
use super::{Position, Prefix, Summary};

/// Where a child is: nowhere, in `nodes`, or (high bit set) in `buckets`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Link(u32);

enum Target {
    Nothing,
    Node(usize),
    Bucket(usize),
}

impl Link {
    const NOTHING: Link = Link(u32::MAX);
    const BUCKET: u32 = 1 << 31;

    fn node(i: usize) -> Self {
        assert!(i < Self::BUCKET as usize, "an arena has at most 2^31 places");
        Link(i as u32)
    }

    fn bucket(i: usize) -> Self {
        assert!(i < Self::BUCKET as usize - 1, "an arena has at most 2^31 places");
        Link(i as u32 | Self::BUCKET)
    }

    fn target(self) -> Target {
        match self {
            Link::NOTHING => Target::Nothing,
            Link(i) if i & Self::BUCKET == 0 => Target::Node(i as usize),
            Link(i) => Target::Bucket((i & !Self::BUCKET) as usize),
        }
    }
}

/// 384 bytes: the sums apart from counts and links, so that a `replace` touches sums and one link.
#[derive(Clone, Debug)]
struct Node {
    sums: [u128; 16],
    counts: [u32; 16],
    links: [Link; 16],
}

impl Node {
    const EMPTY: Node = Node { sums: [0; 16], counts: [0; 16], links: [Link::NOTHING; 16] };

    fn child(&self, n: usize) -> Summary {
        Summary { sum: self.sums[n], count: self.counts[n] }
    }

    fn set_child(&mut self, n: usize, to: Summary) {
        (self.sums[n], self.counts[n]) = (to.sum, to.count);
    }
}

/// A tree whose root is a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Nodes {
    nodes: Vec<Node>,
    free_nodes: Vec<u32>,
    buckets: Vec<Bucket>,
    free_buckets: Vec<u32>,
    total: Summary,
}

/// The root's place in the arena.
const ROOT: usize = 0;

/// The nodes from the root down to a position, and what hangs below the last of them.
struct Path {
    nodes: [u32; Prefix::MAX_DEPTH as usize],
    len: u8,
    end: Link,
}

impl Path {
    /// The nodes with the nibble that leads on, from the top.
    fn steps(&self, at: Position) -> impl Iterator<Item = (usize, usize)> {
        self.nodes[..usize::from(self.len)]
            .iter()
            .zip(0u8..)
            .map(move |(node, depth)| (*node as usize, usize::from(at.nibble(depth))))
    }
}

impl Nodes {
    /// The tree of a list that is too long.
    pub(super) fn of(bucket: &Bucket) -> Self {
        let mut nodes = Nodes { total: bucket.summary(Prefix::ROOT), ..Nodes::default() };
        nodes.build_node(0, bucket.entries());
        nodes
    }

    pub(super) fn total(&self) -> Summary {
        self.total
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        let path = self.path(entry.at);
        self.total += Summary::one(entry.tag);
        for (node, n) in path.steps(entry.at) {
            let mut child = self.nodes[node].child(n);
            child += Summary::one(entry.tag);
            self.nodes[node].set_child(n, child);
        }
        let end = match path.end.target() {
            Target::Bucket(i) => {
                self.buckets[i].insert(entry);
                if self.buckets[i].len() <= SPLIT_ABOVE || path.len == Prefix::MAX_DEPTH {
                    return;
                }
                let bucket = self.take_bucket(i);
                Link::node(self.build_node(path.len, bucket.entries()))
            }
            // A path never ends at a node.
            Target::Nothing | Target::Node(_) => self.add_bucket(Bucket::of_sorted(&[entry])),
        };
        self.set_end(&path, entry.at, end);
    }

    pub(super) fn remove(&mut self, at: Position, tag: u128) -> Option<u32> {
        let path = self.path(at);
        let Target::Bucket(i) = path.end.target() else { return None };
        let entry = self.buckets[i].remove(at, tag)?;
        self.total -= Summary::one(tag);
        let mut shrunk = None;
        for (node, n) in path.steps(at) {
            let mut child = self.nodes[node].child(n);
            child -= Summary::one(tag);
            self.nodes[node].set_child(n, child);
            if child.count <= MERGE_AT && shrunk.is_none() {
                shrunk = Some((node, n));
            }
        }
        if let Some((node, n)) = shrunk {
            self.merge_child(node, n);
        }
        Some(entry.item)
    }

    pub(super) fn replace(&mut self, at: Position, old: u128, new: u128) -> bool {
        let path = self.path(at);
        let Target::Bucket(i) = path.end.target() else { return false };
        if !self.buckets[i].replace(at, old, new) {
            return false;
        }
        let change = new.wrapping_sub(old);
        self.total.sum = self.total.sum.wrapping_add(change);
        for (node, n) in path.steps(at) {
            let sum = &mut self.nodes[node].sums[n];
            *sum = sum.wrapping_add(change);
        }
        true
    }

    pub(super) fn summary(&self, prefix: Prefix) -> Summary {
        let mut found = self.total;
        let mut node = ROOT;
        for depth in 0..prefix.depth() {
            let n = usize::from(prefix.first().nibble(depth));
            found = self.nodes[node].child(n);
            match self.nodes[node].links[n].target() {
                Target::Nothing => return Summary::default(),
                Target::Bucket(i) => return self.buckets[i].summary(prefix),
                Target::Node(next) => node = next,
            }
        }
        found
    }

    pub(super) fn children(&self, prefix: Prefix) -> [Summary; 16] {
        match self.descend(prefix).target() {
            Target::Nothing => [Summary::default(); 16],
            Target::Bucket(i) => self.buckets[i].children(prefix),
            Target::Node(node) => core::array::from_fn(|n| self.nodes[node].child(n)),
        }
    }

    pub(super) fn items(&self, prefix: Prefix, visit: &mut impl FnMut(Position, u32)) {
        self.visit(self.descend(prefix), prefix, visit);
    }

    /// Every item as one list.
    pub(super) fn flatten(&self) -> Bucket {
        let mut entries = Vec::with_capacity(self.total.count as usize);
        self.collect(Link::node(ROOT), &mut entries);
        Bucket::of_sorted(&entries)
    }

    /// The deepest thing that holds all of `prefix`: a node of its depth, or a list above.
    fn descend(&self, prefix: Prefix) -> Link {
        let mut link = Link::node(ROOT);
        for depth in 0..prefix.depth() {
            let Target::Node(node) = link.target() else { break };
            link = self.nodes[node].links[usize::from(prefix.first().nibble(depth))];
        }
        link
    }

    fn visit(&self, link: Link, prefix: Prefix, visit: &mut impl FnMut(Position, u32)) {
        match link.target() {
            Target::Nothing => {}
            Target::Bucket(i) => self.buckets[i].items(prefix, visit),
            // At most 16 levels deep.
            Target::Node(node) => {
                self.nodes[node].links.iter().for_each(|link| self.visit(*link, prefix, visit));
            }
        }
    }

    fn path(&self, at: Position) -> Path {
        let mut path = Path { nodes: [0; 16], len: 0, end: Link::node(ROOT) };
        while let Target::Node(node) = path.end.target() {
            path.nodes[usize::from(path.len)] = node as u32;
            path.end = self.nodes[node].links[usize::from(at.nibble(path.len))];
            path.len += 1;
        }
        path
    }

    /// Hangs `end` below the last node of `path`, which is there because the root is a node.
    fn set_end(&mut self, path: &Path, at: Position, end: Link) {
        let last = path.len - 1;
        let node = path.nodes[usize::from(last)] as usize;
        self.nodes[node].links[usize::from(at.nibble(last))] = end;
    }

    /// A node at `depth` over `entries`, sorted and all of one prefix of that depth; its place.
    fn build_node(&mut self, depth: u8, entries: &[Entry]) -> usize {
        let place = self.add_node();
        for run in entries.chunk_by(|a, b| a.at.nibble(depth) == b.at.nibble(depth)) {
            let n = usize::from(run[0].at.nibble(depth));
            let mut summary = Summary::default();
            run.iter().for_each(|e| summary += Summary::one(e.tag));
            let link = if run.len() > SPLIT_ABOVE && depth + 1 < Prefix::MAX_DEPTH {
                Link::node(self.build_node(depth + 1, run))
            } else {
                self.add_bucket(Bucket::of_sorted(run))
            };
            self.nodes[place].set_child(n, summary);
            self.nodes[place].links[n] = link;
        }
        place
    }

    /// Makes a list of what has become small below child `n`; nothing if it is one and not empty.
    fn merge_child(&mut self, node: usize, n: usize) {
        let link = self.nodes[node].links[n];
        self.nodes[node].links[n] = match link.target() {
            Target::Nothing => return,
            Target::Bucket(i) if self.buckets[i].len() > 0 => return,
            Target::Bucket(i) => {
                self.take_bucket(i);
                Link::NOTHING
            }
            Target::Node(_) => {
                let mut entries = Vec::with_capacity(MERGE_AT as usize);
                self.collect(link, &mut entries);
                self.release(link);
                self.add_bucket(Bucket::of_sorted(&entries))
            }
        };
    }

    fn collect(&self, link: Link, into: &mut Vec<Entry>) {
        match link.target() {
            Target::Nothing => {}
            Target::Bucket(i) => into.extend_from_slice(self.buckets[i].entries()),
            Target::Node(i) => {
                self.nodes[i].links.iter().for_each(|link| self.collect(*link, into));
            }
        }
    }

    fn release(&mut self, link: Link) {
        match link.target() {
            Target::Nothing => {}
            Target::Bucket(i) => drop(self.take_bucket(i)),
            Target::Node(i) => {
                for n in 0..16 {
                    self.release(self.nodes[i].links[n]);
                }
                self.free_nodes.push(i as u32);
            }
        }
    }

    fn add_node(&mut self) -> usize {
        if let Some(free) = self.free_nodes.pop() {
            self.nodes[free as usize] = Node::EMPTY;
            return free as usize;
        }
        self.nodes.push(Node::EMPTY);
        self.nodes.len() - 1
    }

    fn add_bucket(&mut self, bucket: Bucket) -> Link {
        if let Some(free) = self.free_buckets.pop() {
            self.buckets[free as usize] = bucket;
            return Link::bucket(free as usize);
        }
        self.buckets.push(bucket);
        Link::bucket(self.buckets.len() - 1)
    }

    fn take_bucket(&mut self, i: usize) -> Bucket {
        self.free_buckets.push(i as u32);
        core::mem::take(&mut self.buckets[i])
    }
}

#[cfg(test)]
impl Nodes {
    /// Every place of the arenas is in use or free, lists and nodes keep their limits, and the
    /// summaries are those of the items.
    pub(super) fn check_shape(&self) {
        let (mut nodes, mut buckets) = (0, 0);
        let summary = self.check_link(Link::node(ROOT), 0, &mut nodes, &mut buckets);
        assert_eq!(summary, self.total);
        assert_eq!(nodes + self.free_nodes.len(), self.nodes.len());
        assert_eq!(buckets + self.free_buckets.len(), self.buckets.len());
    }

    fn check_link(&self, link: Link, depth: u8, nodes: &mut usize, buckets: &mut usize) -> Summary {
        let mut all = Summary::default();
        match link.target() {
            Target::Nothing => {}
            Target::Bucket(i) => {
                *buckets += 1;
                let bucket = &self.buckets[i];
                assert!(bucket.len() > 0, "no list is empty");
                assert!(bucket.len() <= SPLIT_ABOVE || depth == Prefix::MAX_DEPTH);
                assert!(bucket.entries().is_sorted_by_key(|e| (e.at, e.tag)));
                bucket.entries().iter().for_each(|e| all += Summary::one(e.tag));
            }
            Target::Node(i) => {
                *nodes += 1;
                for n in 0..16 {
                    let link = self.nodes[i].links[n];
                    let child = self.check_link(link, depth + 1, nodes, buckets);
                    assert_eq!(child, self.nodes[i].child(n), "depth {depth}, child {n}");
                    all += child;
                }
                assert!(all.count > MERGE_AT);
            }
        }
        all
    }
}
