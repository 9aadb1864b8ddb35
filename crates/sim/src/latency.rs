//! How long messages take between regions: built-in worlds, or a TOML file.
//!
//! ```toml
//! regions = ["eu", "us"]
//! one_way_ms = [[1, 40], [40, 1]]
//! jitter = 0.1          # share of the way, uniform; default 0.1
//! ```

use core::str::FromStr;

use knhk_mesh_core::rng::{Rng, mix};
use serde::Deserialize;

use crate::engine::Slot;
use crate::world::NodeIx;

/// Most regions of a world.
const MAX_REGIONS: usize = 256;
/// Longest way: ten minutes.
const MAX_MS: u64 = 600_000;

/// One-way delays between regions. Node i lies in region i mod the number of regions.
#[derive(Clone, PartialEq, Debug)]
pub struct Latency {
    name: String,
    regions: Vec<String>,
    /// Least milliseconds and those on top at most, row by row.
    ways: Vec<(u32, u32)>,
}

/// A latency that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LatencyError {
    /// No built-in world has this name.
    #[error("no latency is called `{0}`: use lan, world, A-Bms such as 10-50ms, or a TOML file")]
    Unknown(String),
    /// The file is no latency file.
    #[error("not a latency file: {0}")]
    Malformed(String),
}

/// A latency file as it stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    regions: Vec<String>,
    one_way_ms: Vec<Vec<u64>>,
    #[serde(default = "tenth")]
    jitter: f64,
}

/// Depends on every byte of a text.
pub(crate) fn text_print(text: &str) -> u64 {
    text.bytes().fold(text.len() as u64, |print, byte| mix(print ^ u64::from(byte)))
}

fn tenth() -> f64 {
    0.1
}

/// One-way milliseconds between five regions of the big clouds, half of published round trips.
const WORLD: [(&str, [u32; 5]); 5] = [
    ("us-east", [1, 32, 38, 110, 58]),
    ("us-west", [32, 1, 68, 82, 88]),
    ("eu-west", [38, 68, 1, 84, 92]),
    ("ap-southeast", [110, 82, 84, 1, 160]),
    ("sa-east", [58, 88, 92, 160, 1]),
];

impl Default for Latency {
    /// `lan`.
    fn default() -> Self {
        Self::uniform("lan", 1, 2)
    }
}

impl Latency {
    /// One region, from `least` to `most` milliseconds.
    fn uniform(name: &str, least: u32, most: u32) -> Self {
        let ways = vec![(least, most - least)];
        Latency { name: name.into(), regions: vec!["local".into()], ways }
    }

    fn world() -> Self {
        let regions = WORLD.iter().map(|(name, _)| (*name).to_owned()).collect();
        let ways = WORLD.iter().flat_map(|(_, row)| row.map(|ms| (ms, (ms * 12).div_ceil(100))));
        Latency { name: "world".into(), regions, ways: ways.collect() }
    }

    /// Reads a latency file.
    ///
    /// # Errors
    /// [`LatencyError::Malformed`] says what is wrong with it.
    pub fn from_toml(name: &str, text: &str) -> Result<Self, LatencyError> {
        let file = toml::from_str(text).map_err(|e| LatencyError::Malformed(e.to_string()))?;
        Self::from_file(name, file)
    }

    /// The latencies of a table that was read already.
    pub(crate) fn from_file(name: &str, file: File) -> Result<Self, LatencyError> {
        let wrong = |why: String| Err(LatencyError::Malformed(why));
        let n = file.regions.len();
        if n == 0 || n > MAX_REGIONS {
            return wrong(format!("{n} regions; allowed is 1-{MAX_REGIONS}"));
        }
        if file.one_way_ms.len() != n || file.one_way_ms.iter().any(|row| row.len() != n) {
            return wrong(format!("one_way_ms needs {n} rows of {n} figures, one a region"));
        }
        let ways: Vec<u64> = file.one_way_ms.into_iter().flatten().collect();
        if let Some(ms) = ways.iter().find(|&&ms| ms == 0 || ms > MAX_MS) {
            return wrong(format!("a way of {ms} ms; allowed is 1-{MAX_MS}"));
        }
        if !(0.0..=1.0).contains(&file.jitter) {
            return wrong(format!("jitter is {}; allowed is 0-1", file.jitter));
        }
        let jitter = |ms: u64| (ms as u32, (ms as f64 * file.jitter).ceil() as u32);
        let ways = ways.into_iter().map(jitter).collect();
        Ok(Latency { name: name.into(), regions: file.regions, ways })
    }

