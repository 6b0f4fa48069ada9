//! What found no column, kept with the reason: rows of `_discards`.

use crate::hash::hash_parts;
use crate::types::Type;
use sha2::{Digest, Sha256};
use std::fmt;

/// The longest value that is kept whole, in bytes; of a longer one the beginning, its length and its SHA-256.
pub const KEPT_BYTES: usize = 60_000;

/// The table that discards go to.
pub const TABLE: &str = "_discards";

/// The columns of `_discards`, in order.
pub const COLUMNS: [(&str, Type); 10] = [
    ("id", Type::Text),
    ("commit_id", Type::Text),
    ("table_name", Type::Text),
    ("event_id", Type::Text),
    ("column_name", Type::Text),
    ("value", Type::Text),
    ("bytes", Type::Int),
    ("sha256", Type::Text),
    ("reason", Type::Text),
    ("received_at", Type::Timestamp),
];

/// Why a value or a call was discarded; the documented ingest codes where one fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the codes say it; docs/tables.md explains each")]
pub enum Reason {
    // whole lines and calls
    InvalidJson,
    InvalidUtf8,
    NotAnObject,
    LineTooLong,
    EmptyBatch,
    BatchTooLong,
    UnknownType,
    NoUserAnonId,
    EventNotDefined,
    EventNotString,
    IdRequired,
    IdTooLong,
    // values
    IdNotString,
    NameNotString,
    CategoryNotString,
    TraitsNotObject,
    PropertiesNotObject,
    ContextNotObject,
    IntegrationsNotObject,
    TimestampNotIso8601,
    UnknownField,
    TypeConflict,
    Precision,
    ColumnCollision,
    NumberOverflow,
    ValueTooLong,
    RowTooLong,
    TooManyColumns,
}

impl Reason {
    /// The code as `_discards.reason` has it.
    pub fn code(self) -> &'static str {
        match self {
            Reason::InvalidJson => "invalid_json",
            Reason::InvalidUtf8 => "invalid_utf8",
            Reason::NotAnObject => "not_an_object",
            Reason::LineTooLong => "line_too_long",
            Reason::EmptyBatch => "empty_batch",
            Reason::BatchTooLong => "batch_too_long",
            Reason::UnknownType => "unknown_type",
            Reason::NoUserAnonId => "no_user_anon_id",
            Reason::EventNotDefined => "event_not_defined",
            Reason::EventNotString => "event_not_string",
            Reason::IdRequired => "id_required",
            Reason::IdTooLong => "id_too_long",
            Reason::IdNotString => "id_not_string",
            Reason::NameNotString => "name_not_string",
            Reason::CategoryNotString => "category_not_string",
            Reason::TraitsNotObject => "traits_not_object",
            Reason::PropertiesNotObject => "properties_not_object",
            Reason::ContextNotObject => "context_not_object",
            Reason::IntegrationsNotObject => "integrations_not_object",
            Reason::TimestampNotIso8601 => "timestamp_not_iso8601",
            Reason::UnknownField => "unknown_field",
            Reason::TypeConflict => "type_conflict",
            Reason::Precision => "precision",
            Reason::ColumnCollision => "column_collision",
            Reason::NumberOverflow => "number_overflow",
            Reason::ValueTooLong => "value_too_long",
            Reason::RowTooLong => "row_too_long",
            Reason::TooManyColumns => "too_many_columns",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A value or a line that found no column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discard {
    /// The event that it came with.
    pub event_id: String,
    /// The table it was meant for; empty for a line that is no call.
    pub table: String,
    /// The column or field it was meant for; empty for a whole call.
    pub column: String,
    /// Where in the call it stood, if that says more than the column: part of the row's key.
    pub path: Option<String>,
    /// At most [`KEPT_BYTES`] of it.
    pub value: String,
    /// Its whole length.
    pub bytes: u64,
    /// The SHA-256 of all of it, in hex.
    pub sha256: String,
    /// Why.
    pub reason: Reason,
    /// When the event was received, in µs since 1970.
    pub received_at: i64,
}

impl Discard {
    /// Keeps a value.
    pub fn new(event_id: &str, table: &str, column: &str, value: &[u8], reason: Reason, received_at: i64) -> Self {
        let sha256 = hex(&Sha256::digest(value));
        Self::of_head(event_id, table, column, value, value.len() as u64, sha256, reason, received_at)
    }

    /// Keeps the head of something of which not all was read.
    #[expect(clippy::too_many_arguments, reason = "they are the columns of the table")]
    pub(crate) fn of_head(
        event_id: &str,
        table: &str,
        column: &str,
        head: &[u8],
        bytes: u64,
        sha256: String,
        reason: Reason,
        received_at: i64,
    ) -> Self {
        Discard {
            event_id: event_id.to_owned(),
            table: table.to_owned(),
            column: column.to_owned(),
            path: None,
            value: printable(head),
            bytes,
            sha256,
            reason,
            received_at,
        }
    }

    /// Says where in the call it stood.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// The row's key: the same discard is the same row on every delivery.
    pub fn id(&self) -> String {
        discard_id(&self.event_id, &self.table, self.path.as_deref().unwrap_or(&self.column), self.reason)
    }
}

/// The key of a row of `_discards`: the hash of what was discarded from where, and why. The path is the column's
/// name unless several values of one event were meant for it.
pub fn discard_id(event_id: &str, table: &str, path: &str, reason: Reason) -> String {
    format!("{:032x}", hash_parts(&[event_id.as_bytes(), table.as_bytes(), path.as_bytes(), reason.code().as_bytes()]))
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// UTF-8 of at most [`KEPT_BYTES`] bytes: what is not UTF-8, and NUL, is written as `\xNN`.
fn printable(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes[..bytes.len().min(KEPT_BYTES + 4)].utf8_chunks() {
        for char in chunk.valid().chars() {
            if char == '\0' { out.push_str("\\x00") } else { out.push(char) }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    let mut end = out.len().min(KEPT_BYTES);
    while !out.is_char_boundary(end) {
        end -= 1;
    }
    out.truncate(end);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_readable_and_bounded() {
        let discard = Discard::new("e1", "users", "plan", b"a\0\xff\xc3\xa9", Reason::TypeConflict, 0);
        assert_eq!(discard.value, "a\\x00\\xffé");
        assert_eq!(discard.bytes, 5);
        let long = Discard::new("e1", "users", "plan", "é".repeat(50_000).as_bytes(), Reason::ValueTooLong, 0);
        assert!(long.value.len() <= KEPT_BYTES && long.bytes == 100_000);
        assert_eq!(
            Discard::new("", "", "", b"", Reason::InvalidJson, 0).sha256,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn the_id_is_of_the_place_and_the_reason() {
        let id = |table: &str, reason| discard_id("e1", table, "plan", reason);
        assert_eq!(id("users", Reason::Precision), id("users", Reason::Precision));
        assert_ne!(id("users", Reason::Precision), id("identifies", Reason::Precision));
        assert_ne!(id("users", Reason::Precision), id("users", Reason::TypeConflict));
    }
}
