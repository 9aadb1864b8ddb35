//! Reconciliation over a channel that alters messages. The property stands in src/ranges.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| knhk_mesh_fuzz::ranges::run(input, &mut |_| ()));
