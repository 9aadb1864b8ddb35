//! The convergence curve against the theory, and the faults on the same time line. Drawn twice, for
//! wide and for narrow screens, because text in a scaled picture does not stay readable.

use core::fmt::Write as _;

use super::Escaped;
use super::axis::{Plot, every, labels, ticks};
use super::place::{LETTER, Places, Spot};
use crate::report::figures::{percent, time};
use crate::report::{FaultSpan, Point, Report, facts};

/// Points of a line that a screen can show.
const MOST_POINTS: usize = 400;
/// Faults that get a row of their own.
const MOST_FAULTS: usize = 8;
/// Height of such a row.
const FAULT_ROW: f64 = 22.0;

/// How the share informed is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scale {
    /// As it is.
    Informed,
    /// The share that is still without, by powers of ten: the long end of the curve.
    Missing,
}

/// A size of the picture; the name is part of ids and classes.
struct Size {
    name: &'static str,
    width: f64,
    height: f64,
}

const SIZES: [Size; 2] = [
    Size { name: "wide", width: 880.0, height: 320.0 },
    Size { name: "narrow", width: 358.0, height: 280.0 },
];

pub(super) fn section(out: &mut String, report: &Report) {
    out.push_str("<section>\n<h2>Convergence</h2>\n");
    if report.curve.is_empty() {
        out.push_str("<p>No curve was recorded.</p>\n</section>\n");
        return;
    }
    let caption = "Share of the honest nodes that have the update. The broken line is the theory: \
                   push-pull with this fanout, in the mean, without faults.";
    figure(out, report, Scale::Informed, caption);
    if report.agents >= 100 {
        let caption = "Share of the honest nodes that are still without, by powers of ten: how the \
                       last ones are reached.";
        figure(out, report, Scale::Missing, caption);
    }
    out.push_str("</section>\n");
}

fn figure(out: &mut String, report: &Report, scale: Scale, caption: &str) {
    out.push_str("<figure>\n");
    for size in &SIZES {
        Chart::new(report, scale, size).draw(out);
    }
    let _ = writeln!(out, "<figcaption>{caption}</figcaption>\n</figure>");
}

struct Chart<'a> {
    report: &'a Report,
    scale: Scale,
    size: &'a Size,
    plot: Plot,
    interval: f64,
}

impl<'a> Chart<'a> {
    fn new(report: &'a Report, scale: Scale, size: &'a Size) -> Self {
        let interval = report.setup.interval_ms as f64;
        let last = report.curve.last().map_or(0.0, |point| point.ms);
        let rounds = report.per_round.len() as f64 * interval;
        let most = last.max(rounds).max(1.0);
        let (left, top) = (46.0, 40.0);
        let plot =
            Plot { left, top, width: size.width - left - 14.0, height: size.height - 90.0, most };
        Chart { report, scale, size, plot, interval }
    }

    fn draw(&self, out: &mut String) {
        let (name, width) = (self.size.name, self.size.width);
        let faults = if self.scale == Scale::Informed { self.faults() } else { &[] };
        let height = self.size.height + faults.len() as f64 * FAULT_ROW;
        let id = if self.scale == Scale::Informed { "informed" } else { "missing" };
        let id = format!("{id}-{name}");
        let _ = writeln!(
            out,
            "<svg class=\"{name}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             aria-labelledby=\"{id}-title {id}-desc\">\n<title id=\"{id}-title\">{}</title>\n\
             <desc id=\"{id}-desc\">{}</desc>\n\
             <defs><pattern id=\"{id}-hatch\" width=\"6\" height=\"6\" \
             patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
             <path class=\"hatch\" d=\"M0 0V6\"/></pattern></defs>",
            if self.scale == Scale::Informed { "Convergence curve" } else { "Nodes still without" },
            Escaped(&self.description())
        );
        self.axes(out);
        self.bands(out, faults, &id);
        self.lines(out);
        out.push_str("</svg>\n");
    }

    fn description(&self) -> String {
        let at = |share| {
            facts::time_of(&self.report.curve, share)
                .map_or("never".into(), |ms| format!("after {}", time(ms)))
        };
        format!("Half of the honest nodes {}, 99 % {}, all {}.", at(0.5), at(0.99), at(1.0))
    }

