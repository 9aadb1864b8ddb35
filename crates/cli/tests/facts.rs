//! A committee from outside: real keys, real processes, real crashes.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::os::unix::fs::PermissionsExt;

use common::{Folder, Node, json, printed, run, text, until};

/// How a command fails: its exit code, the code for programs and the message.
fn refused(line: &str) -> (i32, String, String) {
    let output = run(&format!("{line} -o json"));
    assert!(output.stdout.is_empty(), "{line}: {}", text(&output.stdout));
    let error = json(&output.stderr)["error"].take();
    let part = |name: &str| error[name].as_str().unwrap().to_owned();
    (output.status.code().unwrap(), part("code"), part("message"))
}

/// A mesh with an operator and four members, and how one of them signs.
struct Appointed {
    folder: Folder,
    config: String,
    members: Vec<String>,
}

impl Appointed {
    fn new() -> Self {
        let folder = Folder::new();
        let key = |name: &str| printed(&format!("keygen --identity {}", folder.at(name)));
        let operator = key("operator");
        let members: Vec<_> = (1..=4).map(|n| key(&format!("member-{n}"))).collect();
        let list = members.join(", ");
        let yaml = format!("mesh:\n  admission_key: {operator}\n  committee: [{list}]\n");
        let config = folder.write("mesh.yaml", &yaml);
        Appointed { folder, config, members }
    }

    fn signing(&self, member: u8, what: &str) -> String {
        let key = self.folder.at(&format!("member-{member}"));
        format!("fact sign {what} --key {key} -c {}", self.config)
    }

    fn joining(&self, what: &str, members: &[u8]) -> String {
        let votes: Vec<_> = members.iter().map(|n| printed(&self.signing(*n, what))).collect();
        format!("fact join {} -c {}", votes.join(" "), self.config)
    }

    fn certificate(&self, what: &str) -> String {
        printed(&self.joining(what, &[1, 2, 4]))
    }

    fn start(&self, name: &str, seed: Option<&Node>) -> Node {
        let mut more = vec!["-c", &self.config, "--bind", "127.0.0.1:0"];
        if let Some(seed) = seed {
            more.extend(["--seeds", &seed.address]);
        }
        Node::start(&self.folder.path(name), &more)
    }
}

#[test]
fn a_member_signs_one_value_of_a_version_whatever_happens_to_it() {
    let mesh = Appointed::new();
    let first = printed(&mesh.signing(1, "config/x 3 --version 1"));
    assert_eq!(printed(&mesh.signing(1, "config/x 3 --version 1")), first, "the same again");
    let other = mesh.signing(1, "config/x 4 --version 1");
    let (exit, code, message) = refused(&other);
    assert_eq!((exit, code.as_str()), (6, "signed_other"), "{message}");
    let list = mesh.folder.path("member-1.signed");
    let mode = std::fs::metadata(&list).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    // What a crash cut short was not signed; what stands in front of it was.
    let whole = std::fs::read(&list).unwrap();
    let second = [&whole[..], &whole[..whole.len() / 2]].concat();
    std::fs::write(&list, second).unwrap();
    assert_eq!(refused(&other).0, 6);
    printed(&mesh.signing(1, "config/x 4 --version 2"));
    assert_eq!(refused(&mesh.signing(1, "config/x 5 --version 2")).0, 6);
    assert_eq!(std::fs::read_to_string(&list).unwrap().lines().count(), 2);
    std::fs::write(&list, b"something else\n").unwrap();
    assert_eq!(refused(&mesh.signing(1, "config/x 5 --version 3")).1, "damaged");
    // Who is no member signs nothing and leaves nothing.
    let operator = format!("fact sign k v --version 1 --key {}", mesh.folder.at("operator"));
    assert_eq!(refused(&format!("{operator} -c {}", mesh.config)).0, 8);
    assert!(!mesh.folder.path("operator.signed").exists());
    assert_eq!(refused(&mesh.signing(2, "void/x v --version 1")).0, 2);
    assert_eq!(refused(&mesh.joining("k v --version 1", &[2, 3])).1, "not_certified");
}

