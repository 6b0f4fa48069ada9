//! Names of traits, properties, events and spaces.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tablecast_tests::fuzzing::names(bytes));
