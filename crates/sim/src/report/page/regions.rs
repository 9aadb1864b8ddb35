//! Regions over time: a small curve each on one time line, and when a half, nearly all and all of
//! its nodes knew; of a scenario, how many of them agreed.

use core::fmt::Write as _;

use super::Escaped;
use super::axis::Plot;
use super::lines::path;
use super::place::Spot;
use crate::report::figures::{grouped, percent, time};
use crate::report::{Point, Report, facts};

/// Regions that are listed.
const MOST_REGIONS: usize = 64;
/// Points of a curve of this size.
const MOST_POINTS: usize = 120;
const WIDTH: f64 = 260.0;
const HEIGHT: f64 = 30.0;

/// What the columns of one update say: when so many of the region had it.
const TIMES: [&str; 4] = ["First", "Half", "99 %", "All"];
/// What those of a scenario say: shares of the region that agreed.
const SHARES: [&str; 4] = ["Start", "Least", "Mean", "End"];

/// Shares in the order of [`SHARES`].
fn shares(curve: &[Point]) -> [String; 4] {
    let all = || curve.iter().map(|point| point.informed);
    let least = all().fold(1.0, f64::min);
    let mean = all().sum::<f64>() / curve.len().max(1) as f64;
    let (start, end) = (all().next().unwrap_or(0.0), all().next_back().unwrap_or(0.0));
    [start, least, mean, end].map(percent)
}

pub(super) fn section(out: &mut String, report: &Report) {
    if report.regions.is_empty() {
        return;
    }
    let curves = report.regions.iter().map(|region| &region.curve).chain([&report.curve]);
    let ends = curves.filter_map(|curve| curve.last()).map(|point| point.ms);
    let most = ends.fold(1.0, f64::max);
    // A scenario's curve goes up and down: when it was where first says nothing.
    let scenario = report.aftermath.is_some();
    let (what, heads) = if scenario {
        (" that hold the state that most of all hold, from the start", SHARES)
    } else {
        (", from the write", TIMES)
    };
    let _ = writeln!(
        out,
        "<section>\n<h2>Regions over time</h2>\n<div class=\"scroll\">\n<table class=\"regions\">\n\
         <caption>Share of each region’s honest nodes{what} to {}</caption>\n\
         <thead><tr><th scope=\"col\">Region</th><th scope=\"col\" class=\"n spare\">Nodes</th>\
         <th scope=\"col\" class=\"spark\">0 to {}</th>\
         <th scope=\"col\" class=\"n spare\">{}</th>\
         <th scope=\"col\" class=\"n\">{}</th><th scope=\"col\" class=\"n\">{}</th>\
         <th scope=\"col\" class=\"n\">{}</th></tr></thead>\n<tbody>",
        time(most),
        time(most),
        heads[0],
        heads[1],
        heads[2],
        heads[3]
    );
    for region in report.regions.iter().take(MOST_REGIONS) {
        let name = Escaped(&region.name);
        let at = |share: f64| facts::time_of(&region.curve, share).map_or("–".into(), time);
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{name}</th><td class=\"n spare\">{}</td><td class=\"spark\">",
            grouped(region.agents.into())
        );
        spark(out, &region.curve, most);
        let cells = if scenario {
            shares(&region.curve)
        } else {
            [f64::MIN_POSITIVE, 0.5, 0.99, 1.0].map(at)
        };
        let _ = writeln!(
            out,
            "</td><td class=\"n spare\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td></tr>",
            cells[0], cells[1], cells[2], cells[3]
        );
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
    if let Some(hidden) = report.regions.len().checked_sub(MOST_REGIONS).filter(|n| *n > 0) {
        let _ = writeln!(out, "<p>{} more regions are in the CSV.</p>", grouped(hidden as i128));
    }
    out.push_str("</section>\n");
}

/// The curve as an area; the figures beside it say the same in words.
fn spark(out: &mut String, curve: &[Point], most: f64) {
    let plot = Plot { left: 0.0, top: 2.0, width: WIDTH, height: HEIGHT - 3.0, most };
    let step = curve.len().div_ceil(MOST_POINTS).max(1);
    let last = curve.len().saturating_sub(1);
    let mut points: Vec<Spot> = vec![(0.0, plot.bottom())];
    for (_, point) in curve.iter().enumerate().filter(|(i, _)| i % step == 0 || *i == last) {
        let (x, y) = (plot.x(point.ms), plot.y(point.informed));
        points.push((x, points[points.len() - 1].1));
        points.push((x, y));
    }
    points.push((WIDTH, points[points.len() - 1].1));
    let (line, bottom) = (path(&points), plot.bottom());
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <path class=\"area\" d=\"{line}V{bottom}H0Z\"/>\
         <path class=\"measured thin\" d=\"{line}\"/>\
         <path class=\"axis\" d=\"M0 {bottom}H{WIDTH}\"/></svg>"
    );
}
