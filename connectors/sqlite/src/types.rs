//! What SQLite is like for the planner, its types on disk, and how values get into statements.

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use rusqlite::Statement;
use rusqlite::types::Null;
use std::fmt::Write;
use tablecast_core::dialect::double_quoted;
use tablecast_core::{Dialect, Error, ErrorKind, Result, Type, time};

/// Facts of SQLite, as it is bundled.
pub static DIALECT: Dialect = Dialect {
    name: "sqlite",
    quote: double_quoted,
    max_identifier: 127,
    reserved: RESERVED,
    type_name,
    parse_type,
    // One less than SQLite's own limit: widening a column needs room for its copy.
    max_columns: 1_999,
    tables_per_commit: 1_000,
    merge_group: 500,
    max_text_bytes: 400_000_000,
    max_row_bytes: 900_000_000,
    max_sql_bytes: 1_000_000,
    max_statements: usize::MAX,
    max_script_bytes: usize::MAX,
    text_sizes: &[],
};

/// Keywords that SQLite does not take as a bare table or column name.
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "add", "all", "alter", "and", "as", "autoincrement", "between", "case", "cast", "check", "collate", "commit",
    "constraint", "create", "current_date", "current_time", "current_timestamp", "default", "deferrable", "delete",
    "distinct", "drop", "else", "escape", "except", "exists", "foreign", "from", "group", "having", "if", "in",
    "index", "insert", "intersect", "into", "is", "isnull", "join", "limit", "not", "nothing", "notnull", "null",
    "on", "or", "order", "primary", "raise", "references", "returning", "select", "set", "table", "then", "to",
    "transaction", "union", "unique", "update", "using", "values", "when", "where",
];

/// The type as it is declared. SQLite derives an affinity from the letters: a name with TEXT in it keeps
/// digits as they are, where NUMERIC would bend what does not fit a double.
fn type_name(ty: Type) -> &'static str {
    match ty {
        Type::Boolean => "BOOLEAN",
        Type::Int => "BIGINT",
        Type::Decimal => "DECIMAL_TEXT",
        Type::Float => "DOUBLE",
        Type::Timestamp => "TIMESTAMP",
        Type::Text => "TEXT",
        Type::Json => "JSON_TEXT",
        Type::Version => "VERSION_TEXT",
    }
}

/// The type as it was declared, by us or by hand; none for one whose affinity would bend our values.
fn parse_type(declared: &str) -> Option<Type> {
    let bare = declared.split('(').next().unwrap_or_default().trim().to_ascii_uppercase();
    Some(match bare.as_str() {
        "BOOLEAN" | "BOOL" => Type::Boolean,
        "BIGINT" | "INTEGER" | "INT" | "INT8" | "INT4" | "INT2" | "SMALLINT" | "MEDIUMINT" | "TINYINT" => Type::Int,
        "DECIMAL_TEXT" => Type::Decimal,
        "DOUBLE" | "DOUBLE PRECISION" | "REAL" | "FLOAT" | "FLOAT8" => Type::Float,
        "TIMESTAMP" | "DATETIME" | "TIMESTAMPTZ" => Type::Timestamp,
        "TEXT" | "VARCHAR" | "CHAR" | "CHARACTER" | "CHARACTER VARYING" | "NVARCHAR" | "NCHAR" | "CLOB" => Type::Text,
        "JSON_TEXT" => Type::Json,
        "VERSION_TEXT" => Type::Version,
        _ => return None,
    })
}

