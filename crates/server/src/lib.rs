#![doc = include_str!("../README.md")]

pub mod api;
pub mod config;
pub mod state;
pub mod web;

pub use config::Config;
pub use state::State;
