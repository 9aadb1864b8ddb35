//! What each fuzz target does with its input, as plain functions: the engine calls them with what
//! it makes up, a test with the seeds, and both count which `Ok` paths were reached.
//!
//! ```text
//!   fuzz_targets/<name>.rs --+--> <name>::run(input, reached)   asserts properties
//!   examples/seeds.rs -------+                    `--> names out of <name>::PATHS
//! ```

/// Batches come from their file: the crate around them would bring QUIC and the runtime with it.
#[path = "../../crates/mesh/src/transport/batch.rs"]
#[allow(dead_code, reason = "the target decodes; the rest is for those who send")]
pub mod batch_format;

pub mod admission;
pub mod batch;
pub mod codec_reader;
pub mod forge;
pub mod host;
pub mod member;
pub mod message;
pub mod node;
pub mod plan;
pub mod ranges;
pub mod record;
pub mod signed;
pub mod value;

/// Hears the name of each `Ok` path that an input reached.
pub type Reached<'a> = &'a mut dyn FnMut(&'static str);

/// A target: its name, its function, and the paths that its seeds must reach.
pub type Target = (&'static str, fn(&[u8], Reached<'_>), &'static [&'static str]);

/// Every target.
pub const TARGETS: [Target; 10] = [
    ("codec_reader", codec_reader::run, &codec_reader::PATHS),
    ("signed", signed::run, &signed::PATHS),
    ("message", message::run, &message::PATHS),
    ("record", record::run, &record::PATHS),
    ("value", value::run, &value::PATHS),
    ("member", member::run, &member::PATHS),
    ("admission", admission::run, &admission::PATHS),
    ("batch", batch::run, &batch::PATHS),
    ("node", node::run, &node::PATHS),
    ("ranges", ranges::run, &ranges::PATHS),
];
