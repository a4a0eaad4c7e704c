//! See `tests/fuzz/record.rs`.

#![no_main]

#[path = "../../tests/fuzz/record.rs"]
mod record;

libfuzzer_sys::fuzz_target!(|data: &[u8]| record::decode_batch_v2(data));
