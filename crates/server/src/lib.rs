#![doc = include_str!("../README.md")]

pub mod config;
pub mod state;

pub use config::Config;
pub use state::State;
