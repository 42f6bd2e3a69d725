//! See `lb::fuzzing::path`: what holds for every input.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lb::fuzzing::path(bytes));
