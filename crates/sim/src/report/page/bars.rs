//! What each round cost: messages and bytes of a node as bars, and all figures as a table.

use core::fmt::Write as _;

use super::Escaped;
use super::axis::{Plot, every, label_width, ticks};
use crate::report::figures::{bytes, column_percent, grouped, number};
use crate::report::{Report, RoundRow};

const WIDTH: f64 = 424.0;
const HEIGHT: f64 = 190.0;
/// Rows of a table that is not folded at most.
const MOST_SHOWN: usize = 40;
/// Rounds that are drawn and listed; later ones are counted.
const MOST_ROUNDS: usize = 200;

/// What the bars of a panel show.
struct Panel {
    id: &'static str,
    title: &'static str,
    value: fn(&RoundRow) -> u64,
    show: fn(f64) -> String,
}

const PANELS: [Panel; 2] = [
    Panel { id: "messages", title: "Messages a node sent", value: |r| r.messages, show: number },
    Panel { id: "bytes", title: "Bytes a node sent", value: |r| r.bytes, show: bytes },
];

pub(super) fn section(out: &mut String, report: &Report) {
    let rows = &report.per_round[..report.per_round.len().min(MOST_ROUNDS)];
    if rows.is_empty() {
        return;
    }
    out.push_str("<section>\n<h2>Cost of each round</h2>\n<div class=\"panels\">\n");
    for panel in &PANELS {
        bars(out, report, rows, panel);
    }
    out.push_str("</div>\n");
    table(out, report, rows);
    out.push_str("</section>\n");
}

fn bars(out: &mut String, report: &Report, rows: &[RoundRow], panel: &Panel) {
    let agents = f64::from(report.agents.max(1));
    let values: Vec<f64> = rows.iter().map(|row| (panel.value)(row) as f64 / agents).collect();
    let most = values.iter().copied().fold(0.0, f64::max);
    let plot = Plot {
        left: 58.0,
        top: 14.0,
        width: WIDTH - 64.0,
        height: HEIGHT - 54.0,
        most: rows.len() as f64,
    };
    let (id, title) = (panel.id, panel.title);
    let total = (panel.show)(values.iter().sum());
    let peak = (panel.show)(most);
    let _ = writeln!(
        out,
        "<figure>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-labelledby=\"{id}-title {id}-desc\">\n<title id=\"{id}-title\">{title}</title>\n\
         <desc id=\"{id}-desc\">{total} in all, at most {peak} in a round.</desc>"
    );
    let scale = if most > 0.0 { most } else { 1.0 };
    for tick in marks(scale, panel) {
        let y = plot.y(tick / scale);
        let _ = writeln!(
            out,
            "<path class=\"grid\" d=\"M{} {y:.1}H{}\"/>\
             <text class=\"tick end\" x=\"{}\" y=\"{:.1}\">{}</text>",
            plot.left,
            plot.right(),
            plot.left - 7.0,
            y + 4.0,
            (panel.show)(tick)
        );
    }
    let step = every(rows.len(), plot.width, label_width(rows.iter().map(|row| row.round)));
    for (i, (row, value)) in rows.iter().zip(&values).enumerate() {
        let (from, until) = (plot.x(i as f64), plot.x((i + 1) as f64));
        let gap = ((until - from) * 0.2).min(8.0);
        let y = plot.y(value / scale);
        let _ = writeln!(
            out,
            "<rect class=\"bar\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\">\
             <title>round {}: {}</title></rect>",
            from + gap / 2.0,
            until - from - gap,
            plot.bottom() - y,
            row.round,
            (panel.show)(*value)
        );
        if (i + 1).is_multiple_of(step) {
            let _ = writeln!(
                out,
                "<text class=\"tick middle\" x=\"{:.1}\" y=\"{}\">{}</text>",
                f64::midpoint(from, until),
                plot.bottom() + 17.0,
                row.round
            );
        }
    }
    let _ = writeln!(
        out,
        "<path class=\"axis\" d=\"M{} {bottom}H{right}\"/>\
         <text class=\"axis-name end\" x=\"{right}\" y=\"{}\">round</text>\n</svg>\n\
         <figcaption>{title}: {total} in all.</figcaption>\n</figure>",
        plot.left,
        plot.bottom() + 35.0,
        bottom = plot.bottom(),
        right = plot.right()
    );
}

/// Marks of the upright axis; those of bytes are round in KiB.
fn marks(most: f64, panel: &Panel) -> Vec<f64> {
    let unit = if panel.id == "bytes" && most >= 1_024.0 {
        1_024f64.powf(most.log(1_024.0).floor())
    } else {
        1.0
    };
    ticks(most / unit, 4).into_iter().map(|tick| tick * unit).collect()
}

fn table(out: &mut String, report: &Report, rows: &[RoundRow]) {
    // A page of figures is there for who wants it, and hides nothing below it from the others.
    let folded = rows.len() > MOST_SHOWN;
    if folded {
        let rows = grouped(rows.len() as i128);
        let _ = writeln!(out, "<details>\n<summary>{rows} rows, round by round</summary>");
    }
    let known = if report.aftermath.is_some() { "Nodes agreeing" } else { "Nodes informed" };
    let _ = write!(
        out,
        "<div class=\"scroll\">\n<table>\n<caption>All nodes together, round by round</caption>\n\
         <thead><tr><th scope=\"col\" class=\"n\">Round</th>\
         <th scope=\"col\" class=\"n\">{known}</th><th scope=\"col\" class=\"n\">Share</th>\
         <th scope=\"col\" class=\"n spare\">Theory</th><th scope=\"col\" class=\"n\">Messages</th>\
         <th scope=\"col\" class=\"n\">Copies</th><th scope=\"col\" class=\"n\">Bytes</th>\
         </tr></thead>\n<tbody>\n",
    );
    for row in rows {
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\" class=\"n\">{}</th><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n spare\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            row.round,
            grouped(row.informed.into()),
            Escaped(&column_percent(row.share())),
            Escaped(&row.theory.map_or("–".into(), column_percent)),
            grouped(row.messages.into()),
            grouped(row.copies.into()),
            bytes(row.bytes as f64)
        );
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
    if folded {
        out.push_str("</details>\n");
    }
    let hidden = report.per_round.len() - rows.len();
    if hidden > 0 {
        let _ = writeln!(out, "<p>{} more rounds are in the CSV.</p>", grouped(hidden as i128));
    }
}
