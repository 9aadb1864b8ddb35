//! Real processes of the binary, their folders and what they say.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "not every test uses all of it")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Far more than anything here needs; a loaded machine is slow, not wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// For what nodes notice of each other: one whose timers are late, on a loaded machine, does not
/// trust its eyes and starts to look anew.
pub(crate) const PATIENCE_WITH_EYES: Duration = Duration::from_secs(120);

/// The binary, without what the environment would say to it.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_knhk-mesh"));
    let ours = |name: &str| name.starts_with("KNHK_MESH_") || name == "NOTIFY_SOCKET";
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command
}

/// Runs `line`, whose words are separated by blanks.
pub(crate) fn run(line: &str) -> Output {
    command().args(line.split_whitespace()).output().unwrap()
}

/// What `line` prints; it succeeds.
pub(crate) fn printed(line: &str) -> String {
    let output = run(line);
    assert_eq!(output.status.code(), Some(0), "{line}: {}", text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}

/// A file of this repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error}: {}", text(bytes)))
}

/// A folder of one test, gone with it; its path is short enough for a socket.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("knhk-{}-{n}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// A path inside, as text.
    pub(crate) fn at(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        std::fs::write(self.0.join(name), content).unwrap();
        self.at(name)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Waits until `done` gives something.
pub(crate) fn until<T>(what: &str, done: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, done)
}

/// Waits until `done` gives something, so long at most.
pub(crate) fn until_within<T>(
    patience: Duration,
    what: &str,
    mut done: impl FnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + patience;
    loop {
        if let Some(done) = done() {
            return done;
        }
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A node of its own process; killed when dropped.
pub(crate) struct Node {
    pub(crate) child: Child,
    pub(crate) data: PathBuf,
    pub(crate) address: String,
    log: Receiver<Value>,
}

impl Node {
    /// Starts `run` with a data folder and waits until it is ready.
    pub(crate) fn start(data: &Path, more: &[&str]) -> Node {
        Node::start_with(data, more, &mut command())
    }

    pub(crate) fn start_with(data: &Path, more: &[&str], command: &mut Command) -> Node {
        let mut args = vec!["run", "--log", "json", "--data-dir", data.to_str().unwrap()];
        if !more.contains(&"--bind") && !more.contains(&"-c") {
            args.extend(["--bind", "127.0.0.1:0"]);
        }
        args.extend(more);
        let command = command.args(args).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (said, log) = channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let object = serde_json::from_str(&line);
                let _ = said.send(object.unwrap_or_else(|_| panic!("no JSON: {line}")));
            }
        });
        let mut node = Node { child, data: data.into(), address: String::new(), log };
        let ready = node.log.recv_timeout(PATIENCE).unwrap();
        assert_eq!(ready["event"], "ready", "{ready}");
        node.address = ready["address"].as_str().unwrap().into();
        node
    }

    /// The next event of this name.
    pub(crate) fn logged(&self, event: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let next = self.log.recv_timeout(left);
            let next = next.unwrap_or_else(|_| panic!("never logged: {event}"));
            if next["event"] == event {
                return next;
            }
        }
    }

    /// A command against this node.
    pub(crate) fn ask(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = command();
        command.args(args).arg("--data-dir").arg(&self.data);
        command
    }

    /// A command that has to succeed; what it printed.
    pub(crate) fn tell(&self, args: &[&str]) -> String {
        let output = self.ask(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        json(self.tell(&[args, &["-o", "json"]].concat()).as_bytes())
    }

    /// The value of a key, as `get` prints it, without the newline.
    pub(crate) fn get(&self, key: &str) -> Option<String> {
        let output = self.ask(&["get", key]);
        match output.status.code() {
            Some(0) => Some(text(&output.stdout).trim_end_matches('\n').to_owned()),
            Some(5) => None,
            code => panic!("get {key}: {code:?} {}", text(&output.stderr)),
        }
    }

    /// Waits until `get` prints this.
    pub(crate) fn await_value(&self, key: &str, value: &str) {
        until(&format!("{key} = {value}"), || {
            (self.get(key).as_deref() == Some(value)).then_some(())
        });
    }

    pub(crate) fn await_members(&self, members: u64) {
        until(&format!("{members} members"), || {
            let status = self.json(&["status"]);
            (status["members"] == members && status["links"].as_u64() >= Some(members - 1))
                .then_some(())
        });
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Ends it without a warning.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn exit_code(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A raw connection to a node's control socket.
pub(crate) struct Wire(pub(crate) BufReader<std::os::unix::net::UnixStream>);

impl Wire {
    pub(crate) fn open(data: &Path) -> Wire {
        let stream = std::os::unix::net::UnixStream::connect(data.join("control.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Wire(BufReader::new(stream))
    }

    pub(crate) fn send(&mut self, line: &str) {
        use std::io::Write;
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// The next line; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| json(line.as_bytes()))
    }

    pub(crate) fn ask(&mut self, line: &str) -> Value {
        self.send(line);
        self.next().unwrap()
    }
}
