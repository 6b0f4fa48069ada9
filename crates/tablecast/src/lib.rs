#![doc = include_str!("../README.md")]

mod clock;
pub mod input;
mod pipeline;
mod registry;
mod rehearsal;
mod report;
mod retry;
mod timeout;
mod trace;
mod write;

pub use pipeline::{Options, Pipeline};
pub use registry::{check, check_with, connector, connectors, dialect, open, open_with};
pub use rehearsal::Rehearsal;
pub use report::{CommitReport, Report};
pub use retry::{Retry, RetryPolicy};
#[cfg(feature = "bigquery")]
pub use tablecast_bigquery as bigquery;
pub use tablecast_core as core;
pub use tablecast_core::{
    Catalog, Change, Commit, CommitId, Connector, Counts, Cut, Dialect, Draft, Error, ErrorKind, Finding, Ident, Only,
    Origin, Plan, Receipt, Result, Rules, Selection, Type, Uri, Warehouse,
};
#[cfg(feature = "redshift-wire")]
pub use tablecast_redshift as redshift;
#[cfg(feature = "sqlite")]
pub use tablecast_sqlite as sqlite;
pub use timeout::{Limits, Timeout};
pub use trace::Trace;
pub use write::{write, write_into};
