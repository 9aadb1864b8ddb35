//! What is printed of a report. The texts are compared with files in `snapshots`; after a
//! deliberate change `UPDATE_SNAPSHOTS=1 cargo test -p knhk-mesh-sim --test report` writes them
//! anew. With `WRITE_PAGES=DIR` the pages are left there, to be looked at.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod examples;
mod markup;

use std::path::Path;
use std::{env, fs};

use examples::{calm, hostile, stormy};
use knhk_mesh_sim::report::{Aftermath, FaultSpan, Report, compare, csv, page, table};

/// Compares `text` with the file of this name.
#[track_caller]
fn same_as_before(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report/snapshots").join(name);
    if env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let before = fs::read_to_string(&path).unwrap_or_default();
    assert!(before == text, "{name} is not what it was; now it is\n{text}");
}

#[test]
fn tables_are_what_was_agreed_and_fit_a_terminal() {
    for (name, report) in [("calm", calm()), ("stormy", stormy()), ("hostile", hostile())] {
        let text = table(&report);
        for line in text.lines().filter(|line| !line.contains("knhk-mesh sim --")) {
            assert!(line.chars().count() <= 80, "{name}: {line}");
            assert!(!line.contains(char::is_control), "{name}: {line:?}");
        }
        assert!(text.lines().count() <= 48, "{name} has {} lines", text.lines().count());
        same_as_before(&format!("{name}.table.txt"), &text);
    }
}

#[test]
fn only_a_failed_run_says_how_to_see_it_again() {
    assert!(!table(&calm()).contains("--seed"));
    assert!(table(&hostile()).contains("--seed 18446744073709551615"));
}

#[test]
fn the_csv_is_one_table() {
    for (name, report) in [("calm", calm()), ("hostile", hostile())] {
        let text = csv(&report);
        let columns = text.lines().next().unwrap().split(',').count();
        for line in text.lines().filter(|line| !line.contains('"')) {
            assert_eq!(line.split(',').count(), columns, "{line}");
        }
        same_as_before(&format!("{name}.csv"), &text);
    }
    let report = stormy();
    let curves: usize = report.regions.iter().map(|region| region.curve.len()).sum();
    let rows = 1 + report.per_round.len() + report.curve.len() + curves;
    assert_eq!(csv(&report).lines().count(), rows);
}

#[test]
fn a_comparison_says_what_differs_and_by_how_much() {
    let (a, b) = (stormy(), Report { trace_hash: "0000000000000001".into(), ..calm() });
    let comparison = compare(&a, &b);
    assert!(!comparison.same_trace);
    let changed: Vec<&str> = comparison.setup.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(changed, ["nodes", "lanes", "latency", "loss", "adversaries", "warm-up"]);
    let rounds = &comparison.figures[0];
    assert_eq!((rounds.a, rounds.b, rounds.difference), (9.0, 1.0, -8.0));
    same_as_before("compare.txt", &comparison.table(["stormy.json", "calm.json"]));
}

#[test]
fn what_cannot_matter_is_told_from_what_does() {
    let a = stormy();
    let mut b = stormy();
    assert!(compare(&a, &b).conclusion().starts_with("The same run"));
    b.setup.threads = 2;
    assert!(compare(&a, &b).conclusion().starts_with("The same run"));
    b.trace_hash = "0000000000000001".into();
    assert!(compare(&a, &b).conclusion().contains("code"));
    b.setup.seed = 8;
    assert!(compare(&a, &b).conclusion().starts_with("Different setups"));
}

#[test]
fn figures_that_one_run_does_not_have_are_left_out() {
    let never = Report { curve: stormy().curve[..3].to_vec(), ..stormy() };
    let comparison = compare(&never, &stormy());
    assert!(comparison.figures.iter().all(|f| f.a.is_finite() && f.name != "half informed"));
}

#[test]
fn pages_are_well_formed_and_ask_nobody_for_anything() {
    for (name, report) in [("calm", calm()), ("stormy", stormy()), ("hostile", hostile())] {
        let text = page(&report);
        markup::check(&text).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
        if let Some(folder) = env::var_os("WRITE_PAGES") {
            fs::write(Path::new(&folder).join(format!("{name}.html")), &text).unwrap();
        }
        for outside in ["http:", "https:", "//", "@import", "<link", "<script", "<img", "<iframe"] {
            assert!(!text.contains(outside), "{name} holds {outside}");
        }
        for (at, _) in text.match_indices("url(") {
            assert!(text[at..].starts_with("url(#"), "{name}: {}", &text[at..at + 40]);
        }
        assert!(!text.contains("NaN") && !text.contains("inf\""), "{name} holds no number");
    }
}

