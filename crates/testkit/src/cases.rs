//! The cases of the suite, by subject. The list of their names is in [`every_case`](crate::every_case).
//!
//! Each is played on the model and on the warehouse that is tested; what it expects is written out, so that
//! the model cannot be wrong alone.

pub mod calls;
pub mod lines;
pub mod merge;
pub mod names;
pub mod once;
pub mod selection;
pub mod values;

use crate::generate::Call;

/// An identify of `u1` at a second, with one or more traits.
fn at(id: &str, second: i64, traits: &str) -> String {
    Call::identify(id, "u1").at(second).traits(traits).line()
}
