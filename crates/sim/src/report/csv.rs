//! A report as one tidy table for spreadsheets and scripts (RFC 4180): what `kind` a row is stands
//! in its first column, and a column that does not apply is empty.
//!
//! ```text
//! kind    columns that are filled
//! round   round, ms (its end), informed_nodes, messages, copies, bytes, theory
//! curve   ms, informed
//! region  region, agents, ms, informed
//! ```

use core::fmt::Write as _;

use super::{Point, Report};

/// The names of the columns.
const HEADER: &str =
    "kind,region,agents,round,ms,informed,informed_nodes,messages,copies,bytes,theory";

/// The per-round rows, then the points of the curve, then those of each region.
#[must_use]
pub fn csv(report: &Report) -> String {
    let mut out = format!("{HEADER}\n");
    for row in &report.per_round {
        let end = u64::from(row.round) * report.setup.interval_ms;
        let theory = row.theory.map(|share| share.to_string()).unwrap_or_default();
        // Writing into a string cannot fail; so it is everywhere below.
        let _ = writeln!(
            out,
            "round,,,{},{end},,{},{},{},{},{}",
            row.round, row.informed, row.messages, row.copies, row.bytes, theory
        );
    }
    points(&mut out, "curve,,", &report.curve);
    for region in &report.regions {
        let start = format!("region,{},{}", quoted(&region.name), region.agents);
        points(&mut out, &start, &region.curve);
    }
    out
}

fn points(out: &mut String, start: &str, points: &[Point]) {
    for point in points {
        let _ = writeln!(out, "{start},,{},{},,,,,", point.ms, point.informed);
    }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.into()
    }
}
