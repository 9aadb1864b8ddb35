//! Control messages. The property stands in src/message.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| knhk_mesh_fuzz::message::run(input, &mut |_| ()));
