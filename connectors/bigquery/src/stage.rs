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

/// Makes a staging table and fills it. What it is `of` stands in the job's id.
pub(crate) async fn fill(
    client: &Client,
    at: (&str, &str),
    of: &str,
    table: &str,
    schema: &Value,
    data: &[u8],
    rows: usize,
) -> Result<()> {
    let (dataset, location) = at;
    client.create_passing(dataset, table, schema, LIVES).await?;
    let mut waits = Waits::default();
    for attempt in 0.. {
        let id = format!("tablecast_{dataset}_{of}{table}_r{attempt}");
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
    use std::collections::BTreeSet;
    use std::io::Read;
    use std::sync::Arc;
    use tablecast_core::{Catalog, Draft, Rules, Type, sql};

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

    /// Whatever a call holds: what is staged has a place in the type of its column.
    #[test]
    fn what_is_staged_is_within_the_ranges_of_the_types() {
        let values = [
            "9223372036854775807",
            "-9223372036854775808",
            "9223372036854775808",
            "0",
            "-0.0",
            "99999999999999999999999999999999999999",
            "-99999999999999999999999999999999999999",
            "100000000000000000000000000000000000000",
            "578960446186580977117854925043439539267",
            "1.7976931348623157e308",
            "1e309",
            "-1e309",
            "5e-324",
            "1e-400",
            r#""0001-01-01T00:00:00Z""#,
            r#""9999-12-31T23:59:59.999999999Z""#,
            r#""9999-12-31T23:59:59-23:59""#,
            r#""0001-01-01T00:00:00+23:59""#,
            r#""0000-12-31""#,
            r#""10000-01-01""#,
            r#""2026-06-30T23:59:60Z""#,
        ];
        let mut draft = Draft::new(&Rules::default(), &crate::types::DIALECT);
        for (nth, value) in values.iter().enumerate() {
            for at in ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "99999-01-01T00:00:00Z"] {
                let line = format!(
                    r#"{{"type":"identify","messageId":"m{nth}{at}","userId":"u{nth}","receivedAt":"{at}","timestamp":"{at}","traits":{{"v{nth}":{value}}}}}"#
                );
                draft.push_line(line.as_bytes());
            }
        }
        let plan = draft.plan(&Catalog::default());
        let mut seen = BTreeSet::new();
        for load in plan.commits.iter().flat_map(|commit| &commit.loads).filter(|load| load.rows() > 0) {
            let all: Vec<usize> = (1..load.columns.len()).collect();
            let columns = sql::stage_columns(load, &all);
            let mut text = String::new();
            GzDecoder::new(&*encode(&load.batch, &columns).unwrap()).read_to_string(&mut text).unwrap();
            for line in text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
                for column in columns.iter().filter(|column| !line[&column.name].is_null()) {
                    let value = &line[&column.name];
                    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    let digits = shown.trim_start_matches('-').len();
                    let fits = match staged(column.ty) {
                        "INT64" => shown.parse::<i64>().is_ok(),
                        "BIGNUMERIC" => shown.parse::<i128>().is_ok() && digits <= 38,
                        "NUMERIC" => shown.parse::<u128>().is_ok() && digits <= 29,
                        "FLOAT64" => shown.parse::<f64>().is_ok_and(f64::is_finite),
                        "TIMESTAMP" => {
                            ("0001-01-01T00:00:00.000000Z"..="9999-12-31T23:59:59.999999Z").contains(&&*shown)
                                && shown.len() == 27
                        }
                        _ => true,
                    };
                    assert!(fits, "{} {} {shown}", load.table, staged(column.ty));
                    seen.insert(staged(column.ty));
                }
            }
        }
        assert!(
            ["INT64", "BIGNUMERIC", "NUMERIC", "FLOAT64", "TIMESTAMP"].iter().all(|ty| seen.contains(ty)),
            "{seen:?}"
        );
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
