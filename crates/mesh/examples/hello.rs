//! Two nodes of one process find each other over QUIC and share a key.
//!
//! `cargo run -p knhk-mesh --example hello`
#![allow(clippy::print_stdout, reason = "an example talks to people")]

use knhk_mesh::{Mesh, Options};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ada = Mesh::join(Options::default()).await?;
    let seeds = vec![ada.local_addr()];
    let bob = Mesh::join(Options { seeds, ..Options::default() }).await?;

    let mut news = bob.watch("greeting").await?;
    ada.set("greeting", "hello from ada").await?;
    news.next().await.ok_or("the node stopped")??;

    let value = bob.get("greeting").await?.ok_or("absent")?;
    let (text, author) = (String::from_utf8_lossy(&value.value), value.author.short());
    println!("bob reads {text:?}, signed by {author}");

    bob.leave().await;
    ada.leave().await;
    Ok(())
}
