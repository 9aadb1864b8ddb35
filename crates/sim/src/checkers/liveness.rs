//! Good things happen in time: everybody agrees, within the rounds, copies and bytes of the
//! specification.

use std::collections::BTreeSet;

use knhk_mesh_core::digest::Root;

use crate::crowd::Crowd;
use crate::report::{Report, Target};

/// Sizes of the specification, and the loosest and the strictest of its bounds on time.
const TIMES_MS: [(u32, f64, f64); 6] = [
    (10, 100.0, 50.0),
    (100, 500.0, 50.0),
    (1_000, 1_000.0, 100.0),
    (10_000, 5_000.0, 300.0),
    (100_000, 10_000.0, 500.0),
    (1_000_000, 30_000.0, 1_000.0),
];

/// How many different states the honest nodes hold.
pub(crate) fn states(crowd: &mut Crowd) -> usize {
    let mut roots: BTreeSet<Root> = BTreeSet::new();
    for i in 0..crowd.engine.len() {
        let host = crowd.engine.host_mut(i);
        if host.is_honest() {
            roots.insert(host.node.root());
        }
    }
    roots.len()
}

/// The bounds of the specification against what was measured.
///
/// The bound on rounds supposes that an exchange ends within its round. Where it takes longer than
/// an interval, the bound counts exchanges; intervals are a goal then.
pub(crate) fn targets(report: &Report, rounds: u32) -> Vec<Target> {
    let target = |name: &str, unit: &str, bound: f64, measured: f64, required: bool| Target {
        name: name.into(),
        unit: unit.into(),
        bound,
        measured,
        at_least: false,
        required,
        held: measured <= bound,
    };
    let informed = Target {
        at_least: true,
        held: report.informed >= 1.0,
        ..target("honest nodes informed", "share", 1.0, report.informed, true)
    };
    let (bound, intervals) = (f64::from(rounds), f64::from(report.rounds));
    let mut targets = vec![informed];
    if report.round_ms <= report.setup.interval_ms {
        targets.push(target("rounds", "rounds", bound, intervals, true));
    } else {
        let exchanges = report.sim_ms.div_ceil(report.round_ms) as f64;
        let name = format!("rounds of {} ms, an exchange", report.round_ms);
        targets.push(target(&name, "rounds", bound, exchanges, true));
        targets.push(target("rounds, as intervals", "rounds", bound, intervals, false));
    }
    let size = TIMES_MS.iter().find(|(n, ..)| report.agents <= *n);
    if let Some((_, loose, strict)) = size {
        let ms = report.sim_ms as f64;
        targets.push(target("simulated time, loosest bound", "ms", *loose, ms, false));
        targets.push(target("simulated time, strictest bound", "ms", *strict, ms, false));
    }
    if report.setup.adversaries.is_empty() && report.setup.loss == 0.0 {
        let copies = report.copies_per_agent;
        targets.push(target("payload copies a node", "copies", 1.5, copies, false));
    }
    targets
}
