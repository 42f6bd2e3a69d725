//! See `registrar::fuzzing::query`: what holds for every input.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| registrar::fuzzing::query(bytes));
