//! Append tables, the ledger, the guard.

use crate::support::*;
use tablecast_core::schema::TableKind;
use tablecast_core::sql::{Value, literal};
use tablecast_core::testing::Probe;
use tablecast_core::{Counts, ErrorKind, Fold, Type, Warehouse};

#[test]
fn every_type_goes_in_and_comes_back() {
    use Type::{Boolean, Decimal, Float, Int, Json, Text, Timestamp};
    let names = [("b", Boolean), ("i", Int), ("d", Decimal), ("f", Float), ("t", Timestamp), ("s", Text), ("j", Json)];
    let (sqlite, _directory) = ready(vec![events("e", &names)]);
    let digits = 99_999_999_999_999_999_999_999_999_999_999_999_999_i128;
    let row = append(
        "e",
        &["1", "2"],
        &[
            ("b", Boolean, booleans(&[Some(false), None])),
            ("i", Int, ints(&[Some(i64::MIN), None])),
            ("d", Decimal, decimals(38, &[Some(-digits), None])),
            ("f", Float, floats(&[Some(450.0), Some(1e21)])),
            ("t", Timestamp, times(&[253_402_300_799_999_999, -62_135_596_800_000_000])),
            ("s", Text, texts(&[Some("O'Neil \"x\" \\ é 🙂\n"), Some("")])),
            ("j", Json, texts(&[Some("[1,2]"), None])),
        ],
    );
    let receipt = now(sqlite.commit(&commit(1, vec![row]))).unwrap();
    assert_eq!(receipt.tables[0].1, Counts { received: 2, loaded: 2, ..Counts::default() });
    let rows = now(sqlite.rows("e")).unwrap();
    let first = rows.iter().find(|row| row["id"] == "1").unwrap();
    for (name, value) in [
        ("b", "false"),
        ("i", "-9223372036854775808"),
        ("d", "-99999999999999999999999999999999999999"),
        ("f", "450.0"),
        ("t", "9999-12-31T23:59:59.999999Z"),
        ("s", "O'Neil \"x\" \\ é 🙂\n"),
        ("j", "[1,2]"),
        ("received_at", "1970-01-01T00:00:01.000000Z"),
    ] {
        assert_eq!(first[name], value, "{name}");
    }
    assert_eq!(first["uuid_ts"].len(), 27);
    let second = rows.iter().find(|row| row["id"] == "2").unwrap();
    assert_eq!(
        (second["f"].as_str(), second["t"].as_str(), second["s"].as_str()),
        ("1e+21", "0001-01-01T00:00:00.000000Z", "")
    );
    assert!(!second.contains_key("b") && !second.contains_key("j"));
}

#[test]
fn what_is_there_is_a_duplicate_and_is_not_touched() {
    let (sqlite, _directory) = ready(vec![events("e", &[("n", Type::Int)])]);
    let of = |ids: &[&str], n: i64| append("e", ids, &[("n", Type::Int, ints(&vec![Some(n); ids.len()]))]);
    now(sqlite.commit(&commit(1, vec![of(&["a", "b"], 1)]))).unwrap();
    let mut again = of(&["b", "c"], 2);
    again.counts = Counts { received: 6, duplicates: 1, filtered: 2, discarded: 1, loaded: 0 };
    let receipt = now(sqlite.commit(&commit(2, vec![again]))).unwrap();
    assert_eq!(receipt.tables[0].1, Counts { received: 6, loaded: 1, duplicates: 2, filtered: 2, discarded: 1 });
    assert_eq!(cell(&sqlite, "e", "b", "n").unwrap(), "1");
    assert_eq!(rows(&sqlite, "e").len(), 3);
}

