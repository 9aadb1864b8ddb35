//! A node under any sequence of inputs. The property stands in src/node.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| knhk_mesh_fuzz::node::run(input, &mut |_| ()));
