//! The emulator as its clients see it: `psql`, `tokio-postgres` and boto3 against the real binary.

mod copy;
mod data;
mod dialect;
mod faults;
mod session;
mod support;
