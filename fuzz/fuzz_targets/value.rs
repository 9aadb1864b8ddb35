//! Payloads of application records. The property stands in src/value.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| knhk_mesh_fuzz::value::run(input, &mut |_| ()));
