//! See `tests/fuzz/open.rs`.

#![no_main]

#[path = "../../tests/fuzz/open.rs"]
mod open;

libfuzzer_sys::fuzz_target!(|data: &[u8]| open::open_dir(data));
