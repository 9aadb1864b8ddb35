//! Core has seven floors; a room uses only floors below its own. On the three lowest floors a few
//! rooms also stand on each other, and the table says which.

use crate::tree::Tree;
use crate::{Violation, found, holds};

struct Room {
    name: &'static str,
    floor: u8,
    /// Rooms of the same floor that it may use.
    beside: &'static [&'static str],
}

const fn room(name: &'static str, floor: u8) -> Room {
    Room { name, floor, beside: &[] }
}

const ROOMS: [Room; 26] = [
    room("error", 1),
    room("time", 1),
    room("rng", 1),
    Room { name: "codec", floor: 1, beside: &["error"] },
    room("hash", 1),
    Room { name: "digest", floor: 1, beside: &["rng", "codec", "error", "hash"] },
    room("identity", 2),
    Room { name: "config", floor: 2, beside: &["identity"] },
    Room { name: "telemetry", floor: 2, beside: &["identity"] },
    Room { name: "admission", floor: 3, beside: &["certified"] },
    room("certified", 3),
    room("frame", 3),
    room("peer_registry", 3),
    room("crdt", 4),
    room("topology", 4),
    room("partition", 4),
    room("routing", 4),
    room("links", 5),
    room("messages", 5),
    room("security", 5),
    room("gossip", 6),
    room("membership", 6),
    room("regional", 6),
    room("hierarchical", 6),
    room("node", 7),
    // The root holds constants and the list of rooms.
    room("lib", 8),
];

fn room_of(name: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| room.name == name)
}

impl Room {
    fn may_use(&self, other: &Room) -> bool {
        self.name == other.name || other.floor < self.floor || self.beside.contains(&other.name)
    }
}

/// `crates/core/src/gossip/eager.rs` is `["gossip", "eager"]`.
fn module_of(path: &str) -> Vec<&str> {
    let inside = path.strip_prefix("crates/core/src/").unwrap_or(path);
    let stem = inside.strip_suffix(".rs").unwrap_or(inside);
    stem.strip_suffix("/mod").unwrap_or(stem).split('/').collect()
}

/// The room that a path written in `module` leads to, if it leads to one.
fn target(module: &[&str], segments: &[String]) -> Option<&'static Room> {
    let (first, rest) = segments.split_first()?;
    match first.as_str() {
        "crate" => room_of(rest.first()?),
        "super" => {
            let ups = 1 + rest.iter().take_while(|segment| *segment == "super").count();
            // From inside an inline module the climb ends lower; then the name is no room.
            (ups == module.len()).then(|| room_of(rest.get(ups - 1)?)).flatten()
        }
        _ => None,
    }
}

fn rooms_look_down(tree: &Tree) -> Vec<Violation> {
    let mut out = Vec::new();
    for file in tree.shipped("crates/core/src/") {
        let module = module_of(&file.path);
        let Some(room) = room_of(module[0]) else {
            let say = format!("`{}` has no floor; give it one in tests/tidy/floors.rs", module[0]);
            out.push(Violation::new(&file.path, 1, say));
            continue;
        };
        for path in file.paths() {
            let Some(other) = target(&module, &path.segments) else { continue };
            if !room.may_use(other) {
                let say = format!(
                    "{} (floor {}) uses {} (floor {}); move what both need below, or pass it in",
                    room.name, room.floor, other.name, other.floor
                );
                out.push(Violation::new(&file.path, path.line, say));
            }
        }
    }
    out
}

#[test]
fn a_room_uses_only_floors_below() {
    holds(rooms_look_down);
    let files = [
        ("crates/core/src/lib.rs", "pub mod codec; pub mod crdt; pub mod gossip; pub mod oops;"),
        ("crates/core/src/codec.rs", "use crate::error::Refused;\nuse crate::time::Time;\n"),
        ("crates/core/src/crdt/mod.rs", "mod slots;\nuse crate::{codec, frame::Header};\n"),
        (
            "crates/core/src/crdt/slots.rs",
            "use super::View;\nuse super::super::gossip::Round;\nfn a() { crate::node::x() }\n\
             use crate::topology::T;\nuse crate::WIRE_VERSION;\nuse crate::crdt::Other;\n\
             #[cfg(test)]\nmod tests { use crate::node::Node; }\n",
        ),
        ("crates/core/src/gossip.rs", "use super::membership::M;\nuse crate::messages::Lane;\n"),
        ("crates/core/src/oops.rs", ""),
    ];
    assert_eq!(
        found(rooms_look_down, &files),
        [
            "crates/core/src/codec.rs:2",
            "crates/core/src/crdt/slots.rs:2",
            "crates/core/src/crdt/slots.rs:3",
            "crates/core/src/crdt/slots.rs:4",
            "crates/core/src/gossip.rs:1",
            "crates/core/src/oops.rs:1"
        ]
    );
}

#[test]
fn the_floors_have_no_way_round() {
    for room in &ROOMS {
        for name in room.beside {
            let other = room_of(name).expect("a room beside is a room");
            assert_eq!(room.floor, other.floor, "{name} is below {} anyway", room.name);
            assert!(!other.may_use(room), "{name} and {} use each other", room.name);
        }
    }
}
