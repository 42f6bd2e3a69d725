//! See `registrar::fuzzing::filter`: what holds for every input.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| registrar::fuzzing::filter(bytes));
