//! Where calls come from: files and streams of NDJSON (feature `files`), Arrow batches (feature `arrow`).

#[cfg(feature = "arrow")]
mod arrow;
#[cfg(feature = "files")]
mod file;
#[cfg(feature = "files")]
mod lines;
#[cfg(feature = "files")]
mod load;

#[cfg(feature = "arrow")]
pub(crate) use arrow::json_lines;
#[cfg(feature = "arrow")]
pub use arrow::push_batch;
#[cfg(feature = "files")]
pub use file::Input;
#[cfg(feature = "files")]
pub use lines::{Line, Lines};
#[cfg(feature = "files")]
pub use load::{Ended, Loader, Position, Progress};