#[test]
fn pages_show_hostile_names_as_text() {
    let text = page(&hostile());
    assert!(text.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
    assert!(text.contains("&quot;&gt;&lt;img src=x onerror=alert(1)&gt;"));
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn a_page_says_first_whether_the_run_passed() {
    for (report, word) in [(calm(), "Passed"), (hostile(), "Failed")] {
        let text = page(&report);
        let heading = text.split("<h1").nth(1).and_then(|rest| rest.split("</h1>").next()).unwrap();
        assert!(heading.contains(word));
    }
}

#[test]
fn reports_with_nothing_or_nonsense_in_them_are_still_printed() {
    let mut empty = calm();
    (empty.curve, empty.per_round, empty.targets) = (Vec::new(), Vec::new(), Vec::new());
    let mut odd = hostile();
    odd.agents = 0;
    odd.setup.interval_ms = 0;
    odd.cpu_s = f64::NAN;
    odd.targets[0].bound = 0.0;
    odd.curve[3] = knhk_mesh_sim::report::Point { ms: f64::INFINITY, informed: f64::NAN };
    odd.per_round[2].round = u32::MAX;
    odd.faults[0].from_ms = f64::NAN;
    for report in [empty, odd] {
        markup::check(&page(&report)).unwrap();
        assert!(table(&report).lines().count() > 5);
        assert!(csv(&report).starts_with("kind,"));
        assert!(compare(&report, &calm()).table(["a", "b"]).contains("Setup"));
    }
}

#[test]
fn a_report_survives_its_json() {
    let text = serde_json::to_string(&stormy()).unwrap();
    assert!(serde_json::from_str::<Report>(&text).unwrap() == stormy());
    for name in ["agents", "rounds", "sim_ms", "informed", "copies_per_agent", "bytes_per_agent"] {
        assert!(text.contains(&format!("\"{name}\":")), "{name}");
    }
}

#[test]
fn a_scenario_speaks_of_states_and_not_of_an_update() {
    let mut report = calm();
    report.aftermath = Some(Aftermath {
        agreed_after_ms: Some(100),
        writes_acknowledged: 7,
        writes_refused: 0,
        writes_gone: 0,
        writes_lost: 0,
        messages_refused: 0,
    });
    report.per_round.iter_mut().for_each(|row| row.theory = None);
    assert!(table(&report).starts_with("passed: one state 100 ms after the faults\n"));
    let text = page(&report);
    markup::check(&text).unwrap();
    for wrong in ["since the write", "class=\"theory\"", "have the update"] {
        assert!(!text.contains(wrong), "{wrong}");
    }
}

/// Wide or narrow, a label never lies on a bar that it does not fit into.
#[test]
fn labels_of_faults_stand_beside_their_bars() {
    let mut report = hostile();
    let what = "everything from here to there is cut off, both ways, for a while";
    let end = report.curve.last().unwrap().ms;
    let span = |from, until| FaultSpan {
        from_ms: from * end,
        until_ms: Some(until * end),
        what: what.into(),
    };
    report.faults = vec![span(0.4, 0.55), span(0.1, 0.2), span(0.8, 0.9)];
    let text = page(&report);
    assert!(text.matches("<rect class=\"fault\"").count() == 6, "three, wide and narrow");
    let number = |text: &str, name: &str| -> f64 {
        let at = text.find(name).unwrap() + name.len();
        text[at..].split('"').next().unwrap().parse().unwrap()
    };
    for bar in text.split("<rect class=\"fault\"").skip(1) {
        let (from, width) = (number(bar, "x=\""), number(bar, "width=\""));
        let (label, shown) =
            bar.split_once("<text class=\"label").unwrap().1.split_once('>').unwrap();
        let x = number(label, "x=\"");
        let (title, shown) = shown.strip_prefix("<title>").unwrap().split_once("</title>").unwrap();
        assert_eq!(title, what);
        let shown = shown.split("</text>").next().unwrap().chars().count() as f64 * 7.3;
        let before = label.starts_with(" end");
        let (first, last) = if before { (x - shown, x) } else { (x, x + shown) };
        assert!(last <= from || first >= from + width, "{first}-{last} on {from} + {width}");
    }
}

#[test]
fn faults_without_a_row_and_shares_of_rounds_are_told() {
    let mut report = hostile();
    let fault = report.faults[0].clone();
    report.faults.resize(15, fault);
    assert!(page(&report).contains(">and 3 more</text>"));
    // The curve is thinned; the row is not.
    let row = &mut report.per_round[0];
    (row.informed, row.honest) = (16, 64);
    assert!(table(&report).contains("25.0 %") && page(&report).contains("25.0 %"));
}

#[test]
fn other_inputs_are_another_setup() {
    let mut b = Report { trace_hash: "0000000000000001".into(), ..calm() };
    b.setup.inputs = "0000000000000002".into();
    assert!(compare(&calm(), &b).conclusion().starts_with("Different setups"));
}
