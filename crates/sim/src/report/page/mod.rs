//! A report as one HTML page that needs nothing but itself: no network, no script, no font. The
//! charts are drawn here, as SVG. Every text of the report is escaped on its way in.
//!
//! ```text
//!   verdict, targets          sections
//!   curve over time, faults   chart (axes, faults), lines, place (names where no line is)
//!   cost of each round        bars
//!   regions, setup            sections
//! ```

mod axis;
mod bars;
mod chart;
mod lines;
mod place;
mod regions;
mod sections;

use core::fmt::{self, Display, Write as _};

use super::{Report, Verdict, facts};

/// Colours, spacing and type of the page.
const STYLE: &str = include_str!("style.css");

/// Allows the page its own style and nothing else: no script, no image, no request.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// Text on its way into HTML, also into quoted attributes.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\n' | '\t' => f.write_char(c)?,
                _ if c.is_control() => f.write_char('\u{fffd}')?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// The whole page.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut out = String::with_capacity(64 * 1_024);
    let verdict = match report.verdict {
        Verdict::Pass => "passed",
        Verdict::Fail => "failed",
    };
    let scenario = Escaped(&report.setup.scenario);
    let nodes = super::figures::count(report.agents.into(), "node");
    // Writing into a string cannot fail; so it is everywhere below.
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\" />\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\" />\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" />\n\
         <meta name=\"color-scheme\" content=\"light dark\" />\n\
         <title>{scenario}, {nodes}: {verdict}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n"
    );
    sections::header(&mut out, report);
    out.push_str("<main>\n");
    sections::targets(&mut out, report);
    sections::broken(&mut out, report);
    sections::result(&mut out, report);
    chart::section(&mut out, report);
    bars::section(&mut out, report);
    regions::section(&mut out, report);
    sections::setup(&mut out, report);
    out.push_str("</main>\n");
    let version = Escaped(&report.setup.version);
    let _ = writeln!(
        out,
        "<footer>knhk-mesh {version}. Simulated with the protocol code that runs in production. \
         {}: {}.</footer>\n</body>\n</html>",
        facts::verdict(report.verdict),
        Escaped(&facts::summary(report))
    );
    out
}
