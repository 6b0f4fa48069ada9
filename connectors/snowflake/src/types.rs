//! What Snowflake is like for the planner, and how its catalog spells types.

use crate::config::Names;
use tablecast_core::dialect::double_quoted;
use tablecast_core::{Dialect, LiveType, Type};

/// Facts of Snowflake. Names are folded to upper case, as Snowflake folds those that stand without quotes.
pub static DIALECT: Dialect = Dialect { quote: upper_quoted, ..PRESERVING };

/// The same for names that stay in lower case.
pub(crate) static PRESERVED: Dialect = PRESERVING;

const PRESERVING: Dialect = Dialect {
    name: "snowflake",
    quote: double_quoted,
    max_identifier: 255,
    reserved: RESERVED,
    type_name,
    parse_type,
    // Snowflake names no limit; its catalog gets slow with more.
    max_columns: 2_000,
    tables_per_commit: 90,
    merge_group: 400,
    max_text_bytes: 16_000_000,
    max_row_bytes: 32_000_000,
    // Snowflake takes 1 MB.
    max_sql_bytes: 900_000,
    max_statements: 1_000,
    max_script_bytes: usize::MAX,
    text_sizes: &[],
};

/// The facts that go with an option.
pub(crate) fn dialect(names: Names) -> &'static Dialect {
    match names {
        Names::Upper => &DIALECT,
        Names::Preserve => &PRESERVED,
    }
}

/// `"NAME"`: the same as `name` without quotes.
fn upper_quoted(name: &str) -> String {
    double_quoted(&name.to_ascii_uppercase())
}

/// Words that Snowflake reserves, or does not take as the name of a column or a table somewhere.
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "all", "alter", "and", "any", "as", "between", "by", "case", "cast", "check", "column", "connect", "constraint",
    "create", "cross", "current", "current_date", "current_time", "current_timestamp", "current_user", "delete",
    "distinct", "drop", "else", "exists", "false", "following", "for", "from", "full", "grant", "group", "having",
    "ilike", "in", "increment", "inner", "insert", "intersect", "into", "is", "join", "lateral", "left", "like",
    "localtime", "localtimestamp", "minus", "natural", "not", "null", "of", "on", "or", "order", "qualify", "regexp",
    "revoke", "right", "rlike", "row", "rows", "sample", "select", "set", "some", "start", "table", "tablesample",
    "then", "to", "trigger", "true", "try_cast", "union", "unique", "update", "using", "values", "when", "whenever",
    "where", "with",
];

fn type_name(ty: Type) -> &'static str {
    match ty {
        Type::Boolean => "BOOLEAN",
        // What analysts find everywhere else in Snowflake: it has one type for whole numbers.
        Type::Int | Type::Decimal => "NUMBER(38,0)",
        Type::Float => "FLOAT",
        Type::Timestamp => "TIMESTAMP_TZ",
        Type::Text => "VARCHAR",
        Type::Json => "VARIANT",
        Type::Version => "NUMBER(29,0)",
    }
}

/// The type as the catalog spells it, with precision and scale; none for one that would bend values.
fn parse_type(declared: &str) -> Option<Type> {
    let spelled = declared.trim().to_ascii_uppercase().replace(' ', "");
    Some(match spelled.as_str() {
        "BOOLEAN" => Type::Boolean,
        "NUMBER(38,0)" => Type::Decimal,
        "NUMBER(29,0)" => Type::Version,
        "FLOAT" | "DOUBLE" | "REAL" => Type::Float,
        "TIMESTAMP_TZ" => Type::Timestamp,
        "TEXT" | "VARCHAR" => Type::Text,
        "VARIANT" => Type::Json,
        _ => return None,
    })
}

/// The least length of a text column that holds whatever is loaded: what Snowflake gives one of no declared length.
const WHOLE_TEXT: u64 = 16_777_216;

/// A column as the catalog has it.
pub(crate) fn live_type(
    declared: &str,
    precision: Option<&str>,
    scale: Option<&str>,
    length: Option<&str>,
) -> LiveType {
    let spelled = match (declared, precision, scale, length) {
        ("NUMBER", Some(precision), Some(scale), _) => format!("NUMBER({precision},{scale})"),
        ("TEXT" | "VARCHAR", _, _, Some(length)) if length.parse().is_ok_and(|length: u64| length < WHOLE_TEXT) => {
            format!("VARCHAR({length})")
        }
        _ => declared.to_owned(),
    };
    parse_type(&spelled).map_or(LiveType::Other(spelled), LiveType::Known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_words_are_sorted_for_the_search() {
        assert!(RESERVED.is_sorted());
        for word in ["order", "qualify", "rlike", "start", "values"] {
            assert!(DIALECT.is_reserved(word) && PRESERVED.is_reserved(word), "{word}");
        }
        assert!(!DIALECT.is_reserved("plan") && !DIALECT.is_reserved("account") && !DIALECT.is_reserved("date"));
    }

    #[test]
    fn names_are_folded_as_without_quotes() {
        assert_eq!((DIALECT.quote)("users"), "\"USERS\"");
        assert_eq!((PRESERVED.quote)("users"), "\"users\"");
        assert_eq!((DIALECT.quote)("a\"b"), "\"A\"\"B\"");
    }

    #[test]
    fn types_read_back() {
        for ty in [Type::Boolean, Type::Decimal, Type::Float, Type::Timestamp, Type::Text, Type::Json, Type::Version] {
            assert_eq!(parse_type(type_name(ty)), Some(ty), "{ty}");
        }
        // One type for all whole numbers.
        assert_eq!(parse_type(type_name(Type::Int)), Some(Type::Decimal));
        let known = LiveType::Known;
        let other = |text: &str| LiveType::Other(text.into());
        for (declared, precision, scale, length, live) in [
            ("NUMBER", Some("38"), Some("0"), None, known(Type::Decimal)),
            ("NUMBER", Some("29"), Some("0"), None, known(Type::Version)),
            ("NUMBER", Some("38"), Some("9"), None, other("NUMBER(38,9)")),
            ("NUMBER", Some("18"), Some("0"), None, other("NUMBER(18,0)")),
            ("TEXT", None, None, Some("16777216"), known(Type::Text)),
            ("TEXT", None, None, Some("134217728"), known(Type::Text)),
            ("TEXT", None, None, None, known(Type::Text)),
            ("TEXT", None, None, Some("10"), other("VARCHAR(10)")),
            ("FLOAT", None, None, None, known(Type::Float)),
            ("TIMESTAMP_TZ", None, None, None, known(Type::Timestamp)),
            ("TIMESTAMP_NTZ", None, None, None, other("TIMESTAMP_NTZ")),
            ("DATE", None, None, None, other("DATE")),
            ("VARIANT", None, None, None, known(Type::Json)),
        ] {
            assert_eq!(live_type(declared, precision, scale, length), live, "{declared}");
        }
    }
}
