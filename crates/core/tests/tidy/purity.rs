//! Core is a pure state machine: time, randomness and bytes come in as arguments.

use crate::tree::Tree;
use crate::{Violation, found, holds};

/// Segments that no path of core may contain in this order, and what to do instead.
const IMPURE: [(&[&str], &str); 15] = [
    (&["Instant"], "take `Now` as an argument"),
    (&["SystemTime"], "take `Now` as an argument"),
    (&["std", "thread"], "core has no threads; return a job that any thread may run"),
    (&["thread_rng"], "draw from the seeded `rng`"),
    (&["rand", ANY], "draw from the seeded `rng`"),
    (&["getrandom", ANY], "draw from the seeded `rng`"),
    (&["OsRng"], "draw from the seeded `rng`"),
    (&["RandomState"], "hash with foldhash and a fixed seed"),
    (&["tokio", ANY], "send through the sink; the shell is asynchronous, core is not"),
    (&["std", "collections", "HashMap"], "use hashbrown with foldhash and a fixed seed"),
    (&["std", "collections", "HashSet"], "use hashbrown with foldhash and a fixed seed"),
    (&["std", "collections", "hash_map"], "use hashbrown with foldhash and a fixed seed"),
    (&["std", "fs"], "persist through the sink"),
    (&["std", "env"], "take it from the configuration"),
    (&["std", "process"], "core starts and ends nothing"),
];
/// Any segment: the word alone may be a name of our own.
const ANY: &str = "_";
/// What of `std::net` is data only.
const ADDRESSES: [&str; 6] =
    ["SocketAddr", "SocketAddrV4", "SocketAddrV6", "IpAddr", "Ipv4Addr", "Ipv6Addr"];

fn core_is_pure(tree: &Tree) -> Vec<Violation> {
    let mut out = Vec::new();
    for file in tree.shipped("crates/core/src/") {
        for path in file.paths() {
            let same = |(segment, word): (&String, &&str)| *word == ANY || segment == word;
            let has = |words: &[&str]| {
                path.segments.windows(words.len()).any(|w| w.iter().zip(words).all(same))
            };
            let socket = path
                .segments
                .windows(3)
                .any(|w| w[0] == "std" && w[1] == "net" && !ADDRESSES.contains(&w[2].as_str()));
            let impure = IMPURE.iter().find(|(words, _)| has(words)).map(|(_, instead)| *instead);
            if let Some(instead) = impure.or(socket.then_some("send through the sink")) {
                let say = format!("`{}` in core; {instead}", path.segments.join("::"));
                out.push(Violation::new(&file.path, path.line, say));
            }
        }
    }
    out
}

#[test]
fn core_calls_no_clock_thread_socket_or_randomness() {
    holds(core_is_pure);
    let code = "use std::{collections::{BTreeMap, HashMap}, net::SocketAddr};\n\
                fn a() { let t = std::time::Instant::now(); }\n\
                use std::net::UdpSocket;\n\
                fn b() { std::thread::spawn(c); rand::random() }\n\
                // std::fs::read\n\
                #[cfg(test)]\nmod tests { use std::fs; }\n\
                fn d() { tokio::spawn(e); }\n\
                fn operand(rng: crate::rng::Rng, instant: u64) { let rand = 1; }\n\
                use std::net::*;\n";
    let files = [
        ("crates/core/src/lib.rs", "mod a;\n#[cfg(test)]\nmod b;\n"),
        ("crates/core/src/a.rs", code),
        ("crates/core/src/b.rs", code),
        ("crates/mesh/src/lib.rs", code),
    ];
    let lines = [1, 2, 3, 4, 4, 8, 10].map(|line| format!("crates/core/src/a.rs:{line}"));
    assert_eq!(found(core_is_pure, &files), lines);
}
