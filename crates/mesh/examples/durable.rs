//! Writes keys and a counter in a loop and prints each write that was acknowledged. Kill it in any
//! way and start it again with the same folder: everything it printed is there.
//!
//! `cargo run -p knhk-mesh --example durable -- --data-dir ./node [--seed ADDR] [--bind ADDR]`
#![allow(clippy::print_stdout, reason = "an example talks to people")]

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use knhk_mesh::{Mesh, Options};

/// Keys that are written in turn: later values overwrite earlier ones.
const KEYS: u64 = 50;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut options = Options::default();
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--data-dir" => options.data_dir = Some(PathBuf::from(value)),
            "--seed" => options.seeds.push(value.parse::<SocketAddr>()?),
            "--bind" => options.bind = value.parse()?,
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    write_for_ever(options).await
}

/// One line for each acknowledged write: `set KEY VALUE` and `incr TOTAL`.
pub(crate) async fn write_for_ever(options: Options) -> Result<(), Box<dyn Error>> {
    let mesh = Mesh::join(options).await?;
    say(&format!("node {} {}", mesh.node_id(), mesh.local_addr()))?;
    let mut total = mesh.counter("total").await?.unwrap_or(0);
    for number in 0u64.. {
        let key = format!("key/{}", number % KEYS);
        mesh.set(&key, number.to_string()).await?;
        say(&format!("set {key} {number}"))?;
        mesh.incr("total", 1).await?;
        total += 1;
        say(&format!("incr {total}"))?;
    }
    Ok(())
}

/// The line is out before the next write begins: who reads it may kill this process at once.
fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
