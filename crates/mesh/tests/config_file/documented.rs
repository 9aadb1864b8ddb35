//! docs/CONFIGURATION.md lists the keys as the table in the code has them.
//! `UPDATE_EXPECTED=1` writes the list.

use std::fmt::Write;

use knhk_mesh::config_file::keys::{KEYS, Key};
use knhk_mesh::config_file::{Kind, Scope};

const BEGIN: &str = "<!-- keys -->\n";
const END: &str = "<!-- /keys -->\n";

fn row(key: &Key) -> String {
    let allowed = match key.kind {
        Kind::Word(words) => words.join(", "),
        kind => kind.allowed(),
    };
    let default = key.default.unwrap_or("-");
    let mut meaning = key.meaning.to_owned();
    match key.scope {
        Scope::All => {}
        Scope::Regions => meaning.push_str(" (regions)"),
        Scope::Levels => meaning.push_str(" (hierarchical)"),
    }
    let state = match (key.waits_for, key.reloads) {
        (Some(capability), _) => format!("waits for {capability}"),
        (None, true) => "used, reload".into(),
        (None, false) => "used".into(),
    };
    format!("| `{}` | {meaning} | {allowed} | {default} | {state} |", key.path)
}

#[test]
fn the_documentation_lists_every_key_as_it_is() {
    let path = format!("{}/../../docs/CONFIGURATION.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (listed, after) = rest.split_once(END).unwrap();
    let mut wanted =
        String::from("| key | meaning | allowed | default | state |\n|---|---|---|---|---|\n");
    for key in KEYS {
        writeln!(wanted, "{}", row(key)).unwrap();
    }
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(listed, wanted);
}

#[test]
fn the_example_of_the_documentation_is_right() {
    let path = format!("{}/../../docs/CONFIGURATION.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let (_, rest) = text.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    assert!(super::right(example).check_runnable().is_ok());
}
