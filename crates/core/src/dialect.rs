//! Static facts of a warehouse, as data: what the planner and the shared SQL need to know without a connection.

use crate::types::Type;
use std::fmt;

/// What a warehouse is like. A constant of its connector; the planner works with it offline.
pub struct Dialect {
    /// The connector's name: `sqlite`, `redshift` …
    pub name: &'static str,
    /// Renders a name as a quoted identifier.
    pub quote: fn(&str) -> String,
    /// Longest table or column name, in bytes (names are ASCII).
    pub max_identifier: usize,
    /// Words that cannot be a bare table or column name: lower case, sorted.
    pub reserved: &'static [&'static str],
    /// Renders a type for DDL.
    pub type_name: fn(Type) -> &'static str,
    /// Reads a type as the warehouse's catalog spells it; `None` for one that Tablecast does not load.
    pub parse_type: fn(&str) -> Option<Type>,
    /// Columns that a table can have.
    pub max_columns: usize,
    /// Loads that one commit can hold.
    pub tables_per_commit: usize,
    /// Columns of a merge load that go through one staging table; wider loads go in groups.
    pub merge_group: usize,
    /// Longest text value, in bytes.
    pub max_text_bytes: usize,
    /// Longest row, in bytes of its values.
    pub max_row_bytes: usize,
    /// Longest SQL statement, in bytes.
    pub max_sql_bytes: usize,
    /// Statements that the loads of one commit may take, its own few not counted.
    pub max_statements: usize,
    /// All SQL of one commit, in bytes, where it is sent as one text.
    pub max_script_bytes: usize,
    /// The sizes that text columns come in, in bytes, ascending; empty where text has no declared size.
    pub text_sizes: &'static [usize],
}

impl Dialect {
    /// Whether a bare `name` would be read as a keyword.
    pub fn is_reserved(&self, name: &str) -> bool {
        self.reserved.binary_search(&name).is_ok()
    }

    /// The type that a column made as `ty` is found to have: where there is one type for all whole numbers, an integer
    /// cannot be told from a decimal.
    pub fn told(&self, ty: Type) -> Type {
        let is_decimal = || (self.parse_type)((self.type_name)(ty)) == Some(Type::Decimal);
        if ty == Type::Int && is_decimal() { Type::Decimal } else { ty }
    }
}

impl fmt::Debug for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialect({})", self.name)
    }
}

/// `"name"`, the quoting of standard SQL.
pub fn double_quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
