//! Members that this node was linked with, in a small file of its data folder: the way back in when
//! every seed is dead or hostile. Read once at the start, written when it changed, at most once a
//! minute. A file that does not read is as good as none.
//!
//! ```text
//!   file `peers`: node id, addresses; a line each, 64 at most
//!     start ─> read                 no link? four of them, at random, every 5 s, beside the seeds
//!     a minute ─> linked members first, then the others that it holds ─> replaced whole
//! ```

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use knhk_mesh_core::identity::NodeId;
use knhk_mesh_core::node::Node;
use knhk_mesh_core::rng::Rng;
use tokio::time::Instant;

use crate::admission::keep;

const FILE: &str = "peers";
/// Members that are remembered.
const MOST: usize = 64;
/// Addresses of each.
const ADDRESSES: usize = 4;
/// More than so many lines take.
const MAX_BYTES: u64 = 32 * 1_024;
/// Members dialled at a time.
const AT_ONCE: usize = 4;
const WRITE_EVERY: Duration = Duration::from_secs(60);

type Known = (NodeId, Vec<SocketAddr>);

pub(crate) struct Acquaintances {
    folder: Option<PathBuf>,
    known: Vec<Known>,
    next_write: Instant,
    rng: Rng,
}

impl Acquaintances {
    /// Those of the last process in `folder`.
    pub(crate) fn remembered(folder: Option<PathBuf>, random: u64, now: Instant) -> Self {
        let bytes = folder.as_ref().and_then(|folder| keep::read(folder, FILE, MAX_BYTES).ok()?);
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let known = text.lines().filter_map(parse).take(MOST).collect();
        // The first links should be in the file soon.
        let next_write = now + WRITE_EVERY / 6;
        Acquaintances { folder, known, next_write, rng: Rng::new(random) }
    }

    /// A few of them, for a node without a link.
    pub(crate) fn some(&mut self) -> Vec<Known> {
        let mut drawn = Vec::new();
        let places: Vec<usize> = (0..self.known.len()).collect();
        self.rng.sample(&places, AT_ONCE, &mut drawn);
        drawn.into_iter().map(|place| self.known[place].clone()).collect()
    }

    /// Remembers whom `node` is linked with, if it is time.
    pub(crate) fn look(&mut self, node: &Node, now: Instant) {
        if self.folder.is_none() || now < self.next_write {
            return;
        }
        self.next_write = now + WRITE_EVERY;
        let linked = node.linked().filter_map(|peer| node.registry().get(peer));
        let linked = linked.filter(|view| !view.addresses.is_empty());
        let mut known: Vec<Known> =
            linked.map(|view| (view.id, view.addresses.to_vec())).take(MOST).collect();
        known.sort_unstable();
        let gone = |id: &NodeId| node.peer(id).is_none();
        let others = self.known.iter().filter(|(id, _)| !gone(id));
        let fresh = |id: &NodeId| known.binary_search_by_key(id, |known| known.0).is_err();
        let others: Vec<Known> = others.filter(|(id, _)| fresh(id)).cloned().collect();
        known.extend(others);
        known.truncate(MOST);
        if known.is_empty() || known == self.known {
            return;
        }
        self.known = known;
        let text: String = self.known.iter().map(line).collect();
        if let Some(folder) = self.folder.clone() {
            // What is not written now is written with the next change: a hint, not a promise.
            drop(tokio::task::spawn_blocking(move || {
                keep::replace(&folder, FILE, text.as_bytes())
            }));
        }
    }
}

fn line((id, addresses): &Known) -> String {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    format!("{id} {}\n", addresses.join(" "))
}

fn parse(line: &str) -> Option<Known> {
    let mut words = line.split_whitespace();
    let id = words.next()?.parse().ok()?;
    let addresses: Vec<SocketAddr> = words.filter_map(|w| w.parse().ok()).take(ADDRESSES).collect();
    (!addresses.is_empty()).then_some((id, addresses))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folder::Folder;

    #[test]
    fn a_file_is_read_as_far_as_it_makes_sense() {
        let id = NodeId([7; 32]);
        let known = (id, vec!["127.0.0.1:9".parse().unwrap(), "[::1]:8".parse().unwrap()]);
        assert_eq!(parse(line(&known).trim_end()), Some(known.clone()));
        let folder = Folder::new("acquaintances");
        std::fs::create_dir_all(&folder.0).unwrap();
        let text = format!("garbage\n{id}\n{id} nowhere\n{}{}", line(&known), "x".repeat(99));
        keep::replace(&folder.0, FILE, text.as_bytes()).unwrap();
        let now = Instant::now();
        let read = |folder| Acquaintances::remembered(folder, 1, now).some();
        assert_eq!(read(Some(folder.0.clone())), [known]);
        assert_eq!(read(Some(folder.0.join("none"))), []);
        assert_eq!(read(None), []);
    }
}
