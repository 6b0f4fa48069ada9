//! The model against the contract, with loads made by hand.

use super::*;
use crate::plan::{CommitId, LoadColumn};
use arrow_array::builder::{Decimal128Builder, StringBuilder};
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// The model never waits, so one poll is enough.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(out) => out,
        Poll::Pending => unreachable!("the model waited"),
    }
}

fn text(values: &[&str]) -> ArrayRef {
    Arc::new(arrow_array::StringArray::from(values.to_vec()))
}

fn ints(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn times(values: &[i64]) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values.to_vec()).with_timezone("UTC"))
}

fn versions(values: &[Option<i128>]) -> ArrayRef {
    let mut builder = Decimal128Builder::new().with_precision_and_scale(29, 0).unwrap();
    values.iter().for_each(|value| builder.append_option(*value));
    Arc::new(builder.finish())
}

fn column(name: &str, ty: Type, fold: Fold, values: Option<usize>, versions: Option<usize>) -> LoadColumn {
    LoadColumn { name: name.into(), ty, fold, values, versions }
}

fn load(table: &str, kind: TableKind, columns: Vec<LoadColumn>, arrays: Vec<ArrayRef>) -> Load {
    let rows = u64::try_from(arrays[0].len()).unwrap();
    let batch =
        RecordBatch::try_from_iter(arrays.into_iter().enumerate().map(|(i, array)| (format!("c{i}"), array))).unwrap();
    Load {
        table: table.into(),
        kind,
        columns,
        batch,
        counts: Counts { received: rows, ..Counts::default() },
        fill: false,
        window: None,
    }
}

fn events(ids: &[&str], amounts: &[Option<i64>]) -> Load {
    let columns = vec![
        column("id", Type::Text, Fold::Once, Some(0), None),
        column("received_at", Type::Timestamp, Fold::Once, Some(1), None),
        column("amount", Type::Int, Fold::Once, Some(2), None),
    ];
    load("identifies", TableKind::Append, columns, vec![text(ids), times(&vec![7; ids.len()]), ints(amounts)])
}

/// One user's `amount` (none: an explicit null) of some version, seen at some time.
fn user(amount: Option<i64>, version: Option<i128>, seen: i64) -> Load {
    let columns = vec![
        column("id", Type::Text, Fold::Once, Some(0), None),
        column("amount", Type::Int, Fold::Latest, Some(1), Some(2)),
        column("first_seen", Type::Timestamp, Fold::Min, Some(3), None),
        column("last_seen", Type::Timestamp, Fold::Max, Some(3), None),
        column("born", Type::Timestamp, Fold::Once, Some(3), None),
    ];
    load("users", TableKind::Merge, columns, vec![text(&["u1"]), ints(&[amount]), versions(&[version]), times(&[seen])])
}

fn create(table: &str, kind: TableKind, columns: &[(&str, Type)]) -> Change {
    Change::CreateTable {
        table: table.into(),
        kind,
        columns: columns.iter().map(|(name, ty)| ((*name).into(), *ty)).collect(),
    }
}

fn ready() -> Memory {
    use Type::{Int, Text, Timestamp, Version};
    let memory = Memory::like(&DIALECT, 1_000_000);
    now(memory.apply(&[
        create("_lock", TableKind::System, &[("id", Text), ("schema_version", Int), ("changing", Text)]),
        create("_commits", TableKind::System, &[("commit_id", Text), ("table_name", Text)]),
        create("_discards", TableKind::Append, &[("id", Text), ("value", Text)]),
        create(
            "identifies",
            TableKind::Append,
            &[("id", Text), ("received_at", Timestamp), ("amount", Int), ("uuid_ts", Timestamp)],
        ),
        create(
            "users",
            TableKind::Merge,
            &[("id", Text), ("amount", Int), ("first_seen", Timestamp), ("last_seen", Timestamp), ("born", Timestamp)],
        ),
        create("_users_versions", TableKind::Versions, &[("id", Text), ("amount", Version), ("plan", Version)]),
    ]))
    .unwrap();
    memory
}

fn commit(id: u128, loads: Vec<Load>) -> Commit {
    Commit { id: CommitId(id), schema_version: 0, source: "test".into(), loads }
}

fn cell(memory: &Memory, table: &str, key: &str, column: &str) -> Option<String> {
    memory.state().tables[table].rows.get(key)?.get(column).map(Value::render)
}

fn widen(table: &str, column: &str, from: Type, to: Type) -> Change {
    Change::Widen { table: table.into(), column: column.into(), from, to }
}

