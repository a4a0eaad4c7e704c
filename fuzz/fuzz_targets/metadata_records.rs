//! See `tests/fuzz/controller.rs`.

#![no_main]

#[path = "../../tests/fuzz/controller.rs"]
mod controller;

libfuzzer_sys::fuzz_target!(|data: &[u8]| controller::metadata_records(data));
