#![doc = include_str!("../README.md")]

pub mod cases;
pub mod dump;
pub mod faults;
pub mod generate;
pub mod harness;
pub mod laws;
pub mod load;
pub mod random;
pub mod room;
pub mod suite;

pub use dump::Dump;
pub use faults::{Call, Fault, Faults, How};
pub use harness::{Checked, Failed, Gap, Harness, Model, Opened, block_on};
pub use load::{Writer, counts, load};
pub use room::Room;