#[test]
fn rows_get_in_once_and_the_counts_add_up() {
    let memory = ready();
    let receipt = now(memory.commit(&commit(1, vec![events(&["a", "b"], &[Some(1), None])]))).unwrap();
    assert_eq!(receipt.tables[0].1, Counts { received: 2, loaded: 2, ..Counts::default() });
    let receipt = now(memory.clone().commit(&commit(2, vec![events(&["b", "c"], &[Some(9), Some(3)])]))).unwrap();
    assert_eq!(receipt.tables[0].1, Counts { received: 2, loaded: 1, duplicates: 1, ..Counts::default() });
    assert_eq!(cell(&memory, "identifies", "b", "amount"), None, "the first delivery stays");
    assert_eq!(cell(&memory, "identifies", "a", "uuid_ts").unwrap(), "1970-01-01T00:00:01.000000Z");
    assert_eq!(cell(&memory, "identifies", "c", "uuid_ts").unwrap(), "1970-01-01T00:00:01.000001Z");
}

#[test]
fn a_commit_again_is_a_replay_with_the_same_counts() {
    let memory = ready();
    let mut empty = events(&[], &[]);
    empty.table = "switched_off".into();
    empty.counts = Counts { received: 3, filtered: 3, ..Counts::default() };
    let again = commit(1, vec![events(&["a"], &[Some(1)]), empty]);
    let first = now(memory.commit(&again)).unwrap();
    assert_eq!(first.tables[1].1.filtered, 3);
    let second = now(memory.commit(&again)).unwrap();
    assert_eq!(second, Receipt { replayed: true, ..first });
    assert_eq!(memory.state().tables["_commits"].rows.len(), 2);
    assert!(!memory.state().tables.contains_key("switched_off"));
}

