//! Failures that no scenario stands for yet, because what they would test does not exist.

/// A scenario of the future.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Later {
    /// Its name.
    pub name: &'static str,
    /// The public failure that it is named after.
    pub source: &'static str,
    /// What it waits for.
    pub needs: &'static str,
}

const LATER: [Later; 3] = [
    Later {
        name: "version-skew",
        source: "corrosion #261: peers with another schema fail to apply",
        needs: "a second wire version: there is one, and every member announces it",
    },
    Later {
        name: "equivocating-aggregator",
        source: "Astrolabe: an aggregator tells different summaries",
        needs: "the hierarchy and its summaries",
    },
    Later {
        name: "poison-update",
        source: "Fly.io, 2024-09-01: an update that crashes whoever reads it spreads first",
        needs: "validation by the application before an update spreads, and a canary region: \
                values are opaque bytes to the mesh",
    },
];

/// Failures whose scenario waits for a capability.
#[must_use]
pub fn later() -> &'static [Later] {
    &LATER
}
