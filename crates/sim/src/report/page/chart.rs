//! The convergence curve against the theory, and the faults on the same time line. Drawn twice, for
//! wide and for narrow screens, because text in a scaled picture does not stay readable.

use core::fmt::Write as _;

use super::Escaped;
use super::axis::{Plot, every, label_width, labels, ticks};
use super::place::LETTER;
use crate::report::figures::{percent, time};
use crate::report::{FaultSpan, Report, facts};

/// Faults that get a row of their own.
const MOST_FAULTS: usize = 12;
/// Height of such a row.
const FAULT_ROW: f64 = 22.0;

/// Where the label of a bar stands, on neither side of which it covers anything: in it, behind it
/// or in front of it, in that order if it fits, else where most of it does; cut to the room there.
fn label(plot: &Plot, from: f64, until: f64, what: &str) -> (f64, &'static str, String) {
    let wanted = what.chars().count() as f64 * LETTER + 12.0;
    let rooms = [
        (until - from, from + 6.0, ""),
        (plot.right() - until, until + 6.0, ""),
        (from - plot.left, from - 6.0, " end"),
    ];
    let widest = || rooms.into_iter().max_by(|a, b| a.0.total_cmp(&b.0));
    let found = rooms.into_iter().find(|(room, ..)| wanted <= *room).or_else(widest);
    let (room, x, class) = found.unwrap_or(rooms[0]);
    (x, class, cut(what, ((room - 12.0) / LETTER).max(1.0)))
}

/// How the share informed is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// As it is.
    Informed,
    /// The share that is still without, by powers of ten: the long end of the curve.
    Missing,
}

/// A size of the picture; the name is part of ids and classes.
pub(super) struct Size {
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
    let scenario = report.aftermath.is_some();
    let caption = if scenario {
        "Share of the honest nodes that run and hold the state that most of them hold."
    } else {
        "Share of the honest nodes that have the update. The broken line is the theory: push-pull \
         with this fanout, in the mean, without faults."
    };
    figure(out, report, Scale::Informed, caption);
    if report.agents >= 100 && !scenario {
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

pub(super) struct Chart<'a> {
    pub(super) report: &'a Report,
    pub(super) scale: Scale,
    size: &'a Size,
    pub(super) plot: Plot,
    pub(super) interval: f64,
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
        let hidden = if faults.is_empty() { 0 } else { self.report.faults.len() - faults.len() };
        let height = self.size.height + (faults.len() + hidden.min(1)) as f64 * FAULT_ROW;
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
        if hidden > 0 {
            let (x, y) = (self.plot.left + 6.0, height - FAULT_ROW + 9.0);
            let _ =
                writeln!(out, "<text class=\"label\" x=\"{x}\" y=\"{y}\">and {hidden} more</text>");
        }
        self.lines(out);
        out.push_str("</svg>\n");
    }

    fn description(&self) -> String {
        if self.report.aftermath.is_some() {
            let share = percent(self.report.informed);
            return format!("{share} of the honest nodes hold one state at the end.");
        }
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

    pub(super) fn y(&self, informed: f64) -> f64 {
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
        let start = if self.report.aftermath.is_some() { "start" } else { "write" };
        let unit = if in_seconds { "seconds" } else { "milliseconds" };
        let _ = writeln!(
            out,
            "<path class=\"axis\" d=\"M{} {bottom}H{}\"/>\
             <text class=\"axis-name end\" x=\"{}\" y=\"{}\">{unit} since the {start}</text>",
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
        let step = every(count, plot.width, label_width(core::iter::once(count as u32)));
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
            // What never ends would cover most of the plot and say nothing.
            if span.until_ms.is_some() && until - from < plot.width * 0.95 {
                let (top, height, wide) = (plot.top, plot.height, until - from);
                let _ = writeln!(
                    out,
                    "<rect class=\"band\" x=\"{from:.1}\" y=\"{top}\" width=\"{wide:.1}\" \
                     height=\"{height}\" fill=\"url(#{id}-hatch)\"/>"
                );
            }
            let until = until.min(plot.right());
            let (x, class, text) = label(plot, from, until, &span.what);
            let _ = writeln!(
                out,
                "<rect class=\"fault\" x=\"{from:.1}\" y=\"{y}\" width=\"{:.1}\" height=\"17\" \
                 fill=\"url(#{id}-hatch)\"/>\
                 <text class=\"label{class}\" x=\"{x:.1}\" y=\"{}\"><title>{}</title>{}</text>",
                until - from,
                y + 13.0,
                Escaped(&span.what),
                Escaped(&text)
            );
        }
    }
}

fn cut(text: &str, letters: f64) -> String {
    let most = letters.max(4.0) as usize;
    if text.chars().count() <= most {
        return text.into();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}
