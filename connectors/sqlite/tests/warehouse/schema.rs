//! Describe and apply.

use crate::support::*;
use tablecast_core::schema::TableKind;
use tablecast_core::testing::Probe;
use tablecast_core::{Catalog, Change, ErrorKind, LiveType, Type, Warehouse, discard::Reason, discard::discard_id};
use tablecast_sqlite::Sqlite;

fn known(sqlite: &Sqlite, table: &str, column: &str) -> Option<Type> {
    now(sqlite.describe(&[table.into()])).unwrap().column(table, column).and_then(LiveType::known)
}

#[test]
fn looking_creates_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let sqlite = open(&directory);
    assert_eq!(now(sqlite.describe(&["users".into()])).unwrap(), Catalog::default());
    assert!(now(sqlite.tables()).unwrap().is_empty() && now(sqlite.rows("users")).unwrap().is_empty());
    now(sqlite.apply(&[])).unwrap();
    let error = now(sqlite.commit(&commit(1, vec![append("e", &["a"], &[])]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaMismatch);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn what_was_applied_is_described_and_again_is_the_same() {
    let changes = || {
        let mut all = system();
        all.push(events("e", &[("n", Type::Int), ("order", Type::Text)]));
        all.push(add("e", "late", Type::Decimal));
        all.extend(users_with(&["a"]));
        all
    };
    let directory = tempfile::tempdir().unwrap();
    let sqlite = open(&directory);
    now(sqlite.apply(&changes())).unwrap();
    let names = [
        "e".into(),
        "users".into(),
        "_users_versions".into(),
        "_commits".into(),
        "_lock".into(),
        "_discards".into(),
        "missing".into(),
    ];
    let first = now(sqlite.describe(&names)).unwrap();
    let mut planned = Catalog::default();
    planned.advance(&changes());
    assert_eq!(first, planned);
    now(sqlite.apply(&changes())).unwrap();
    assert_eq!(now(sqlite.describe(&names)).unwrap(), first);
    assert_eq!(rows(&sqlite, "_lock").len(), 1);
    // Creating what is there with more columns adds them; another type of the same name is left alone.
    now(sqlite.apply(&[events("e", &[("n", Type::Text), ("more", Type::Float)])])).unwrap();
    assert_eq!((known(&sqlite, "e", "n"), known(&sqlite, "e", "more")), (Some(Type::Int), Some(Type::Float)));
    assert_eq!(
        std::fs::read_dir(sqlite.path().parent().unwrap()).unwrap().count(),
        1,
        "the log is folded in when the last connection closes"
    );
}

#[test]
fn widening_to_a_float_keeps_what_it_bends() {
    let (sqlite, _directory) = ready(vec![events("e", &[("n", Type::Int)])]);
    let exact = 9_007_199_254_740_992;
    let values = [Some(450), Some(exact), Some(exact + 1), Some(-exact - 1), Some(i64::MAX), None];
    now(sqlite
        .commit(&commit(1, vec![append("e", &["1", "2", "3", "4", "5", "6"], &[("n", Type::Int, ints(&values))])])))
    .unwrap();
    now(sqlite.apply(&[widen("e", "n", Type::Int, Type::Float)])).unwrap();
    assert_eq!(known(&sqlite, "e", "n"), Some(Type::Float));
    assert_eq!(now(sqlite.describe(&[])).unwrap().version, 1);
    let of = |id| cell(&sqlite, "e", id, "n");
    assert_eq!(of("1").unwrap(), "450.0");
    assert_eq!(of("3").unwrap(), "9007199254740992.0");
    assert_eq!(of("6"), None);
    let discards = rows(&sqlite, "_discards");
    let kept: Vec<(&str, &str)> =
        discards.iter().map(|row| (row["event_id"].as_str(), row["value"].as_str())).collect();
    assert_eq!(kept.len(), 3, "{kept:?}");
    for (event, value) in [("3", "9007199254740993"), ("4", "-9007199254740993"), ("5", "9223372036854775807")] {
        let row = discards.iter().find(|row| row["event_id"] == event).unwrap();
        assert_eq!(row["value"], value);
        assert_eq!(row["id"], discard_id(event, "e", "n", Reason::Precision));
        assert_eq!(
            (row["reason"].as_str(), row["column_name"].as_str(), row["table_name"].as_str()),
            ("precision", "n", "e")
        );
        assert_eq!((row["bytes"].as_str(), row["sha256"].len()), (value.len().to_string().as_str(), 64));
        assert_eq!(row["received_at"], "1970-01-01T00:00:01.000000Z");
    }
    // Again is the same: no version, no row.
    now(sqlite.apply(&[widen("e", "n", Type::Int, Type::Float)])).unwrap();
    assert_eq!(now(sqlite.describe(&[])).unwrap().version, 1);
    assert_eq!(rows(&sqlite, "_discards").len(), 3);
}

#[test]
fn what_a_merge_table_bends_is_noted_unless_its_append_table_has_it() {
    let bent = |changes: Vec<Change>| {
        let (sqlite, _directory) = ready(changes);
        now(sqlite.commit(&commit(1, vec![users(&["u"], &[("a", &[Some((1, Some(i64::MAX)))])])]))).unwrap();
        now(sqlite.apply(&[widen("users", "a", Type::Int, Type::Float)])).unwrap();
        assert_eq!(cell(&sqlite, "users", "u", "a").unwrap(), "9.223372036854776e+18");
        rows(&sqlite, "_discards")
    };
    let alone = bent(users_with(&["a"]));
    assert_eq!(
        (alone.len(), alone[0]["value"].as_str(), alone[0]["event_id"].as_str()),
        (1, "9223372036854775807", "u")
    );
    let mut both = users_with(&["a"]);
    both.push(events("identifies", &[("a", Type::Int)]));
    assert!(bent(both).is_empty());
}

#[test]
fn all_widenings_keep_the_canonical_form() {
    use Type::{Boolean, Decimal, Float, Int, Json, Text, Timestamp};
    let names = [
        ("b", Boolean),
        ("i", Int),
        ("d", Decimal),
        ("f", Float),
        ("t", Timestamp),
        ("j", Json),
        ("n", Int),
        ("m", Decimal),
    ];
    let (sqlite, _directory) = ready(vec![events("e", &names)]);
    let big = 12_345_678_901_234_567_890_123_456_789_i128;
    let load = append(
        "e",
        &["1", "2", "3"],
        &[
            ("b", Boolean, booleans(&[Some(true), Some(false), None])),
            ("i", Int, ints(&[Some(i64::MIN), Some(0), None])),
            ("d", Decimal, decimals(38, &[Some(big), Some(-1), None])),
            ("f", Float, floats(&[Some(450.75), Some(1e21), Some(0.1 + 0.2)])),
            ("t", Timestamp, times(&[0, 1, 2])),
            ("j", Json, texts(&[Some("[1]"), None, None])),
            ("n", Int, ints(&[Some(-5), None, None])),
            ("m", Decimal, decimals(38, &[Some(big), Some(1 << 60), None])),
        ],
    );
    now(sqlite.commit(&commit(1, vec![load]))).unwrap();
    let mut changes: Vec<_> = names.iter().take(6).map(|(name, from)| widen("e", name, *from, Text)).collect();
    changes.push(widen("e", "n", Int, Decimal));
    changes.push(widen("e", "m", Decimal, Float));
    now(sqlite.apply(&changes)).unwrap();
    for (id, column, value) in [
        ("1", "b", Some("true")),
        ("2", "b", Some("false")),
        ("3", "b", None),
        ("1", "i", Some("-9223372036854775808")),
        ("2", "i", Some("0")),
        ("1", "d", Some("12345678901234567890123456789")),
        ("2", "d", Some("-1")),
        ("1", "f", Some("450.75")),
        ("2", "f", Some("1e+21")),
        ("3", "f", Some("0.30000000000000004")),
        ("1", "t", Some("1970-01-01T00:00:00.000000Z")),
        ("1", "j", Some("[1]")),
        ("1", "n", Some("-5")),
        ("1", "m", Some("1.2345678901234568e+28")),
        ("2", "m", Some("1.152921504606847e+18")),
        ("3", "m", None),
    ] {
        assert_eq!(cell(&sqlite, "e", id, column).as_deref(), value, "{id}.{column}");
    }
    assert_eq!(
        (known(&sqlite, "e", "f"), known(&sqlite, "e", "n"), known(&sqlite, "e", "m")),
        (Some(Text), Some(Decimal), Some(Float))
    );
    assert_eq!(rows(&sqlite, "_discards").len(), 1, "2^60 is exact, the other is not");
    assert_eq!(now(sqlite.describe(&[])).unwrap().version, 8);
    // The key is still one.
    now(sqlite.apply(&[])).unwrap();
    assert!(by_hand(&sqlite).execute("INSERT INTO e (id) VALUES ('1')", []).is_err());
}

#[test]
fn a_change_for_what_is_gone_is_a_stale_plan() {
    let (sqlite, _directory) = ready(vec![events("e", &[("n", Type::Text)])]);
    for change in [
        add("gone", "a", Type::Int),
        widen("gone", "a", Type::Int, Type::Float),
        widen("e", "gone", Type::Int, Type::Float),
    ] {
        let error = now(sqlite.apply(&[add("e", "extra", Type::Int), change])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SchemaMismatch, "{error}");
    }
    assert_eq!(known(&sqlite, "e", "extra"), None, "all or nothing");
    now(sqlite.apply(&[widen("e", "n", Type::Int, Type::Float)])).unwrap();
    assert_eq!(known(&sqlite, "e", "n"), Some(Type::Text), "a wider column holds it already");
}

#[test]
fn hand_made_columns_are_seen_as_what_they_are() {
    let (sqlite, _directory) = ready(vec![events("e", &[])]);
    by_hand(&sqlite)
        .execute_batch("ALTER TABLE e ADD COLUMN Name VARCHAR(20); ALTER TABLE e ADD COLUMN price NUMERIC; ALTER TABLE e ADD COLUMN twice TEXT AS (id || id)")
        .unwrap();
    let catalog = now(sqlite.describe(&["e".into()])).unwrap();
    assert_eq!(catalog.column("e", "name"), Some(&LiveType::Known(Type::Text)));
    assert_eq!(catalog.column("e", "price"), Some(&LiveType::Other("NUMERIC".into())));
    assert_eq!(catalog.column("e", "twice"), Some(&LiveType::Other("TEXT (generated)".into())));
    now(sqlite.commit(&commit(1, vec![append("e", &["a"], &[("name", Type::Text, text(&["x"]))])]))).unwrap();
    assert_eq!(cell(&sqlite, "e", "a", "name").unwrap(), "x");
}

#[test]
fn as_many_columns_as_the_dialect_says_and_widening_still_works() {
    let directory = tempfile::tempdir().unwrap();
    let sqlite = open(&directory);
    let names: Vec<String> = (3..sqlite.dialect().max_columns).map(|at| format!("c_{at}")).collect();
    let columns: Vec<(&str, Type)> = names.iter().map(|name| (name.as_str(), Type::Int)).collect();
    let mut changes = system();
    changes.push(events("e", &columns));
    now(sqlite.apply(&changes)).unwrap();
    now(sqlite.apply(&[widen("e", "c_7", Type::Int, Type::Text)])).unwrap();
    let arrays: Vec<_> =
        names.iter().filter(|name| *name != "c_7").map(|name| (name.as_str(), Type::Int, ints(&[Some(4)]))).collect();
    let mut all = commit(1, vec![append("e", &["a"], &arrays)]);
    all.schema_version = 1;
    now(sqlite.commit(&all)).unwrap();
    assert_eq!(rows(&sqlite, "e")[0].len(), sqlite.dialect().max_columns - 2);
    now(sqlite.apply(&[add("e", "fits", Type::Int)])).unwrap();
    let error = now(sqlite.apply(&[add("e", "one_too_many", Type::Int)])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error:?}");
    assert_eq!(
        now(sqlite.apply(&[create("x", TableKind::Append, &[("id", Type::Text)])])).map_err(|error| error.to_string()),
        Ok(())
    );
}
