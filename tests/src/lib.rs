//! What the tests of the whole share: plans as text, and what must hold for any input.

pub mod fuzzing;
pub mod render;
