//! The script of a commit: the same statements over the wire and through the Data API, which cannot branch.
//!
//! The ledger's rows come first and not last: they bear the attempt's nonce, every write asks for them, so a
//! script that finds the commit done writes nothing at all. A reader sees no difference, since a transaction shows
//! all of it or nothing; and what a check refuses, by dividing by zero, takes the ledger's rows back too.

use super::{demand, has_version, lock, text, timestamp};
use crate::types::MAX_TEXT;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use tablecast_core::schema::TableKind;
use tablecast_core::sql::{self as shared, COMMITS, LEDGER, LOCK, Sql, Value, literal};
use tablecast_core::{Commit, Load, time};

/// Statements of a script beside those of its loads.
pub(crate) const STATEMENTS: usize = 4;

/// The most of a source's name that the ledger keeps, in bytes: it must fit a statement of the Data API, where a
/// quote takes eighteen.
const SOURCE_BYTES: usize = 2_048;

/// One try at a commit.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) commit: &'a Commit,
    /// What tells it from other tries.
    pub(crate) nonce: &'a str,
    /// The time of the commit, which no other commit in the schema has.
    pub(crate) stamp: i64,
    /// How long it took up to here.
    pub(crate) duration_ms: i64,
    /// The staging tables of each load, rendered, one for each of its groups; none for a load without rows.
    pub(crate) stages: &'a [Vec<String>],
}

/// All statements, in order; to be run in one transaction.
pub(crate) fn script(sql: &Sql<'_>, attempt: &Attempt<'_>) -> Vec<String> {
    let mut statements = vec![lock(sql), guard(sql, attempt), ledger(sql, attempt)];
    for (load, stages) in staged(attempt) {
        let stages: Vec<String> = stages.iter().map(|stage| ours(sql, attempt, stage)).collect();
        let stamp = timestamp(attempt.stamp);
        let stamp = shared::is_stamped(load).then_some(stamp.as_str());
        let groups = shared::groups(load, sql.dialect);
        statements.extend(match load.kind {
            TableKind::Merge => sql.merge(load, &groups, &stages, stamp),
            _ => sql.append(load, &groups, &stages, stamp, pair(window(load).as_ref())),
        });
    }
    statements.push(all_there(sql, attempt));
    statements
}

/// The loads that have rows, with their staging tables.
fn staged<'a>(attempt: &Attempt<'a>) -> impl Iterator<Item = (&'a Load, &'a [String])> {
    let with_stages = attempt.commit.loads.iter().zip(attempt.stages);
    with_stages.map(|(load, stages)| (load, stages.as_slice())).filter(|(_, stages)| !stages.is_empty())
}

/// The commit is done, or everything is as it was planned and drafted.
fn guard(sql: &Sql<'_>, attempt: &Attempt<'_>) -> String {
    let mut conditions = vec![has_version(sql, attempt.commit.schema_version)];
    let same_stamp = format!("{} = {}", sql.quote("committed_at"), timestamp(attempt.stamp));
    conditions.push(format!("{} = 0", count_ledger(sql, &same_stamp)));
    for (load, stages) in staged(attempt) {
        let key = sql.quote("k");
        for stage in stages {
            let rows = load.rows();
            conditions.push(format!(
                "(SELECT COUNT(*) FROM {stage}) = {rows} AND (SELECT COUNT(DISTINCT {key}) FROM {stage}) = {rows}"
            ));
        }
    }
    demand(&format!("{} > 0 OR ({})", count_ledger(sql, &is_commit(sql, attempt)), conditions.join(" AND ")))
}

