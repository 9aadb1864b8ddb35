//! `keygen` and `genesis` from outside.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Folder, command, json, run, text};

#[test]
fn a_key_is_made_once_and_only_its_public_half_is_told() {
    let folder = Folder::new();
    let file = folder.at("keys/ada.key");
    let made = run(&format!("keygen --identity {file}"));
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let node = text(&made.stdout).trim().to_owned();
    assert_eq!(node.len(), 52);
    let written = std::fs::read_to_string(&file).unwrap();
    let secret = written.lines().last().unwrap();
    let again = run(&format!("keygen --identity {file}"));
    assert_eq!(again.status.code(), Some(6));
    assert!(text(&again.stderr).contains("--show") && again.stdout.is_empty());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written, "nothing was overwritten");
    let shown = run(&format!("keygen --identity {file} --show -o json"));
    let object = json(&shown.stdout);
    assert_eq!((object["node"].as_str(), object["file"].as_str()), (Some(&*node), Some(&*file)));
    for output in [made, again, shown] {
        let told = [output.stdout, output.stderr].concat();
        assert!(!text(&told).contains(secret), "the secret left its file");
    }
}

#[cfg(unix)]
#[test]
fn the_key_and_its_folder_are_for_their_owner() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    assert!(run(&format!("keygen --data-dir {}", folder.at("ada"))).status.success());
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.at("ada/node.key")), 0o600);
    assert_eq!(mode(folder.at("ada")), 0o700);
}

#[test]
fn the_place_comes_from_flag_environment_or_file_and_must_come_from_somewhere() {
    let folder = Folder::new();
    let nowhere = run("keygen -o json");
    assert_eq!(nowhere.status.code(), Some(2));
    assert_eq!(json(&nowhere.stderr)["error"]["code"], "usage");
    let by_variable =
        command().args(["keygen"]).env("KNHK_MESH_DATA_DIR", folder.at("a")).output().unwrap();
    assert!(by_variable.status.success() && folder.0.join("a/node.key").exists());
    let file = folder.write("mesh.yaml", &format!("node:\n  identity: {}\n", folder.at("b.key")));
    assert!(run(&format!("keygen -c {file}")).status.success());
    assert!(folder.0.join("b.key").exists());
}

#[test]
fn what_cannot_be_shown_or_made_is_told_with_its_reason() {
    let folder = Folder::new();
    let missing = run(&format!("keygen --show --identity {} -o json", folder.at("none")));
    assert_eq!(missing.status.code(), Some(5));
    assert_eq!(json(&missing.stderr)["error"]["code"], "not_found");
    let garbage = folder.write("garbage", "no key");
    let shown = run(&format!("keygen --show --identity {garbage}"));
    assert_eq!(shown.status.code(), Some(1));
    let below_file = run(&format!("keygen --identity {garbage}/node.key"));
    assert_eq!(below_file.status.code(), Some(1));
    assert!(text(&below_file.stderr).contains("help:"));
}

#[test]
fn the_genesis_decides_the_mesh_id_and_admission_by_list_does_not() {
    let folder = Folder::new();
    let mesh = |yaml: &str| {
        let file = folder.write("mesh.yaml", yaml);
        let output = run(&format!("genesis -o json -c {file}"));
        assert!(output.status.success(), "{}", text(&output.stderr));
        json(&output.stdout)
    };
    let plain = mesh("mesh:\n  name: a\n");
    assert_eq!(plain["mesh"].as_str().unwrap().len(), 52);
    assert_eq!((plain["name"].as_str(), plain["max_slots"].as_u64()), (Some("a"), Some(1_024)));
    let same = mesh("mesh:\n  name: a\ngossip:\n  fanout: 9\n");
    assert_eq!(same["mesh"], plain["mesh"]);
    for other in ["mesh:\n  name: b\n", "mesh:\n  name: a\n  max_slots: 99\n"] {
        assert_ne!(mesh(other)["mesh"], plain["mesh"], "{other}");
    }
    let told = text(&run("genesis").stdout);
    assert!(told.contains("wire version") && told.contains("admission      open"), "{told}");
    let bad = folder.write("bad.yaml", "mesh:\n  nmae: a\n");
    assert_eq!(run(&format!("genesis -c {bad}")).status.code(), Some(78));
}
