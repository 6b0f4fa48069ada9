//! What BigQuery is like for the planner, its types, and its rules for names.

use tablecast_core::{Dialect, Type};

/// Columns of a table, deleted ones included; some room is left for changes of type.
const MAX_COLUMNS: usize = 9_990;
/// A query's text is at most 1 MB. What the connector itself writes into a commit's script is taken off.
const MAX_SCRIPT_BYTES: usize = 800_000;

/// Facts of BigQuery, from its documented quotas and limits.
pub static DIALECT: Dialect = Dialect {
    name: "bigquery",
    quote,
    max_identifier: 300,
    reserved: RESERVED,
    type_name,
    parse_type,
    max_columns: MAX_COLUMNS,
    // A transaction changes at most 100 tables: these, the versions of three of them, the ledger and the guard.
    tables_per_commit: 90,
    merge_group: 1_000,
    // A row of NDJSON is at most 100 MB, and a control character takes six bytes of it.
    max_text_bytes: 10_000_000,
    max_row_bytes: 15_000_000,
    max_sql_bytes: MAX_SCRIPT_BYTES,
    max_statements: usize::MAX,
    max_script_bytes: MAX_SCRIPT_BYTES,
    text_sizes: &[],
};

/// Reserved keywords of GoogleSQL, but for `partition`: with a `_` in front it would begin like the pseudo column
/// `_PARTITIONTIME`, which no column may. All names are quoted, so the bare word does no harm.
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "all", "and", "any", "array", "as", "asc", "assert_rows_modified", "at", "between", "by", "case", "cast",
    "collate", "contains", "create", "cross", "cube", "current", "default", "define", "desc", "distinct", "else",
    "end", "enum", "escape", "except", "exclude", "exists", "extract", "false", "fetch", "following", "for", "from",
    "full", "group", "grouping", "groups", "hash", "having", "if", "ignore", "in", "inner", "intersect", "interval",
    "into", "is", "join", "lateral", "left", "like", "limit", "lookup", "merge", "natural", "new", "no", "not",
    "null", "nulls", "of", "on", "or", "order", "outer", "over", "preceding", "proto", "qualify", "range",
    "recursive", "respect", "right", "rollup", "rows", "select", "set", "some", "struct", "tablesample", "then",
    "to", "treat", "true", "unbounded", "union", "unnest", "using", "when", "where", "window", "with", "within",
];

fn quote(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// The type as DDL has it.
fn type_name(ty: Type) -> &'static str {
    match ty {
        Type::Boolean => "BOOL",
        Type::Int => "INT64",
        Type::Decimal => "BIGNUMERIC",
        Type::Float => "FLOAT64",
        Type::Timestamp => "TIMESTAMP",
        Type::Text => "STRING",
        Type::Json => "JSON",
        // 29 digits before the point are just what NUMERIC has; the length tells it from one made by hand.
        Type::Version => "NUMERIC(29)",
    }
}

/// The type as the API spells it, with its length; none for one that would bend or refuse our values.
fn parse_type(declared: &str) -> Option<Type> {
    Some(match declared {
        "BOOL" | "BOOLEAN" => Type::Boolean,
        "INT64" | "INTEGER" => Type::Int,
        "BIGNUMERIC" | "BIGNUMERIC(38)" => Type::Decimal,
        "FLOAT64" | "FLOAT" => Type::Float,
        "TIMESTAMP" => Type::Timestamp,
        "STRING" => Type::Text,
        "JSON" => Type::Json,
        "NUMERIC(29)" => Type::Version,
        _ => return None,
    })
}

/// The type of a staging table's column, as the API spells it.
pub(crate) fn staged(ty: Type) -> &'static str {
    match ty {
        // A load job parses what it loads into JSON; the transaction does that.
        Type::Json => "STRING",
        Type::Version => "NUMERIC",
        ty => type_name(ty),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tablecast_core::ident::{Section, column_name, event_table_name};

    /// What no column may begin with, whatever the case.
    const RESERVED_PREFIXES: [&str; 8] = [
        "_table_",
        "_file_",
        "_partition",
        "_row_timestamp",
        "__root__",
        "_colidentifier",
        "_change_sequence_number",
        "_change_type",
    ];

    #[test]
    fn types_read_back() {
        for ty in [
            Type::Boolean,
            Type::Int,
            Type::Decimal,
            Type::Float,
            Type::Timestamp,
            Type::Text,
            Type::Json,
            Type::Version,
        ] {
            assert_eq!(parse_type(type_name(ty)), Some(ty));
        }
        for other in
            ["NUMERIC", "NUMERIC(10, 2)", "BIGNUMERIC(40, 2)", "STRING(10)", "DATE", "REPEATED STRING", "RECORD"]
        {
            assert_eq!(parse_type(other), None, "{other}");
        }
    }

    #[test]
    fn a_version_fits_numeric() {
        // µs from year 1 to the end of 9999, times 10^11, plus what is below 10^11
        let greatest = 315_537_897_600_000_000_i128 * 100_000_000_000;
        assert!(greatest < 10_i128.pow(29));
    }

    #[test]
    fn names_are_what_bigquery_takes() {
        assert!(RESERVED.is_sorted());
        assert_eq!(quote("a`b\\"), "`a\\`b\\\\`");
        let mut keys: Vec<String> = RESERVED.iter().map(|word| (*word).to_owned()).collect();
        let awkward = [
            "partition",
            "partitiontime",
            "table suffix",
            "TABLE_X",
            "_file_name",
            "change type",
            "root",
            "3d",
            "日本",
            "__ROOT__",
        ];
        keys.extend(awkward.map(str::to_owned));
        keys.push("x".repeat(400));
        for key in &keys {
            let column = column_name(Section::Body, &[key], &DIALECT);
            let table = event_table_name(key, &DIALECT);
            for name in [column.as_str(), table.as_str()] {
                let first = name.bytes().next().unwrap();
                assert!(first.is_ascii_lowercase() || first == b'_', "{name}");
                assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
                assert!(name.len() <= 300, "{name}");
            }
            let column = column.as_str();
            assert!(!RESERVED_PREFIXES.iter().any(|prefix| column.starts_with(prefix)), "{column}");
        }
        assert_eq!(column_name(Section::Body, &["partition"], &DIALECT), "partition");
        assert_eq!(column_name(Section::Body, &["select"], &DIALECT), "_select");
    }
}
