//! What Redshift is like for the planner, and how its catalog spells types.

use tablecast_core::dialect::double_quoted;
use tablecast_core::{Dialect, LiveType, Type};

/// Facts of Redshift, the same over the wire and through the Data API.
pub static DIALECT: Dialect = Dialect {
    name: "redshift",
    quote: double_quoted,
    max_identifier: 127,
    reserved: RESERVED,
    type_name,
    parse_type,
    // One less than Redshift's own limit: widening a column needs room for its copy.
    max_columns: 1_599,
    tables_per_commit: 30,
    merge_group: 400,
    max_text_bytes: 65_535,
    // A row of COPY may have 4 MB, and an escape of JSON makes six bytes of one.
    max_row_bytes: 680_000,
    // The Data API takes 100 KB for each statement.
    max_sql_bytes: 98_000,
    // The Data API takes 40 statements in a transaction; the commit's own are in `sql::OWN_STATEMENTS`.
    max_statements: 36,
    max_script_bytes: usize::MAX,
    text_sizes: &TEXT_SIZES,
};

/// The sizes of text columns, in bytes. Redshift sets memory aside for what is declared.
const TEXT_SIZES: [usize; 5] = [512, 2_048, 8_192, 32_768, 65_535];

/// The longest text column, in bytes.
pub(crate) const MAX_TEXT: usize = 65_535;

/// The least size of a text column that holds so many bytes.
pub(crate) fn text_size(bytes: usize) -> usize {
    TEXT_SIZES.into_iter().find(|&size| size >= bytes).unwrap_or(MAX_TEXT)
}

/// Redshift's reserved words (documentation of 2023), and the system columns that every table has.
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "aes128", "aes256", "all", "allowoverwrite", "analyse", "analyze", "and", "any", "array", "as", "asc",
    "authorization", "az64", "backup", "between", "binary", "blanksasnull", "both", "bytedict", "bzip2", "case", "cast",
    "check", "cmax", "cmin", "collate", "column", "connect", "constraint", "create", "credentials", "cross", "ctid",
    "current_date", "current_time", "current_timestamp", "current_user", "current_user_id", "default", "deferrable",
    "deflate", "defrag", "delta", "delta32k", "desc", "disable", "distinct", "do", "else", "emptyasnull", "enable",
    "encode", "encrypt", "encryption", "end", "except", "explicit", "false", "for", "foreign", "freeze", "from", "full",
    "globaldict256", "globaldict64k", "grant", "group", "gzip", "having", "identity", "ignore", "ilike", "in",
    "initially", "inner", "intersect", "interval", "into", "is", "isnull", "join", "language", "leading", "left",
    "like", "limit", "localtime", "localtimestamp", "lun", "luns", "lzo", "lzop", "minus", "mostly16", "mostly32",
    "mostly8", "natural", "new", "not", "notnull", "null", "nulls", "off", "offline", "offset", "oid", "old", "on",
    "only", "open", "or", "order", "outer", "overlaps", "parallel", "partition", "percent", "permissions", "pivot",
    "placing", "primary", "raw", "readratio", "recover", "references", "rejectlog", "resort", "respect", "restore",
    "right", "select", "session_user", "similar", "snapshot", "some", "start", "sysdate", "system", "table", "tableoid",
    "tag", "tdes", "text255", "text32k", "then", "timestamp", "to", "top", "trailing", "true", "truncatecolumns",
    "union", "unique", "unnest", "unpivot", "user", "using", "verbose", "wallet", "when", "where", "with", "without",
    "xmax", "xmin",
];

/// The type as it is declared; text as small as it comes.
fn type_name(ty: Type) -> &'static str {
    match ty {
        Type::Boolean => "BOOLEAN",
        Type::Int => "BIGINT",
        Type::Decimal => "NUMERIC(38,0)",
        Type::Float => "DOUBLE PRECISION",
        Type::Timestamp => "TIMESTAMPTZ",
        Type::Text | Type::Json => "VARCHAR(512)",
        Type::Version => "NUMERIC(29,0)",
    }
}

/// The type as the catalog spells it, with precision and scale; none for one that would bend values.
fn parse_type(declared: &str) -> Option<Type> {
    let spelled = declared.trim().to_ascii_lowercase();
    Some(match spelled.as_str() {
        "boolean" => Type::Boolean,
        "bigint" => Type::Int,
        "numeric(38,0)" => Type::Decimal,
        "numeric(29,0)" => Type::Version,
        "double precision" => Type::Float,
        "timestamp with time zone" | "timestamptz" => Type::Timestamp,
        text if text.starts_with("character varying") || text.starts_with("varchar") => Type::Text,
        _ => return None,
    })
}

/// A column as the catalog has it.
pub(crate) fn live_type(data_type: &str, precision: Option<&str>, scale: Option<&str>) -> LiveType {
    let spelled = match (data_type, precision, scale) {
        ("numeric", Some(precision), Some(scale)) => format!("numeric({precision},{scale})"),
        _ => data_type.to_owned(),
    };
    parse_type(&spelled).map_or(LiveType::Other(spelled), LiveType::Known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_words_are_sorted_for_the_search() {
        assert!(RESERVED.is_sorted());
        for word in ["tag", "percent", "offset", "snapshot", "system", "xmin", "timestamp"] {
            assert!(DIALECT.is_reserved(word), "{word}");
        }
        assert!(!DIALECT.is_reserved("plan") && !DIALECT.is_reserved("first"));
    }

    #[test]
    fn types_read_back() {
        for ty in [Type::Boolean, Type::Int, Type::Decimal, Type::Float, Type::Timestamp, Type::Text, Type::Version] {
            assert_eq!(parse_type(type_name(ty)), Some(ty), "{ty}");
        }
        let known = |ty| LiveType::Known(ty);
        for (data_type, precision, scale, live) in [
            ("numeric", Some("38"), Some("0"), known(Type::Decimal)),
            ("numeric", Some("29"), Some("0"), known(Type::Version)),
            ("numeric", Some("18"), Some("2"), LiveType::Other("numeric(18,2)".into())),
            ("bigint", Some("64"), Some("0"), known(Type::Int)),
            ("integer", Some("32"), Some("0"), LiveType::Other("integer".into())),
            ("character varying", None, None, known(Type::Text)),
            ("character", None, None, LiveType::Other("character".into())),
            ("timestamp without time zone", None, None, LiveType::Other("timestamp without time zone".into())),
            ("super", None, None, LiveType::Other("super".into())),
        ] {
            assert_eq!(live_type(data_type, precision, scale), live, "{data_type}");
        }
    }

    #[test]
    fn texts_get_the_least_size_that_holds_them() {
        assert_eq!([0, 512, 513, 40_000, 65_535].map(text_size), [512, 512, 2_048, 65_535, 65_535]);
    }
}
