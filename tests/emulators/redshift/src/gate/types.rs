//! Column types: Redshift's defaults and limits, in PostgreSQL's words.

use super::cursor::Cursor;
use super::words::is_reserved;
use super::{Refusal, token::Token};

/// "Character types": VARCHAR has at most 65,535 bytes in a table.
const MAX_VARCHAR: u64 = 65535;
const MAX_CHAR: u64 = 4096;

/// Types of PostgreSQL that Redshift lacks ("Unsupported PostgreSQL data types").
const UNSUPPORTED: [&str; 14] = [
    "bit",
    "bytea",
    "hstore",
    "inet",
    "int4range",
    "json",
    "jsonb",
    "money",
    "name",
    "serial",
    "bigserial",
    "tsvector",
    "uuid",
    "xml",
];

/// Reads a type and gives PostgreSQL's name for it.
pub(super) fn read(at: &mut Cursor<'_>) -> Result<String, Refusal> {
    let word = match at.next() {
        Some(Token::Word(word)) => word.clone(),
        _ => {
            at.back();
            return Err(at.unexpected());
        }
    };
    let sql = match word.as_str() {
        "varchar" | "nvarchar" => varchar(at)?,
        "character" if at.skip(&["varying"]) => varchar(at)?,
        // "TEXT … is converted to VARCHAR(256)".
        "text" => "varchar(256)".into(),
        "char" | "character" | "nchar" => match length(at)? {
            None => "char(1)".into(),
            Some(Length::Max) => return Err(Refusal::syntax("syntax error at or near \"max\"")),
            Some(Length::Bytes(bytes)) if bytes == 0 || bytes > MAX_CHAR => {
                return Err(Refusal::new("22023", format!("length for type char cannot exceed {MAX_CHAR}")));
            }
            Some(Length::Bytes(bytes)) => format!("char({bytes})"),
        },
        "bpchar" => "char(256)".into(),
        "numeric" | "decimal" => numeric(at)?,
        "bigint" | "int8" => "bigint".into(),
        "integer" | "int" | "int4" => "integer".into(),
        "smallint" | "int2" => "smallint".into(),
        "double" if at.skip(&["precision"]) => "double precision".into(),
        "float8" | "float" => "double precision".into(),
        "real" | "float4" => "real".into(),
        "boolean" | "bool" => "boolean".into(),
        "date" => "date".into(),
        "timestamptz" => "timestamp with time zone".into(),
        "timestamp" => match (at.skip(&["with", "time", "zone"]), at.skip(&["without", "time", "zone"])) {
            (true, _) => "timestamp with time zone".into(),
            _ => "timestamp without time zone".into(),
        },
        "super" | "varbyte" | "hllsketch" | "geometry" | "geography" | "time" | "timetz" => {
            return Err(Refusal::new("0A000", format!("rsemu: the type {word} is Redshift's, but not emulated")));
        }
        unsupported if UNSUPPORTED.contains(&unsupported) => {
            return Err(Refusal::new("0A000", format!("Column has unsupported type \"{unsupported}\".")));
        }
        reserved if is_reserved(reserved) => {
            at.back();
            return Err(at.unexpected());
        }
        other => return Err(Refusal::new("42704", format!("type \"{other}\" does not exist"))),
    };
    if at.sees_sign("[") {
        return Err(Refusal::new("0A000", format!("Column has unsupported type \"{word}[]\".")));
    }
    if at.sees_sign("(") {
        return Err(at.unexpected());
    }
    Ok(sql)
}

enum Length {
    Bytes(u64),
    Max,
}

fn length(at: &mut Cursor<'_>) -> Result<Option<Length>, Refusal> {
    if !at.skip_sign("(") {
        return Ok(None);
    }
    let length = if at.skip(&["max"]) { Length::Max } else { Length::Bytes(at.next_number()?) };
    if at.skip_sign(")") { Ok(Some(length)) } else { Err(at.unexpected()) }
}

fn varchar(at: &mut Cursor<'_>) -> Result<String, Refusal> {
    let bytes = match length(at)? {
        None => 256,
        Some(Length::Max) => MAX_VARCHAR,
        Some(Length::Bytes(0)) => {
            return Err(Refusal::new("22023", "length for type character varying must be at least 1"));
        }
        // The newest "Character types" page allows 16,000,000 bytes, but in memory only.
        Some(Length::Bytes(bytes)) if bytes > MAX_VARCHAR => {
            return Err(Refusal::new(
                "22023",
                format!("length for type character varying cannot exceed {MAX_VARCHAR}"),
            ));
        }
        Some(Length::Bytes(bytes)) => bytes,
    };
    Ok(format!("varchar({bytes})"))
}

fn numeric(at: &mut Cursor<'_>) -> Result<String, Refusal> {
    // "DECIMAL or NUMERIC type": the default precision is 18, the default scale 0, the most digits 38.
    let (mut precision, mut scale) = (18, 0);
    if at.skip_sign("(") {
        precision = at.next_number()?;
        if at.skip_sign(",") {
            scale = at.next_number()?;
        }
        if !at.skip_sign(")") {
            return Err(at.unexpected());
        }
    }
    if precision == 0 || precision > 38 {
        return Err(Refusal::new("22023", format!("DECIMAL precision {precision} must be between 1 and 38")));
    }
    if scale > precision.min(37) {
        return Err(Refusal::new(
            "22023",
            format!("DECIMAL scale {scale} must be between 0 and precision {precision}"),
        ));
    }
    Ok(format!("numeric({precision},{scale})"))
}