#[test]
fn rows_that_do_not_add_up_are_not_there() {
    let memory = ready();
    let mut wrong = user(Some(1), Some(1), 1);
    wrong.counts.received = 2;
    let error = now(memory.commit(&commit(1, vec![events(&["a"], &[Some(1)]), wrong]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CountMismatch);
    assert_eq!(cell(&memory, "identifies", "a", "id"), None);
    assert_eq!(memory.state().tables["_commits"].rows.len(), 0);
}

#[test]
fn a_stale_plan_is_refused_whole() {
    let memory = ready();
    now(memory.apply(&[widen("identifies", "amount", Type::Int, Type::Decimal)])).unwrap();
    let error = now(memory.commit(&commit(1, vec![events(&["a"], &[Some(1)])]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaMismatch);
    let catalog = now(memory.describe(&["identifies".into(), "missing".into()])).unwrap();
    assert_eq!(catalog.version, 1);
    assert_eq!(catalog.column("identifies", "amount"), Some(&LiveType::Known(Type::Decimal)));
    assert_eq!(catalog.tables.len(), 1);
    for strange in ["missing", "users"] {
        let mut load = events(&["a"], &[Some(1)]);
        load.table = strange.into();
        let stale = Commit { schema_version: 1, ..commit(2, vec![load]) };
        assert_eq!(now(memory.commit(&stale)).unwrap_err().kind(), ErrorKind::SchemaMismatch);
    }
    assert_eq!(now(Memory::new().commit(&commit(1, vec![]))).unwrap_err().kind(), ErrorKind::SchemaMismatch);
}

#[test]
fn the_newest_value_wins_in_any_order() {
    let loads =
        [user(Some(1), Some(10), 5), user(None, Some(30), 9), user(Some(2), Some(20), 2), user(Some(7), None, 6)];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        let memory = ready();
        for (step, index) in order.into_iter().enumerate() {
            let receipt =
                now(memory.commit(&commit(u128::try_from(step).unwrap(), vec![loads[index].clone()]))).unwrap();
            assert_eq!(receipt.tables[0].1.loaded, 1);
        }
        let cell = |column| cell(&memory, "users", "u1", column);
        assert_eq!(cell("amount"), None, "{order:?}: the null is the newest");
        assert_eq!(cell("first_seen").unwrap(), "1970-01-01T00:00:00.000002Z");
        assert_eq!(cell("last_seen").unwrap(), "1970-01-01T00:00:00.000009Z");
    }
    let memory = ready();
    for (id, load) in [(1, user(Some(1), Some(10), 5)), (2, user(Some(2), Some(10), 6))] {
        now(memory.commit(&commit(id, vec![load]))).unwrap();
    }
    assert_eq!(cell(&memory, "users", "u1", "amount").unwrap(), "1", "an equal version does not win");
    assert_eq!(cell(&memory, "users", "u1", "born").unwrap(), "1970-01-01T00:00:00.000005Z");
}

#[test]
fn a_null_for_a_column_that_is_not_there_keeps_older_values_out() {
    let memory = ready();
    let plan = |value: Option<&str>, version, values| {
        let columns = vec![
            column("id", Type::Text, Fold::Once, Some(0), None),
            column("plan", Type::Text, Fold::Latest, values, Some(1)),
        ];
        let mut builder = StringBuilder::new();
        builder.append_option(value);
        load(
            "users",
            TableKind::Merge,
            columns,
            vec![text(&["u1"]), versions(&[Some(version)]), Arc::new(builder.finish())],
        )
    };
    now(memory.commit(&commit(1, vec![plan(None, 20, None)]))).unwrap();
    assert_eq!(cell(&memory, "_users_versions", "u1", "plan").unwrap(), "20");
    now(memory.apply(&[Change::AddColumn { table: "users".into(), column: "plan".into(), ty: Type::Text }])).unwrap();
    let after = |id, load| Commit { schema_version: 1, ..commit(id, vec![load]) };
    now(memory.commit(&after(2, plan(Some("old"), 10, Some(2))))).unwrap();
    assert_eq!(cell(&memory, "users", "u1", "plan"), None);
    now(memory.commit(&after(3, plan(Some("new"), 30, Some(2))))).unwrap();
    assert_eq!(cell(&memory, "users", "u1", "plan").unwrap(), "new");
    let stale = now(memory.commit(&commit(4, vec![plan(None, 40, None)]))).unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::SchemaMismatch, "a null planned before the column came would not clear it");
}

#[test]
fn what_a_wider_column_bends_is_kept() {
    let memory = ready();
    let odd = (1 << 53) + 1;
    now(memory.commit(&commit(1, vec![events(&["a", "b"], &[Some(odd), Some(4)]), user(Some(odd), Some(1), 1)])))
        .unwrap();
    let step =
        [widen("identifies", "amount", Type::Int, Type::Float), widen("users", "amount", Type::Int, Type::Float)];
    now(memory.apply(&step)).unwrap();
    now(memory.apply(&step)).unwrap();
    assert_eq!(now(memory.describe(&[])).unwrap().version, 2, "what holds already raises nothing");
    assert_eq!(cell(&memory, "identifies", "a", "amount").unwrap(), "9007199254740992.0");
    assert_eq!(cell(&memory, "identifies", "b", "amount").unwrap(), "4.0");
    let state = memory.state();
    let discards: Vec<&Cells> = state.tables["_discards"].rows.values().collect();
    assert_eq!(discards.len(), 1, "one per event, none for the merged copy");
    for (column, value) in [("event_id", "a"), ("value", "9007199254740993"), ("reason", "precision"), ("bytes", "16")]
    {
        assert_eq!(discards[0][column].render(), value);
    }
}

#[test]
fn changes_hold_after_any_repetition() {
    let memory = ready();
    let before = now(memory.describe(&["users".into()])).unwrap();
    now(memory.apply(&[create(
        "users",
        TableKind::Merge,
        &[("id", Type::Text), ("amount", Type::Text), ("vip", Type::Boolean)],
    )]))
    .unwrap();
    now(memory.apply(&[Change::AddColumn { table: "users".into(), column: "vip".into(), ty: Type::Text }])).unwrap();
    let after = now(memory.describe(&["users".into()])).unwrap();
    assert_eq!(after.column("users", "amount"), before.column("users", "amount"));
    assert_eq!(after.column("users", "vip"), Some(&LiveType::Known(Type::Boolean)));
    assert_eq!(after.version, 0);

    now(memory.commit(&commit(1, vec![events(&["a"], &[Some(1)])]))).unwrap();
    let steps =
        [widen("identifies", "amount", Type::Int, Type::Float), widen("identifies", "amount", Type::Int, Type::Text)];
    now(memory.apply(&steps)).unwrap();
    assert_eq!(cell(&memory, "identifies", "a", "amount").unwrap(), "1.0");
    now(memory.apply(&steps[..1])).unwrap();
    assert_eq!(
        now(memory.describe(&["identifies".into()])).unwrap().column("identifies", "amount"),
        Some(&LiveType::Known(Type::Text))
    );
    let wrong = now(memory.apply(&[widen("users", "vip", Type::Int, Type::Float)])).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::SchemaMismatch);
}

#[test]
fn broken_loads_are_a_defect_and_change_nothing() {
    let memory = ready();
    let mut wrong_type = events(&["a"], &[Some(1)]);
    wrong_type.batch = RecordBatch::try_from_iter([
        ("c0", text(&["a"])),
        ("c1", times(&[7])),
        ("c2", Arc::new(Float64Array::from(vec![1.5])) as ArrayRef),
    ])
    .unwrap();
    let mut no_column = events(&["a"], &[Some(1)]);
    no_column.columns[2].values = Some(9);
    for load in [wrong_type, no_column, events(&["a", "a"], &[Some(1), Some(1)])] {
        let error = now(memory.commit(&commit(1, vec![load]))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
        assert_eq!(cell(&memory, "identifies", "a", "id"), None);
    }
}
