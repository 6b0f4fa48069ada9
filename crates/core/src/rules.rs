//! What an operator decides about the tables: names, switches, selection, limits of a cut.

use crate::dialect::Dialect;
use crate::ident::{Ident, computation_columns, schema_name};
use crate::types::Type;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How events become tables. The default is what a newcomer wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// The Personas space.
    pub space: String,
    /// What stands in front of the space in the schema's name.
    pub schema_prefix: String,
    /// This warehouse's name, for events that `integrations.Warehouses` sends to named ones only.
    pub warehouse: Option<String>,
    /// Which strings are timestamps.
    pub timestamps: Timestamps,
    /// What an array becomes.
    pub arrays: Arrays,
    /// Whether `users` also gets the `context_…` columns.
    pub users_context: bool,
    /// Whether calls with two or more external ids feed `identities`.
    pub identities: bool,
    /// What happens to a value whose kind is not the kind of its column.
    pub on_type_conflict: OnTypeConflict,
    /// Types decided before any value: by `column` or by `table.column`.
    pub types: BTreeMap<String, Type>,
    /// What is switched off.
    pub off: Selection,
    /// Where a stream of events is cut into commits.
    pub cut: Cut,
    /// Whether the rows of append tables that are there already get values in cells that are empty: for events that
    /// were loaded before, when a column was switched off then or is new now.
    pub fill: bool,
    /// Days around a row's `received_at` in which the same id is a duplicate; none looks everywhere.
    /// A warehouse with an index on `id` always looks everywhere.
    pub dedupe_window_days: Option<u32>,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            space: "default".into(),
            schema_prefix: "personas_".into(),
            warehouse: None,
            timestamps: Timestamps::Iso8601,
            arrays: Arrays::Text,
            users_context: false,
            identities: true,
            on_type_conflict: OnTypeConflict::Discard,
            types: BTreeMap::new(),
            off: Selection::default(),
            cut: Cut::default(),
            fill: false,
            dedupe_window_days: Some(30),
        }
    }
}

impl Rules {
    /// The schema that these rules fill: `personas_<space>`.
    pub fn schema(&self) -> Ident {
        schema_name(&self.schema_prefix, &self.space)
    }

    /// The types by the columns that they are for: a trait's key stands for its column too, which may be called otherwise.
    pub(crate) fn types_of_columns(&self, dialect: &Dialect) -> BTreeMap<String, Type> {
        let mut types = BTreeMap::new();
        for (name, ty) in &self.types {
            let (table, column) = name.rsplit_once('.').map_or(("", &**name), |(table, column)| (table, column));
            for column in computation_columns(column, dialect) {
                let dot = if table.is_empty() { "" } else { "." };
                types.insert(format!("{table}{dot}{column}"), *ty);
            }
        }
        types.extend(self.types.clone());
        types
    }
}

/// Which strings are timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Timestamps {
    /// Strict ISO 8601: a date, or a date and a time; without a zone it is UTC.
    Iso8601,
    /// Only a full date and time with a zone.
    Rfc3339,
    /// None; strings stay text.
    Off,
}

/// What an array becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrays {
    /// A text column with compact JSON.
    Text,
    /// A JSON column, where the warehouse has one.
    Json,
}

/// What happens to a value whose kind is not the kind of its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnTypeConflict {
    /// It goes to `_discards`; the column keeps its kind.
    Discard,
    /// The column becomes text, with all its values in canonical form.
    Text,
}

/// What is switched off. Columns `id`, `received_at` and the key of a merge table cannot be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// Tables by name.
    pub tables: BTreeSet<String>,
    /// Columns as `table.column`, or `*.column` in every table.
    pub columns: BTreeSet<String>,
    /// Audiences and traits by key: their column everywhere, and the calls that they sent.
    pub computations: BTreeSet<String>,
}

/// Some tables and columns, for loading no others: see [`Draft::only`](crate::Draft::only). Nothing named is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Only {
    /// Tables by name, with all their columns.
    pub tables: BTreeSet<String>,
    /// Columns as `table.column`, or `*.column` in every table, with the core columns beside them.
    pub columns: BTreeSet<String>,
}

impl Only {
    fn is_everything(&self) -> bool {
        self.tables.is_empty() && self.columns.is_empty()
    }

    pub(crate) fn has_table(&self, table: &str) -> bool {
        let of_table = |column: &String| column.split_once('.').is_some_and(|(of, _)| of == table || of == "*");
        self.is_everything() || self.tables.contains(table) || self.columns.iter().any(of_table)
    }

    pub(crate) fn has_column(&self, table: &str, column: &str) -> bool {
        self.is_everything()
            || self.tables.contains(table)
            || self.columns.contains(&format!("{table}.{column}"))
            || self.columns.contains(&format!("*.{column}"))
    }
}

/// Where a stream of events is cut into commits: whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cut {
    /// Events.
    pub events: usize,
    /// Bytes of memory that the draft and its batches take.
    pub bytes: usize,
}

impl Default for Cut {
    fn default() -> Self {
        Cut { events: 50_000, bytes: 128 << 20 }
    }
}
