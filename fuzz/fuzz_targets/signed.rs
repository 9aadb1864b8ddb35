//! Signed messages: read, then verified. The property stands in src/signed.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| knhk_mesh_fuzz::signed::run(input, &mut |_| ()));
