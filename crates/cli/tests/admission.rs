//! Authorities, tokens and denials from outside: real processes, real files.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::os::unix::fs::PermissionsExt;

use common::{Folder, Node, command, json, printed, run, text, until};

fn mode(path: &str) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The key of an operator, and a configuration that names it.
fn mesh(folder: &Folder, admission: &str) -> (String, String) {
    let key = printed(&format!("cert ca --dir {}", folder.at("authority")));
    let roots = if admission == "ca" {
        format!("  ca_file: {}\n", folder.at("authority/ca.crt"))
    } else {
        String::new()
    };
    let yaml = format!("mesh:\n  admission: {admission}\n  admission_key: {key}\n{roots}");
    (folder.write("mesh.yaml", &yaml), folder.at("authority/ca.key"))
}

fn keygen(folder: &Folder, name: &str) -> String {
    printed(&format!("keygen --data-dir {}", folder.at(name)))
}

fn start(folder: &Folder, config: &str, name: &str, seed: Option<&Node>) -> Node {
    let mut more = vec!["-c", config, "--bind", "127.0.0.1:0"];
    if let Some(seed) = seed {
        more.extend(["--seeds", &seed.address]);
    }
    Node::start(&folder.path(name), &more)
}

/// A node that must not start; what it says.
fn refused(folder: &Folder, config: &str, name: &str, token: Option<&str>) -> String {
    let mut command = command();
    command.args(["run", "-c", config, "--bind", "127.0.0.1:0", "-o", "json"]);
    command.args(["--data-dir", &folder.at(name)]);
    if let Some(token) = token {
        command.env("KNHK_MESH_TOKEN", token);
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{}", text(&output.stderr));
    let told = text(&output.stderr);
    json(told.lines().last().unwrap().as_bytes())["error"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn an_authority_makes_issues_renews_and_shows_and_its_key_stays_private() {
    let folder = Folder::new();
    let (config, key) = mesh(&folder, "ca");
    assert_eq!(mode(&key), 0o600);
    assert!(!folder.path("authority/ca.key.unused").exists());
    let again = run(&format!("cert ca --dir {}", folder.at("authority")));
    assert_eq!(again.status.code(), Some(6), "an authority is never overwritten");
    let ada = keygen(&folder, "ada");
    let certificate = folder.at("ada/node.crt");
    let issue = format!("cert issue {ada} --dir {} --out {certificate}", folder.at("authority"));
    let made = printed(&format!("{issue} -c {config} --days 2 -o json"));
    let made = &json(made.as_bytes())[0];
    assert_eq!((made["kind"].as_str(), made["node"].as_str()), (Some("node"), Some(&*ada)));
    assert_eq!(made["state"], "valid");
    assert_eq!(run(&format!("{issue} -c {config}")).status.code(), Some(6));
    let genesis = json(printed(&format!("genesis -c {config} -o json")).as_bytes());
    assert_eq!(made["mesh"], genesis["mesh"]);
    let renewed = printed(&format!(
        "cert rotate {certificate} --dir {} --days 9 -o json",
        folder.at("authority")
    ));
    let renewed = &json(renewed.as_bytes())[0];
    assert_eq!((&renewed["node"], &renewed["mesh"]), (&made["node"], &made["mesh"]));
    assert!(renewed["not_after"].as_i64() > made["not_after"].as_i64());
    let root = printed(&format!("cert show {}", folder.at("authority/ca.crt")));
    assert!(root.contains("authority") && root.contains("days left"), "{root}");
    assert_eq!(run(&format!("cert show {}", folder.at("none"))).status.code(), Some(5));
    let secret = std::fs::read_to_string(&key).unwrap();
    let secret = secret.lines().last().unwrap();
    assert!(![root, renewed.to_string(), made.to_string()].join(" ").contains(secret));
}

#[test]
fn members_of_an_authority_meet_and_a_denied_one_is_out_everywhere_and_for_good() {
    let folder = Folder::new();
    let (config, key) = mesh(&folder, "ca");
    let authority = folder.at("authority");
    let ids = ["ada", "bob", "eve"].map(|name| {
        let id = keygen(&folder, name);
        let out = folder.at(&format!("{name}/node.crt"));
        printed(&format!("cert issue {id} -c {config} --dir {authority} --out {out}"));
        id
    });
    keygen(&folder, "mallory");
    assert!(refused(&folder, &config, "mallory", None).contains("node.crt"));
    let ada = start(&folder, &config, "ada", None);
    let bob = start(&folder, &config, "bob", Some(&ada));
    let eve = start(&folder, &config, "eve", Some(&bob));
    ada.await_members(3);
    eve.tell(&["set", "by-eve", "1"]);
    bob.await_value("by-eve", "1");
    // A renewed certificate reaches the running node, whose links stay.
    let certificate = folder.at("ada/node.crt");
    printed(&format!("cert rotate {certificate} --dir {authority} --days 60"));
    ada.signal(rustix::process::Signal::HUP);
    ada.logged("reloaded");
    assert_eq!(ada.json(&["status"])["links"], 2);
    let other = folder.at("other");
    printed(&format!("cert ca --dir {other}"));
    let forged = ada.ask(&["deny", &ids[2], "--key", &format!("{other}/ca.key"), "-o", "json"]);
    assert_eq!(forged.status.code(), Some(8), "{}", text(&forged.stderr));
    ada.tell(&["deny", &ids[2], "--key", &key]);
    until("eve is out", || (eve.json(&["status"])["links"] == 0).then_some(()));
    knows_that_it_is_denied(&eve);
    until("eve's records are gone", || bob.get("by-eve").is_none().then_some(()));
    assert_eq!(bob.tell(&["denied"]).trim(), ids[2]);
    until("two are left", || (bob.json(&["status"])["members"] == 2).then_some(()));
    // Nobody forgets it, and coming back does not help.
    let address = bob.address.clone();
    bob.kill();
    let bob = Node::start(&folder.path("bob"), &["-c", &config, "--bind", &address]);
    eve.kill();
    let eve = start(&folder, &config, "eve", None);
    knows_that_it_is_denied(&eve);
    eve.kill();
    // Without a memory of it, it is told when it knocks.
    std::fs::remove_file(folder.path("eve").join("notices")).unwrap();
    let eve = start(&folder, &config, "eve", Some(&bob));
    knows_that_it_is_denied(&eve);
    assert_eq!(eve.json(&["status"])["links"], 0);
    assert_eq!(bob.json(&["denied"])[0]["node"], ids[2].as_str());
}

fn knows_that_it_is_denied(node: &Node) {
    until("it knows", || (node.json(&["status"])["state"] == "denied").then_some(()));
    node.logged("the operator denied this node");
    let refused = node.ask(&["set", "late", "1", "-o", "json"]);
    assert_eq!(refused.status.code(), Some(8), "{}", text(&refused.stderr));
    assert_eq!(json(&refused.stderr)["error"]["code"], "denied");
}

#[test]
fn who_is_gone_is_forgotten_and_may_come_back_as_somebody_new() {
    let folder = Folder::new();
    let (config, key) = mesh(&folder, "ca");
    let authority = folder.at("authority");
    let [_, bob_id] = ["ada", "bob"].map(|name| {
        let (id, out) = (keygen(&folder, name), folder.at(&format!("{name}/node.crt")));
        printed(&format!("cert issue {id} -c {config} --dir {authority} --out {out}"));
        id
    });
    let ada = start(&folder, &config, "ada", None);
    let bob = start(&folder, &config, "bob", Some(&ada));
    bob.tell(&["set", "by-bob", "1"]);
    ada.await_value("by-bob", "1");
    bob.kill();
    ada.tell(&["forget", &bob_id, "--key", &key]);
    until("ada is alone", || (ada.json(&["status"])["members"] == 1).then_some(()));
    assert!(ada.get("by-bob").is_none());
    assert!(ada.tell(&["denied"]).starts_with(&format!("{bob_id} up to ")));
    let bob = start(&folder, &config, "bob", Some(&ada));
    until("bob is back", || (ada.json(&["status"])["members"] == 2).then_some(()));
    until("his disk brings nothing back", || bob.get("by-bob").is_none().then_some(()));
    bob.tell(&["set", "by-bob", "2"]);
    ada.await_value("by-bob", "2");
}

#[test]
fn a_token_admits_one_node_which_stays_admitted() {
    let folder = Folder::new();
    let (config, key) = mesh(&folder, "token");
    let ada = keygen(&folder, "ada");
    let own = folder.at("ada.token");
    printed(&format!("ticket --key {key} -c {config} --node {ada} --out {own}"));
    assert_eq!(mode(&own), 0o600);
    let bearer = printed(&format!("ticket --key {key} -c {config} --within 5m --days 30"));
    assert!(bearer.starts_with("knhk1"));
    assert!(refused(&folder, &config, "bob", None).contains("no token"));
    assert!(refused(&folder, &config, "bob", Some(&bearer[..40])).contains("no token"));
    assert!(!refused(&folder, &config, "bob", Some(&bearer[..40])).contains(&bearer[5..40]));
    let founder = std::fs::read_to_string(&own).unwrap();
    let with = |name: &str, token: &str, seed: Option<&Node>| {
        let mut more = vec!["-c", config.as_str(), "--bind", "127.0.0.1:0"];
        if let Some(seed) = seed {
            more.extend(["--seeds", &seed.address]);
        }
        Node::start_with(&folder.path(name), &more, command().env("KNHK_MESH_TOKEN", token))
    };
    let ada = with("ada", founder.trim(), None);
    let bob = with("bob", &bearer, Some(&ada));
    ada.await_members(2);
    let thief = with("thief", &bearer, Some(&ada));
    let told = thief.logged("seed not reached, trying on");
    assert_eq!(
        (&told["seed"], &told["why"]),
        (&ada.address.as_str().into(), &"not admitted".into())
    );
    let seed = &thief.json(&["status"])["seeds"][0];
    assert_eq!((&seed["address"], &seed["failure"]), (&told["seed"], &told["why"]));
    let line = format!("seeds          {} (not reached: not admitted)", ada.address);
    assert!(thief.tell(&["status"]).lines().any(|shown| shown == line));
    ada.tell(&["set", "k", "v"]);
    bob.await_value("k", "v");
    // Without its token, after a crash of both.
    let address = ada.address.clone();
    ada.kill();
    bob.kill();
    let ada = Node::start(&folder.path("ada"), &["-c", &config, "--bind", &address]);
    let bob = start(&folder, &config, "bob", Some(&ada));
    ada.await_members(2);
    bob.await_value("k", "v");
    assert_eq!(thief.get("k"), None);
    assert_eq!(thief.json(&["status"])["links"], 0);
}
