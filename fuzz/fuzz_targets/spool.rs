//! The service's spool: what disks do to its bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tablecast_server::spool::fuzz(bytes));
