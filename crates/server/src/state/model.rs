//! The history as it is shown: types for the API, the page and the command line.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tablecast::Error;

/// What a sync was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// What is new, by schedule or on demand.
    Sync,
    /// What a table, column or computation missed while it was off.
    Fill,
    /// What an operator asked to load again.
    Backfill,
}

/// How far a sync is, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Asked for; begins when the warehouse's task comes to it.
    Waiting,
    /// At work.
    Running,
    /// Everything loaded without a notice, or nothing was there to load.
    Success,
    /// Rows loaded, and notices.
    Partial,
    /// Nothing loaded, and an error. The next sync takes up what is left.
    Failure,
    /// The sync before was still running.
    Skipped,
}

macro_rules! text_of {
    ($of:ident { $($value:ident = $text:literal),+ }) => {
        impl $of {
            /// Its name in JSON and in the state.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($of::$value => $text,)+
                }
            }

            pub(super) fn parse(text: &str) -> Option<$of> {
                [$($of::$value),+].into_iter().find(|value| value.as_str() == text)
            }
        }

        impl std::fmt::Display for $of {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

text_of!(Kind { Sync = "sync", Fill = "fill", Backfill = "backfill" });
text_of!(Status {
    Waiting = "waiting",
    Running = "running",
    Success = "success",
    Partial = "partial",
    Failure = "failure",
    Skipped = "skipped"
});

impl Status {
    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        !matches!(self, Status::Waiting | Status::Running)
    }
}

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good to know; a sync with nothing else is a success.
    Info,
    /// Something is not as it could be: the sync is partial.
    Warning,
    /// What went wrong.
    Error,
}

/// What an operator should know of a sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// How much it matters.
    pub level: Level,
    /// The table that it is about, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// What, and what to do.
    pub message: String,
}

impl Notice {
    /// Good to know.
    pub fn info(message: impl Into<String>) -> Self {
        Notice { level: Level::Info, table: None, message: message.into() }
    }

    /// Something is not as it could be.
    pub fn warning(message: impl Into<String>) -> Self {
        Notice { level: Level::Warning, table: None, message: message.into() }
    }
}

/// An error that ended a sync, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What went wrong; no values, no secrets.
    pub what: String,
    /// What to do.
    pub to_do: String,
}

impl From<&Error> for Trouble {
    fn from(error: &Error) -> Self {
        Trouble { what: error.to_string(), to_do: error.remedy().to_owned() }
    }
}

/// How much of its part of the spool a sync has done, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Done.
    pub done: u64,
    /// In all.
    pub total: u64,
}

/// What a backfill was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackfillRequest {
    /// The warehouse.
    pub warehouse: String,
    /// One space only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
    /// Only calls received at or after this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Only calls received before this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// These tables only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
    /// These columns only, as `table.column` or `*.column`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
}

/// How the rows of one table came out; `received = loaded + duplicates + filtered + discarded`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCounts {
    /// The table.
    pub name: String,
    /// Rows that the calls asked for; for a merge table one for each key of a commit.
    pub received: u64,
    /// Rows that are in the table because of this sync.
    pub loaded: u64,
    /// Rows that were there already.
    pub duplicates: u64,
    /// Rows that selection or routing kept out.
    pub filtered: u64,
    /// Rows that are in `_discards` instead.
    pub discarded: u64,
}

/// Why values and calls were discarded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonCount {
    /// The table that they were meant for; empty for lines that are no calls.
    pub table: String,
    /// The reason, as in `_discards`.
    pub reason: String,
    /// How many.
    pub discards: u64,
}

/// One row of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync {
    /// Its number, ascending.
    pub id: i64,
    /// The warehouse's name.
    pub warehouse: String,
    /// The space.
    pub space: String,
    /// The schema, which is the source's name: `personas_<space>`.
    pub schema: String,
    /// What it was for.
    pub kind: Kind,
    /// How far it is, or how it ended.
    pub status: Status,
    /// When it began; while it waits, when it was asked for.
    pub start: Timestamp,
    /// When it ended.
    pub end: Option<Timestamp>,
    /// Opening the warehouse, describing it and making the first plan, in ms.
    pub preparation_ms: Option<i64>,
    /// Everything after, in ms.
    pub loading_ms: Option<i64>,
    /// Rows loaded, in all tables but Tablecast's own.
    pub rows: u64,
    /// Rows of `_discards`.
    pub discards: u64,
    /// Notices; the detail has them.
    pub notices: u64,
    /// How much is done.
    pub progress: Option<Progress>,
    /// When the next sync of the warehouse and the space was to begin, as this one ended.
    pub next: Option<Timestamp>,
    /// What ended it before its time.
    pub error: Option<Trouble>,
    /// What a backfill was asked for.
    pub request: Option<BackfillRequest>,
}

/// One row of the history with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncDetail {
    /// The row.
    #[serde(flatten)]
    pub sync: Sync,
    /// Its tables; those of Tablecast's own too.
    pub tables: Vec<TableCounts>,
    /// Discards by reason and table.
    #[serde(default)]
    pub reasons: Vec<ReasonCount>,
    /// Steps of the schema that were made, as text: `add column users.plan text`.
    pub changes: Vec<String>,
    /// What an operator should know.
    #[serde(rename = "notice_list")]
    pub notices: Vec<Notice>,
}
