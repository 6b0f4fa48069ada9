//! Loads made by hand, and what every test needs.

use arrow_array::builder::Decimal128Builder;
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::{Field, Schema};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tablecast_core::schema::TableKind;
use tablecast_core::testing::{Probe, Row};
use tablecast_core::{Change, Commit, CommitId, Counts, Fold, Load, LoadColumn, Type, Warehouse, discard};
use tablecast_sqlite::{Options, Sqlite};
use tempfile::TempDir;

/// The connector never waits, so one poll is enough.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(out) => out,
        Poll::Pending => unreachable!("the connector waited"),
    }
}

pub(crate) fn open(directory: &TempDir) -> Sqlite {
    open_with(directory, Options { busy_timeout_ms: 10_000, ..Options::default() })
}

pub(crate) fn open_with(directory: &TempDir, options: Options) -> Sqlite {
    Sqlite::open(directory.path().join("w"), &"personas_default".into(), options).unwrap()
}

/// A connection of the test's own, for changes by hand.
pub(crate) fn by_hand(sqlite: &Sqlite) -> rusqlite::Connection {
    rusqlite::Connection::open(sqlite.path()).unwrap()
}

pub(crate) fn text(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

pub(crate) fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

pub(crate) fn ints(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

pub(crate) fn floats(values: &[Option<f64>]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

pub(crate) fn booleans(values: &[Option<bool>]) -> ArrayRef {
    Arc::new(BooleanArray::from(values.to_vec()))
}

pub(crate) fn times(values: &[i64]) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values.to_vec()).with_timezone("UTC"))
}

pub(crate) fn decimals(precision: u8, values: &[Option<i128>]) -> ArrayRef {
    let mut builder = Decimal128Builder::new().with_precision_and_scale(precision, 0).unwrap();
    values.iter().for_each(|value| builder.append_option(*value));
    Arc::new(builder.finish())
}

pub(crate) fn column(name: &str, ty: Type, fold: Fold, values: Option<usize>, versions: Option<usize>) -> LoadColumn {
    LoadColumn { name: name.into(), ty, fold, values, versions }
}

pub(crate) fn load(table: &str, kind: TableKind, columns: Vec<LoadColumn>, arrays: Vec<ArrayRef>) -> Load {
    let rows = arrays[0].len();
    let fields: Vec<Field> = arrays
        .iter()
        .enumerate()
        .map(|(at, array)| Field::new(format!("f{at}"), array.data_type().clone(), true))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options).unwrap();
    let counts = Counts { received: u64::try_from(rows).unwrap(), ..Counts::default() };
    Load { table: table.into(), kind, columns, batch, counts, fill: false, window: None }
}

/// Rows of an append table: id, received_at, and columns `name: type`.
pub(crate) fn append(table: &str, ids: &[&str], columns: &[(&str, Type, ArrayRef)]) -> Load {
    let mut named = vec![
        column("id", Type::Text, Fold::Once, Some(0), None),
        column("received_at", Type::Timestamp, Fold::Once, Some(1), None),
    ];
    let mut arrays = vec![text(ids), times(&vec![1_000_000; ids.len()])];
    for (name, ty, array) in columns {
        named.push(column(name, *ty, Fold::Once, Some(arrays.len()), None));
        arrays.push(array.clone());
    }
    load(table, TableKind::Append, named, arrays)
}

/// A cell of a merge: absent, or a version with a value or an explicit null.
pub(crate) type Mark = Option<(i128, Option<i64>)>;

/// Rows of `users` with whole-number traits.
pub(crate) fn users(keys: &[&str], traits: &[(&str, &[Mark])]) -> Load {
    let mut named = vec![
        column("id", Type::Text, Fold::Once, Some(0), None),
        column("user_id", Type::Text, Fold::Once, Some(1), None),
    ];
    let mut arrays = vec![text(keys), text(keys)];
    for (name, marks) in traits {
        let at = arrays.len();
        named.push(column(name, Type::Int, Fold::Latest, Some(at), Some(at + 1)));
        arrays.push(ints(&marks.iter().map(|mark| mark.and_then(|(_, value)| value)).collect::<Vec<_>>()));
        arrays.push(decimals(29, &marks.iter().map(|mark| mark.map(|(version, _)| version)).collect::<Vec<_>>()));
    }
    load("users", TableKind::Merge, named, arrays)
}

pub(crate) fn commit(id: u128, loads: Vec<Load>) -> Commit {
    Commit { id: CommitId(id), schema_version: 0, source: "test".into(), loads }
}

pub(crate) fn create(table: &str, kind: TableKind, columns: &[(&str, Type)]) -> Change {
    Change::CreateTable {
        table: table.into(),
        kind,
        columns: columns.iter().map(|(name, ty)| ((*name).into(), *ty)).collect(),
    }
}

pub(crate) fn add(table: &str, column: &str, ty: Type) -> Change {
    Change::AddColumn { table: table.into(), column: column.into(), ty }
}

pub(crate) fn widen(table: &str, column: &str, from: Type, to: Type) -> Change {
    Change::Widen { table: table.into(), column: column.into(), from, to }
}

/// Tablecast's own tables.
pub(crate) fn system() -> Vec<Change> {
    use Type::{Int, Text, Timestamp};
    vec![
        create("_lock", TableKind::System, &[("id", Text), ("schema_version", Int), ("changing", Text)]),
        create(
            "_commits",
            TableKind::System,
            &[
                ("commit_id", Text),
                ("table_name", Text),
                ("committed_at", Timestamp),
                ("source", Text),
                ("received", Int),
                ("loaded", Int),
                ("duplicates", Int),
                ("filtered", Int),
                ("discarded", Int),
                ("duration_ms", Int),
                ("nonce", Text),
                ("version", Text),
            ],
        ),
        create("_discards", TableKind::Append, &discard::COLUMNS),
    ]
}

/// An append table with what every one has.
pub(crate) fn events(table: &str, columns: &[(&str, Type)]) -> Change {
    let mut all = vec![("id", Type::Text), ("received_at", Type::Timestamp), ("uuid_ts", Type::Timestamp)];
    all.extend_from_slice(columns);
    create(table, TableKind::Append, &all)
}

/// `users` and its versions, with whole-number traits.
pub(crate) fn users_with(traits: &[&str]) -> Vec<Change> {
    let mut all = vec![("id", Type::Text), ("user_id", Type::Text), ("uuid_ts", Type::Timestamp)];
    all.extend(traits.iter().map(|name| (*name, Type::Int)));
    let mut versions = vec![("id", Type::Text)];
    versions.extend(traits.iter().map(|name| (*name, Type::Version)));
    vec![create("users", TableKind::Merge, &all), create("_users_versions", TableKind::Versions, &versions)]
}

/// A warehouse with these tables, and the directory that it lives in.
pub(crate) fn ready(changes: Vec<Change>) -> (Sqlite, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let sqlite = open(&directory);
    let mut all = system();
    all.extend(changes);
    now(sqlite.apply(&all)).unwrap();
    (sqlite, directory)
}

/// All rows by `id`, without the time of the commit.
pub(crate) fn rows(sqlite: &Sqlite, table: &str) -> Vec<Row> {
    let mut rows = now(sqlite.rows(table)).unwrap();
    rows.iter_mut().for_each(|row| drop(row.remove("uuid_ts")));
    rows.sort();
    rows
}

/// One cell, by key.
pub(crate) fn cell(sqlite: &Sqlite, table: &str, id: &str, column: &str) -> Option<String> {
    rows(sqlite, table).into_iter().find(|row| row["id"] == id).and_then(|row| row.get(column).cloned())
}
