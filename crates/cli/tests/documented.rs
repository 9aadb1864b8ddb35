//! Every command that README.md and docs/ show in a block runs as it stands there. A document is
//! gone through from top to bottom, so that a node that an early line starts answers a later one.
//! A command without a row in [`OTHERWISE`] has to end by itself, with exit code 0.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use common::{Folder, command, repository, text};

/// How a command ends that does not end by itself with exit code 0.
#[derive(Clone, Copy)]
enum How {
    /// Stays up while the rest of the document runs; it is up when it has said this.
    StaysUp(&'static str),
    /// Not run, for this reason.
    NotHere(&'static str),
}

/// By the words that a command begins with.
const OTHERWISE: [(&str, How); 3] = [
    ("run", How::StaysUp(" ready ")),
    ("dev --agents 10", How::StaysUp("Ctrl-C ends it")),
    ("sim", How::NotHere("the tests of the simulator run it; a million nodes take minutes")),
];

/// What a node that was just started may need until it answers.
const PATIENCE: Duration = Duration::from_secs(10);

/// The commands in the blocks of `document`, without the name of the program.
fn commands(document: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in document.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside {
            found.extend(as_command(line));
        }
    }
    found
}

fn as_command(line: &str) -> Option<String> {
    let line = line.trim().trim_start_matches("$ ");
    let line = line.split(" #").next().unwrap_or_default().trim();
    let words = match line.strip_prefix("cargo run ") {
        Some(cargo) if !cargo.contains("--example") => cargo.split_once("-- ")?.1,
        Some(_) => return None,
        None => line.strip_prefix("knhk-mesh ")?,
    };
    Some(words.to_owned())
}

fn otherwise(words: &str) -> Option<How> {
    let begins = |start: &str| {
        words.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    OTHERWISE.iter().find(|(start, _)| begins(start)).map(|(_, how)| *how)
}

/// `words` as a shell would run them, with the binary under its name.
fn shell(words: &str, folder: &Folder) -> Command {
    let mut shell = Command::new("sh");
    let environment: Vec<_> = command().get_envs().map(|(name, _)| name.to_owned()).collect();
    for name in environment {
        shell.env_remove(name);
    }
    let line = format!("exec '{}' {words}", env!("CARGO_BIN_EXE_knhk-mesh"));
    // A swarm that somebody else runs here is none of the document's.
    shell.env("XDG_RUNTIME_DIR", &folder.0);
    shell.arg("-c").arg(line).current_dir(&folder.0);
    shell
}

/// The processes that stay up; stopped in the end, whatever happens.
#[derive(Default)]
struct Up(Vec<Child>);

impl Up {
    fn start(&mut self, words: &str, folder: &Folder, says: &str) {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut starting = shell(words, folder);
        starting.stdout(writer.try_clone().unwrap()).stderr(writer);
        self.0.push(starting.spawn().unwrap());
        drop(starting);
        let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains(says)), "`{words}` never said {says:?}");
        // Goes on reading, so that the process is not ended by a reader that went away.
        std::thread::spawn(move || lines.for_each(drop));
    }

    fn stop(&mut self) {
        for mut child in self.0.drain(..) {
            let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
            let code = child.wait().unwrap().code();
            assert!(matches!(code, Some(0 | 130)), "interrupted, it ended with {code:?}");
        }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|child| drop(child.kill()));
    }
}

fn ended(words: &str, folder: &Folder, up: &Up) -> Output {
    let begin = Instant::now();
    loop {
        let output = shell(words, folder).output().unwrap();
        if output.status.success() || up.0.is_empty() || begin.elapsed() > PATIENCE {
            return output;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn run_document(name: &str, document: &str) {
    let folder = Folder::new();
    for inside in ["deploy", "crates"] {
        let target = repository().canonicalize().unwrap().join(inside);
        std::os::unix::fs::symlink(target, folder.0.join(inside)).unwrap();
    }
    let mut up = Up::default();
    // Two ports that nobody has now stand for those of the text.
    let sockets = [0, 1].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
    let [first, second] = sockets.each_ref().map(|socket| socket.local_addr().unwrap().to_string());
    drop(sockets);
    for words in commands(document) {
        let words = words.replace("127.0.0.1:9000", &first).replace("127.0.0.1:9001", &second);
        match otherwise(&words) {
            Some(How::NotHere(reason)) => assert!(!reason.is_empty()),
            Some(How::StaysUp(says)) => up.start(&words, &folder, says),
            None => {
                let output = ended(&words, &folder, &up);
                let told = text(&output.stderr);
                assert!(output.status.success(), "{name}: `knhk-mesh {words}` failed: {told}");
            }
        }
    }
    up.stop();
}

fn documents() -> Vec<(String, String)> {
    let mut paths = vec![repository().join("README.md")];
    let docs = std::fs::read_dir(repository().join("docs")).unwrap();
    paths.extend(docs.map(|entry| entry.unwrap().path()));
    // Its examples continue those of README.md; tests/docs.rs runs both and compares the output.
    paths.retain(|path| !path.ends_with("CLI.md"));
    paths.retain(|path| path.extension().is_some_and(|end| end == "md"));
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path).unwrap())
    };
    paths.iter().map(read).collect()
}

#[test]
fn every_documented_command_works() {
    for (name, document) in documents() {
        run_document(&name, &document);
    }
}

#[test]
fn every_exception_is_still_documented() {
    let all: Vec<String> = documents().iter().flat_map(|(_, text)| commands(text)).collect();
    assert!(all.len() > 5, "the blocks are no longer understood");
    for (start, _) in OTHERWISE {
        assert!(all.iter().any(|words| words.starts_with(start)), "no document shows `{start}`");
    }
}

#[test]
fn commands_are_told_from_output_and_comments() {
    let document = "knhk-mesh outside\n```sh\n$ knhk-mesh get k    # a value\nother knhk-mesh\n\
                    cargo run --release -- dev\ncargo run --example hello\n```\n";
    assert_eq!(commands(document), ["get k", "dev"]);
}