    fn faults(&self) -> &'a [FaultSpan] {
        let faults = &self.report.faults;
        &faults[..faults.len().min(MOST_FAULTS)]
    }

    /// The powers of ten below 1 that the lower scale covers.
    fn decades(&self) -> f64 {
        f64::from(self.report.agents.max(10)).log10().ceil()
    }

    fn y(&self, informed: f64) -> f64 {
        match self.scale {
            Scale::Informed => self.plot.y(informed),
            Scale::Missing => {
                let missing = (1.0 - informed).max(0.0);
                // None missing has no logarithm: it lies on the floor.
                self.plot.y(1.0 + missing.log10() / self.decades())
            }
        }
    }

    fn axes(&self, out: &mut String) {
        let plot = &self.plot;
        let shares: Vec<(f64, String)> = match self.scale {
            Scale::Informed => [0.0, 0.25, 0.5, 0.75, 1.0].map(|s| (s, percent(s))).into(),
            Scale::Missing => {
                let decades = self.decades() as i32;
                let share = |i: i32| (1.0 - 10f64.powi(-i), percent(10f64.powi(-i)));
                (0..decades).map(share).chain([(1.0, "none".into())]).collect()
            }
        };
        for (share, label) in shares {
            let (y, right) = (self.y(share), plot.right());
            let _ = writeln!(
                out,
                "<path class=\"grid\" d=\"M{} {y:.1}H{right}\"/>\
                 <text class=\"tick end\" x=\"{}\" y=\"{:.1}\">{label}</text>",
                plot.left,
                plot.left - 7.0,
                y + 4.0
            );
        }
        self.round_marks(out);
        let marks = if self.size.width > 500.0 { 8 } else { 4 };
        let in_seconds = plot.most >= 2_000.0;
        let unit = if in_seconds { 1_000.0 } else { 1.0 };
        let ticks = ticks(plot.most / unit, marks);
        for (tick, label) in ticks.iter().zip(labels(&ticks)) {
            let (x, bottom) = (plot.x(tick * unit), plot.bottom());
            let _ = writeln!(
                out,
                "<path class=\"axis\" d=\"M{x:.1} {bottom}v5\"/>\
                 <text class=\"tick middle\" x=\"{x:.1}\" y=\"{}\">{label}</text>",
                bottom + 19.0
            );
        }
        let unit = if in_seconds { "seconds" } else { "milliseconds" };
        let _ = writeln!(
            out,
            "<path class=\"axis\" d=\"M{} {bottom}H{}\"/>\
             <text class=\"axis-name end\" x=\"{}\" y=\"{}\">{unit} since the write</text>",
            plot.left,
            plot.right(),
            plot.right(),
            plot.bottom() + 37.0,
            bottom = plot.bottom()
        );
    }

    /// A line at the end of each round, numbered above the plot.
    fn round_marks(&self, out: &mut String) {
        let plot = &self.plot;
        let count = (plot.most / self.interval.max(1.0)).floor() as usize;
        let step = every(count, plot.width, 22.0);
        let _ = writeln!(
            out,
            "<text class=\"axis-name\" x=\"{}\" y=\"14\">rounds of {}</text>",
            plot.left,
            time(self.interval)
        );
        for round in (step..=count).step_by(step) {
            let x = plot.x(round as f64 * self.interval);
            let _ = writeln!(
                out,
                "<path class=\"grid round\" d=\"M{x:.1} {}V{}\"/>\
                 <text class=\"tick middle\" x=\"{x:.1}\" y=\"{}\">{round}</text>",
                plot.top,
                plot.bottom(),
                plot.top - 8.0
            );
        }
    }

    /// Each fault in a row below the plot; one that does not last all the time also in the plot.
    fn bands(&self, out: &mut String, faults: &[FaultSpan], id: &str) {
        let plot = &self.plot;
        if !faults.is_empty() {
            let (x, y) = (plot.left - 7.0, self.size.height + 9.0);
            let _ = writeln!(out, "<text class=\"tick end\" x=\"{x}\" y=\"{y}\">faults</text>");
        }
        for (row, span) in faults.iter().enumerate() {
            let from = plot.x(span.from_ms);
            let until = plot.x(span.until_ms.unwrap_or(f64::INFINITY)).max(from + 2.0);
            let y = self.size.height + row as f64 * FAULT_ROW - 4.0;
            if until - from < plot.width * 0.95 {
                let (top, height, wide) = (plot.top, plot.height, until - from);
                let _ = writeln!(
                    out,
                    "<rect class=\"band\" x=\"{from:.1}\" y=\"{top}\" width=\"{wide:.1}\" \
                     height=\"{height}\" fill=\"url(#{id}-hatch)\"/>"
                );
            }
            let text = cut(&span.what, plot.width / LETTER - 2.0);
            let width = text.chars().count() as f64 * LETTER + 12.0;
            let (x, class) = if width <= until - from {
                (from + 6.0, "")
            } else if width <= plot.right() - until {
                (until + 6.0, "")
            } else if width <= from - plot.left {
                (from - 6.0, " end")
            } else {
                (plot.left + 6.0, "")
            };
            let _ = writeln!(
                out,
                "<rect class=\"fault\" x=\"{from:.1}\" y=\"{y}\" width=\"{:.1}\" height=\"17\" \
                 fill=\"url(#{id}-hatch)\"/>\
                 <text class=\"label{class}\" x=\"{x:.1}\" y=\"{}\">{}</text>",
                until - from,
                y + 13.0,
                Escaped(&text)
            );
        }
    }

    fn lines(&self, out: &mut String) {
        let (measured, theory) = (self.measured(), self.theory());
        let mut places = Places::default();
        let (own, bound) = (places.line(&measured), places.line(&theory));
        let floor = self.plot.bottom();
        if self.scale == Scale::Informed {
            let (path, left) = (path(&measured), self.plot.left);
            let _ = writeln!(out, "<path class=\"area\" d=\"{path}V{floor}H{left}Z\"/>");
        }
        let _ = writeln!(out, "<path class=\"theory\" d=\"{}\"/>", path(&theory));
        for (x, y) in theory.iter().skip(1) {
            let _ =
                write!(out, "<circle class=\"theory-dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>");
        }
        let _ = writeln!(out, "<path class=\"measured\" d=\"{}\"/>", path(&measured));
        let end = facts::time_of(&self.report.curve, 1.0);
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
        let text = format!("bound: {} rounds", crate::report::figures::number(target.bound));
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
        core::iter::once(start)
            .chain(rows.map(|row| (end(row.round), self.y(row.theory))))
            .collect()
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

fn cut(text: &str, letters: f64) -> String {
    let most = letters.max(4.0) as usize;
    if text.chars().count() <= most {
        return text.into();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}
