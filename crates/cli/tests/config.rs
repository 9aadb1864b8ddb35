//! `knhk-mesh config` from outside.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

fn repository(path: &str) -> String {
    format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"))
}

fn run(args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_knhk-mesh"));
    let inherited =
        std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("KNHK_MESH_"));
    command.env_clear().envs(inherited).envs(environment.iter().copied());
    command.args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// A broken file of the library's tests.
fn broken(name: &str) -> String {
    repository(&format!("crates/mesh/tests/config_file/broken/{name}.yaml"))
}

#[test]
fn the_files_of_the_topologies_are_accepted() {
    for name in ["flat_mesh", "single_region_mesh", "multi_region_leaders", "hierarchical"] {
        let file = repository(&format!("deploy/{name}.yaml"));
        let output = run(&["config", "check", &file], &[]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains(&format!("ok, topology {name}")));
        assert!(text(&output.stdout).contains("worst case") && output.stderr.is_empty());
        let report = json(&run(&["config", "check", &file, "-o", "json"], &[]).stdout);
        assert_eq!(report["topology"], name);
        assert_eq!(report["runnable"], report["not_runnable_because"].is_null());
    }
}

#[test]
fn every_broken_file_ends_with_78_and_names_its_line() {
    let folder = PathBuf::from(broken("x")).parent().unwrap().to_owned();
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut count = 0;
    for file in files.filter(|path| path.extension().is_some_and(|end| end == "yaml")) {
        let name = file.display().to_string();
        let output = run(&["config", "check", &name, "-o", "json"], &[]);
        assert_eq!(output.status.code(), Some(78), "{name}");
        assert!(output.stdout.is_empty());
        let error = &json(&output.stderr)["error"];
        assert_eq!(error["code"], "bad_configuration", "{name}");
        assert!(error["help"].as_str().is_some_and(|help| !help.is_empty()), "{name}");
        for one in error["diagnostics"].as_array().unwrap() {
            assert!(!one["help"].as_str().unwrap().is_empty(), "{name}: {one}");
            let whole_file = one["origin"] == "default";
            assert!(whole_file || one["line"].as_u64().unwrap() >= 1, "{name}: {one}");
        }
        count += 1;
    }
    assert!(count > 100);
}

#[test]
fn errors_are_told_to_people_with_line_and_caret() {
    let output = run(&["config", "check", &broken("several_errors")], &[]);
    assert_eq!(output.status.code(), Some(78));
    let told = text(&output.stderr);
    for part in ["several_errors.yaml:3:11", "  fanout: 0", "^", "help: ", "5 errors in the"] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    assert!(output.stdout.is_empty());
}

#[test]
fn a_file_that_is_not_there_is_a_bad_configuration_and_no_file_is_wrong_usage() {
    let output = run(&["config", "check", "/no/such/file"], &[]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("/no/such/file"));
    assert_eq!(run(&["config", "check"], &[]).status.code(), Some(2));
    assert_eq!(run(&["config"], &[]).status.code(), Some(2));
}

#[test]
fn each_value_is_shown_with_its_origin() {
    let file = repository("deploy/single_region_mesh.yaml");
    let environment = [("KNHK_MESH_GOSSIP__FANOUT", "11"), ("KNHK_MESH_CONFIG", file.as_str())];
    let args = ["config", "show", "--origin", "--bind", "127.0.0.1:7000"];
    let shown = text(&run(&args, &environment).stdout);
    for (value, origin) in [
        ("fanout: 11", "# environment KNHK_MESH_GOSSIP__FANOUT"),
        ("bind: 127.0.0.1:7000", "# flag --bind"),
        ("port: 9000", "# file:21:9"),
        ("compression: zstd", "# default"),
    ] {
        let line = shown.lines().find(|line| line.trim_start().starts_with(value));
        assert!(line.is_some_and(|line| line.ends_with(origin)), "{value}\n{shown}");
    }
    let args = ["config", "show", "-o", "json", "-c", &file];
    let object = json(&run(&args, &environment).stdout);
    let settings = object["settings"].as_array().unwrap();
    let fanout = settings.iter().find(|row| row["key"] == "gossip.fanout").unwrap();
    assert_eq!(
        (fanout["value"].as_u64(), fanout["origin"].as_str()),
        (Some(11), Some("environment"))
    );
    assert_eq!(fanout["from"], "KNHK_MESH_GOSSIP__FANOUT");
}

#[test]
fn the_schema_knows_every_key_of_the_four_files() {
    let schema = json(&run(&["config", "schema"], &[]).stdout);
    assert_eq!(schema["additionalProperties"], false);
    let gossip = &schema["properties"]["gossip"]["properties"];
    assert_eq!(gossip["fanout"]["maximum"], 100);
    assert_eq!(gossip["intra_region"]["properties"]["fanout"]["default"], 20);
    let region = &schema["properties"]["regions"]["items"];
    assert_eq!(region["required"][0], "name");
    assert_eq!(region["properties"]["leader_count"]["enum"][2], 5);
}

#[test]
fn the_help_says_what_goes_before_what() {
    let help = text(&run(&["config", "show", "--help"], &[]).stdout);
    assert!(
        help.contains("Flags go before") && help.contains("--origin") && help.contains("--bind")
    );
}
