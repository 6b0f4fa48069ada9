//! Syncs through a real spool and the real SQLite connector, with a clock that tests move.

mod backfill;
mod basics;
mod keeping;
mod laws;
mod schedule;
mod selection;
mod support;
