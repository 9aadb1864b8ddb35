//! Batches of messages. The property stands in src/batch.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| knhk_mesh_fuzz::batch::run(input, &mut |_| ()));
