//! What a run of one update showed, as a report.

use knhk_mesh_core::config::Lanes;

use super::{Course, Run};
use crate::cast::Part;
use crate::crowd::Crowd;
use crate::engine::host::NEVER;
use crate::engine::{Slot, Tally};
use crate::report::{FaultSpan, Point, RegionCurve, Report, Setup, Verdict, count};
use crate::shell;

/// Points of a curve.
const MAX_POINTS: usize = 200;

impl Run<'_> {
    /// What the measured update showed; who broke what is not known yet.
    pub(super) fn report(&self, crowd: &Crowd, course: &Course) -> Report {
        let spread = self.spread;
        let mut times: Vec<(Slot, usize)> = crowd
            .engine
            .hosts()
            .filter(|(_, host)| host.informed != NEVER)
            .map(|(i, host)| (host.informed - course.wrote, i))
            .collect();
        times.sort_unstable();
        let all = times.len() as u64 == self.honest;
        let round_ms = spread.round_ms();
        let sim_ms =
            if all { times.last().map_or(0, |(at, _)| *at) } else { course.rested - course.wrote };
        let spent = |of: fn(&Tally) -> u64| {
            (of(&course.after) - of(&course.before)) as f64 / f64::from(spread.agents)
        };
        Report {
            agents: spread.agents,
            rounds: sim_ms.div_ceil(self.interval()) as u32,
            sim_ms,
            round_ms,
            counted_ms: course.rested - course.wrote,
            informed: times.len() as f64 / self.honest as f64,
            copies_per_agent: spent(|tally| tally.copies),
            bytes_per_agent: spent(|tally| tally.bytes),
            events: course.after.events,
            events_per_cpu_s: 0.0,
            cpu_s: 0.0,
            rss_bytes: 0,
            trace_hash: format!("{:016x}", crowd.engine.trace()),
            verdict: Verdict::Pass,
            setup: self.setup(),
            targets: Vec::new(),
            broken: Vec::new(),
            curve: curve(times.iter().map(|(at, _)| *at), self.honest),
            per_round: course.rows.clone(),
            regions: self.regions(crowd, &times),
            faults: self.faults(sim_ms),
            aftermath: None,
            notes: self.notes(course),
            further_ms: Vec::new(),
            reproduce: self.command(),
        }
    }

    fn setup(&self) -> Setup {
        let spread = self.spread;
        let share = |part: &Part| (part.kind.to_string(), part.share);
        Setup {
            scenario: "spread".into(),
            seed: spread.seed,
            fanout: spread.fanout as u32,
            interval_ms: self.interval(),
            lanes: lanes(spread.lanes).into(),
            latency: spread.latency.name().into(),
            loss: spread.loss,
            adversaries: self.parts.iter().map(share).collect(),
            warm_up: spread.warm_up(),
            wire: spread.encodes(),
            inputs: format!("{:016x}", spread.latency.print()),
            threads: spread.threads as u32,
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }

    fn regions(&self, crowd: &Crowd, times: &[(Slot, usize)]) -> Vec<RegionCurve> {
        let latency = &self.spread.latency;
        let names = latency.regions().iter().enumerate();
        let one = |(region, name): (usize, &String)| {
            let lies = |i: &usize| latency.region_of(*i) == region;
            let agents = (0..self.plan.nodes).filter(lies).count() as u32;
            let honest = |i: &usize| lies(i) && crowd.engine.host(*i).is_honest();
            let honest = (0..self.plan.nodes).filter(honest).count() as u64;
            let times = times.iter().filter(|(_, i)| lies(i)).map(|(at, _)| *at);
            RegionCurve { name: name.clone(), agents, curve: curve(times, honest) }
        };
        if names.len() > 1 { names.map(one).collect() } else { Vec::new() }
    }

    fn faults(&self, sim_ms: Slot) -> Vec<FaultSpan> {
        let spread = self.spread;
        let always = |what: String| FaultSpan { from_ms: 0.0, until_ms: Some(sim_ms as f64), what };
        let loss =
            (spread.loss > 0.0).then(|| format!("{} % of messages lost", percent(spread.loss)));
        let liars = self.parts.iter().map(|Part { kind, share, nodes }| {
            format!("{} % {kind}: {}", percent(*share), count(u64::from(*nodes), "node"))
        });
        loss.into_iter().chain(liars).map(always).collect()
    }

    fn notes(&self, course: &Course) -> Vec<String> {
        let each = self.plan.settings.wanted_links().min(self.plan.nodes - 1);
        let mut notes = vec![format!(
            "A flat overlay of sampled links: each node chose {each} others from one directory \
             that all share; links stand for the whole run."
        )];
        let counted = course.rested - course.wrote;
        notes.push(match course.restless {
            false => format!(
                "Copies and bytes are counted until the update rested, {counted} ms after the \
                 write: from then on nobody received a copy."
            ),
            true => format!(
                "Copies and bytes are counted until {counted} ms after the write. Copies still \
                 came: somebody repeats them."
            ),
        });
        if self.spread.round_ms() > self.interval() {
            notes.push(format!(
                "An exchange (digest, request, records) takes {} ms in the mean, longer than an \
                 interval: the bound counts rounds of that length. Intervals are beside it as a \
                 goal.",
                self.spread.round_ms()
            ));
        }
        if !self.spread.encodes() {
            notes.push("Messages were not encoded (--wire does it); verdicts are real.".into());
        }
        notes
    }

    fn command(&self) -> String {
        let s = self.spread;
        let mut line = format!("knhk-mesh sim --agents {} --seed {}", s.agents, s.seed);
        line += &format!(" --lanes {} --fanout {}", lanes(s.lanes), s.fanout);
        line += &format!(" --interval-ms {}", self.interval());
        line += &format!(" --latency {}", shell::word(s.latency.name()));
        if s.loss > 0.0 {
            line += &format!(" --loss {}", s.loss);
        }
        if s.updates > 1 {
            line += &format!(" --updates {}", s.updates);
        }
        for Part { kind, share, .. } in &self.parts {
            line += &format!(" --adversary {kind}={share}");
        }
        line
    }
}

const fn lanes(lanes: Lanes) -> &'static str {
    match lanes {
        Lanes::All => "all",
        Lanes::Repair => "repair",
    }
}

fn percent(share: f64) -> f64 {
    (share * 1_000.0).round() / 10.0
}

/// The share informed over time, from the times of each, ascending.
fn curve(times: impl Iterator<Item = Slot>, of: u64) -> Vec<Point> {
    let (mut points, mut informed) = (Vec::<Point>::new(), 0);
    for at in times {
        informed += 1;
        let point = Point { ms: at as f64, informed: informed as f64 / of.max(1) as f64 };
        match points.last_mut() {
            Some(last) if last.ms == point.ms => *last = point,
            _ => points.push(point),
        }
    }
    thin(points)
}

/// At most [`MAX_POINTS`] of them, first and last kept.
fn thin(points: Vec<Point>) -> Vec<Point> {
    let every = points.len().div_ceil(MAX_POINTS).max(1);
    let last = points.len().saturating_sub(1);
    let kept = points.into_iter().enumerate().filter(|(i, _)| i % every == 0 || *i == last);
    kept.map(|(_, point)| point).collect()
}
