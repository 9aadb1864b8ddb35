//! Shows every change of the keys under a prefix, as a node of a running mesh.
//!
//! `cargo run -p knhk-mesh --example watch -- 127.0.0.1:9000 task/`
#![allow(clippy::print_stdout, reason = "an example talks to people")]

use knhk_mesh::crdt::Family;
use knhk_mesh::{Change, Mesh, Options};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let seed = args.next().ok_or("usage: watch SEED_ADDRESS [PREFIX]")?.parse()?;
    let prefix = args.next().unwrap_or_default();

    let mesh = Mesh::join(Options { seeds: vec![seed], ..Options::default() }).await?;
    let mut watch = mesh.watch(&prefix).await?;
    println!("{} watches {prefix:?}", mesh.node_id().short());
    while let Some(item) = watch.next().await {
        match item {
            Ok(change) => println!("{}", describe(&mesh, &change).await?),
            Err(lagged) => println!("{lagged}"),
        }
    }
    Ok(())
}

/// A change says "read again": what stands there now.
async fn describe(mesh: &Mesh, change: &Change) -> Result<String, Box<dyn std::error::Error>> {
    let key = change.key.as_bytes();
    let name = String::from_utf8_lossy(key);
    Ok(match change.kind {
        Family::Lww => match mesh.get(key).await? {
            Some(found) => format!("{name} = {:?} by {}", found.value, found.author.short()),
            None => format!("{name} is gone"),
        },
        Family::Counter => format!("{name} counts {:?}", mesh.counter(key).await?),
        Family::Set => format!("{name} holds {:?}", mesh.members(key).await?),
        other => format!("{name} changed ({other:?})"),
    })
}