    /// Depends on every region and way, and not on the name.
    pub(crate) fn print(&self) -> u64 {
        let names = self.regions.iter().map(|name| text_print(name));
        let ways = self.ways.iter().map(|&(least, more)| u64::from(least) << 32 | u64::from(more));
        names.chain(ways).fold(0, |all, one| mix(all ^ one))
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The regions' names.
    #[must_use]
    pub fn regions(&self) -> &[String] {
        &self.regions
    }

    /// Where a node lies.
    #[must_use]
    pub fn region_of(&self, node: NodeIx) -> usize {
        node % self.regions.len()
    }

    /// Milliseconds that a message takes at least.
    pub(crate) fn least_ms(&self, from: NodeIx, to: NodeIx) -> u64 {
        let row = self.region_of(from) * self.regions.len();
        self.ways[row + self.region_of(to)].0.into()
    }

    /// Milliseconds of a message in the mean over all pairs of regions, both in one included.
    #[must_use]
    pub fn mean_ms(&self) -> f64 {
        let ways = self.ways.iter().map(|&(least, more)| f64::from(least) + f64::from(more) / 2.0);
        ways.sum::<f64>() / self.ways.len() as f64
    }

    /// Milliseconds of the slowest message.
    #[must_use]
    pub fn longest_ms(&self) -> u64 {
        self.ways.iter().map(|&(least, more)| u64::from(least + more)).max().unwrap_or(0)
    }

    /// How many slots a message takes, at least one.
    pub(crate) fn slots(&self, from: NodeIx, to: NodeIx, rng: &mut Rng) -> Slot {
        let row = self.region_of(from) * self.regions.len();
        let (least, more) = self.ways[row + self.region_of(to)];
        let jitter = if more == 0 { 0 } else { rng.below(more + 1) };
        Slot::from(least + jitter)
    }
}

impl FromStr for Latency {
    type Err = LatencyError;
    fn from_str(name: &str) -> Result<Self, LatencyError> {
        match name {
            "lan" => return Ok(Latency::default()),
            "world" => return Ok(Latency::world()),
            _ => {}
        }
        let range = name.strip_suffix("ms").and_then(|ms| ms.split_once('-'));
        let range = range.and_then(|(a, b)| Some((a.parse::<u32>().ok()?, b.parse::<u32>().ok()?)));
        match range {
            Some((a, b)) if a >= 1 && a <= b && u64::from(b) <= MAX_MS => {
                Ok(Latency::uniform(name, a, b))
            }
            _ => Err(LatencyError::Unknown(name.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_worlds_have_names() {
        let mut rng = Rng::new(1);
        for (name, least, most) in [("lan", 1, 2), ("10-50ms", 10, 50), ("5-5ms", 5, 5)] {
            let latency: Latency = name.parse().unwrap();
            let seen: Vec<Slot> = (0..500).map(|_| latency.slots(0, 1, &mut rng)).collect();
            assert_eq!((seen.iter().min(), seen.iter().max()), (Some(&least), Some(&most)));
        }
        for bad in ["", "moon", "50-10ms", "0-5ms", "10-50", "1-999999999ms"] {
            assert!(bad.parse::<Latency>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_world_is_symmetric_and_near_is_near() {
        let (world, mut rng) = (Latency::world(), Rng::new(2));
        assert_eq!(world.regions().len(), 5);
        for (a, b) in [(0, 1), (2, 3), (1, 4)] {
            let [there, back] = [world.ways[a * 5 + b], world.ways[b * 5 + a]];
            assert_eq!(there, back);
        }
        assert!(world.slots(0, 5, &mut rng) <= 2, "nodes 0 and 5 share a region");
        assert!(world.slots(3, 4, &mut rng) >= 160);
    }

    #[test]
    fn a_file_is_checked() {
        let good = "regions = ['a', 'b']\none_way_ms = [[1, 40], [40, 1]]\njitter = 0.5";
        let latency = Latency::from_toml("mine", good).unwrap();
        assert_eq!((latency.name(), latency.ways[1]), ("mine", (40, 20)));
        for bad in [
            "",
            "regions = []\none_way_ms = []",
            "regions = ['a']\none_way_ms = [[0]]",
            "regions = ['a']\none_way_ms = [[1, 2]]",
            "regions = ['a']\none_way_ms = [[1]]\njitter = 2.0",
            "regions = ['a']\none_way_ms = [[1]]\nsurprise = 1",
        ] {
            assert!(Latency::from_toml("bad", bad).is_err(), "{bad}");
        }
    }
}
