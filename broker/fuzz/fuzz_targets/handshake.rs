//! See `broker::fuzzing::handshake`: what holds for every input.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| broker::fuzzing::handshake(bytes));
