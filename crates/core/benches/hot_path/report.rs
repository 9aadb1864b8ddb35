//! Rows of figures, for people or for programs.

use std::io::{Write as _, stdout};

/// The unit of the budgets, in nanoseconds.
const TICK: f64 = 250.0;

/// One row's samples: nanoseconds for a record (or a selection), one for each frame (or group).
#[derive(Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// A frame of `records` took `ns`.
    pub(crate) fn push(&mut self, ns: u64, records: usize) {
        self.0.push(ns as f64 / records as f64);
    }

    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// The least sample that `share` of the samples do not exceed.
    fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted[rank.clamp(1, sorted.len()) - 1]
    }
}

/// Prints each row when it is known.
pub(crate) struct Report {
    json: bool,
}

impl Report {
    /// Prints the head of the table.
    pub(crate) fn start(json: bool) -> std::io::Result<Self> {
        if !json {
            writeln!(stdout(), "thread CPU time; 1 tick = 250 ns")?;
            writeln!(
                stdout(),
                "{:<12}{:>7}{:>9}{:>11}{:>8}{:>8}{:>8}   (ticks)",
                "",
                "frame",
                "peers",
                "mean ns",
                "mean",
                "p50",
                "p99",
            )?;
        }
        Ok(Report { json })
    }

    /// Prints one row.
    pub(crate) fn row(
        &mut self,
        name: &str,
        frame: Option<usize>,
        peers: Option<usize>,
        samples: &Samples,
    ) -> std::io::Result<()> {
        let mean = samples.mean();
        let [ticks, p50, p99] =
            [mean, samples.quantile(0.5), samples.quantile(0.99)].map(|ns| ns / TICK);
        let number = |n: Option<usize>, none: &str| n.map_or(none.into(), |n| n.to_string());
        if self.json {
            let (frame, peers) = (number(frame, "null"), number(peers, "null"));
            return writeln!(
                stdout(),
                "{{\"name\":\"{name}\",\"frame\":{frame},\"peers\":{peers},\
                 \"mean_ns\":{mean:.1},\"mean_ticks\":{ticks:.3},\
                 \"p50_ticks\":{p50:.3},\"p99_ticks\":{p99:.3}}}",
            );
        }
        let (frame, peers) = (number(frame, ""), number(peers, ""));
        writeln!(
            stdout(),
            "{name:<12}{frame:>7}{peers:>9}{mean:>11.1}{ticks:>8.2}{p50:>8.2}{p99:>8.2}",
        )
    }
}