#[test]
fn a_quorum_denies_a_node_everywhere_also_where_nobody_was_up() {
    let mesh = Appointed::new();
    let ada = mesh.start("ada", None);
    let bob = mesh.start("bob", Some(&ada));
    let eve = mesh.start("eve", Some(&bob));
    let dan = mesh.start("dan", Some(&ada));
    ada.await_members(4);
    let evil = eve.json(&["status"])["node"].as_str().unwrap().to_owned();
    eve.tell(&["set", "by-eve", "1"]);
    dan.await_value("by-eve", "1");
    bob.await_value("by-eve", "1");
    dan.kill();
    let operator = mesh.folder.at("operator");
    let alone = ada.ask(&["deny", &evil, "--key", &operator, "-o", "json"]);
    assert_eq!(alone.status.code(), Some(8));
    assert_eq!(json(&alone.stderr)["error"]["code"], "needs_quorum");
    let out = format!("--deny {evil}");
    let (exit, code, message) = refused(&mesh.joining(&out, &[1, 2]));
    assert_eq!((exit, code.as_str()), (1, "not_certified"));
    assert!(message.contains("2 signatures") && message.contains("takes 3"), "{message}");
    assert_eq!(ada.tell(&["denied"]), "");
    let certificate = mesh.certificate(&out);
    assert_eq!(ada.json(&["fact", "publish", &certificate])["new"], true);
    assert_eq!(ada.json(&["fact", "publish", &certificate])["new"], false);
    until("eve is out", || (eve.json(&["status"])["state"] == "denied").then_some(()));
    assert_eq!(eve.json(&["status"])["links"], 0);
    until("eve's records are gone", || bob.get("by-eve").is_none().then_some(()));
    assert_eq!(bob.tell(&["denied"]).trim(), evil);
    // Who was down hears of it; who is killed has it on disk.
    let dan = mesh.start("dan", Some(&bob));
    until("dan knows", || (dan.tell(&["denied"]).trim() == evil).then_some(()));
    until("eve's records are gone", || dan.get("by-eve").is_none().then_some(()));
    for node in [ada, bob, dan, eve] {
        node.kill();
    }
    let ada = mesh.start("ada", None);
    assert_eq!(ada.tell(&["denied"]).trim(), evil);
    let eve = mesh.start("eve", Some(&ada));
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(eve.json(&["status"])["links"], 0);
}

#[test]
fn facts_are_read_everywhere_and_who_signed_two_is_named() {
    let mesh = Appointed::new();
    let ada = mesh.start("ada", None);
    let bob = mesh.start("bob", Some(&ada));
    ada.await_members(2);
    assert_eq!(ada.ask(&["fact", "get", "config/x"]).status.code(), Some(5));
    ada.tell(&["fact", "publish", &mesh.certificate("config/x 3 --version 1")]);
    let read = || text(&bob.ask(&["fact", "get", "config/x"]).stdout);
    until("bob reads it", || (read() == "3\n").then_some(()));
    let shown = bob.json(&["fact", "get", "config/x"]);
    assert_eq!((&shown["version"], &shown["value"]), (&1.into(), &"3".into()));
    assert_eq!(shown["signers"].as_array().unwrap().len(), 3);
    // Members 1 and 2 lost their lists, and somebody asks them again.
    for member in [1, 2] {
        std::fs::remove_file(mesh.folder.path(&format!("member-{member}.signed"))).unwrap();
    }
    let other = printed(&mesh.joining("config/x 4 --version 1", &[1, 2, 3]));
    ada.tell(&["fact", "publish", &other]);
    let listed = until("bob names them", || {
        let listed = bob.json(&["fact", "list"]);
        (listed["conflicts"].as_array().unwrap().len() == 1).then_some(listed)
    });
    let mut liars = mesh.members[..2].to_vec();
    liars.sort();
    let mut named: Vec<String> =
        serde_json::from_value(listed["conflicts"][0]["signed_both"].clone()).unwrap();
    named.sort();
    assert_eq!(named, liars);
    let warned = bob.logged("two values of one version are certified");
    assert_eq!((&warned["key"], warned["version"].as_u64()), (&"config/x".into(), Some(1)));
    assert_eq!(warned["signed_both"].as_array().unwrap().len(), 2);
    let told = bob.tell(&["fact", "list"]);
    assert!(told.contains("CONFLICT config/x 1 ") && told.contains(&liars[0]), "{told}");
    let same = || ada.json(&["fact", "list"]) == bob.json(&["fact", "list"]);
    until("both hold the same to be true", || same().then_some(()));
}
