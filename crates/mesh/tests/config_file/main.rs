//! Configurations from outside: what is refused and how it is told, what is accepted, and that
//! changing a key changes what it is for.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod accepted;
mod broken;
mod documented;
mod effects;
mod layers;

use knhk_mesh::config_file::{self, Diagnostics, Effective};

fn parse(text: &str) -> Result<Effective, Diagnostics> {
    config_file::parse("mesh.yaml", text, &[], [])
}

#[track_caller]
fn right(text: &str) -> Effective {
    parse(text).unwrap_or_else(|refused| panic!("{refused}"))
}

#[track_caller]
fn wrong(text: &str) -> Diagnostics {
    parse(text).err().unwrap_or_else(|| panic!("accepted:\n{text}"))
}

/// The file of a topology, as the specification wrote it.
fn specification(name: &str) -> String {
    let path = format!("{}/../../deploy/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}
