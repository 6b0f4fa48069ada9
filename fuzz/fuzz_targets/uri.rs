//! Addresses of warehouses.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tablecast_tests::fuzzing::uri(bytes));
