//! The lines of a chart: what was measured, the theory, the bound, and a name beside each.

use core::fmt::Write as _;

use super::chart::{Chart, Scale};
use super::place::{Places, Spot};
use crate::report::figures::{number, time};
use crate::report::{Point, facts};

/// Points of a line that a screen can show.
const MOST_POINTS: usize = 400;

impl Chart<'_> {
    pub(super) fn lines(&self, out: &mut String) {
        let (measured, theory) = (self.measured(), self.theory());
        let mut places = Places::default();
        let (own, bound) = (places.line(&measured), places.line(&theory));
        let floor = self.plot.bottom();
        if self.scale == Scale::Informed {
            let (path, left) = (path(&measured), self.plot.left);
            let _ = writeln!(out, "<path class=\"area\" d=\"{path}V{floor}H{left}Z\"/>");
        }
        if !theory.is_empty() {
            let _ = writeln!(out, "<path class=\"theory\" d=\"{}\"/>", path(&theory));
        }
        for (x, y) in theory.iter().skip(1) {
            let _ =
                write!(out, "<circle class=\"theory-dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>");
        }
        let _ = writeln!(out, "<path class=\"measured\" d=\"{}\"/>", path(&measured));
        // A scenario agrees, and differs again.
        let end =
            facts::time_of(&self.report.curve, 1.0).filter(|_| self.report.aftermath.is_none());
        let limit = self.limit(out).map(|(points, text)| (places.line(&points), text));
        let mut names = vec![(own, true, "measured".to_owned(), "label strong")];
        if theory.len() > 1 {
            names.push((bound, true, "theory".into(), "label"));
        }
        if let Some((line, text)) = limit {
            names.push((line, true, text, "label"));
        }
        if let Some(ms) = end {
            let (x, y) = (self.plot.x(ms), self.y(1.0));
            let _ = writeln!(out, "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>");
            let dot = places.line(&[(x, y)]);
            names.push((dot, false, format!("all: {}", time(ms)), "label strong"));
        }
        // The shortest distance has the least choice: the dot first.
        for (line, rivals, text, class) in names.iter().rev() {
            if let Some((x, y)) = places.name(*line, *rivals, text, &self.plot) {
                let _ = writeln!(
                    out,
                    "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
                );
            }
        }
    }

    /// The bound on rounds that the run had to keep, if the time line goes that far.
    fn limit(&self, out: &mut String) -> Option<([Spot; 2], String)> {
        let mut targets = self.report.targets.iter();
        let target = targets.find(|target| target.required && target.unit == "rounds")?;
        let ms = target.bound * self.interval;
        if !(ms > 0.0 && ms <= self.plot.most) {
            return None;
        }
        let (x, top, bottom) = (self.plot.x(ms), self.plot.top, self.plot.bottom());
        let _ = writeln!(out, "<path class=\"bound\" d=\"M{x:.1} {top}V{bottom}\"/>");
        let text = format!("bound: {} rounds", number(target.bound));
        Some(([(x, top), (x, bottom)], text))
    }

    /// As steps: a share holds until the next point. At most [`MOST_POINTS`], first and last kept.
    fn measured(&self) -> Vec<Spot> {
        let curve = &self.report.curve;
        let step = curve.len().div_ceil(MOST_POINTS).max(1);
        let kept = curve.iter().enumerate();
        let last = curve.len().saturating_sub(1);
        let kept = kept.filter(|(i, _)| i % step == 0 || *i == last).map(|(_, point)| point);
        let mut out: Vec<Spot> = Vec::new();
        for Point { ms, informed } in kept {
            let (x, y) = (self.plot.x(*ms), self.y(*informed));
            if let Some((_, before)) = out.last().copied() {
                out.push((x, before));
            }
            out.push((x, y));
        }
        // A run goes on until its last round ends.
        let end = self.plot.x(self.report.per_round.len() as f64 * self.interval);
        match out.last().copied() {
            Some((x, y)) if x < end => out.push((end, y)),
            _ => {}
        }
        out
    }

    fn theory(&self) -> Vec<Spot> {
        let start = (self.plot.x(0.0), self.y(1.0 / f64::from(self.report.agents.max(1))));
        let end = |round: u32| self.plot.x(f64::from(round) * self.interval);
        let rows = self.report.per_round.iter();
        let points = rows.filter_map(|row| Some((end(row.round), self.y(row.theory?))));
        // A scenario has no theory.
        if self.report.aftermath.is_some() {
            Vec::new()
        } else {
            core::iter::once(start).chain(points).collect()
        }
    }
}

/// SVG's path through the points.
pub(super) fn path(points: &[Spot]) -> String {
    let mut out = String::with_capacity(points.len() * 12);
    for (i, (x, y)) in points.iter().enumerate() {
        let _ = write!(out, "{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' });
    }
    out
}
