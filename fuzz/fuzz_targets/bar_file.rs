//! Any bytes are read as a bar file, or refused, without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| springtide_io::fuzz_bar_file(data));
