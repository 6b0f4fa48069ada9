//! What API and page tell of warehouses, sources and what is to come. The command line reads it back.

use crate::config::{Item, ItemKind};
use crate::state::{Sync, Trouble};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a warehouse's task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// Nothing, until the next sync.
    Idle,
    /// A sync, a fill or a backfill.
    Running,
    /// It will begin what was asked for.
    Waiting,
    /// The last sync failed; it tries again later.
    BackingOff,
}

/// A warehouse. `GET /api/warehouses` answers `{"warehouses": […]}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarehouseFacts {
    /// Its name.
    pub name: String,
    /// Its address, without secrets.
    pub uri: String,
    /// `every 1 hour`, `at 0:00, 12:00 (Europe/Berlin)`.
    pub schedule: String,
    /// What stands in front of a space in the schema's name.
    pub schema_prefix: String,
    /// What it does now.
    pub state: Activity,
    /// Until when it waits, while it is backing off.
    pub until: Option<Timestamp>,
    /// Why, while it is backing off.
    pub error: Option<Trouble>,
    /// When its next sync begins.
    pub next: Option<Timestamp>,
    /// Its sources.
    pub spaces: Vec<SpaceFacts>,
}

/// How far a warehouse is in a space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpaceFacts {
    /// The space.
    pub space: String,
    /// The schema, which is the source's name.
    pub schema: String,
    /// Bytes of the spool that are not in the warehouse yet.
    pub behind_bytes: u64,
    /// How long ago the oldest of it was received; none if there is nothing.
    pub lag_seconds: Option<u64>,
    /// The last sync that ran.
    pub last: Option<Sync>,
}

/// Why a sync begins when it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The warehouse's schedule.
    Schedule,
    /// The last one failed.
    Retry,
    /// Somebody asked for it.
    Asked,
}

/// A sync that is to come.
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

/// A source: a space with the calls that were received for it. `GET /api/sources` answers `{"sources": […]}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFacts {
    /// The space.
    pub space: String,
    /// Its schema by the usual prefix: `personas_<space>`.
    pub schema: String,
    /// How many write keys lead to it.
    pub write_keys: u64,
    /// Calls accepted since the service started.
    pub events: u64,
    /// Bytes that the spool keeps.
    pub spool_bytes: u64,
    /// Everything before is on disk; a place in the spool.
    pub end: u64,
    /// When the last call was received.
    pub last_event: Option<Timestamp>,
}

/// Who switched something off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The configuration; only there can it be switched on again.
    Config,
    /// `tablecast select`, the page or the API.
    Switch,
}

/// Something that is off. As JSON: `{"kind": "table", "name": "tracks", "by": "switch"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffItem {
    /// What kind of thing.
    pub kind: ItemKind,
    /// Its name.
    pub name: String,
    /// Who switched it off.
    pub by: By,
}

/// What a warehouse gets and what not. `GET /api/selection` answers `{"warehouses": […]}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectionFacts {
    /// The warehouse.
    pub warehouse: String,
    /// What is off.
    pub off: Vec<OffItem>,
    /// Tables, columns and computations that are known to the service, whether on or off.
    pub known: Vec<Item>,
}

/// What `GET /api/syncs` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Past and running syncs, the newest first.
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

/// The body of `POST /api/selection`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwitchRequest {
    /// The warehouse.
    pub warehouse: String,
    /// What goes off.
    #[serde(default)]
    pub off: Vec<Item>,
    /// What comes on again.
    #[serde(default)]
    pub on: Vec<Item>,
}
