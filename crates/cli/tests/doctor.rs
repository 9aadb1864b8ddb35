//! `doctor` from outside: each fault is made and found.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::process::Output;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Folder, json, run, text};
use knhk_mesh::clock::WallClock;
use knhk_mesh::config::{Admission, Config};
use knhk_mesh::identity::{NodeId, Signer};
use knhk_mesh::time::WallMs;
use knhk_mesh::{Identity, Mesh, Options, key_file};
use serde_json::Value;

fn doctor(options: &str) -> Output {
    run(&format!("doctor -o json {options}"))
}

/// The finding called `check` whose detail contains `about`.
fn found<'a>(checks: &'a Value, check: &str, about: &str) -> &'a Value {
    let mut all = checks.as_array().unwrap().iter();
    let this = |one: &&Value| {
        one["check"] == check && one["detail"].as_str().is_some_and(|told| told.contains(about))
    };
    all.find(this).unwrap_or_else(|| panic!("no {check} about {about:?} in {checks}"))
}

/// Expects that `options` leads to a failed `check` about `about`, with help, and to exit code 1.
fn fails(options: &str, check: &str, about: &str) {
    let output = doctor(options);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    let checks = json(&output.stdout);
    let one = found(&checks, check, about);
    assert_eq!(one["state"], "fail", "{one}");
    assert!(one["help"].as_str().is_some_and(|help| !help.is_empty()), "{one}");
    assert_eq!(json(&output.stderr)["error"]["code"], "unhealthy");
}

/// A port of loopback that was free just now.
fn free() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

fn seeded_by(folder: &Folder, seed: &str) -> String {
    let yaml = format!("bootstrap:\n  seeds: [\"{seed}\"]\n");
    format!("-c {} --bind {}", folder.write("seeded.yaml", &yaml), free())
}

#[test]
fn a_host_without_faults_passes() {
    let folder = Folder::new();
    let data = folder.at("data");
    assert!(run(&format!("keygen --data-dir {data}")).status.success());
    let options = format!("--bind {} --data-dir {data} --clock-reference {}", free(), now_ms());
    let output = doctor(&options);
    let checks = json(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{checks}");
    for check in ["configuration", "key", "data_dir", "port", "open_files", "clock", "seed"] {
        assert_eq!(found(&checks, check, "")["state"], "ok", "{check}");
    }
    let told = text(&run(&format!("doctor {options}")).stdout);
    assert!(told.contains("ok    port: 127.0.0.1:"), "{told}");
}

#[test]
fn a_taken_port_is_found_with_its_holder() {
    let held = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = held.local_addr().unwrap();
    let holder = format!("(process {})", std::process::id());
    let about = if cfg!(target_os = "linux") { holder.as_str() } else { "is taken" };
    fails(&format!("--bind {addr}"), "port", about);
    // A test network: no address of any host.
    let folder = Folder::new();
    let yaml = "network:\n  insecure: true\n";
    let options = format!("-c {} --bind 192.0.2.1:9000", folder.write("mesh.yaml", yaml));
    fails(&options, "port", "is no address of this host");
}

#[test]
fn a_clock_ten_seconds_off_is_found() {
    let bind = free();
    for off in [now_ms() + 10_500, now_ms() - 10_500] {
        fails(&format!("--bind {bind} --clock-reference {off}"), "clock", "10.");
    }
}

#[cfg(unix)]
#[test]
fn a_key_that_cannot_or_must_not_be_read_is_found() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let file = folder.at("ada.key");
    assert!(run(&format!("keygen --identity {file}")).status.success());
    let options = format!("--bind {} --identity {file}", free());
    for (mode, about) in [(0o000, "unreadable"), (0o644, "readable by others")] {
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        fails(&options, "key", about);
    }
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(&file, "abc\n").unwrap();
    fails(&options, "key", "holds no key");
    std::fs::remove_file(&file).unwrap();
    fails(&options, "key", "does not exist");
}

#[test]
fn a_key_that_no_list_admits_is_found() {
    let folder = Folder::new();
    let other = "aebagbafaydqqcikbmga2dqpcaireeyuculbogazdinryhi6d4qa";
    let yaml = format!("mesh:\n  admission: allowlist\n  allowlist: [{other}]\n");
    let config = format!("-c {} --bind {}", folder.write("listed.yaml", &yaml), free());
    fails(&config, "key", "no allowlist admits");
    let data = folder.at("data");
    assert!(run(&format!("keygen --data-dir {data}")).status.success());
    fails(&format!("{config} --data-dir {data}"), "key", "not in mesh.allowlist");
}

