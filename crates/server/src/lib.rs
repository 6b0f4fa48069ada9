#![doc = include_str!("../README.md")]

pub mod emit;
pub mod ingest;
pub mod metrics;
pub mod spool;
