//! What can be switched off: tables, columns, and computations, which are audiences and traits.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use tablecast::core::ident::{SYSTEM_TABLES, computation_columns};
use tablecast::{Dialect, Selection};

/// What kind of thing is switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemKind {
    /// A table.
    Table,
    /// A column of a table, or of all.
    Column,
    /// An audience or a trait.
    Computation,
}

impl ItemKind {
    /// Its name in text.
    pub fn as_str(self) -> &'static str {
        match self {
            ItemKind::Table => "table",
            ItemKind::Column => "column",
            ItemKind::Computation => "computation",
        }
    }
}

impl fmt::Display for ItemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A thing that can be switched off. As JSON: `{"kind": "column", "name": "users.plan"}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// What it is.
    pub kind: ItemKind,
    /// A table's name, `table.column` or `*.column`, an audience's or trait's key.
    pub name: String,
}

/// Everything that is off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Off(pub BTreeSet<Item>);

/// Columns that no table can do without.
const CORE: [&str; 3] = ["id", "received_at", "uuid_ts"];
/// Columns that make up the key of their table.
const KEYS: [(&str, &str); 3] = [("users", "user_id"), ("identities", "type"), ("identities", "value")];

impl Item {
    /// A table.
    pub fn table(name: impl Into<String>) -> Self {
        Item { kind: ItemKind::Table, name: name.into() }
    }

    /// A column, as `table.column` or `*.column`.
    pub fn column(name: impl Into<String>) -> Self {
        Item { kind: ItemKind::Column, name: name.into() }
    }

    /// An audience or a trait by its key.
    pub fn computation(key: impl Into<String>) -> Self {
        Item { kind: ItemKind::Computation, name: key.into() }
    }

    /// Whether it is the same thing: an audience or trait goes by its key and by its column's name.
    pub fn is_same(&self, other: &Item, dialect: &Dialect) -> bool {
        let columns = |item: &Item| computation_columns(&item.name, dialect);
        self == other
            || (self.kind == ItemKind::Computation
                && other.kind == self.kind
                && !columns(self).is_disjoint(&columns(other)))
    }

    /// Why it cannot be switched off, if it cannot: what is wrong, and what to do.
    pub fn refusal(&self) -> Option<(String, String)> {
        let refuse = |what: &str, to_do: &str| Some((what.to_owned(), to_do.to_owned()));
        let name = self.name.as_str();
        if name.trim() != name || name.is_empty() || name.chars().any(char::is_control) {
            return refuse("the name is empty or has blanks around it", "write the name as the warehouse shows it");
        }
        match self.kind {
            ItemKind::Computation => None,
            ItemKind::Table => {
                let own = SYSTEM_TABLES.contains(&name) || (name.starts_with('_') && name.ends_with("_versions"));
                if own {
                    return refuse("it is one of Tablecast's own tables", "take it out; they hold what loads need");
                }
                None
            }
            ItemKind::Column => match name.split_once('.') {
                Some((table, column)) if !table.is_empty() && !column.is_empty() && !column.contains('.') => {
                    let key = KEYS.contains(&(table, column));
                    if CORE.contains(&column) || key {
                        return refuse(
                            "it is a core column, without which nothing can be loaded",
                            "take it out; every other column can be switched off",
                        );
                    }
                    if SYSTEM_TABLES.contains(&table) {
                        return refuse("it is in one of Tablecast's own tables", "take it out");
                    }
                    None
                }
                _ => refuse("it is no column's name", "write table.column, or *.column for every table"),
            },
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

impl Off {
    /// From the three lists of a rules file.
    pub fn of(selection: &Selection) -> Off {
        let tables = selection.tables.iter().map(Item::table);
        let columns = selection.columns.iter().map(Item::column);
        let computations = selection.computations.iter().map(Item::computation);
        Off(tables.chain(columns).chain(computations).collect())
    }

    /// As the draft takes it.
    pub fn selection(&self) -> Selection {
        let of = |kind| self.0.iter().filter(move |item| item.kind == kind).map(|item| item.name.clone()).collect();
        Selection {
            tables: of(ItemKind::Table),
            columns: of(ItemKind::Column),
            computations: of(ItemKind::Computation),
        }
    }

    /// With more switched off.
    #[must_use]
    pub fn with(&self, more: impl IntoIterator<Item = Item>) -> Off {
        Off(self.0.iter().cloned().chain(more).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_columns_and_own_tables_are_refused() {
        for name in [
            "*.id",
            "users.id",
            "tracks.received_at",
            "*.uuid_ts",
            "users.user_id",
            "identities.value",
            "_discards.value",
        ] {
            assert!(Item::column(name).refusal().is_some(), "{name}");
        }
        for name in ["users.plan", "*.user_id", "tracks.user_id", "*.type", "identities.user_id", "*.context_ip"] {
            assert_eq!(Item::column(name).refusal(), None, "{name}");
        }
        for name in ["plan", "users.", ".plan", "a.b.c", " users.plan"] {
            assert!(Item::column(name).refusal().is_some(), "{name}");
        }
        for (name, fine) in
            [("_lock", false), ("_users_versions", false), ("_101_account_update", true), ("tracks", true)]
        {
            assert_eq!(Item::table(name).refusal().is_none(), fine, "{name}");
        }
        assert_eq!(Item::computation("First Time Shopper").refusal(), None);
        assert!(Item::computation("").refusal().is_some());
    }

    #[test]
    fn the_lists_come_back_as_they_went_in() {
        let off = Off([Item::table("tracks"), Item::column("*.ssn"), Item::computation("vip")].into());
        assert_eq!(Off::of(&off.selection()), off);
    }
}
