//! See `tests/fuzz/disk.rs`.

#![no_main]

#[path = "../../tests/fuzz/disk.rs"]
mod disk;

libfuzzer_sys::fuzz_target!(|data: &[u8]| disk::marks(data));
