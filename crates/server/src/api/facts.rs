//! What the API answers beyond the engine's own views. The command line reads it back.

use crate::config::Item;
use crate::state::Sync;
use crate::sync::{SelectionView, SourceView, WarehouseView};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What `GET /api/warehouses` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warehouses {
    /// Those of the configuration.
    pub warehouses: Vec<WarehouseView>,
}

/// What `GET /api/sources` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// Those of the configuration.
    pub sources: Vec<SourceFacts>,
    /// Write keys that came and that no source has, the latest first.
    pub unknown_keys: Vec<UnknownKeyFacts>,
}

/// A write key that no source has, without the key itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownKeyFacts {
    /// Tells it from another one; the log has it too.
    pub fingerprint: String,
    /// Requests that came with it since the service started.
    pub requests: u64,
    /// When the last one came.
    pub last: Timestamp,
}

/// A source: a space with the calls that were received for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFacts {
    /// Where its calls come from and go to.
    #[serde(flatten)]
    pub source: SourceView,
    /// Calls taken since the service started.
    pub events: u64,
    /// When the last call was received.
    pub newest: Option<Timestamp>,
}

/// What `GET /api/selection` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selections {
    /// Those of the configuration, or the one that was asked for.
    pub warehouses: Vec<SelectionFacts>,
}

/// What a warehouse gets and what not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectionFacts {
    /// What is off.
    #[serde(flatten)]
    pub selection: SelectionView,
    /// Tables, columns and computations that are known to the service, whether on or off.
    pub known: Vec<Item>,
}

/// Why a sync begins when it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The warehouse's schedule.
    Schedule,
    /// The last one failed.
    Retry,
}

/// A sync that is to come; one that was asked for is in the history already, as waiting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upcoming {
    /// The warehouse.
    pub warehouse: String,
    /// The space.
    pub space: String,
    /// The schema, which is the source's name.
    pub schema: String,
    /// When it begins.
    pub at: Timestamp,
    /// Why then.
    pub reason: Cause,
}

/// What `GET /api/syncs` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Past, running and waiting syncs, the newest first.
    pub syncs: Vec<Sync>,
    /// What is to come, the next one first.
    pub upcoming: Vec<Upcoming>,
    /// Give it as `before` for the next page; none if there is none.
    pub next: Option<i64>,
}

/// What asking for syncs and backfills answers: rows of the history to watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Their numbers, for `GET /api/syncs/{id}`.
    pub syncs: Vec<i64>,
}

/// The body of `POST /api/syncs`; without a warehouse all of them, without a space all of its spaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyncRequest {
    /// One warehouse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warehouse: Option<String>,
    /// One space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
}
