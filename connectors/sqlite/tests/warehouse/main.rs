//! The SQLite connector against the warehouse's contract, on real files.

mod commit;
mod faults;
mod merge;
mod schema;
mod support;
mod trouble;
