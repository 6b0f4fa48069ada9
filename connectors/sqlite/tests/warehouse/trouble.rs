//! Files and schemas that something happened to: each is a clear error that says what to do.

use crate::support::*;
use tablecast_core::testing::Probe;
use tablecast_core::{Error, ErrorKind, Ident, Type, Uri, Warehouse};
use tablecast_sqlite::{CONNECTOR, Mode, Options, Sqlite};

fn event() -> tablecast_core::Commit {
    commit(1, vec![append("e", &["a"], &[])])
}

fn expect(error: &Error, kind: ErrorKind, words: &str) {
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(format!("{error:?}").contains(words), "{words:?} is not in {error:?}");
    assert!(error.context().iter().any(|(key, _)| *key == "path"), "{error:?}");
}

#[test]
fn read_only_describes_but_does_not_load() {
    let (sqlite, directory) = ready(vec![events("e", &[])]);
    now(sqlite.commit(&event())).unwrap();
    let reader = open_with(&directory, Options { mode: Mode::Ro, ..Options::default() });
    assert!(now(reader.describe(&["e".into()])).unwrap().table("e").is_some());
    assert_eq!(now(reader.rows("e")).unwrap().len(), 1);
    expect(&now(reader.commit(&event())).unwrap_err(), ErrorKind::Permission, "mode=ro");
    expect(&now(reader.apply(&system())).unwrap_err(), ErrorKind::Permission, "mode=ro");

    let nowhere = Sqlite::open(
        directory.path().join("none"),
        &"personas_x".into(),
        Options { mode: Mode::Ro, ..Options::default() },
    )
    .unwrap();
    expect(&now(nowhere.apply(&system())).unwrap_err(), ErrorKind::Permission, "mode=ro");
    assert!(!directory.path().join("none").exists());
}

#[test]
fn a_damaged_file_is_never_written() {
    let (sqlite, directory) = ready(vec![events("e", &[])]);
    let other = directory.path().join("w/personas_other.db");
    std::fs::write(
        &other,
        b"this is no database, it is a text of more than a hundred bytes that somebody has put here by some mistake",
    )
    .unwrap();
    let damaged = Sqlite::open(directory.path().join("w"), &"personas_other".into(), Options::default()).unwrap();
    expect(&now(damaged.describe(&["e".into()])).unwrap_err(), ErrorKind::Corrupt, "backup");
    expect(&now(damaged.apply(&system())).unwrap_err(), ErrorKind::Corrupt, "backup");
    expect(&now(damaged.commit(&event())).unwrap_err(), ErrorKind::Corrupt, "backup");
    assert!(std::fs::read(&other).unwrap().starts_with(b"this is no database"));

    // A file whose pages were overwritten behind an intact header.
    let mut bytes = std::fs::read(sqlite.path()).unwrap();
    bytes[100..].fill(0xa5);
    std::fs::write(sqlite.path(), bytes).unwrap();
    expect(&now(sqlite.commit(&event())).unwrap_err(), ErrorKind::Corrupt, "backup");
}

#[test]
fn a_path_that_is_no_directory() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("w"), b"").unwrap();
    expect(&now(open(&directory).apply(&system())).unwrap_err(), ErrorKind::Config, "directory");
    let there = tempfile::tempdir().unwrap();
    let sqlite = open(&there);
    std::fs::create_dir_all(sqlite.path()).unwrap();
    expect(&now(sqlite.apply(&system())).unwrap_err(), ErrorKind::Permission, "opened");
}