/// One row for each load, unless the commit is done.
fn ledger(sql: &Sql<'_>, attempt: &Attempt<'_>) -> String {
    let loads = attempt.commit.loads.iter().zip(attempt.stages).map(|(load, stages)| {
        let present = match (load.kind, stages.first()) {
            (TableKind::Append, Some(stage)) => {
                format!("({})", sql.count_present(load, stage, pair(window(load).as_ref())))
            }
            _ => "0".to_owned(),
        };
        let count = |count: u64| literal(Value::Number(count.into()));
        let rows = u64::try_from(load.rows()).unwrap_or(u64::MAX);
        let table = format!("CAST({} AS VARCHAR({MAX_TEXT}))", text(load.table.as_str()));
        let counts = load.counts;
        let columns = [
            (table, "table_name"),
            (count(counts.received), "received"),
            (count(rows), "staged"),
            (present, "present"),
            (count(counts.duplicates), "duplicates"),
            (count(counts.filtered), "filtered"),
            (count(counts.discarded), "discarded"),
        ];
        let columns = columns.map(|(value, name)| match name {
            "table_name" => format!("{value} AS {}", sql.quote(name)),
            _ => format!("CAST({value} AS BIGINT) AS {}", sql.quote(name)),
        });
        format!("SELECT {} FROM {}", columns.join(", "), sql.table(LOCK))
    });
    let loads: Vec<String> = loads.collect();
    let varchar = |value: &str| format!("CAST({} AS VARCHAR({MAX_TEXT}))", text(value));
    let of = |name: &str| format!("_l.{}", sql.quote(name));
    let values = LEDGER.map(|name| match name {
        "commit_id" => varchar(&attempt.commit.id.to_string()),
        "committed_at" => timestamp(attempt.stamp),
        "source" => varchar(cut(&attempt.commit.source, SOURCE_BYTES)),
        "loaded" => format!("{} - {}", of("staged"), of("present")),
        "duplicates" => format!("{} + {}", of("duplicates"), of("present")),
        "duration_ms" => format!("CAST({} AS BIGINT)", literal(Value::Number(attempt.duration_ms.into()))),
        "nonce" => varchar(attempt.nonce),
        "version" => varchar(env!("CARGO_PKG_VERSION")),
        name => of(name),
    });
    format!(
        "INSERT INTO {} ({}) SELECT {} FROM ({}) AS _l WHERE NOT EXISTS (SELECT 1 FROM {} WHERE {})",
        sql.table(COMMITS),
        LEDGER.map(|name| sql.quote(name)).join(", "),
        values.join(", "),
        loads.join(" UNION ALL "),
        sql.table(COMMITS),
        is_commit(sql, attempt)
    )
}

/// A staging table that is empty unless this attempt is the one that does the commit.
fn ours(sql: &Sql<'_>, attempt: &Attempt<'_>, stage: &str) -> String {
    format!(
        "(SELECT * FROM {stage} WHERE EXISTS (SELECT 1 FROM {} WHERE {}))",
        sql.table(COMMITS),
        is_ours(sql, attempt)
    )
}

/// Every staged id is in its table now, unless another attempt has done the commit.
fn all_there(sql: &Sql<'_>, attempt: &Attempt<'_>) -> String {
    let there = staged(attempt).filter_map(|(load, stages)| {
        let window = window(load).filter(|_| load.kind == TableKind::Append);
        let present = sql.count_present(load, stages.first()?, pair(window.as_ref()));
        Some(format!("({present}) = {}", load.rows()))
    });
    let there: Vec<String> = there.collect();
    let there = if there.is_empty() { "1 = 1".to_owned() } else { there.join(" AND ") };
    demand(&format!("{} = 0 OR ({there})", count_ledger(sql, &is_ours(sql, attempt))))
}

fn count_ledger(sql: &Sql<'_>, condition: &str) -> String {
    format!("(SELECT COUNT(*) FROM {} WHERE {condition})", sql.table(COMMITS))
}

fn is_commit(sql: &Sql<'_>, attempt: &Attempt<'_>) -> String {
    format!("{} = {}", sql.quote("commit_id"), text(&attempt.commit.id.to_string()))
}

fn is_ours(sql: &Sql<'_>, attempt: &Attempt<'_>) -> String {
    format!("{} AND {} = {}", is_commit(sql, attempt), sql.quote("nonce"), text(attempt.nonce))
}

/// Between which points in time an append load looks for rows that are there; none looks everywhere.
fn window(load: &Load) -> Option<(String, String)> {
    let width = load.window?;
    let at = load.columns.iter().find(|column| column.name == "received_at")?.values?;
    let times = load.batch.columns().get(at)?.as_primitive_opt::<TimestampMicrosecondType>()?;
    let (first, last) = (times.iter().flatten().min()?, times.iter().flatten().max()?);
    let from = first.saturating_sub(width).max(time::MIN);
    let to = last.saturating_add(width).min(time::MAX);
    Some((timestamp(from), timestamp(to)))
}

fn pair(window: Option<&(String, String)>) -> Option<(&str, &str)> {
    window.map(|(from, to)| (from.as_str(), to.as_str()))
}

/// The first `bytes` of a text, at most, whole characters only.
fn cut(value: &str, bytes: usize) -> &str {
    let mut end = value.len().min(bytes);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    &value[..end]
}