/// One column of a batch, on its way into a statement.
pub(crate) enum Cells<'a> {
    Boolean(&'a BooleanArray),
    Int(&'a Int64Array),
    Decimal(&'a Decimal128Array),
    Float(&'a Float64Array),
    Timestamp(&'a TimestampMicrosecondArray),
    Text(&'a StringArray),
    Version(&'a Decimal128Array),
}

impl<'a> Cells<'a> {
    /// The column as the type that the load says it has.
    pub(crate) fn of(array: &'a ArrayRef, ty: Type) -> Result<Self> {
        let cells = match ty {
            Type::Boolean => array.as_boolean_opt().map(Cells::Boolean),
            Type::Int => array.as_primitive_opt::<Int64Type>().map(Cells::Int),
            Type::Decimal => array.as_primitive_opt::<Decimal128Type>().map(Cells::Decimal),
            Type::Float => array.as_primitive_opt::<Float64Type>().map(Cells::Float),
            Type::Timestamp => array.as_primitive_opt::<TimestampMicrosecondType>().map(Cells::Timestamp),
            Type::Text | Type::Json => array.as_string_opt::<i32>().map(Cells::Text),
            Type::Version => array.as_primitive_opt::<Decimal128Type>().map(Cells::Version),
        };
        cells.ok_or_else(|| {
            Error::new(ErrorKind::Internal, "a batch holds another type than its load says").with("type", ty)
        })
    }

    /// Binds the value of one row; `scratch` is reused for what is stored as text.
    pub(crate) fn bind(
        &self,
        row: usize,
        statement: &mut Statement<'_>,
        at: usize,
        scratch: &mut String,
    ) -> rusqlite::Result<()> {
        let array: &dyn Array = match self {
            Cells::Boolean(array) => *array,
            Cells::Int(array) => *array,
            Cells::Decimal(array) | Cells::Version(array) => *array,
            Cells::Float(array) => *array,
            Cells::Timestamp(array) => *array,
            Cells::Text(array) => *array,
        };
        if array.is_null(row) {
            return statement.raw_bind_parameter(at, Null);
        }
        scratch.clear();
        match self {
            Cells::Boolean(array) => return statement.raw_bind_parameter(at, array.value(row)),
            Cells::Int(array) => return statement.raw_bind_parameter(at, array.value(row)),
            Cells::Float(array) => return statement.raw_bind_parameter(at, array.value(row)),
            Cells::Text(array) => return statement.raw_bind_parameter(at, array.value(row)),
            // Writing to a String cannot fail.
            Cells::Decimal(array) => drop(write!(scratch, "{}", array.value(row))),
            Cells::Version(array) => drop(write!(scratch, "{:029}", array.value(row))),
            Cells::Timestamp(array) => time::format_into(scratch, array.value(row)),
        }
        statement.raw_bind_parameter(at, scratch.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    /// All keywords of SQLite, from its documentation.
    const KEYWORDS: &str = "abort action add after all alter always analyze and as asc attach autoincrement before begin between by \
        cascade case cast check collate column commit conflict constraint create cross current current_date current_time \
        current_timestamp database default deferrable deferred delete desc detach distinct do drop each else end escape except \
        exclude exclusive exists explain fail filter first following for foreign from full generated glob group groups having if \
        ignore immediate in index indexed initially inner insert instead intersect into is isnull join key last left like limit \
        match materialized natural no not nothing notnull null nulls of offset on or order others outer over partition plan pragma \
        preceding primary query raise range recursive references regexp reindex release rename replace restrict returning right \
        rollback row rows savepoint select set table temp temporary then ties to transaction trigger unbounded union unique update \
        using vacuum values view virtual when where window with without";

    #[test]
    fn reserved_is_what_cannot_be_a_bare_name() {
        let database = Connection::open_in_memory().unwrap();
        let usable = |word: &str| {
            database
                .execute_batch(&format!("CREATE TABLE {word} ({word} TEXT); INSERT INTO {word} VALUES ('there'); "))
                .is_ok()
                && database
                    .query_row(&format!("SELECT {word} FROM {word} WHERE {word} = 'there'"), [], |row| {
                        row.get::<_, String>(0)
                    })
                    .is_ok_and(|read| read == "there")
        };
        let found: Vec<&str> = KEYWORDS.split_whitespace().filter(|word| !usable(word)).collect();
        assert_eq!(found, RESERVED);
        assert!(RESERVED.is_sorted());
    }

    #[test]
    fn types_read_back_and_keep_their_affinity() {
        let all = [
            Type::Boolean,
            Type::Int,
            Type::Decimal,
            Type::Float,
            Type::Timestamp,
            Type::Text,
            Type::Json,
            Type::Version,
        ];
        let database = Connection::open_in_memory().unwrap();
        for ty in all {
            assert_eq!(parse_type(type_name(ty)), Some(ty));
            database.execute_batch(&format!("CREATE TABLE {ty}_t (v {})", type_name(ty))).unwrap();
        }
        let digits = "12345678901234567890123456789012345678";
        for ty in [Type::Decimal, Type::Text, Type::Json, Type::Version] {
            let read: String = database
                .query_row(&format!("INSERT INTO {ty}_t VALUES (?1) RETURNING v"), [digits], |row| row.get(0))
                .unwrap();
            assert_eq!(read, digits, "{ty}");
        }
        let at = "2026-01-31T23:59:59.000000Z";
        let read: String =
            database.query_row("INSERT INTO timestamp_t VALUES (?1) RETURNING v", [at], |row| row.get(0)).unwrap();
        assert_eq!(read, at);
    }

    #[test]
    fn hand_made_types_are_understood_or_left_alone() {
        for (declared, ty) in [
            ("INTEGER", Some(Type::Int)),
            ("int", Some(Type::Int)),
            ("VARCHAR(255)", Some(Type::Text)),
            ("character varying (20)", Some(Type::Text)),
            ("REAL", Some(Type::Float)),
            ("double precision", Some(Type::Float)),
            ("bool", Some(Type::Boolean)),
            ("NUMERIC", None),
            ("DECIMAL(10,2)", None),
            ("JSON", None),
            ("STRING", None),
            ("BLOB", None),
            ("", None),
        ] {
            assert_eq!(parse_type(declared), ty, "{declared}");
        }
    }
}
