//! The matrix for a terminal of 120 columns, a line at a time as the runs end. A figure is marked
//! against each bound beside it.

use super::Line;

/// What stands above the lines.
pub(super) fn head() -> String {
    let groups = format!(
        "{:>9}  {:>2}  {:<5}  {:>5} |{:^25} |{:^27} |{:^15} |{:^20}",
        "", "", "", "", "rounds", "time", "MB/s", "% in time"
    );
    let names = format!(
        "{:>9}  {:>2}  {:<5}  {:>5} |{:>5}{:>7}{:>7}{:>6} |{:>7}{:>10}{:>10} |{:>6}{:>9} |\
         {:>6}{:>6}{:>8}",
        "agents",
        "k",
        "",
        "seeds",
        "",
        "loose",
        "strict",
        "least",
        "",
        "loose",
        "strict",
        "",
        "most",
        "",
        "of n",
        "SLA"
    );
    [groups, names].map(|line| line.trim_end().to_owned()).join("\n")
}

/// One line.
pub(super) fn row(line: &Line) -> String {
    let size = &line.size;
    let within = |held: bool, bound: String| format!("{bound} {}", if held { '✓' } else { '✗' });
    let everywhere = line.in_time_percent > 0.0 || line.held;
    let rounds = |bound: u32| within(everywhere && line.rounds <= bound, bound.to_string());
    let time = |bound: u64| within(everywhere && line.sim_ms <= bound, time_of(bound));
    let budget = f64::from(size.megabytes_per_s_budget);
    let budget = within(line.megabytes_per_s <= budget, grouped(size.megabytes_per_s_budget));
    let sla = match (size.sla_percent, line.sla_held) {
        (None, _) => "–".into(),
        (Some(sla), None) => format!("{sla} ?"),
        (Some(sla), Some(held)) => within(held, sla.to_string()),
    };
    let in_time = format!("{:.1}", line.in_time_percent);
    let weather = if line.storm { "storm" } else { "calm" };
    let failed = if line.held { "" } else { "  FAILED" };
    format!(
        "{:>9}  {:>2}  {weather:<5}  {:>5} |{:>5}{:>7}{:>7}{:>6} |{:>7}{:>10}{:>10} |{:>6}\
         {budget:>9} |{:>6}{:>6}{sla:>8}{failed}",
        grouped(size.agents),
        line.fanout,
        line.seeds,
        line.rounds,
        rounds(size.rounds_loose),
        rounds(size.rounds_strict),
        line.rounds_least,
        time_of(line.sim_ms),
        time(size.ms_loose),
        time(size.ms_strict),
        megabytes(line.megabytes_per_s),
        in_time.trim_end_matches(".0"),
        grouped(line.updates),
    )
}

/// What has to be known to read the lines, and whether they held.
pub(super) fn foot(notes: &[String], lines: &[Line]) -> String {
    let held = lines.iter().filter(|line| line.held).count();
    let mut out = format!(
        "\n{held} of {} lines held: every run passed, within the loosest number of rounds.\n",
        lines.len()
    );
    for note in notes {
        let mut columns = 0;
        for word in note.split(' ') {
            let width = word.chars().count() + 1;
            if columns > 0 && columns + width > 100 {
                columns = 0;
            }
            out.push(if columns == 0 { '\n' } else { ' ' });
            out.push_str(word);
            columns += width;
        }
    }
    out
}

fn time_of(ms: u64) -> String {
    if ms < 1_000 {
        return format!("{ms} ms");
    }
    let text = format!("{:.2}", ms as f64 / 1_000.0);
    format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
}

fn megabytes(value: f64) -> String {
    match value {
        ..0.995 => format!("{value:.2}"),
        ..9.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn grouped(value: u32) -> String {
    match (value / 1_000_000, value / 1_000 % 1_000, value % 1_000) {
        (0, 0, ones) => ones.to_string(),
        (0, thousands, ones) => format!("{thousands},{ones:03}"),
        (millions, thousands, ones) => format!("{millions},{thousands:03},{ones:03}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::bounds::SIZES;
    use super::*;

    #[test]
    fn lines_stand_under_their_names() {
        let size = SIZES[5];
        let line = Line {
            size,
            fanout: 50,
            interval_ms: 100,
            storm: true,
            seeds: 1,
            rounds: 12,
            round_ms: 100,
            rounds_least: 3,
            sim_ms: 1_190,
            megabytes_per_s: 1_812.0,
            copies_per_agent: 2.5,
            updates: 1,
            updates_needed: 100,
            in_time_percent: 100.0,
            sla_held: None,
            held: true,
            failed: None,
        };
        let expected = [
            "                            |         rounds           |           time             \
             |     MB/s       |     % in time",
            "   agents   k         seeds |       loose strict least |            loose    strict \
             |           most |        of n     SLA",
            "1,000,000  50  storm      1 |   12   23 ✓   15 ✓     3 | 1.19 s    30 s ✓     1 s ✗ \
             |  1812  1,000 ✗ |   100     1    99 ?",
        ];
        let shown = format!("{}\n{}", head(), row(&line));
        assert_eq!(shown.lines().collect::<Vec<_>>(), expected, "\n{shown}");
    }

    #[test]
    fn a_line_that_failed_says_so_and_holds_no_bound_it_never_reached() {
        let line = Line {
            size: SIZES[2],
            fanout: 3,
            interval_ms: 100,
            storm: false,
            seeds: 3,
            rounds: 1,
            round_ms: 100,
            rounds_least: 4,
            sim_ms: 90,
            megabytes_per_s: 0.1,
            copies_per_agent: 0.1,
            updates: 1_000,
            updates_needed: 1_000,
            in_time_percent: 0.0,
            sla_held: Some(false),
            held: false,
            failed: Some("knhk-mesh sim".into()),
        };
        let text = row(&line);
        assert!(text.ends_with("FAILED") && text.matches('✗').count() == 5, "{text}");
        assert!(foot(&[], &[line]).contains("0 of 1 lines held"));
    }
}
