//! Regions over time: a small curve each on one time line, and when a half, nearly all and all of
//! its nodes knew.

use core::fmt::Write as _;

use super::Escaped;
use super::axis::Plot;
use super::lines::path;
use super::place::Spot;
use crate::report::figures::{grouped, time};
use crate::report::{Point, Report, facts};

/// Regions that are listed.
const MOST_REGIONS: usize = 64;
/// Points of a curve of this size.
const MOST_POINTS: usize = 120;
const WIDTH: f64 = 260.0;
const HEIGHT: f64 = 30.0;

pub(super) fn section(out: &mut String, report: &Report) {
    if report.regions.is_empty() {
        return;
    }
    let curves = report.regions.iter().map(|region| &region.curve).chain([&report.curve]);
    let ends = curves.filter_map(|curve| curve.last()).map(|point| point.ms);
    let most = ends.fold(1.0, f64::max);
    let _ = writeln!(
        out,
        "<section>\n<h2>Regions over time</h2>\n<div class=\"scroll\">\n<table class=\"regions\">\n\
         <caption>Share of each region’s honest nodes, from the write to {}</caption>\n\
         <thead><tr><th scope=\"col\">Region</th><th scope=\"col\" class=\"n spare\">Nodes</th>\
         <th scope=\"col\" class=\"spark\">0 to {}</th>\
         <th scope=\"col\" class=\"n spare\">First</th>\
         <th scope=\"col\" class=\"n\">Half</th><th scope=\"col\" class=\"n\">99 %</th>\
         <th scope=\"col\" class=\"n\">All</th></tr></thead>\n<tbody>",
        time(most),
        time(most)
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
        let _ = writeln!(
            out,
            "</td><td class=\"n spare\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td></tr>",
            at(f64::MIN_POSITIVE),
            at(0.5),
            at(0.99),
            at(1.0)
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
