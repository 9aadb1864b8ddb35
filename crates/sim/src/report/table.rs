//! A report for a terminal of 80 columns: the verdict first, then what it rests on.

use core::fmt::Write as _;

use super::facts;
use super::figures::{bytes, column_percent, grouped, number, with_unit};
use super::{Report, RoundRow, Verdict};

/// Columns of a terminal that nobody widened.
const WIDTH: usize = 80;
/// Where the text of a section begins.
const INDENT: usize = 10;
/// Rounds that are shown; of more, the first and the last.
const MOST_ROUNDS: usize = 9;
/// Faults, notes and broken invariants that are shown, each.
const MOST_LINES: usize = 5;
/// Columns of the bar of a round.
const BAR: usize = 16;

/// The whole report as text, about 40 lines at most, with a line break at its end.
#[must_use]
pub fn table(report: &Report) -> String {
    let mut out = String::new();
    let (verdict, summary) = (facts::verdict(report.verdict), facts::summary(report));
    wrapped(&mut out, "", &[format!("{verdict}: {summary}")], "");
    if let Some(why) = report.failure() {
        out.push('\n');
        wrapped(&mut out, "Failed", &[why], "");
    }
    out.push('\n');
    let setup: Vec<String> = facts::setup(report).iter().map(|(n, v)| format!("{n} {v}")).collect();
    wrapped(&mut out, "Setup", &setup, ", ");
    let result: Vec<String> =
        facts::result(report).iter().map(|(n, v)| format!("{n} {v}")).collect();
    wrapped(&mut out, "Result", &result, ", ");
    wrapped(&mut out, "Trace", core::slice::from_ref(&report.trace_hash), "");
    targets(&mut out, report);
    rounds(&mut out, report);
    list(&mut out, "Faults", report.faults.iter().map(fault));
    list(&mut out, "Broken", report.broken.iter().cloned());
    list(&mut out, "Notes", report.notes.iter().cloned());
    if report.verdict == Verdict::Fail {
        let _ = write!(out, "\nTo see it again:\n  {}\n", printable(&report.reproduce));
    }
    out
}

fn targets(out: &mut String, report: &Report) {
    if report.targets.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{:<36} {:>9} {:>18}", "Targets", "measured", "bound");
    for target in &report.targets {
        let mark = if target.held { '✓' } else { '✗' };
        let measured = with_unit(target.measured, &target.unit);
        let (name, bound) = (fitted(&target.name, 32), facts::bound(target));
        let outcome = facts::outcome(target);
        let _ = writeln!(out, "  {mark} {name:<32} {measured:>9} {bound:>18}  {outcome}");
    }
}

fn rounds(out: &mut String, report: &Report) {
    let rows = &report.per_round;
    if rows.is_empty() {
        return;
    }
    let known = if report.aftermath.is_some() { "agreeing" } else { "informed" };
    let _ = writeln!(
        out,
        "\n{:<5}  {:<16} {:>9}  {:>10}  {:>11} {:>8} {:>10}",
        "Round", "", known, "theory", "messages", "copies", "bytes"
    );
    let (first, last) = if rows.len() > MOST_ROUNDS {
        rows.split_at(MOST_ROUNDS * 2 / 3)
    } else {
        rows.split_at(rows.len())
    };
    for row in first {
        round(out, row);
    }
    let hidden = rows.len().saturating_sub(MOST_ROUNDS);
    if hidden > 0 {
        let _ = writeln!(out, "  ...  {} more", grouped(hidden as i128));
    }
    for row in last.iter().skip(hidden) {
        round(out, row);
    }
}

fn round(out: &mut String, row: &RoundRow) {
    let share = row.share();
    let _ = writeln!(
        out,
        "{:>5}  {} {:>9}  {:>10}  {:>11} {:>8} {:>10}",
        row.round,
        bar(share),
        column_percent(share),
        row.theory.map_or("–".into(), column_percent),
        grouped(row.messages.into()),
        number(row.copies as f64),
        bytes(row.bytes as f64)
    );
}

/// A bar of eighths of a column, always [`BAR`] wide.
fn bar(share: f64) -> String {
    let eighths = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    // What is not empty shows, and what is not full shows a gap; `as` takes what is no number to 0.
    let most = (BAR * 8) as f64;
    let filled = (share.clamp(0.0, 1.0) * most) as usize;
    let filled = if share > 0.0 && filled == 0 { 1 } else { filled };
    let mut out = "█".repeat(filled / 8);
    if let Some(part) = (filled % 8).checked_sub(1) {
        out.push(eighths[part]);
    }
    let used = filled.div_ceil(8);
    out.extend(core::iter::repeat_n('·', BAR - used));
    out
}

fn fault(span: &super::FaultSpan) -> String {
    let from = with_unit(span.from_ms, "ms");
    let until = span.until_ms.map_or("the end".into(), |ms| with_unit(ms, "ms"));
    format!("{from} to {until}: {}", span.what)
}

/// A section with one entry a paragraph; nothing if there is none.
fn list(out: &mut String, title: &str, entries: impl ExactSizeIterator<Item = String>) {
    let hidden = entries.len().saturating_sub(MOST_LINES);
    for (i, entry) in entries.take(MOST_LINES).enumerate() {
        if i == 0 {
            out.push('\n');
        }
        wrapped(out, if i == 0 { title } else { "" }, &[entry], "");
    }
    if hidden > 0 {
        let _ = writeln!(out, "{:INDENT$}... and {hidden} more", "");
    }
}

/// Writes `parts`, joined, from column [`INDENT`] on behind the title; without a title from the
/// first column on the first line. Breaks at parts if there are several, else at spaces.
fn wrapped(out: &mut String, title: &str, parts: &[String], joint: &str) {
    let flush = title.is_empty() && out.is_empty();
    let indent = if flush { 0 } else { INDENT };
    let mut line = format!("{title:<indent$}");
    let pieces: Vec<String> = match parts {
        [one] => printable(one).split_inclusive(' ').map(String::from).collect(),
        _ => {
            let last = parts.len().saturating_sub(1);
            let joined =
                |(i, part): (usize, &String)| printable(part) + if i == last { "" } else { joint };
            parts.iter().enumerate().map(joined).collect()
        }
    };
    for piece in pieces {
        let columns = line.chars().count() + piece.trim_end().chars().count();
        if columns > WIDTH && line.chars().count() > indent {
            out.push_str(line.trim_end());
            out.push('\n');
            line = " ".repeat(indent);
        }
        line += &piece;
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

/// Cut to `columns`, with an ellipsis where something is missing.
fn fitted(text: &str, columns: usize) -> String {
    let text = printable(text);
    if text.chars().count() <= columns {
        return text;
    }
    text.chars().take(columns - 1).chain(['…']).collect()
}

/// Without characters that move the cursor or colour the terminal: names come from files.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
