//! What admits and denies. The property stands in src/admission.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| knhk_mesh_fuzz::admission::run(input, &mut |_| ()));
