//! Member records. The property stands in src/member.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| knhk_mesh_fuzz::member::run(input, &mut |_| ()));