#[test]
fn a_topology_that_waits_is_found_and_a_wrong_file_ends_with_78() {
    let folder = Folder::new();
    let yaml = "topology: hierarchical\n";
    let file = folder.write("mesh.yaml", yaml);
    fails(&format!("-c {file} --bind {}", free()), "configuration", "waits for");
    let wrong = folder.write("wrong.yaml", "gossip:\n  fanout: 0\n");
    let output = doctor(&format!("-c {wrong}"));
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(json(&output.stderr)["error"]["code"], "bad_configuration");
}

#[test]
fn seeds_that_do_not_answer_are_found_and_the_own_address_is_not_one_of_them() {
    let folder = Folder::new();
    fails(&seeded_by(&folder, &free().to_string()), "seed", "no answer in time");
    fails(&seeded_by(&folder, "no-such-host.invalid:9000"), "seed", "has no address");
    let own = free();
    let yaml = format!("bootstrap:\n  seeds: [\"{own}\"]\n");
    let options = format!("-c {} --bind {own}", folder.write("own.yaml", &yaml));
    let checks = json(&doctor(&options).stdout);
    assert_eq!(found(&checks, "seed", "this node itself")["state"], "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_answers_and_its_clock_is_compared() {
    let folder = Folder::new();
    let seed = |off: i64| {
        let wall = WallMs(now_ms().saturating_add_signed(off));
        let clock = if off == 0 { WallClock::system() } else { WallClock::manual(wall) };
        Mesh::join(Options { clock, ..Options::default() })
    };
    let right = seed(0).await.unwrap();
    let checks = json(&doctor(&seeded_by(&folder, &right.local_addr().to_string())).stdout);
    assert_eq!(found(&checks, "seed", "answers")["state"], "ok");
    assert_eq!(found(&checks, "clock", "other clocks")["state"], "ok");
    let members = right.status().await.unwrap().node.members;
    assert_eq!(members, 1, "the doctor joined nothing");
    for (off, about) in [(60_000, "ahead of this clock"), (-60_000, "behind this clock")] {
        let wrong = seed(off).await.unwrap();
        fails(&seeded_by(&folder, &wrong.local_addr().to_string()), "clock", about);
        fails(&format!("--bind {}", wrong.local_addr()), "clock", about);
        wrong.close().await;
    }
    right.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_of_another_mesh_and_a_folder_in_use_are_found() {
    let folder = Folder::new();
    let data = folder.at("data");
    let data_dir = Some(folder.0.join("data"));
    let node = Mesh::join(Options { data_dir, ..Options::default() }).await.unwrap();
    let yaml = format!("mesh:\n  name: other\nbootstrap:\n  seeds: [\"{}\"]\n", node.local_addr());
    let file = folder.write("other.yaml", &yaml);
    fails(&format!("-c {file} --bind {}", free()), "seed", "another mesh");
    let options = format!("--bind {} --data-dir {data}", free());
    fails(&options, "data_dir", "in use");
    node.close().await;
    let file = folder.write("alone.yaml", "mesh:\n  name: other\n");
    let foreign = format!("-c {file} --bind {} --data-dir {data}", free());
    fails(&foreign, "data_dir", "another mesh");
    let after = doctor(&options);
    assert_eq!(after.status.code(), Some(0), "{}", text(&after.stdout));
    let file = std::fs::File::options().write(true).open(folder.0.join("data/state.redb")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(30)).unwrap();
    fails(&options, "clock", "last write");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_with_a_list_is_asked_with_the_own_key() {
    let folder = Folder::new();
    let file = folder.at("ada.key");
    let ada = text(&run(&format!("keygen --identity {file}")).stdout).trim().to_owned();
    let listed_by_seed = |others: &[&str]| {
        let key = key_file::fresh().unwrap();
        let mut listed: Vec<NodeId> = others.iter().map(|id| id.parse().unwrap()).collect();
        listed.push(key.node_id());
        let config = Config { admission: Admission::allowlist(listed), ..Config::default() };
        Mesh::join(Options { identity: Identity::New(key), config, ..Options::default() })
    };
    for (others, answers) in [(vec![ada.as_str()], true), (vec![], false)] {
        let seed = listed_by_seed(&others).await.unwrap();
        let yaml = format!(
            "mesh:\n  admission: allowlist\n  allowlist: [{ada}, {}]\n\
             bootstrap:\n  seeds: [\"{}\"]\n",
            seed.node_id(),
            seed.local_addr()
        );
        let config = folder.write("listed.yaml", &yaml);
        let options = format!("-c {config} --bind {} --identity {file}", free());
        if answers {
            let checks = json(&doctor(&options).stdout);
            assert_eq!(found(&checks, "seed", "answers")["state"], "ok");
        } else {
            fails(&options, "seed", "not admitted");
        }
        seed.close().await;
    }
}
