//! Any bytes are read as bars, or refused, without a panic, and alike in parts and in one.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| springtide_io::fuzz_csv(data));
