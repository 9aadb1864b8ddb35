//! `completions` and `man` from outside.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Folder, json, run, text};

#[test]
fn every_shell_gets_a_script_that_knows_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = text(&run(&format!("completions {shell}")).stdout);
        assert!(script.contains("knhk-mesh") && script.contains("keygen"), "{shell}");
        let object = json(&run(&format!("completions {shell} -o json")).stdout);
        assert_eq!(object["script"], script.as_str(), "{shell}");
    }
    assert_eq!(run("completions tcsh").status.code(), Some(2));
}

#[test]
fn each_command_gets_a_manual_page() {
    let page = text(&run("man").stdout);
    assert!(page.contains(".TH knhk-mesh 1") && page.contains("keygen"), "{page}");
    let folder = Folder::new();
    let written = run(&format!("man -o json --out {}", folder.at("man")));
    let files = json(&written.stdout)["files"].take();
    for name in ["knhk-mesh.1", "knhk-mesh-dev.1", "knhk-mesh-config-check.1"] {
        let file = folder.at(&format!("man/{name}"));
        assert!(files.as_array().unwrap().iter().any(|one| one == file.as_str()), "{files}");
        assert!(std::fs::read_to_string(&file).unwrap().contains(".SH SYNOPSIS"));
    }
    let file = folder.write("file", "");
    assert_eq!(run(&format!("man --out {file}")).status.code(), Some(1));
}