#[test]
fn a_full_disk_loses_nothing_and_goes_on_when_there_is_room() {
    let (roomy, directory) = ready(vec![events("e", &[("s", Type::Text)])]);
    let tight = open_with(&directory, Options { max_page_count: Some(30), ..Options::default() });
    let long = "x".repeat(10_000);
    let ids: Vec<String> = (0..50).map(|at| at.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let large = commit(1, vec![append("e", &ids, &[("s", Type::Text, text(&vec![long.as_str(); 50]))])]);
    expect(&now(tight.commit(&large)).unwrap_err(), ErrorKind::Exhausted, "free space");
    assert!(rows(&roomy, "e").is_empty() && rows(&roomy, "_commits").is_empty());
    now(roomy.commit(&large)).unwrap();
    assert_eq!(rows(&roomy, "e").len(), 50);
}

#[test]
fn a_schema_that_was_changed_by_hand() {
    let broken = |sql: &str| {
        let (sqlite, directory) = ready(vec![events("e", &[])]);
        by_hand(&sqlite).execute_batch(sql).unwrap();
        (sqlite, directory)
    };
    let (sqlite, _directory) =
        broken("ALTER TABLE e RENAME TO f; CREATE TABLE e (id TEXT, received_at TIMESTAMP, uuid_ts TIMESTAMP)");
    expect(&now(sqlite.commit(&event())).unwrap_err(), ErrorKind::SchemaBroken, "CREATE UNIQUE INDEX");

    let (sqlite, _directory) = broken(
        "ALTER TABLE e RENAME TO f; CREATE TABLE e (id TEXT PRIMARY KEY, received_at TIMESTAMP, uuid_ts TIMESTAMP, must TEXT NOT NULL)",
    );
    expect(&now(sqlite.commit(&event())).unwrap_err(), ErrorKind::SchemaBroken, "NOT NULL");

    let (sqlite, _directory) = broken("ALTER TABLE e RENAME TO f; CREATE VIEW e AS SELECT * FROM f");
    expect(&now(sqlite.describe(&["e".into()])).unwrap_err(), ErrorKind::SchemaBroken, "rename the view away");
    expect(&now(sqlite.commit(&event())).unwrap_err(), ErrorKind::SchemaBroken, "rename the view away");
    expect(&now(sqlite.apply(&[events("e", &[])])).unwrap_err(), ErrorKind::SchemaBroken, "rename the view away");

    let (sqlite, _directory) = broken("ALTER TABLE e RENAME COLUMN id TO key");
    expect(&now(sqlite.describe(&["e".into()])).unwrap_err(), ErrorKind::SchemaBroken, "rename the table away");
    expect(&now(sqlite.commit(&event())).unwrap_err(), ErrorKind::SchemaBroken, "rename the table away");

    for gone in [
        "DROP TABLE e",
        "DROP TABLE _commits",
        "DROP TABLE _lock",
        "ALTER TABLE e DROP COLUMN received_at",
        "ALTER TABLE e DROP COLUMN uuid_ts",
    ] {
        let (sqlite, _directory) = broken(gone);
        expect(&now(sqlite.commit(&event())).unwrap_err(), ErrorKind::SchemaMismatch, "gone");
    }

    let (sqlite, _directory) = broken("CREATE TRIGGER t BEFORE INSERT ON e BEGIN SELECT RAISE(ABORT, 'no'); END");
    expect(&now(sqlite.commit(&event())).unwrap_err(), ErrorKind::SchemaBroken, "by hand");

    let (sqlite, _directory) = broken("ALTER TABLE e ADD COLUMN n BIGINT; CREATE INDEX by_n ON e (n)");
    expect(
        &now(sqlite.apply(&[widen("e", "n", Type::Int, Type::Float)])).unwrap_err(),
        ErrorKind::SchemaBroken,
        "drop it",
    );

    let (sqlite, _directory) = broken(
        "DROP TABLE _discards; DELETE FROM _lock; ALTER TABLE e ADD COLUMN n BIGINT; INSERT INTO e (id, n) VALUES ('x', 9007199254740993)",
    );
    now(sqlite.apply(&[widen("e", "n", Type::Int, Type::Float)])).unwrap();
    assert_eq!((rows(&sqlite, "_discards").len(), rows(&sqlite, "_lock").len()), (1, 1));
}

fn findings(uri: &str) -> Vec<tablecast_core::Finding> {
    let (uri, schema): (Uri, Ident) = (Uri::parse(uri).unwrap(), "personas_default".into());
    now((CONNECTOR.check)(&uri, &schema))
}

#[test]
fn check_says_what_is_wrong_and_changes_nothing() {
    let (sqlite, directory) = ready(vec![events("e", &[])]);
    let here = format!("sqlite:{}", directory.path().join("w").display());
    let good = findings(&here);
    assert!(good.len() >= 5 && good.iter().all(|finding| finding.ok), "{good:?}");
    assert_eq!(std::fs::read_dir(directory.path().join("w")).unwrap().count(), 1);

    let new = findings(&format!("{here}/new/deep"));
    assert!(new.iter().all(|finding| finding.ok), "{new:?}");
    assert!(!directory.path().join("w/new").exists());

    let wrong = |uri: &str, words: &str| {
        let found = findings(uri);
        assert!(
            found
                .iter()
                .any(|finding| !finding.ok && format!("{finding:?}").contains(words) && finding.remedy.is_some()),
            "{found:?}"
        );
    };
    wrong("sqlite:", "sqlite:DIR");
    wrong(&format!("{here}?mode=wr"), "option");
    wrong(&format!("{here}?mode=ro"), "mode=ro");
    wrong(&format!("sqlite:{}", sqlite.path().display()), "directory");
    let holder = by_hand(&sqlite);
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    wrong(&format!("{here}?busy_timeout_ms=1"), "lock");
    holder.execute_batch("COMMIT").unwrap();
    by_hand(&sqlite).execute_batch("ALTER TABLE e RENAME TO f; CREATE TABLE e (x)").unwrap();
    wrong(&here, "key column");
    std::fs::write(sqlite.path(), vec![7; 5_000]).unwrap();
    wrong(&here, "backup");
}

#[test]
fn the_connector_opens_what_the_uri_names() {
    let directory = tempfile::tempdir().unwrap();
    let uri = Uri::parse(&format!("sqlite:{}", directory.path().join("w").display())).unwrap();
    let warehouse = now((CONNECTOR.open)(&uri, &"personas_x".into())).unwrap();
    assert!(!directory.path().join("w").exists());
    now(warehouse.apply(&system())).unwrap();
    assert!(directory.path().join("w/personas_x.db").exists());
    assert_eq!(warehouse.dialect().name, "sqlite");
    let unknown = Uri::parse("sqlite:w?colour=red").unwrap();
    assert_eq!(now((CONNECTOR.open)(&unknown, &"personas_x".into())).unwrap_err().kind(), ErrorKind::Config);
}
