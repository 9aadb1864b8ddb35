//! Any sequence of reads over any bytes. The property stands in src/codec_reader.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| knhk_mesh_fuzz::codec_reader::run(input, &mut |_| ()));
