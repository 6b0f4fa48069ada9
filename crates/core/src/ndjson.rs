//! Batches as NDJSON: what warehouses that load from JSON are given.

use crate::cell::float_text;
use crate::error::{Error, ErrorKind, Result};
use crate::time;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use std::io::Write;
use std::ops::Range;

/// Appends `rows` of a batch to `out`, one JSON object for each, ended by a line feed.
///
/// `names` are the keys, one for each column. A null is left out: a missing key is NULL wherever NDJSON is
/// loaded, and wide tables are mostly nulls. Floats are numbers, and integers that a float holds exactly;
/// beyond 2^53 integers are strings, as decimals are (a JSON number may be read as a float), times in the form of [`time::format`], text with the escapes that JSON asks for.
///
/// # Errors
///
/// `Internal` if the names are not as many as the columns, or a column has a type that no
/// [`Load`](crate::Load) has.
pub fn encode(batch: &RecordBatch, names: &[impl AsRef<str>], rows: Range<usize>, out: &mut Vec<u8>) -> Result<()> {
    if names.len() != batch.num_columns() {
        return Err(Error::new(ErrorKind::Internal, "a batch has another number of columns than names"));
    }
    let columns: Vec<Column<'_>> = names
        .iter()
        .zip(batch.columns())
        .map(|(name, array)| Column::new(name.as_ref(), array))
        .collect::<Result<_>>()?;
    for row in rows.start..rows.end.min(batch.num_rows()) {
        let mut separator = b'{';
        for column in columns.iter().filter(|column| column.array.is_valid(row)) {
            out.push(separator);
            separator = b',';
            out.extend_from_slice(&column.key);
            column.value(row, out);
        }
        if separator == b'{' {
            out.push(b'{');
        }
        out.extend_from_slice(b"}\n");
    }
    Ok(())
}

struct Column<'a> {
    /// The name as JSON, with the colon.
    key: Vec<u8>,
    array: &'a ArrayRef,
}

impl<'a> Column<'a> {
    fn new(name: &str, array: &'a ArrayRef) -> Result<Column<'a>> {
        let known = matches!(
            array.data_type(),
            DataType::Boolean
                | DataType::Int64
                | DataType::Float64
                | DataType::Decimal128(_, 0)
                | DataType::Timestamp(TimeUnit::Microsecond, _)
                | DataType::Utf8
        );
        if !known {
            return Err(Error::new(ErrorKind::Internal, "a column of a batch has a type that is not loaded")
                .with("type", array.data_type()));
        }
        let mut key = Vec::new();
        quoted(name, &mut key);
        key.push(b':');
        Ok(Column { key, array })
    }

    fn value(&self, row: usize, out: &mut Vec<u8>) {
        let array = self.array;
        // Writing to a Vec cannot fail.
        let _ = match array.data_type() {
            DataType::Boolean => write!(out, "{}", array.as_boolean().value(row)),
            DataType::Int64 => match array.as_primitive::<Int64Type>().value(row) {
                large if large.unsigned_abs() > 1 << 53 => write!(out, "\"{large}\""),
                small => write!(out, "{small}"),
            },
            DataType::Float64 => write!(out, "{}", float_text(array.as_primitive::<Float64Type>().value(row))),
            DataType::Decimal128(..) => write!(out, "\"{}\"", array.as_primitive::<Decimal128Type>().value(row)),
            DataType::Timestamp(..) => {
                write!(out, "\"{}\"", time::format(array.as_primitive::<TimestampMicrosecondType>().value(row)))
            }
            _ => {
                quoted(array.as_string::<i32>().value(row), out);
                Ok(())
            }
        };
    }
}

fn quoted(text: &str, out: &mut Vec<u8>) {
    // A string is always serializable, and writing to a Vec cannot fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::DIALECT;
    use crate::{Catalog, Draft, Rules};
    use serde_json::{Value, json};

    fn rows_of(lines: &[&str], table: &str) -> Vec<Value> {
        let mut draft = Draft::new(&Rules::default(), &DIALECT);
        lines.iter().for_each(|line| draft.push_line(line.as_bytes()));
        let plan = draft.plan(&Catalog::default());
        let load = plan.commits[0].loads.iter().find(|load| load.table == *table).unwrap();
        let mut names = vec![String::new(); load.batch.num_columns()];
        for column in &load.columns {
            column.values.into_iter().for_each(|at| names[at] = column.name.to_string());
            column.versions.into_iter().for_each(|at| names[at] = format!("{}@", column.name));
        }
        let mut out = Vec::new();
        encode(&load.batch, &names, 0..usize::MAX, &mut out).unwrap();
        assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), load.rows());
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn every_type_reads_back_exactly_and_nulls_are_left_out() {
        let at = r#""receivedAt":"2026-01-31T10:00:00Z""#;
        let first = format!(
            r#"{{"type":"identify","messageId":"m1","userId":"u\"1\n",{at},"traits":{{"b":true,"i":-9007199254740993,"d":99999999999999999999999999999999999999,"f":450.75,"t":"2026-01-31T10:00:00.5Z","x":"a\\b\u0001é"}}}}"#
        );
        let second = format!(r#"{{"type":"identify","messageId":"m2","anonymousId":"a",{at}}}"#);
        let rows = rows_of(&[&first, &second], "identifies");
        assert_eq!(
            rows[0],
            json!({
                "id": "m1", "received_at": "2026-01-31T10:00:00.000000Z", "timestamp": "2026-01-31T10:00:00.000000Z",
                "user_id": "u\"1", "b": true, "i": "-9007199254740993",
                "d": "99999999999999999999999999999999999999", "f": 450.75, "t": "2026-01-31T10:00:00.500000Z",
                "x": "a\\b\u{1}é"
            })
        );
        assert_eq!(rows[1].as_object().unwrap().len(), 4, "{}", rows[1]);
        let users = rows_of(&[&first, &second], "users");
        let version = users[0]["f@"].as_str().unwrap();
        assert!(version.len() >= 28 && version.bytes().all(|byte| byte.is_ascii_digit()), "{version}");
    }

    #[test]
    fn names_and_types_are_checked() {
        let batch =
            RecordBatch::try_from_iter([("a", std::sync::Arc::new(arrow_array::Int8Array::from(vec![1])) as ArrayRef)]);
        let batch = batch.unwrap();
        assert!(encode(&batch, &["a", "b"], 0..1, &mut Vec::new()).is_err());
        assert!(encode(&batch, &["a"], 0..1, &mut Vec::new()).is_err());
    }
}
