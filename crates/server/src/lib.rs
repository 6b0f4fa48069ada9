#![doc = include_str!("../README.md")]

pub mod api;
pub mod config;
pub mod emit;
pub mod ingest;
pub mod metrics;
pub mod service;
pub mod spool;
pub mod state;
pub mod sync;
pub mod web;

pub use config::Config;
pub use service::Service;
pub use state::State;
pub use sync::{Control, Engine};
