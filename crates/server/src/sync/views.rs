//! What page, API and command line are told of warehouses, sources and selection.

use super::unknown::Unknown;
use crate::config::{Item, ItemKind};
use crate::state::{Sync, Trouble};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A warehouse, and how it is doing in each space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarehouseView {
    /// Its name.
    pub name: String,
    /// Its address without secrets.
    pub uri: String,
    /// When its syncs begin, in words.
    pub schedule: String,
    /// One for each space.
    pub spaces: Vec<UnitView>,
}

/// What a warehouse is doing in a space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnitState {
    /// Up to date, or waiting for its time.
    #[default]
    Idle,
    /// At work.
    Running,
    /// The last sync failed; it is tried again at the time of `next`.
    Retrying,
}

/// A warehouse in a space: what was, what is, what comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitView {
    /// The warehouse.
    pub warehouse: String,
    /// The space.
    pub space: String,
    /// The schema: `personas_<space>`.
    pub schema: String,
    /// What it is doing.
    pub state: UnitState,
    /// When the next sync begins; none while the service does not run.
    pub next: Option<Timestamp>,
    /// Failures in a row.
    pub failures: u32,
    /// Why it is not up to date, if something is wrong.
    pub error: Option<Trouble>,
    /// The last sync that ran.
    pub last: Option<Sync>,
    /// Bytes of the spool that are not in the warehouse yet.
    pub behind_bytes: u64,
    /// When the first call was received that is not in the warehouse yet.
    pub behind_since: Option<Timestamp>,
    /// What was off, is on again and is not filled yet.
    pub to_fill: Vec<Item>,
}

/// A space, and where its calls come from and go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceView {
    /// The space.
    pub space: String,
    /// Its schemas, as warehouses have them: `personas_<space>`.
    pub schemas: Vec<String>,
    /// How many write keys lead to it.
    pub write_keys: usize,
    /// The warehouses that get it.
    pub warehouses: Vec<String>,
    /// Bytes in the spool.
    pub spool_bytes: u64,
    /// When the oldest call in the spool was received: how far back a backfill can reach.
    pub oldest: Option<Timestamp>,
}

/// Why something is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OffWhy {
    /// The configuration says so.
    Configuration,
    /// It was switched off by hand.
    Switch,
}

/// Something that is off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffItem {
    /// What it is.
    pub kind: ItemKind,
    /// Its name.
    pub name: String,
    /// Why it is off.
    pub by: OffWhy,
}

/// What is off for a warehouse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectionView {
    /// The warehouse.
    pub warehouse: String,
    /// What is off; everything else is on.
    pub off: Vec<OffItem>,
}

/// What is to be switched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelectRequest {
    /// One warehouse; without it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warehouse: Option<String>,
    /// What goes off.
    pub off: Vec<Item>,
    /// What comes on.
    pub on: Vec<Item>,
}

/// What came of switching.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selected {
    /// What is off now.
    pub selection: Vec<SelectionView>,
    /// Syncs that were asked for, because something came on: after each of them the gap is filled.
    pub syncs: Vec<i64>,
    /// What was named and is known to none of the warehouses: nothing may ever come by that name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<Unknown>,
}
