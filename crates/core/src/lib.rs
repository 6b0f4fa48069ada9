#![doc = include_str!("../README.md")]

mod cell;
mod column;
mod columns;
pub mod connector;
pub mod dialect;
pub mod discard;
pub mod draft;
mod envelope;
pub mod error;
mod event;
mod grow;
mod hash;
pub mod ident;
mod identities;
pub mod memory;
mod names;
pub mod ndjson;
pub mod origin;
mod pack;
pub mod plan;
mod planner;
mod route;
pub mod rules;
pub mod schema;
mod split;
pub mod sql;
mod table;
#[cfg(feature = "testing")]
pub mod testing;
pub mod time;
pub mod types;
pub mod warehouse;

pub use cell::{float_text, nearest_float};
pub use columns::data_type;
pub use connector::{BoxFuture, Connector, Finding, Secret, Uri};
pub use dialect::Dialect;
pub use draft::Draft;
pub use error::{Error, ErrorKind, Result};
pub use ident::Ident;
pub use origin::Origin;
pub use plan::{Commit, CommitId, Counts, Fold, Load, LoadColumn, Plan, Receipt};
pub use rules::{Cut, Only, Rules, Selection};
pub use schema::{Catalog, Change, LiveType, Table, TableKind};
pub use types::{Kind, Type};
pub use warehouse::Warehouse;
