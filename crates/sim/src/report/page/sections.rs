//! The parts of the page that are words and figures.

use core::fmt::Write as _;

use super::Escaped;
use crate::report::figures::{count, with_unit};
use crate::report::{Report, Target, Verdict, facts};

/// Verdict first: what a reader came for.
pub(super) fn header(out: &mut String, report: &Report) {
    let (class, mark, word) = match report.verdict {
        Verdict::Pass => ("pass", "✓", "Passed"),
        Verdict::Fail => ("fail", "✗", "Failed"),
    };
    let nodes = count(report.agents.into(), "node");
    let scenario = Escaped(&report.setup.scenario);
    let summary = capital(facts::summary(report));
    let _ = writeln!(
        out,
        "<header>\n<p class=\"over\">Simulation <b>{scenario}</b>, {nodes}, seed {}</p>\n\
         <h1 class=\"{class}\">\
         <span class=\"mark\" aria-hidden=\"true\">{mark}</span> {word}</h1>\n\
         <p class=\"lead\">{}.</p>",
        report.setup.seed,
        Escaped(&summary)
    );
    if let Some(why) = report.failure() {
        let _ = writeln!(out, "<p class=\"why\">{}.</p>", Escaped(&capital(why)));
    }
    out.push_str("</header>\n");
}

fn capital(mut text: String) -> String {
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

pub(super) fn targets(out: &mut String, report: &Report) {
    if report.targets.is_empty() {
        return;
    }
    out.push_str(
        "<section>\n<h2>Targets</h2>\n<div class=\"scroll\">\n<table class=\"targets\">\n\
         <caption>Bounds of the specification against this run; a missed goal does not fail it\
         </caption>\n<thead><tr><th scope=\"col\">Target</th>\
         <th scope=\"col\" class=\"n\">Measured</th><th scope=\"col\" class=\"n\">Bound</th>\
         <th scope=\"col\" class=\"meter\">Used</th><th scope=\"col\">Outcome</th></tr></thead>\n\
         <tbody>\n",
    );
    for target in &report.targets {
        row(out, target);
    }
    out.push_str("</tbody>\n</table>\n</div>\n</section>\n");
}

fn row(out: &mut String, target: &Target) {
    let (class, mark) = match (target.held, target.required) {
        (true, _) => ("pass", "✓"),
        (false, true) => ("fail", "✗"),
        (false, false) => ("goal", "✗"),
    };
    let used = target.measured / target.bound;
    let meter = if used.is_finite() && !target.at_least {
        // A bar that reaches its end is a bound that is used up; more does not fit.
        let (width, percent) = ((used * 100.0).clamp(0.0, 100.0), used * 100.0);
        format!(
            "<span class=\"track\"><i style=\"width:{width:.0}%\"></i></span> \
             <span class=\"used\">{percent:.0} %</span>"
        )
    } else {
        String::new()
    };
    let _ = writeln!(
        out,
        "<tr class=\"{class}\"><th scope=\"row\">{}</th><td class=\"n\">{}</td>\
         <td class=\"n\">{}</td><td class=\"meter\">{meter}</td>\
         <td class=\"outcome\">\
         <span class=\"mark\" aria-hidden=\"true\">{mark}</span> {}</td></tr>",
        Escaped(&target.name),
        Escaped(&with_unit(target.measured, &target.unit)),
        Escaped(&facts::bound(target)),
        facts::outcome(target).to_lowercase()
    );
}

/// Broken invariants, and what the reader has to know to judge the run.
pub(super) fn broken(out: &mut String, report: &Report) {
    if !report.broken.is_empty() {
        out.push_str("<section class=\"broken\">\n<h2>Broken invariants</h2>\n");
        items(out, &report.broken);
        out.push_str("</section>\n");
    }
}

fn items(out: &mut String, texts: &[String]) {
    out.push_str("<ul>\n");
    for text in texts {
        let _ = writeln!(out, "<li>{}</li>", Escaped(text));
    }
    out.push_str("</ul>\n");
}

pub(super) fn result(out: &mut String, report: &Report) {
    out.push_str("<section>\n<h2>Result</h2>\n<dl class=\"tiles\">\n");
    pairs(out, &facts::result(report));
    out.push_str("</dl>\n");
    if !report.notes.is_empty() {
        out.push_str("<aside>\n<h3>To judge this run</h3>\n");
        items(out, &report.notes);
        out.push_str("</aside>\n");
    }
    out.push_str("</section>\n");
}

/// Everything that is needed to have this run again.
pub(super) fn setup(out: &mut String, report: &Report) {
    out.push_str("<section>\n<h2>Setup</h2>\n<dl class=\"facts\">\n");
    pairs(out, &facts::setup(report));
    pairs(out, &[("trace hash", report.trace_hash.clone())]);
    let _ = writeln!(
        out,
        "</dl>\n<h3>The same run again</h3>\n<pre><code>{}</code></pre>\n\
         <p class=\"small\">Equal setups give equal trace hashes, on any machine and with any \
         number of threads.</p>\n</section>",
        Escaped(&report.reproduce)
    );
}

fn pairs(out: &mut String, pairs: &[(&'static str, String)]) {
    for (name, value) in pairs {
        let _ = writeln!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", Escaped(value));
    }
}
