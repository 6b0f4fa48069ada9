//! Staging: the rows of a load as gzip NDJSON in tables of their own that go away by themselves.

use crate::client::{Client, LoadJob, State, Waits, random};
use crate::error::Fault;
use crate::types::staged;
use arrow_array::RecordBatch;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;
use tablecast_core::sql::StageColumn;
use tablecast_core::{Error, ErrorKind, Result, ndjson, time};

/// How long a staging table lives, if nobody drops it.
const LIVES: Duration = Duration::from_secs(24 * 60 * 60);
/// Rows that are encoded at a time.
const ROWS: usize = 1_000;

/// The names of an attempt's staging tables: the time, and a number that nobody else has.
#[derive(Clone)]
pub(crate) struct Names {
    prefix: String,
    /// The number that tells this attempt from any other.
    pub(crate) nonce: String,
}

impl Names {
    pub(crate) fn new(now: i64) -> Names {
        let nonce = format!("{:016x}{:016x}", random(), random());
        let digits: String = time::format(now).chars().filter(char::is_ascii_digit).take(14).collect();
        Names { prefix: format!("_stage_{digits}_{nonce}"), nonce }
    }

    /// The table for one group of one load.
    pub(crate) fn table(&self, load: usize, group: usize) -> String {
        format!("{}_{load}_{group}", self.prefix)
    }
}

/// The fields of a staging table, as the API has them.
pub(crate) fn schema(columns: &[StageColumn]) -> Value {
    columns.iter().map(|column| json!({"name": column.name, "type": staged(column.ty), "mode": "NULLABLE"})).collect()
}

/// The rows of some columns of a batch, as gzip NDJSON.
pub(crate) fn encode(batch: &RecordBatch, columns: &[StageColumn]) -> Result<Vec<u8>> {
    let sources: Vec<usize> = columns.iter().map(|column| column.source).collect();
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let broken = |what: &str| Error::new(ErrorKind::Internal, what.to_owned());
    let batch = batch
        .project(&sources)
        .map_err(|error| broken("a load names a column that its batch does not have").because(error))?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let mut lines = Vec::new();
    for start in (0..batch.num_rows()).step_by(ROWS) {
        lines.clear();
        ndjson::encode(&batch, &names, start..start + ROWS, &mut lines)?;
        gzip.write_all(&lines).map_err(|error| broken("rows could not be compressed").because(error))?;
    }
    gzip.finish().map_err(|error| broken("rows could not be compressed").because(error))
}

/// Makes a staging table and fills it.
pub(crate) async fn fill(
    client: &Client,
    at: (&str, &str),
    table: &str,
    schema: &Value,
    data: &[u8],
    rows: usize,
) -> Result<()> {
    let (dataset, location) = at;
    client.create_passing(dataset, table, schema, LIVES).await?;
    let mut waits = Waits::default();
    for attempt in 0.. {
        let id = format!("tablecast_{dataset}{table}_r{attempt}");
        match client.load(&LoadJob { id: &id, location, dataset, table, schema }, data).await? {
            State::Failed(fault) if fault.is_passing() && waits.again() => waits.wait(&fault).await,
            State::Failed(fault) => return Err(fault.into()),
            State::Done { rows: loaded } if loaded.is_none_or(|loaded| usize::try_from(loaded) == Ok(rows)) => {
                return Ok(());
            }
            State::Done { .. } | State::Running => break,
        }
    }
    Err(Error::new(ErrorKind::CountMismatch, "the staged rows are not those of the load").with("rows", rows))
}

/// Drops staging tables. What is left goes away by itself.
pub(crate) async fn clear(client: &Client, dataset: &str, tables: &[String]) {
    let all = tables.iter().map(|table| client.drop_table(dataset, table));
    let _: Vec<Result<(), Fault>> = futures_util::future::join_all(all).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, BooleanArray, Int64Array, StringArray};
    use flate2::read::GzDecoder;
    use std::io::Read;
    use std::sync::Arc;
    use tablecast_core::Type;

    fn column(name: &str, ty: Type, source: usize) -> StageColumn {
        StageColumn { name: name.into(), ty, source }
    }

    #[test]
    fn rows_are_written_so_that_they_read_back_exactly() {
        let batch = RecordBatch::try_from_iter([
            ("id", Arc::new(StringArray::from(vec!["a\"", "b"])) as ArrayRef),
            ("unused", Arc::new(BooleanArray::from(vec![true, false])) as ArrayRef),
            ("big", Arc::new(Int64Array::from(vec![Some(i64::MIN), None])) as ArrayRef),
            ("small", Arc::new(Int64Array::from(vec![7, -7])) as ArrayRef),
        ])
        .unwrap();
        let columns = [column("k", Type::Text, 0), column("c0", Type::Int, 2), column("c1", Type::Int, 3)];
        let mut text = String::new();
        GzDecoder::new(&*encode(&batch, &columns).unwrap()).read_to_string(&mut text).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines, [json!({"k": "a\"", "c0": "-9223372036854775808", "c1": 7}), json!({"k": "b", "c1": -7})]);
        assert!(encode(&batch, &[column("k", Type::Text, 9)]).is_err());
    }

    #[test]
    fn no_two_attempts_share_a_staging_table() {
        let (one, two) = (Names::new(0), Names::new(0));
        assert!(one.table(0, 1).starts_with("_stage_19700101000000_"));
        assert_ne!(one.table(0, 0), two.table(0, 0));
        assert_ne!(one.table(1, 0), one.table(0, 1));
    }

    #[test]
    fn fields_have_types_that_load_jobs_fill() {
        let fields = schema(&[column("k", Type::Text, 0), column("v0", Type::Version, 1), column("c1", Type::Json, 2)]);
        let types: Vec<&str> = fields.as_array().unwrap().iter().map(|field| field["type"].as_str().unwrap()).collect();
        assert_eq!(types, ["STRING", "NUMERIC", "STRING"]);
    }
}
