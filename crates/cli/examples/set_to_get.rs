//! How long from `set` at one node until `get` at another shows it: two processes of `run` over
//! QUIC, data folders on disk, asked over their control sockets.
//!
//! ```text
//! cargo build --release -p knhk-mesh-cli
//! cargo run --release -p knhk-mesh-cli --example set_to_get -- target/release/knhk-mesh
//! ```
#![allow(clippy::print_stdout, reason = "it prints its result")]

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

const TRIES: usize = 100;

struct Node {
    child: Child,
    address: String,
    /// Held open: the node goes on telling its events.
    _log: BufReader<ChildStderr>,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(binary: &str, folder: &Path, seeds: &str) -> Result<Node, Box<dyn Error>> {
    let mut command = Command::new(binary);
    command.args(["run", "--bind", "127.0.0.1:0", "--log", "json", "--data-dir"]).arg(folder);
    let mut child = command.args(["--seeds", seeds]).stderr(Stdio::piped()).spawn()?;
    let mut log = BufReader::new(child.stderr.take().ok_or("no standard error")?);
    let mut line = String::new();
    log.read_line(&mut line)?;
    let ready: serde_json::Value = serde_json::from_str(&line)?;
    let address = ready["address"].as_str().ok_or(line)?.to_owned();
    Ok(Node { child, address, _log: log })
}

struct Socket(BufReader<UnixStream>);

impl Socket {
    fn ask(&mut self, line: &str) -> Result<serde_json::Value, Box<dyn Error>> {
        self.0.get_mut().write_all(line.as_bytes())?;
        let mut answer = String::new();
        self.0.read_line(&mut answer)?;
        Ok(serde_json::from_str(&answer)?)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let binary = std::env::args().nth(1).ok_or("name the binary knhk-mesh")?;
    let folder = std::env::temp_dir().join(format!("knhk-latency-{}", std::process::id()));
    let (a, b) = (folder.join("a"), folder.join("b"));
    let first = start(&binary, &a, "")?;
    let _second = start(&binary, &b, &first.address)?;
    let open = |folder: &Path| {
        UnixStream::connect(folder.join("control.sock"))
            .map(|stream| Socket(BufReader::new(stream)))
    };
    let (mut writer, mut reader) = (open(&a)?, open(&b)?);
    while reader.ask("{\"v\":1,\"op\":\"status\"}\n")?["ok"]["members"] != 2 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut times = Vec::with_capacity(TRIES);
    for i in 0..TRIES {
        let begin = Instant::now();
        let wanted = i.to_string();
        let set = format!("{{\"v\":1,\"op\":\"set\",\"key\":\"k\",\"value\":\"{wanted}\"}}\n");
        assert!(writer.ask(&set)?["ok"]["seq"].is_u64(), "the write is acknowledged");
        while reader.ask("{\"v\":1,\"op\":\"get\",\"key\":\"k\"}\n")?["ok"]["value"]
            != wanted.as_str()
        {}
        times.push(begin.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    }
    times.sort_unstable();
    let ms = |rank: usize| times[rank - 1].as_secs_f64() * 1_000.0;
    println!(
        "set to get at another process, {TRIES} tries: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
        ms(TRIES / 2),
        ms(TRIES * 99 / 100),
        ms(TRIES)
    );
    let _ = std::fs::remove_dir_all(folder);
    Ok(())
}
