//! The arrows between the crates: cli -> mesh -> core <- sim <- cli, and nothing else.

use crate::source::Source;
use crate::tree::Tree;
use crate::{Violation, found, holds};

/// Each crate's folder, and the crates of this repository that it may depend on.
const ARROWS: [(&str, &[&str]); 4] = [
    ("core", &[]),
    ("mesh", &["knhk-mesh-core"]),
    ("sim", &["knhk-mesh-core"]),
    ("cli", &["knhk-mesh", "knhk-mesh-sim"]),
];
/// Crates with sockets, threads or the system's randomness: none is for core.
const NOT_IN_CORE: [&str; 9] =
    ["tokio", "mio", "quinn", "rustls", "socket2", "rand", "getrandom", "rayon", "redb"];

/// The dependencies of a manifest: name, line, and whether only tests see it.
fn dependencies(manifest: &Source) -> Vec<(&str, usize, bool)> {
    let mut out = Vec::new();
    let (mut inside, mut dev) = (false, false);
    for (line, text) in manifest.lines() {
        let text = text.trim();
        if let Some(section) = text.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            dev = section.contains("dev-dependencies");
            inside = section.ends_with("dependencies");
            if let Some((_, name)) = section.split_once("dependencies.") {
                out.push((name.trim_matches('"'), line, dev));
            }
        } else if inside && !text.starts_with('#') && text.contains('=') {
            let name = text.split(['.', '=', ' ']).next().unwrap_or_default();
            out.push((name.trim_matches('"'), line, dev));
        }
    }
    out
}

fn arrows_point_one_way(tree: &Tree) -> Vec<Violation> {
    let mut out = Vec::new();
    let manifests = tree.files.iter().filter(|file| file.path.ends_with("/Cargo.toml"));
    for manifest in manifests.filter(|file| file.path.starts_with("crates/")) {
        let folder = manifest.path.split('/').nth(1).unwrap_or_default();
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == folder) else {
            let say = format!("`{folder}` has no arrows; name them in tests/tidy/crates.rs");
            out.push(Violation::new(&manifest.path, 1, say));
            continue;
        };
        for (name, line, dev) in dependencies(manifest) {
            if name.starts_with("knhk-mesh") && !allowed.contains(&name) {
                let say = format!("{folder} depends on {name}; it may only on {allowed:?}");
                out.push(Violation::new(&manifest.path, line, say));
            }
            if folder == "core" && !dev && NOT_IN_CORE.contains(&name) {
                let say = format!("{name} in core; it belongs in the shell (crates/mesh)");
                out.push(Violation::new(&manifest.path, line, say));
            }
        }
    }
    out
}

#[test]
fn crates_depend_in_one_direction() {
    holds(arrows_point_one_way);
    let files = [
        (
            "crates/core/Cargo.toml",
            "[dependencies]\nbytes.workspace = true\n# tokio = 1\ntokio = \"1\"\n\n\
             [dev-dependencies]\nrand = \"1\"\nknhk-mesh-sim = { path = \"../sim\" }\n",
        ),
        ("crates/mesh/Cargo.toml", "[dependencies.knhk-mesh-core]\npath = \"../core\"\n"),
        ("crates/sim/Cargo.toml", "[target.'cfg(unix)'.dependencies.knhk-mesh]\npath = \"\"\n"),
        ("crates/cli/Cargo.toml", "[dependencies]\nknhk-mesh-core.workspace = true\n"),
        ("crates/fifth/Cargo.toml", "[package]\nname = \"fifth\"\n"),
    ];
    assert_eq!(
        found(arrows_point_one_way, &files),
        [
            "crates/cli/Cargo.toml:2",
            "crates/core/Cargo.toml:4",
            "crates/core/Cargo.toml:8",
            "crates/fifth/Cargo.toml:1",
            "crates/sim/Cargo.toml:1"
        ]
    );
}
