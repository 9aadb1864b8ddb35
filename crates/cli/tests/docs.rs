//! The commands of README.md and docs/CLI.md do what the texts say.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod common;

use std::io::Read;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{Folder, text, until};

/// The shell blocks of one section of a document.
fn blocks(document: &str, section: &str) -> Vec<String> {
    let (_, rest) = document.split_once(&format!("\n## {section}\n")).unwrap();
    let section = rest.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// A shell in `folder` that knows the command by its name.
fn shell(folder: &Path, script: &str) -> Command {
    let binary = Path::new(env!("CARGO_BIN_EXE_knhk-mesh")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.args(["-euc", script]).current_dir(folder).env("PATH", path);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KNHK_MESH_")) {
        command.env_remove(name);
    }
    command
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a watch prints of a change; a loaded machine may need longer than the text's second until
/// the watch has begun, so the change is made until it was seen.
fn watched(folder: &Path, watch: &str, change: &str) -> String {
    let command = format!("exec {watch}");
    let mut watch = Running(shell(folder, &command).stdout(Stdio::piped()).spawn().unwrap());
    until(change, || {
        assert!(shell(folder, change).status().unwrap().success());
        watch.0.try_wait().unwrap()
    });
    let mut printed = String::new();
    watch.0.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    printed
}

/// Runs each command and compares what it prints with the comment behind it, patiently: what was
/// written at one node is at the other soon, not at once.
fn follow(folder: &Path, block: &str) {
    let mut lines = block.lines().peekable();
    while let Some(command) = lines.next() {
        let mut expected = String::new();
        while let Some(line) = lines.next_if(|line| line.starts_with("# ")) {
            expected.push_str(&format!("{}\n", &line[2..]));
        }
        if let Some((watch, change)) = command.split_once(" & sleep 1; ") {
            assert_eq!(watched(folder, watch, change.trim_end_matches("; wait")), expected);
            continue;
        }
        until(command, || {
            let output = shell(folder, command).output().unwrap();
            let repeat = expected.is_empty() || command.contains(" get ");
            assert!(repeat || output.status.success(), "{command}: {}", text(&output.stderr));
            if expected.is_empty() {
                assert!(output.status.success(), "{command}: {}", text(&output.stderr));
                return Some(());
            }
            assert!(
                command.contains(" get ") || text(&output.stdout) == expected,
                "{command}: {}",
                text(&output.stdout)
            );
            (text(&output.stdout) == expected).then_some(())
        });
    }
}

#[test]
fn the_two_nodes_of_the_readme_exchange_a_key_and_the_examples_work_against_them() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
    let read = |name: &str| std::fs::read_to_string(format!("{root}{name}")).unwrap();
    let folder = Folder::new();
    // Two ports that nobody has now stand for those of the text.
    let sockets = [0, 1].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
    let [first, second] = sockets.each_ref().map(|s| s.local_addr().unwrap().port().to_string());
    drop(sockets);
    let blocks_of_readme = blocks(&read("README.md"), "Two nodes on one machine");
    let [ada, bob, session] = blocks_of_readme.as_slice() else {
        panic!("{} blocks", blocks_of_readme.len())
    };
    let nodes = [ada, bob].map(|node| {
        let command = node.trim().replace("9000", &first).replace("9001", &second);
        assert_eq!(command.lines().count(), 1);
        let log = std::fs::File::create(folder.path("log")).unwrap();
        Running(shell(&folder.0, &format!("exec {command}")).stderr(log).spawn().unwrap())
    });
    for node in ["ada", "bob"] {
        until(node, || folder.path(node).join("control.sock").exists().then_some(()));
    }
    follow(&folder.0, session);
    for block in blocks(&read("docs/CLI.md"), "Examples") {
        // The README has counted already; here it begins anew.
        follow(&folder.0, &block.replace("visits", "visits-of-the-examples"));
    }
    for file in ["peers.txt", "status.json", "digest.txt", "ping.txt"] {
        assert!(!std::fs::read_to_string(folder.path(file)).unwrap().is_empty(), "{file}");
    }
    drop(nodes);
}

/// The nodes that a block starts with `&` run until the end of it.
fn follow_with_nodes(folder: &Path, block: &str) {
    let mut nodes = Vec::new();
    let mut rest = String::new();
    for line in block.lines() {
        let Some(node) = line.strip_suffix(" &") else {
            rest.push_str(&format!("{line}\n"));
            continue;
        };
        follow(folder, &std::mem::take(&mut rest));
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let command = format!("exec env {node}");
        nodes.push(Running(shell(folder, &command).stderr(log).spawn().unwrap()));
        let (_, data) = node.split_once("--data-dir ").unwrap();
        let socket = folder.join(data.split(' ').next().unwrap()).join("control.sock");
        until(node, || socket.exists().then_some(()));
    }
    follow(folder, &rest);
}

#[test]
fn the_examples_of_who_belongs_work() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/CLI.md");
    let document = std::fs::read_to_string(path).unwrap();
    let folder = Folder::new();
    let sockets = [0; 6].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
    let ports = sockets.each_ref().map(|socket| socket.local_addr().unwrap().port());
    drop(sockets);
    let blocks = blocks(&document, "Who belongs");
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        let replaced = (9_000..9_006).zip(ports).fold(block, |block, (told, free)| {
            block.replace(&format!("127.0.0.1:{told}"), &format!("127.0.0.1:{free}"))
        });
        follow_with_nodes(&folder.0, &replaced);
    }
    let hal = std::fs::read_to_string(folder.path("hal.id")).unwrap();
    assert_eq!(std::fs::read_to_string(folder.path("denied.txt")).unwrap(), hal);
    let lou = std::fs::read_to_string(folder.path("lou.id")).unwrap();
    assert_eq!(std::fs::read_to_string(folder.path("out-of-it.txt")).unwrap(), lou);
    let facts = std::fs::read_to_string(folder.path("facts.txt")).unwrap();
    assert!(facts.contains("config/limit 1 \"7\"") && facts.lines().count() == 2, "{facts}");
    assert!(std::fs::read_to_string(folder.path("shown.txt")).unwrap().contains("valid, "));
}