#[test]
fn a_replay_gives_the_stored_receipt() {
    let (sqlite, _directory) = ready(vec![events("e", &[]), events("f", &[])]);
    let both = commit(7, vec![append("e", &["a", "b"], &[]), append("f", &["a"], &[])]);
    let first = now(sqlite.commit(&both)).unwrap();
    let before = (rows(&sqlite, "e"), rows(&sqlite, "_commits"));
    let second = now(sqlite.commit(&both)).unwrap();
    assert!(!first.replayed && second.replayed);
    assert_eq!(first.tables, second.tables);
    assert_eq!(before, (rows(&sqlite, "e"), rows(&sqlite, "_commits")));
    let ledger = &before.1[0];
    assert_eq!((ledger["source"].as_str(), ledger["commit_id"].as_str()), ("test", "00000000000000000000000000000007"));
    assert_eq!(ledger["nonce"].len(), 32);
    assert_eq!(ledger["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_load_without_rows_has_its_counts_in_the_ledger_only() {
    let (sqlite, _directory) = ready(vec![]);
    let mut nothing = append("switched_off", &[], &[]);
    nothing.counts = Counts { received: 5, filtered: 5, ..Counts::default() };
    now(sqlite.commit(&commit(1, vec![nothing]))).unwrap();
    assert_eq!(rows(&sqlite, "_commits")[0]["filtered"], "5");
    assert!(!now(sqlite.tables()).unwrap().contains(&"switched_off".to_owned()));
}

#[test]
fn rows_that_do_not_add_up_roll_back() {
    let (sqlite, _directory) = ready(vec![events("e", &[]), events("f", &[])]);
    let mut wrong = append("f", &["a"], &[]);
    wrong.counts.received = 2;
    let error = now(sqlite.commit(&commit(1, vec![append("e", &["a"], &[]), wrong]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CountMismatch);
    assert!(rows(&sqlite, "e").is_empty() && rows(&sqlite, "_commits").is_empty());

    // A trigger that drops rows in silence is no duplicate.
    by_hand(&sqlite).execute_batch("CREATE TRIGGER t BEFORE INSERT ON e BEGIN SELECT RAISE(IGNORE); END").unwrap();
    let error = now(sqlite.commit(&commit(2, vec![append("e", &["a"], &[])]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CountMismatch);
}

#[test]
fn another_version_of_the_schema_is_a_stale_plan() {
    let (sqlite, _directory) = ready(vec![events("e", &[("n", Type::Int)])]);
    now(sqlite.apply(&[widen("e", "n", Type::Int, Type::Float)])).unwrap();
    let stale = commit(1, vec![append("e", &["a"], &[("n", Type::Int, ints(&[Some(1)]))])]);
    // Without the column that changed only the guard can tell.
    let untouched = commit(1, vec![append("e", &["a"], &[])]);
    for planned in [&stale, &untouched] {
        assert_eq!(now(sqlite.commit(planned)).unwrap_err().kind(), ErrorKind::SchemaMismatch);
    }
    // With the right version only the column can.
    let mut half = stale.clone();
    half.schema_version = 1;
    assert_eq!(now(sqlite.commit(&half)).unwrap_err().kind(), ErrorKind::SchemaMismatch);
    assert!(rows(&sqlite, "e").is_empty());
    let mut fresh = commit(1, vec![append("e", &["a"], &[("n", Type::Float, floats(&[Some(1.0)]))])]);
    fresh.schema_version = now(sqlite.describe(&[])).unwrap().version;
    now(sqlite.commit(&fresh)).unwrap();
    assert_eq!(cell(&sqlite, "e", "a", "n").unwrap(), "1.0");
}

#[test]
fn a_guard_that_was_deleted_comes_back_under_a_version_that_nobody_planned_for() {
    let (sqlite, _directory) = ready(vec![events("e", &[])]);
    by_hand(&sqlite).execute_batch("DELETE FROM _lock").unwrap();
    let mut planned = commit(1, vec![append("e", &["a"], &[])]);
    assert_eq!(now(sqlite.commit(&planned)).unwrap_err().kind(), ErrorKind::SchemaMismatch);
    planned.schema_version = now(sqlite.describe(&[])).unwrap().version;
    assert!(planned.schema_version > 0);
    now(sqlite.commit(&planned)).unwrap();
    assert_eq!(rows(&sqlite, "_lock").len(), 1);
}

#[test]
fn a_load_that_is_not_what_it_says_is_refused() {
    let (sqlite, _directory) = ready(vec![events("e", &[("n", Type::Int)])]);
    let wrong_type = append("e", &["a"], &[("n", Type::Int, text(&["x"]))]);
    let beyond = load(
        "e",
        TableKind::Append,
        vec![column("id", Type::Text, Fold::Once, Some(0), None), column("n", Type::Int, Fold::Once, Some(9), None)],
        vec![text(&["a"])],
    );
    let no_key =
        load("e", TableKind::Append, vec![column("n", Type::Int, Fold::Once, Some(0), None)], vec![ints(&[Some(1)])]);
    let null_key =
        load("e", TableKind::Append, vec![column("id", Type::Text, Fold::Once, Some(0), None)], vec![texts(&[None])]);
    for wrong in [wrong_type, beyond, no_key, null_key] {
        let error = now(sqlite.commit(&commit(1, vec![wrong]))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
    }
    assert!(rows(&sqlite, "e").is_empty());
}

#[test]
fn literals_mean_what_they_say() {
    let database = rusqlite::Connection::open_in_memory().unwrap();
    let flags = rusqlite::functions::FunctionFlags::SQLITE_UTF8;
    database
        .create_scalar_function("chr", 1, flags, |context| {
            Ok(context.get::<u32>(0).ok().and_then(char::from_u32).map(String::from))
        })
        .unwrap();
    for text in [
        "",
        "plain",
        "it's",
        "'",
        "''",
        "\\",
        "\\'",
        "'); DROP TABLE x; --",
        "a\nb\r\tc",
        "é🙂\u{85}",
        "'\\'\\'",
        "$1 ?1 :x @y %s {}",
    ] {
        let read: String =
            database.query_row(&format!("SELECT {}", literal(Value::Text(text))), [], |row| row.get(0)).unwrap();
        assert_eq!(read, text);
    }
    let read: String =
        database.query_row(&format!("SELECT {}", literal(Value::Text("a\0b"))), [], |row| row.get(0)).unwrap();
    assert_eq!(read, "ab");
    let read: i64 =
        database.query_row(&format!("SELECT 1-{}", literal(Value::Number(-5))), [], |row| row.get(0)).unwrap();
    assert_eq!(read, 6);
}
