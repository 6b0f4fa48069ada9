//! Arrow batches of calls: each row is one call, its columns are the call's fields.

use arrow_array::RecordBatch;
use arrow_json::LineDelimitedWriter;
use tablecast_core::{Draft, Error, ErrorKind, Origin, Result};

/// Rows that are JSON text at the same time.
const ROWS: usize = 1_024;

/// Takes every row of a batch as one call: columns `type`, `messageId`, `userId`, `traits` (a struct or a map) and so on.
///
/// A null is an absent field. Fails with `Config`, before it takes anything of those rows, if a column has a type that JSON cannot show.
pub fn push_batch(draft: &mut Draft, origin: &mut Origin, batch: &RecordBatch) -> Result<()> {
    for lines in json_lines(batch) {
        for line in lines?.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            draft.push_line_from(origin, line);
        }
    }
    Ok(())
}

/// The rows as JSON lines, some at a time.
pub(crate) fn json_lines(batch: &RecordBatch) -> impl Iterator<Item = Result<Vec<u8>>> {
    (0..batch.num_rows()).step_by(ROWS).map(|start| {
        let mut writer = LineDelimitedWriter::new(Vec::new());
        writer.write(&batch.slice(start, ROWS.min(batch.num_rows() - start))).and_then(|()| writer.finish()).map_err(
            |error| {
                Error::new(ErrorKind::Config, "the Arrow batch cannot be read as calls")
                    .because(error)
                    .fix("cast the columns to types that JSON has")
            },
        )?;
        Ok(writer.into_inner())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, BooleanArray, StringArray, StructArray};
    use arrow_schema::{DataType, Field};
    use std::sync::Arc;

    #[test]
    fn a_row_is_a_call_and_a_null_is_absent() {
        let entered: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None]));
        let revenue: ArrayRef = Arc::new(arrow_array::Float64Array::from(vec![None, Some(450.0)]));
        let traits = StructArray::from(vec![
            (Arc::new(Field::new("first_time_shopper", DataType::Boolean, true)), entered),
            (Arc::new(Field::new("total_revenue_180_days", DataType::Float64, true)), revenue),
        ]);
        let batch = RecordBatch::try_from_iter([
            ("type", Arc::new(StringArray::from(vec!["identify"; 2])) as ArrayRef),
            ("userId", Arc::new(StringArray::from(vec!["u123"; 2])) as ArrayRef),
            ("traits", Arc::new(traits) as ArrayRef),
        ])
        .unwrap();
        let lines: Vec<u8> = json_lines(&batch).flat_map(Result::unwrap).collect();
        assert_eq!(
            String::from_utf8(lines).unwrap(),
            "{\"type\":\"identify\",\"userId\":\"u123\",\"traits\":{\"first_time_shopper\":true}}\n\
             {\"type\":\"identify\",\"userId\":\"u123\",\"traits\":{\"total_revenue_180_days\":450.0}}\n"
        );
        assert_eq!(json_lines(&batch.slice(0, 0)).count(), 0);
    }
}
