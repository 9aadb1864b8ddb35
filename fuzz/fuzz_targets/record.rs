//! Records. The property stands in src/record.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| knhk_mesh_fuzz::record::run(input, &mut |_| ()));
