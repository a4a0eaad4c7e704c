//! See `tests/fuzz/timer.rs`.

#![no_main]

#[path = "../../tests/fuzz/timer.rs"]
mod timer;

libfuzzer_sys::fuzz_target!(|data: &[u8]| timer::timing_wheel(data));
